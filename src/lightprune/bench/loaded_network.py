"""The network that is measured, read from a run, an export or a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightprune.errors import InputError
from lightprune.export.load import SPARSE_SUFFIX, load, load_dense, spec_of_run
from lightprune.export.sparse_file import read_sparse
from lightprune.models.registry import Constructor
from lightprune.models.spec import ModelSpec
from lightprune.pruning.cost.cost_report import CostReport, cost_report
from lightprune.pruning.targets import Targets
from lightprune.runs.folder import RunFolder
from lightprune.runs.instantiate import prunable_weights
from lightprune.runs.record import RunRecord
from lightprune.sparse.frontend.trace import trace
from lightprune.sparse.ir.graph import Graph
from lightprune.sparse.ir.serialize import from_json

_PLAIN = "model.safetensors"


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network as a torch module and as the graph that the sparse runtime executes.

    Attributes:
        path: Where it was read from.
        network: The bare module, in evaluation mode, zeros in place.
        run: The folder of the finished run it is from, if there is one.
        stored_graph: Its operations, if its file holds them.
    """

    path: Path
    network: nn.Module
    spec: ModelSpec
    run: RunFolder | None
    stored_graph: Graph | None = None

    @property
    def graph(self) -> Graph:
        """Its operations; InputError if the sparse runtime cannot take it."""
        return self.stored_graph or trace(self.network, self.spec.input_shape)

    @cached_property
    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Its tensors by name."""
        return {name: tensor.numpy() for name, tensor in self.network.state_dict().items()}

    @cached_property
    def record(self) -> RunRecord | None:
        """What the run says of itself."""
        return self.run.record() if self.run else None

    @cached_property
    def cost(self) -> CostReport:
        """Weights and MACs of the weights that the run could prune, or of the convolutions."""
        find = partial(prunable_weights, self.record) if self.record else Targets().find
        weights: dict[str, Tensor] = dict(find(self.network))
        return cost_report(self.network, weights, self.random_images(1))

    def random_images(self, count: int) -> Tensor:
        """The same random images at every call: how long a network takes depends on their size."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(count, *self.spec.input_shape, generator=generator)


def load_network(path: Path, constructor: Constructor | None = None) -> LoadedNetwork:
    """Reads a network.

    Args:
        path: The folder of a finished run or of an export, a model.sparse.safetensors, or a
            model.safetensors that is exported or beside its run.json.
        constructor: What builds the network if it is neither torchvision's nor lightprune's.

    Raises:
        InputError: There is no such network, or it is damaged.
    """
    file, graph = _file(path), None
    if file.name.endswith(SPARSE_SUFFIX):
        stored = read_sparse(file)
        network = load(file, as_module=True, constructor=constructor)
        try:
            spec, graph = stored.spec, from_json(stored.graph)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
    else:
        network, spec = load_dense(file, constructor)
    return LoadedNetwork(path, network, spec, _run_of(path, spec), graph)


def _file(path: Path) -> Path:
    if path.is_dir() and not RunFolder(path).record_file.exists():
        for name in (f"model{SPARSE_SUFFIX}", _PLAIN):
            if (path / name).is_file():
                return path / name
    return path


def _run_of(path: Path, spec: ModelSpec) -> RunFolder | None:
    """The finished run whose folder, or a folder in it, holds the network's file."""
    for folder in (path, *path.absolute().parents[:2]):
        run = RunFolder(folder)
        try:
            record = run.record() if folder.is_dir() else None
            if record and spec_of_run(record) == spec:
                return run
        except (InputError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return None
