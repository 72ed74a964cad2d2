"""Any module as an exported FX graph that takes any batch size, its constants computed."""

import inspect
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportGraphSignature

from lightprune.errors import InputError, first_line
from lightprune.pruning.eval_mode import eval_mode
from lightprune.sparse.frontend.channel_ops import simplify_channel_ops
from lightprune.sparse.frontend.converters import TRACE_BATCH
from lightprune.sparse.frontend.small_batches import unlike_batches
from lightprune.sparse.frontend.torch_logs import torch_logs_hidden

_SIZES = (torch.SymInt, torch.SymFloat, torch.SymBool)


@dataclass(frozen=True)
class Exported:
    """A module as a graph of functional ATen operators.

    Attributes:
        network: What it computes, without checks of its inputs.
        guards: Raises AssertionError for inputs that it may not be used for.
        batch: The batch size; None if it takes any, with `TRACE_BATCH` as the hint of the nodes.
        state: Its tensors, by the targets of the nodes that read them.
        unlike: Batch sizes for which the module computes something else than the network.
    """

    network: fx.GraphModule
    guards: nn.Module | None
    batch: int | None
    state: dict[str, Tensor]
    unlike: frozenset[int] = frozenset()

    def accepts(self, inputs: tuple[Tensor, ...]) -> bool:
        """Whether inputs of the ranks of the example's may be given."""
        if self.unlike and inputs[0].shape[0] in self.unlike:
            return False
        try:
            if self.guards is not None:
                self.guards(*inputs)
        except AssertionError:
            return False
        return True


def export_module(module: nn.Module, example: tuple[Tensor, ...]) -> Exported:
    """Exports a module in evaluation mode; the module and its mode do not change.

    What is computed from parameters and buffers alone, such as a masked weight, is a constant of
    the result. The first dimension of each tensor in `example`, its inputs, is the batch.

    Raises:
        InputError: The module cannot be exported, or changes its buffers or inputs.
    """
    batches = {tensor.shape[:1] for tensor in example}
    if len(batches) == 1 and batches.isdisjoint({torch.Size(), torch.Size([0])}):
        # A module may take its example's batch size and no other.
        with suppress(InputError):
            exported = _export_any_batch(module, example)
            if exported is not None and exported.accepts(example):
                return exported
    # Copies: of inputs that share memory torch.export makes a graph that it cannot run.
    network = _export(module, tuple(t.clone() for t in example), any_batch=False)
    return _prepare(network, example[0].shape[0] if example else 0)


def _export_any_batch(module: nn.Module, example: tuple[Tensor, ...]) -> Exported | None:
    pair = tuple(t[:1].expand(TRACE_BATCH, *t.shape[1:]).contiguous() for t in example)
    network = _export(module, pair, any_batch=True)
    if not any(map(_is_free, _batch_sizes(network))):
        return None
    exported = _prepare(network, None)
    return replace(exported, unlike=unlike_batches(module, exported.network, example))


def _export(module: nn.Module, example: tuple[Tensor, ...], any_batch: bool) -> fx.GraphModule:
    try:
        with eval_mode(module), torch_logs_hidden(), warnings.catch_warnings():
            # Weights that a hook computes, as torch.nn.utils.prune's, are constants below.
            warnings.filterwarnings("ignore", "The tensor attribute")
            warnings.filterwarnings("ignore", "A model attribute")
            arguments = inspect.signature(module.forward).bind(*example).arguments
            free = {0: Dim.AUTO}
            # Those of *args are a tuple under one name.
            shapes = {
                name: tuple(free for _ in value) if isinstance(value, tuple) else free
                for name, value in arguments.items()
            }
            exported = torch.export.export(
                module, example, dynamic_shapes=shapes if any_batch else None, strict=False
            )
            # Functional: what converters know, and safe to split.
            functional = exported.run_decompositions({})
            _check_unchanged(module, functional.graph_signature)
            network: fx.GraphModule = functional.module()
            return network
    except InputError:
        raise
    except Exception as error:  # The module's code may raise anything.
        sizes = ", ".join(str(tuple(tensor.shape)) for tensor in example)
        raise InputError(
            f"{type(module).__name__} cannot be exported on inputs of {sizes}: "
            f"{first_line(error)}; allowed is a module that torch.export takes"
        ) from error


def _check_unchanged(module: nn.Module, signature: ExportGraphSignature) -> None:
    buffers, inputs = signature.buffers_to_mutate, signature.user_inputs_to_mutate
    for name in (*buffers.values(), *inputs.values()):
        kind = "buffer" if name in buffers.values() else "input"
        raise InputError(
            f"{type(module).__name__}: its forward changes the {kind} {name} in place; allowed is "
            "one that changes nothing but its own results"
        )


def _batch_sizes(network: fx.GraphModule) -> list[Any]:
    inputs = network.graph.find_nodes(op="placeholder")
    return [node.meta["val"].shape[0] for node in inputs if node.users]


def _is_free(size: Any) -> bool:
    # A condition such as of at most two images leaves a symbol that is a number.
    return isinstance(size, torch.SymInt) and size.node.maybe_as_int() is None


def _prepare(network: fx.GraphModule, batch: int | None) -> Exported:
    """Takes the guards out and computes what depends on stored tensors alone, once."""
    guards = None
    for node in network.graph.find_nodes(op="call_module", target="_guards_fn"):
        guards = network.get_submodule("_guards_fn")
        network.graph.erase_node(node)
    constants = {
        node: fx.graph_module._get_attr(network, str(node.target))
        for node in network.graph.find_nodes(op="get_attr")
    }
    for node in list(network.graph.nodes):
        inputs = node.all_input_nodes
        is_constant = node.op == "call_function" and inputs and all(n in constants for n in inputs)
        if not is_constant or torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            continue
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), constants.__getitem__)
        with torch.no_grad():
            constants[node] = value = node.target(*args, **kwargs)
        if isinstance(value, Tensor):
            name = f"folded_{node.name}"
            network.register_buffer(name, value.detach().contiguous())
            with network.graph.inserting_before(node):
                folded = network.graph.get_attr(name)
            folded.meta = {"val": value}
            constants[folded] = value
            node.replace_all_uses_with(folded)
        if not node.users:  # Such as a check of a constant's type, which has passed.
            network.graph.erase_node(node)
    simplify_channel_ops(network.graph)
    _copy_constant_results(network.graph)
    network.recompile()
    state = {
        str(node.target): fx.graph_module._get_attr(network, str(node.target)).detach()
        for node in network.graph.find_nodes(op="get_attr")
    }
    return Exported(network, guards, batch, state)


def _copy_constant_results(graph: fx.Graph) -> None:
    """Puts a copy between constants and the results: a caller may change what it gets in place."""
    output = graph.output_node()
    constants = set(graph.find_nodes(op="get_attr"))
    for node in graph.nodes:
        # Views as well, whose sizes may be those of the inputs.
        inputs = [n for n in node.all_input_nodes if not isinstance(n.meta.get("val"), _SIZES)]
        if node.op == "call_function" and inputs and constants.issuperset(inputs):
            constants.add(node)
    for node in constants.intersection(output.all_input_nodes):
        with graph.inserting_before(output):
            copied = graph.call_function(torch.ops.aten.clone.default, (node,))
        copied.meta = dict(node.meta)
        output.replace_input_with(node, copied)
