"""A network in the files of every format: what other backends read, and how large they are."""

import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from lightprune.bench.other_runtimes import convert_to_mnn
from lightprune.errors import InputError
from lightprune.export.load import SPARSE_SUFFIX
from lightprune.export.loaded_network import LoadedNetwork
from lightprune.export.onnx_file import write_onnx
from lightprune.export.sparse_file import StoredNetwork, write_sparse
from lightprune.export.strip_unreachable import strip_unreachable
from lightprune.files import write_weights
from lightprune.sparse.ir.serialize import to_json


@dataclass(frozen=True, eq=False)
class ModelFiles:
    """Files of a network in a folder, each written at its first use."""

    loaded: LoadedNetwork
    folder: Path

    @cached_property
    def plain(self) -> Path:
        """The state dict as safetensors."""
        file = self.folder / "model.safetensors"
        write_weights(file, self.loaded.network.state_dict())
        return file

    @cached_property
    def zipped(self) -> Path:
        """The same, compressed by zlib."""
        file = self.folder / "model.safetensors.zlib"
        file.write_bytes(zlib.compress(self.plain.read_bytes(), 9))
        return file

    def sparse(self, values: str = "fp32") -> Path:
        """The sparse file; InputError if a weight is too large for `values`."""
        file, loaded = self.folder / f"{values}{SPARSE_SUFFIX}", self.loaded
        if not file.exists():
            stored = StoredNetwork(loaded.spec, to_json(loaded.graph), loaded.state)
            write_sparse(file, stored, values)
        return file

    @cached_property
    def onnx(self) -> Path:
        """The dense network in ONNX."""
        file = self.folder / "model.onnx"
        example = torch.zeros(2, *self.loaded.spec.input_shape)
        write_onnx(file, self.loaded.network, example)
        return file

    @cached_property
    def mnn(self) -> Path:
        """The dense network for MNN."""
        return self._mnn(sparse=False)

    @cached_property
    def mnn_sparse(self) -> Path:
        """The network for MNN, its sparse layers marked."""
        return self._mnn(sparse=True)

    @cached_property
    def stripped(self) -> "ModelFiles":
        """Those of the network without its unreachable weights; InputError if it has none."""
        network = strip_unreachable(self.loaded.network, self.loaded.random_images(2))
        if _parameters(network) == _parameters(self.loaded.network):
            raise InputError("no weight is unreachable")
        folder = self.folder / "stripped"
        folder.mkdir()
        return ModelFiles(replace(self.loaded, network=network, stored_graph=None), folder)

    def _mnn(self, sparse: bool) -> Path:
        file = self.folder / ("sparse.mnn" if sparse else "model.mnn")
        convert_to_mnn(self.onnx, file, sparse)
        return file


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
