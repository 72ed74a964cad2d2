"""A network in the files of every format: what other backends read, and how large they are."""

import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

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

    @cached_property
    def sparse(self) -> Path:
        """The sparse file."""
        return self._sparse("fp32")

    @cached_property
    def sparse_fp16(self) -> Path:
        """The sparse file with weights in fp16; InputError if one is too large for it."""
        return self._sparse("fp16")

    @cached_property
    def onnx(self) -> Path:
        """The dense network in ONNX."""
        return self._onnx("dense", self.loaded.network)

    @cached_property
    def stripped_onnx(self) -> Path:
        """The same without its unreachable weights."""
        stripped = strip_unreachable(self.loaded.network, self.loaded.random_images(2))
        return self._onnx("stripped", stripped)

    def _sparse(self, values: str) -> Path:
        file, loaded = self.folder / f"{values}{SPARSE_SUFFIX}", self.loaded
        stored = StoredNetwork(loaded.spec, to_json(loaded.graph), loaded.state)
        write_sparse(file, stored, values)
        return file

    def _onnx(self, name: str, network: nn.Module) -> Path:
        file = self.folder / f"{name}.onnx"
        write_onnx(file, network, torch.zeros(2, *self.loaded.spec.input_shape))
        return file
