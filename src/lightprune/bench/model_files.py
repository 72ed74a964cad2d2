"""A network in the files of every format: what the other engines read, and how large they are."""

import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from lightprune.bench.loaded_network import LoadedNetwork
from lightprune.errors import InputError
from lightprune.export.load import SPARSE_SUFFIX
from lightprune.export.onnx_file import missing_packages, write_onnx
from lightprune.export.sparse_file import StoredNetwork, write_sparse
from lightprune.export.strip_unreachable import strip_unreachable
from lightprune.files import write_weights
from lightprune.sparse.ir.serialize import to_json


@dataclass(frozen=True, eq=False)
class ModelFiles:
    """Files of a network, each written when it is first asked for.

    Attributes:
        subject: The network.
        folder: Where they are written.
    """

    subject: LoadedNetwork
    folder: Path

    @cached_property
    def plain(self) -> Path:
        """The state dict as safetensors."""
        file = self.folder / "model.safetensors"
        write_weights(file, self.subject.network.state_dict())
        return file

    @cached_property
    def sparse(self) -> Path:
        """Without zeros."""
        return self._without_zeros("fp32")

    @cached_property
    def sparse_fp16(self) -> Path:
        """Without zeros, the weights in fp16; InputError if one is too large for it."""
        return self._without_zeros("fp16")

    @cached_property
    def onnx(self) -> Path:
        """The dense network."""
        return self._onnx("dense", self.subject.network)

    @cached_property
    def stripped_onnx(self) -> Path:
        """The dense network without the taps that no input can reach."""
        smaller = strip_unreachable(self.subject.network, self.subject.images(2))
        return self._onnx("stripped", smaller)

    def sizes(self) -> dict[str, int]:
        """Bytes of every file that can be written here, by what it is."""
        found = {
            "safetensors, dense": self.plain.stat().st_size,
            "safetensors, dense, zlib": len(zlib.compress(self.plain.read_bytes(), 9)),
            "sparse, fp32": self.sparse.stat().st_size,
        }
        with suppress(InputError):  # A weight may be too large for fp16.
            found["sparse, fp16"] = self.sparse_fp16.stat().st_size
        if not missing_packages():
            found["ONNX, dense"] = self.onnx.stat().st_size
            found["ONNX, dead taps stripped"] = self.stripped_onnx.stat().st_size
        return found

    def _without_zeros(self, values: str) -> Path:
        file = self.folder / f"{values}{SPARSE_SUFFIX}"
        subject = self.subject
        stored = StoredNetwork(subject.description, to_json(subject.graph), subject.state)
        write_sparse(file, stored, values)
        return file

    def _onnx(self, name: str, network: nn.Module) -> Path:
        file = self.folder / f"{name}.onnx"
        write_onnx(file, network, torch.zeros(2, *self.subject.description.input_shape))
        return file
