"""Copies of a value in which a convolution of any stride finds its inputs side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.ir.ops import Pair, Shape
from lightprune.sparse.ir.program import ConvStep
from lightprune.sparse.isa.register_blocks import LANES, NARROW_LANES


@dataclass
class PackedInput:
    """A value copied so that a convolution of any stride reads it like one of stride 1.

    There is one plane for every channel, row shift and column shift: the plane's position (y, x)
    is (y * stride + row shift, x * stride + column shift) of the value, or zero outside of it.

    With many images one shift for every remainder to the stride is enough. A single image gets
    one for every tap of a row: then a tap's outputs are neighbours in memory, from the first row
    to the last, and fill whole vectors. If they fit one vector, it gets one for every tap, so that
    each of them lies in one cache line; if they fit a narrow one, several planes share a vector.

    Attributes:
        name: Its own name.
        value: That of the value.
        stride: (rows, columns).
        rows: Row shifts, ascending.
        columns: Column shifts, ascending.
        narrow: Whether planes are narrow vectors.
    """

    name: str
    value: str
    stride: Pair
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()
    narrow: bool = False

    @property
    def planes(self) -> int:
        """Planes a channel."""
        return len(self.rows) * len(self.columns)

    @property
    def apart(self) -> int:
        """Planes from one channel to the next, in whole vectors."""
        together = LANES // NARROW_LANES if self.narrow else 1
        return -(-self.planes // together) * together

    def indices(self, read: Shape, height: int, width: int, size: int) -> NDArray[np.int32]:
        """(apart, size): the row-by-row number of each position in the value, or -1."""
        _, rows, columns = read
        y, x = np.divmod(np.arange(size), width)
        found = np.full((self.apart, size), -1, np.int32)
        for number, (down, across) in enumerate(product(self.rows, self.columns)):
            row, column = y * self.stride[0] + down, x * self.stride[1] + across
            within = (y < height) & (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            found[number, within] = (row * columns + column)[within]
        return found

    def tap(self, row: int, column: int) -> tuple[int, int, int]:
        """Plane, row and column that output (0, 0) reads for the value's (row, column)."""
        above, down = _shift_before(row, self.rows, self.stride[0])
        beside, across = _shift_before(column, self.columns, self.stride[1])
        return above * len(self.columns) + beside, down, across


def _shift_before(place: int, shifts: tuple[int, ...], stride: int) -> Pair:
    """The number of the shift that is whole strides before a place, and how many."""
    number = max(
        number
        for number, shift in enumerate(shifts)
        if shift <= place and (place - shift) % stride == 0
    )
    return number, (place - shifts[number]) // stride


def tap_coordinates(step: ConvStep) -> list[Pair]:
    """The row and column of the input that output (0, 0) reads, by tap."""
    rows, columns = (
        [i * dilation - before for i in range(kernel)]
        for kernel, dilation, (before, _) in zip(
            step.weight.shape[2:], step.dilation, step.padding, strict=True
        )
    )
    return [(row, column) for row in rows for column in columns]


def plan_packed_inputs(
    convs: list[ConvStep], shapes: Mapping[str, Shape], unit: int
) -> dict[str, PackedInput]:
    """What the convolutions read that cannot read their inputs as they are."""
    found: dict[tuple[object, ...], PackedInput] = {}
    read: dict[str, PackedInput] = {}
    fewer: dict[str, tuple[bool, bool]] = {}
    for step in convs:
        single = step.weight.shape[2:] == (1, 1) and step.padding == ((0, 0), (0, 0))
        if step.stride == (1, 1) and (unit > 1 or single):
            continue
        # Planes of single images are as large as the outputs' maps.
        key = (step.input, step.stride, shapes[step.value][1:] if unit == 1 else None)
        sorting = found.setdefault(
            key, PackedInput(f"{step.input}/{len(found)}", step.input, step.stride)
        )
        rows, columns = zip(*tap_coordinates(step), strict=True)
        sorting.rows = tuple(sorted({*rows, *sorting.rows}))
        sorting.columns = tuple(sorted({*columns, *sorting.columns}))
        read[step.value] = sorting
        small = prod(shapes[step.value][1:]) <= LANES
        sorting.narrow = unit == 1 and prod(shapes[step.value][1:]) <= NARROW_LANES
        fewer[sorting.name] = (unit > 1 or not small, unit > 1)
    for sorting in found.values():
        if fewer[sorting.name][0]:
            sorting.rows = _one_per_phase(sorting.rows, sorting.stride[0])
        if fewer[sorting.name][1]:
            sorting.columns = _one_per_phase(sorting.columns, sorting.stride[1])
    return read


def _one_per_phase(shifts: tuple[int, ...], stride: int) -> tuple[int, ...]:
    """The first shift of every remainder to the stride: the others are whole strides away."""
    firsts = {shift % stride: shift for shift in reversed(shifts)}
    return tuple(sorted(firsts.values()))


def packed_shape(
    shape: Shape, step: ConvStep, sorting: PackedInput, shapes: Mapping[str, Shape]
) -> Shape:
    """The shape of a sorted value that also serves this convolution."""
    _, height, width = shapes[step.value]
    places = [sorting.tap(row, column) for row, column in tap_coordinates(step)]
    return (
        shapes[step.input][0] * sorting.apart,
        max(shape[1], height + max(down for _, down, _ in places)),
        max(shape[2], width + max(across for _, _, across in places)),
    )
