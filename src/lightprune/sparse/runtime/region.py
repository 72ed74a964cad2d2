"""Regions of an exported network as modules of the runtime, put in place of torch's operations."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor, fx, nn

from lightprune.errors import InputError
from lightprune.pruning.eval_mode import eval_mode
from lightprune.sparse.frontend.converters import TRACE_BATCH
from lightprune.sparse.frontend.module_export import Exported, export_module
from lightprune.sparse.frontend.partition import Region, find_regions
from lightprune.sparse.runtime.layer_table import Layer, find_layers
from lightprune.sparse.runtime.network import SparseNetwork

TIMED_CALLS = 5


@dataclass(frozen=True)
class Partitioned:
    """A network whose regions run in the runtime.

    Attributes:
        exported: Calls the regions, and torch for the rest.
        speedups: How many times as fast as torch each region is on the example; empty if they were
            not measured.
        module: A copy of the module, where that is faster than what was exported: some modules have
            paths in torch that an export has not.
    """

    exported: Exported
    layers: tuple[Layer, ...]
    speedups: Mapping[str, float]
    module: nn.Module | None = None

    @property
    def network(self) -> nn.Module:
        """What runs."""
        return self.exported.network if self.module is None else self.module


def partition(
    module: nn.Module, example: tuple[Tensor, ...], threads: int | None, min_speedup: float
) -> Partitioned:
    """Exports a module and moves its regions into the runtime; arguments as of `compile`."""
    partitioned = _partition(module, example, threads, min_speedup)
    if min_speedup:
        with eval_mode(module), torch.no_grad():
            before, after = _least_seconds(
                partial(module, *example), partial(partitioned.network, *example)
            )
        if before < min_speedup * after:
            try:
                copied = copy.deepcopy(module, computed_tensors(module)).eval()
            except Exception:  # Such as of a lock that the module holds.
                return partitioned
            exported = export_module(module, example)
            layers = find_layers(exported.network, {})
            return Partitioned(exported, layers, {}, copied)
    return partitioned


def computed_tensors(module: nn.Module) -> dict[int, Tensor]:
    """Copies, by their ids, of the attributes with a history, which deepcopy refuses.

    A hook computes them from parameters, as the masked weights of torch.nn.utils.prune.
    """
    values = (value for part in module.modules() for value in vars(part).values())
    computed = (value for value in values if isinstance(value, Tensor) and not value.is_leaf)
    return {id(value): value.detach().clone() for value in computed}


def _partition(
    module: nn.Module, example: tuple[Tensor, ...], threads: int | None, min_speedup: float
) -> Partitioned:
    exported = export_module(module, example)
    network = exported.network
    state = {name: tensor.numpy() for name, tensor in exported.state.items()}
    modules: dict[Region, RegionModule] = {}
    for region in find_regions(network, exported.batch or TRACE_BATCH):
        try:
            modules[region] = RegionModule(region, SparseNetwork(region.graph, state, threads))
        except InputError:
            continue  # Such as a region whose result is the same for all images.
    speedups = _speedups(network, modules, example) if min_speedup else {}
    if min_speedup:
        modules = {r: module for r, module in modules.items() if speedups[r] >= min_speedup}
    free = (name for n in count(1) if not hasattr(network, name := f"region_{n}"))
    names = dict(zip(modules, free, strict=False))
    layers = find_layers(network, {n: name for r, name in names.items() for n in r.nodes})
    calls: dict[fx.Node, fx.Node] = {}
    for region, name in names.items():
        network.add_module(name, modules[region])
        # What it reads may be the result of a region already replaced.
        entry = calls.get(region.entry, region.entry)
        calls[region.nodes[-1]] = _replace(network, region, name, entry)
    _drop_unused(network)
    _copy_tensors(network)
    exported = replace(exported, state={})  # Of the module; nothing reads it any more.
    measured = {names[region]: speedups[region] for region in modules if region in speedups}
    return Partitioned(exported, layers, measured)


class RegionModule(nn.Module):
    """A region of a network as a function of its one value, on the sparse runtime."""

    def __init__(self, region: Region, network: SparseNetwork) -> None:
        super().__init__()
        self.network = network
        self._tokens = region.tokens
        self._is_row = region.nodes[-1].meta["val"].dim() == 3

    def forward(self, value: Tensor) -> Tensor:
        """Computes the region's result, of the shape it has in torch."""
        if self._tokens:
            tokens: Tensor = self.network(value.reshape(-1, value.shape[-1], 1, 1))
            return tokens.reshape(*value.shape[:-1], tokens.shape[1])
        if value.dim() < 4:
            value = value.reshape(*value.shape[:2], 1, *(value.shape[2:] or (1,)))
        result: Tensor = self.network(value)
        return result.squeeze(2) if self._is_row else result


