"""A torch module, traced once with torch.export, as graph IR."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import fx, nn
from torch.export.graph_signature import InputKind

from lightprune.errors import InputError, first_line
from lightprune.pruning.eval_mode import eval_mode
from lightprune.sparse.frontend.channel_ops import simplify_channel_ops
from lightprune.sparse.frontend.converters import CONVERTERS, TRACE_BATCH
from lightprune.sparse.frontend.fx_call import FxCall, UnsupportedOp, map_shape
from lightprune.sparse.frontend.small_batches import treats_one_alike
from lightprune.sparse.frontend.torch_logs import torch_logs_hidden
from lightprune.sparse.ir.graph import INPUT, Graph
from lightprune.sparse.ir.ops import Op, Shape


def trace(module: nn.Module, input_shape: Shape) -> Graph:
    """Traces a network in evaluation mode; the network and its mode do not change.

    Args:
        module: Takes a float tensor (N, C, H, W) and gives one tensor.
        input_shape: (C, H, W) of one image.

    Raises:
        InputError: The network cannot be traced, computes something else for one image than for
            several, or calls an operator that has no converter; says which and where.
    """
    tensor = next(module.parameters(), torch.empty(0))
    example = torch.zeros(TRACE_BATCH, *input_shape, dtype=tensor.dtype, device=tensor.device)
    try:
        with eval_mode(module), torch_logs_hidden(), torch.autocast("cpu", enabled=False):
            exported = torch.export.export(module, (example,), strict=False).run_decompositions({})
    except Exception as error:  # The network's code may raise anything.
        reason = first_line(error)
        raise InputError(
            f"{type(module).__name__} cannot be traced on images of {tuple(input_shape)}: "
            f"{reason}; allowed is a network without branches that depend on the image's values"
        ) from error
    simplify_channel_ops(exported.graph)
    graph = _convert_program(exported, input_shape, _canonical_names(module))
    if not treats_one_alike(module, (example,)):
        raise InputError(
            f"{type(module).__name__} computes something else for one image than for several; "
            "allowed is a network without branches that depend on the size of the batch"
        )
    return graph


def _canonical_names(module: nn.Module) -> dict[str, str]:
    """The first name of every parameter and buffer, by each of its names."""
    first: dict[int, str] = {}
    parameters = module.named_parameters(remove_duplicate=False)
    named = chain(parameters, module.named_buffers(remove_duplicate=False))
    return {name: first.setdefault(id(tensor), name) for name, tensor in named}


def _convert_program(
    exported: torch.export.ExportedProgram, input_shape: Shape, names: Mapping[str, str]
) -> Graph:
    signature = exported.graph_signature
    state_names = {
        spec.arg.name: names.get(str(spec.target), str(spec.target))
        for spec in signature.input_specs
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER)
    }
    ops: list[Op] = []
    values: dict[fx.Node, str] = {}
    shapes = {INPUT: input_shape}
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name in signature.user_inputs:
            values[node] = INPUT
        elif node.op == "call_function":
            call = FxCall(node, arguments_of(node), values, state_names, shapes)
            try:
                values[node] = convert_call(call, ops, shapes)
            except (UnsupportedOp, ValueError) as error:
                raise call.error(str(error)) from error
    results: Any = exported.graph.output_node().args[0]
    # After buffers that it changes.
    output: Any = results[-1] if len(signature.user_outputs) == 1 else None
    rank = output.meta["val"].dim() if output in values else 0
    if rank not in (2, 4):
        raise InputError("the network's output is not one tensor computed from the images")
    flat = rank == 2
    return Graph(tuple(ops), input_shape, values[output], flat)


def convert_call(call: FxCall, ops: list[Op], shapes: dict[str, Shape]) -> str:
    """Appends the op of one call, if it needs one, and returns the name of its value."""
    converter = CONVERTERS.get(call.node.target)
    if converter is None:
        raise UnsupportedOp("this operation is not known")
    value = converter(call)
    if isinstance(value, Op):
        ops.append(value)
        shapes[value.name] = value.shape(*(shapes[name] for name in value.inputs))
        value = value.name
    # Checks the graph's shape inference against torch's.
    batch, *shape = call.torch_shape()
    if batch != TRACE_BATCH or map_shape(shape) != shapes[value]:
        raise UnsupportedOp(
            f"its result of shape {(batch, *shape)} is not (N, C), (N, C, W) or (N, C, H, W)"
        )
    return value


def arguments_of(node: fx.Node) -> dict[str, Any]:
    """The arguments of a call by their names in the operator's schema, defaults included."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return dict(enumerate(node.args))  # type: ignore[arg-type]
    schema = node.target._schema.arguments
    passed = dict(zip((a.name for a in schema), node.args, strict=False)) | node.kwargs
    return {a.name: passed.get(a.name, a.default_value) for a in schema}
