"""A torch module, traced once with torch.export, as the runtime's graph."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import fx, nn
from torch.export.graph_signature import InputKind

from lightprune.errors import InputError, first_line
from lightprune.pruning.eval_mode import eval_mode
from lightprune.sparse.frontend.converters import BATCH, CONVERTERS
from lightprune.sparse.frontend.fx_call import Call, UnsupportedOp
from lightprune.sparse.ir.graph import INPUT, Graph
from lightprune.sparse.ir.ops import Op, Shape


def trace(module: nn.Module, input_shape: Shape) -> Graph:
    """Traces a network in evaluation mode; neither it nor its mode changes.

    Args:
        module: Takes a float tensor (N, C, H, W) and gives one tensor.
        input_shape: (C, H, W) of one image.

    Raises:
        InputError: The network cannot be traced, or does something that the sparse runtime does
            not know; says what and where.
    """
    tensor = next(module.parameters(), torch.empty(0))
    example = torch.zeros(BATCH, *input_shape, dtype=tensor.dtype, device=tensor.device)
    try:
        with eval_mode(module), _quiet():
            exported = torch.export.export(module, (example,), strict=False).run_decompositions({})
    except Exception as error:  # Any code of the network's may fail in any way.
        reason = first_line(error)
        raise InputError(
            f"{type(module).__name__} cannot be traced on images of {tuple(input_shape)}: "
            f"{reason}; allowed is a network without branches that depend on the image's values"
        ) from error
    return _walk(exported, input_shape, _first_names(module))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps torch from logging tracebacks of what is about to become one line."""
    before = logging.root.manager.disable
    # Torch gives many of its loggers handlers of their own: this reaches all of them.
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _first_names(module: nn.Module) -> dict[str, str]:
    """The first name of every parameter and buffer, by each of its names."""
    first: dict[int, str] = {}
    parameters = module.named_parameters(remove_duplicate=False)
    named = chain(parameters, module.named_buffers(remove_duplicate=False))
    return {name: first.setdefault(id(tensor), name) for name, tensor in named}


def _walk(
    exported: torch.export.ExportedProgram, input_shape: Shape, names: Mapping[str, str]
) -> Graph:
    """Takes every call of an exported program over, in order."""
    signature = exported.graph_signature
    stored = {
        spec.arg.name: names.get(str(spec.target), str(spec.target))
        for spec in signature.input_specs
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER)
    }
    nodes: list[Op] = []
    values: dict[fx.Node, str] = {}
    shapes = {INPUT: input_shape}
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name in signature.user_inputs:
            values[node] = INPUT
        elif node.op == "call_function":
            call = Call(node, _arguments(node), values, stored, shapes)
            try:
                values[node] = _take(call, nodes, shapes)
            except (UnsupportedOp, ValueError) as error:
                raise call.refusal(str(error)) from error
    found = [node for node in values if node.name in signature.user_outputs]
    if len(signature.user_outputs) != 1 or not found:
        raise InputError("the network's output is not one tensor computed from the images")
    flat = len(found[0].meta["val"].shape) == 2
    return Graph(tuple(nodes), input_shape, values[found[0]], flat)


def _take(call: Call, nodes: list[Op], shapes: dict[str, Shape]) -> str:
    """Adds the node of one call, if it needs one, and returns the name of its value."""
    handler = CONVERTERS.get(call.node.target)
    if handler is None:
        raise UnsupportedOp("this operation is not known")
    taken = handler(call)
    if isinstance(taken, Op):
        nodes.append(taken)
        shapes[taken.name] = taken.shape(*(shapes[name] for name in taken.inputs))
        taken = taken.name
    # The graph's own arithmetic of shapes against torch's: a difference is never passed on.
    result, (c, h, w) = call.extent(), shapes[taken]
    if result != (BATCH, c, h, w) and (result, h, w) != ((BATCH, c), 1, 1):
        raise UnsupportedOp(f"its result of shape {result} is neither (N, C) nor (N, C, H, W)")
    return taken


def _arguments(node: fx.Node) -> dict[str, Any]:
    """The arguments of a call by name."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return dict(enumerate(node.args))  # type: ignore[arg-type]
    schema = node.target._schema.arguments
    given = dict(zip((a.name for a in schema), node.args, strict=False)) | node.kwargs
    return {a.name: given.get(a.name, a.default_value) for a in schema}
