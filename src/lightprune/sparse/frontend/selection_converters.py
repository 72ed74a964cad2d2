"""Converters of operators that select channels, rows and columns of a map, or move them."""

from collections.abc import Sequence
from typing import Any

import torch

from lightprune.sparse.frontend.fx_call import FxCall, UnsupportedOp
from lightprune.sparse.ir import selections
from lightprune.sparse.ir.ops import Op

_WHOLE = (0, 2**63 - 1, 1)


def slice_map(call: FxCall) -> Op | str:
    """Every so many channels, rows or columns from one up to another."""
    source, dim = call.value(call.arguments["self"]), call.arguments["dim"]
    dim, bounds = (
        dim % len(call.torch_shape()),
        [call.arguments[n] for n in ("start", "end", "step")],
    )
    if dim > 1:
        return select_pixels(call)
    if dim == 0 and tuple(bounds) != _WHOLE:
        raise UnsupportedOp("along dimension 0; supported is along channels, rows and columns")
    channels = range(call.shapes[source][0])
    selected = channels[slice(*bounds)] if dim else channels
    return source if selected == channels else _selection(call, source, selected)


def _selection(call: FxCall, source: str, channels: Sequence[int]) -> Op:
    return selections.SelectChannels(call.node.name, (source,), tuple(channels))


def shuffle_channels(call: FxCall) -> Op:
    """The first channels of all groups, then the second ones, and so on."""
    source, groups = call.value(call.arguments["self"]), call.arguments["groups"]
    channels = call.shapes[source][0]
    first = range(0, channels, channels // groups)
    return _selection(
        call, source, [c + offset for offset in range(channels // groups) for c in first]
    )


def pad(call: FxCall) -> Op | str:
    """Padding of rows and columns in any mode, or of channels by zeros."""
    value, sides = call.arguments["value"], call.arguments["pad"]
    if value:
        raise UnsupportedOp(f"by {value}; supported is by zeros")
    if len(sides) <= 2 * (len(call.torch_shape()) - 2):
        return select_pixels(call)
    *others, before, after = sides
    if (
        any(others)
        or len(sides) > 2 * (len(call.torch_shape()) - 1)
        or call.arguments["mode"] != "constant"
    ):
        raise UnsupportedOp(f"pad={sides}; supported is one of rows and columns, or of channels")
    source = call.value(call.arguments["self"])
    channels = range(-before, call.shapes[source][0] + after)
    return _selection(
        call, source, [c if c in range(call.shapes[source][0]) else -1 for c in channels]
    )


def select_pixels(call: FxCall) -> Op | str:
    """What treats all channels alike, and rows apart from columns: it is run on their numbers."""
    argument: Any = call.node.args[0]
    source, target = call.value(argument), call.node.target
    if call.node.all_input_nodes != [argument] or not callable(target):
        raise UnsupportedOp("its size is computed")
    _, *size = call.shapes[source]
    # An image of row numbers and one of column numbers, from 1 on: what is 0 is padding.
    numbers = torch.stack(torch.meshgrid(*(torch.arange(n) + 1.0 for n in size), indexing="ij"))
    images = numbers.reshape(2, 1, *call.torch_shape(argument)[2:])
    moved = target(images, *call.node.args[1:], **call.node.kwargs)
    rows, columns = moved.reshape(2, -1, moved.shape[-1]).long() - 1
    selected = tuple(rows.amax(1).tolist()), tuple(columns.amax(0).tolist())
    if selected == tuple(tuple(range(n)) for n in size):
        return source
    return selections.SelectPixels(call.node.name, (source,), *selected)


def shuffle_pixels(call: FxCall) -> Op:
    """Blocks of pixels from channels."""
    source = call.value(call.arguments["self"])
    return selections.PixelShuffle(call.node.name, (source,), call.arguments["upscale_factor"])