class _Recorder(fx.Interpreter):
    def __init__(self, network: fx.GraphModule, nodes: set[fx.Node]) -> None:
        super().__init__(network)
        self.nodes = nodes
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n in self.nodes:
            self.values[n] = value
        return value


def _speedups(
    network: fx.GraphModule,
    modules: Mapping[Region, RegionModule],
    example: tuple[Tensor, ...],
) -> dict[Region, float]:
    """How many times as fast as torch each region is, on the values it gets for the example."""
    in_torch = {region: _submodule(network, region) for region in modules}
    recorder = _Recorder(network, {node for _, inputs in in_torch.values() for node in inputs})
    speedups = {}
    with torch.no_grad():
        recorder.run(*example)
        for region, (submodule, inputs) in in_torch.items():
            values = [recorder.values[node] for node in inputs]
            before, after = _least_seconds(
                partial(submodule, *values),
                partial(modules[region], recorder.values[region.entry]),
            )
            speedups[region] = before / after
    return speedups


def _least_seconds(*calls: Callable[[], object]) -> list[float]:
    """The least time of several calls of each, in turn; the first one compiles."""
    seconds = [float("inf")] * len(calls)
    for repeat in range(TIMED_CALLS + 1):
        for number, call in enumerate(calls):
            start = time.perf_counter()
            call()
            if repeat:
                seconds[number] = min(seconds[number], time.perf_counter() - start)
    return seconds


def _submodule(network: fx.GraphModule, region: Region) -> tuple[fx.GraphModule, list[fx.Node]]:
    """The region's operations in torch as a module of their own, and the nodes it reads."""
    graph = fx.Graph()
    outside = {n: None for node in region.nodes for n in node.all_input_nodes}
    inputs = [n for n in outside if n.op != "get_attr" and n not in region.nodes]
    copies = {node: graph.placeholder(node.name) for node in inputs}
    for node in (*(n for n in outside if n.op == "get_attr"), *region.nodes):
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[region.nodes[-1]])
    return fx.GraphModule(network, graph), inputs


def _replace(network: fx.GraphModule, region: Region, name: str, entry: fx.Node) -> fx.Node:
    result = region.nodes[-1]
    with network.graph.inserting_before(result):
        call = network.graph.call_module(name, (entry,))
    call.meta = dict(result.meta)
    result.replace_all_uses_with(call)
    for node in reversed(region.nodes):
        network.graph.erase_node(node)
    return call


def _drop_unused(network: fx.GraphModule) -> None:
    network.graph.eliminate_dead_code()
    network.delete_all_unused_submodules()
    read = {node.target for node in network.graph.find_nodes(op="get_attr")}
    for tensors in (network._parameters, network._buffers):
        for name in set(tensors) - read:
            delattr(network, name)
    network.recompile()


def _copy_tensors(network: fx.GraphModule) -> None:
    """Makes what is left of the module's tensors the network's own: the module may be trained."""
    for target in {str(node.target) for node in network.graph.find_nodes(op="get_attr")}:
        path, _, name = target.rpartition(".")
        owner = network.get_submodule(path)
        tensor = getattr(owner, name)
        if isinstance(tensor, Tensor):
            delattr(owner, name)
            owner.register_buffer(name, tensor.detach().clone())


def timed(network: fx.GraphModule, inputs: Sequence[Tensor]) -> dict[str, float]:
    """The least seconds of several calls of each operation and region, by the node's name."""
    timer = _Timer(network)
    with torch.no_grad():
        for _ in range(TIMED_CALLS + 1):
            timer.run(*inputs)
    return timer.seconds


class _Timer(fx.Interpreter):
    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__(network)
        self.seconds: dict[str, float] = {}

    def run_node(self, n: fx.Node) -> Any:
        start = time.perf_counter()
        value = super().run_node(n)
        seconds = time.perf_counter() - start
        self.seconds[n.name] = min(seconds, self.seconds.get(n.name, seconds))
        return value
