"""A network with what is known of it, read from a run, an export or a file of weights."""

import csv
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightprune.errors import InputError, first_of
from lightprune.export.load import SPARSE_SUFFIX, load_dense, spec_of_run
from lightprune.export.sparse_file import read_sparse
from lightprune.files import read_csv
from lightprune.models.from_spec import build_network, module_from_spec, with_state
from lightprune.models.registry import Constructor
from lightprune.models.spec import ModelSpec
from lightprune.pruning.cost.cost_report import CostReport, cost_report
from lightprune.pruning.targets import Targets
from lightprune.runs.folder import RunFolder
from lightprune.runs.instantiate import prunable_weights
from lightprune.runs.record import RunRecord
from lightprune.runs.weights_file import read_weights_file
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
        unread: Names of tensors in its file that are beside the network.
        rounded_to: The type to which its file has rounded the weights; None if it has not.
    """

    path: Path
    network: nn.Module
    spec: ModelSpec
    run: RunFolder | None
    stored_graph: Graph | None = None
    unread: tuple[str, ...] = ()
    rounded_to: str | None = None

    @property
    def graph(self) -> Graph:
        """Its operations; InputError if the sparse runtime cannot take it."""
        return self.stored_graph or trace(self.network, self.spec.input_shape)

    @cached_property
    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Its tensors by name; InputError if numpy has not the type of one."""
        state = self.network.state_dict()
        for name, tensor in state.items():
            if tensor.dtype is torch.bfloat16:
                raise InputError(f"{name}: bfloat16; allowed is a network in float32")
        return {name: tensor.numpy() for name, tensor in state.items()}

    @cached_property
    def record(self) -> RunRecord | None:
        """What the run says of itself."""
        return self.run.record() if self.run else None

    @cached_property
    def cost(self) -> CostReport:
        """Weights and MACs of the weights that the run could prune.

        Without a run, of the convolutions where all zeros lie in them; of a network from elsewhere,
        or without convolutions, of all parameters of two axes and more.
        """
        weights: dict[str, Tensor] = dict(self._matrices)
        if self.record:
            weights = dict(prunable_weights(self.record, self.network))
        elif self.spec.classes:
            with suppress(InputError):
                convolutions = Targets().find(self.network)
                if convolutions.keys() >= {*self.pruned}:
                    weights = dict(convolutions)
        return cost_report(self.network, weights, self.random_images(1))

    @property
    def _matrices(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.network.named_parameters() if p.dim() > 1}

    @cached_property
    def pruned(self) -> list[str]:
        """The parameters that the run could prune; without one, those of them that hold zeros."""
        if self.run is None:
            return [name for name, weight in self._matrices.items() if not weight.all()]
        file = self.run.layers_file
        try:
            names = [row["name"] for row in read_csv(file)]
        except InputError:
            raise
        except (OSError, KeyError, ValueError, csv.Error) as error:
            raise InputError(
                f"{file}: cannot be read ({error}); allowed is what the run left behind"
            ) from error
        if unknown := [name for name in names if name not in self.state]:
            raise InputError(
                f"{file}: {unknown[0]} is no parameter of the network; allowed is what the run "
                "left behind"
            )
        return names

    @property
    def notes(self) -> list[str]:
        """A line for each thing that its file does not say, or says in vain."""
        notes = []
        if not self.spec.classes:
            notes.append(f"{self.path}: does not say how images are normalised, nor the classes")
        if self.rounded_to:
            notes.append(f"{self.path}: holds its weights rounded to {self.rounded_to}")
        if self.unread:
            notes.append(f"{self.path}: beside the network, not read: {first_of(self.unread, 3)}")
        return notes

    def random_images(self, count: int) -> Tensor:
        """The same random images at every call: how long a network takes depends on their size."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(count, *self.spec.input_shape, generator=generator)


def load_network(
    path: Path,
    constructor: Constructor | None = None,
    spec: ModelSpec | None = None,
    prefix: str | None = None,
) -> LoadedNetwork:
    """Reads a network.

    Args:
        path: The folder of a finished run or of an export, a model.sparse.safetensors, or a
            model.safetensors that is exported or beside its run.json; with `spec`, a file of
            weights, as of `read_weights_file`.
        constructor: What builds the network if it is neither torchvision's nor lightprune's.
        spec: What is known of a network whose file holds its weights alone.
        prefix: Of its names in that file, as of `read_weights_file`.

    Raises:
        InputError: There is no such network, or it is damaged.
    """
    if path.suffix == ".pt2" and spec is None:
        raise InputError(
            f"{path}: torch.export.load may run code from it; allowed is --constructor NAME "
            "--input CxHxW, which read its weights alone"
        )
    file, graph, rounded_to = _file(path), None, None
    sparse = file.name.endswith(SPARSE_SUFFIX)
    if spec is not None:
        if path.is_dir() or sparse:
            raise InputError(f"--input: {path} says it itself; allowed is a file of weights alone")
        return _load_weights(path, constructor, spec, prefix)
    if prefix is not None:
        raise InputError(f"--prefix={prefix}: allowed is --input CxHxW with it, for weights alone")
    if sparse:
        stored = read_sparse(file)
        spec, rounded_to = stored.spec, stored.rounded_to
        try:
            state = {name: torch.from_numpy(array) for name, array in stored.state.items()}
            network, graph = module_from_spec(spec, state, constructor), from_json(stored.graph)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
    else:
        network, spec = load_dense(file, constructor)
    return LoadedNetwork(path, network, spec, _run_of(path, spec), graph, rounded_to=rounded_to)


def _load_weights(
    file: Path, constructor: Constructor | None, spec: ModelSpec, prefix: str | None
) -> LoadedNetwork:
    network = build_network(spec, constructor)
    expected = network.state_dict()
    state, unread = read_weights_file(file, expected, prefix=prefix)
    # Files of early torch versions lack these, and torch itself reads them so.
    counters = [name for name in expected if name.endswith(".num_batches_tracked")]
    state = {**{name: torch.tensor(0) for name in counters}, **state}
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise InputError(
                f"{file}: {name} holds NaN or infinite weights; allowed are finite ones"
            )
        # Half precision saves space, and is computed with in float32.
        if tensor.is_floating_point() and name in expected and expected[name].is_floating_point():
            state[name] = tensor.to(expected[name].dtype)
    try:
        with_state(network, spec.constructor, state)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    return LoadedNetwork(file, network, spec, None, unread=unread)


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
