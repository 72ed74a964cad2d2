"""Input packing: copies of a tensor that a convolution of any stride reads at stride 1."""

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
    """A tensor copied so that a convolution of any stride reads it at stride 1.

    There is one plane for every channel, row shift and column shift: the plane's pixel (y, x) is
    the tensor's (y * stride + row shift, x * stride + column shift), or zero outside of it.

    With many images, one shift for every remainder modulo the stride suffices. A single image gets
    one for every tap of a kernel row: then the inputs of a tap are neighbours in memory, from the
    first row to the last, and fill whole vectors. If they fit one vector, it gets one for every
    tap, so that each lies in one cache line; if they fit a narrow one, several planes share a
    vector.

    Attributes:
        value: Name of the tensor; the shifts are ascending.
        narrow: Whether planes are narrow vectors.
    """

    name: str
    value: str
    stride: Pair
    row_shifts: tuple[int, ...] = ()
    column_shifts: tuple[int, ...] = ()
    narrow: bool = False

    @property
    def planes(self) -> int:
        """Planes a channel."""
        return len(self.row_shifts) * len(self.column_shifts)

    @property
    def padded_planes(self) -> int:
        """Planes from one channel to the next, in whole vectors."""
        planes_per_vector = LANES // NARROW_LANES if self.narrow else 1
        return -(-self.planes // planes_per_vector) * planes_per_vector

    def gather_indices(self, shape: Shape, height: int, width: int, size: int) -> NDArray[np.int32]:
        """What each pixel of a channel's planes, `size` pixels apart, is copied from.

        Returns:
            (padded_planes, size): the index row * width + column in the tensor's map, or -1.
        """
        _, rows, columns = shape
        y, x = np.divmod(np.arange(size), width)
        indices = np.full((self.padded_planes, size), -1, np.int32)
        shifts = product(self.row_shifts, self.column_shifts)
        for plane, (row_shift, column_shift) in enumerate(shifts):
            row, column = y * self.stride[0] + row_shift, x * self.stride[1] + column_shift
            inside = (y < height) & (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            indices[plane, inside] = (row * columns + column)[inside]
        return indices

    def locate(self, row: int, column: int) -> tuple[int, int, int]:
        """Plane, row and column that hold the tensor's (row, column) for output (0, 0)."""
        row_shift, y = _split(row, self.row_shifts, self.stride[0])
        column_shift, x = _split(column, self.column_shifts, self.stride[1])
        return row_shift * len(self.column_shifts) + column_shift, y, x


def _split(coordinate: int, shifts: tuple[int, ...], stride: int) -> Pair:
    """The index of the last shift that is whole strides before a coordinate, and how many."""
    index = max(
        index
        for index, shift in enumerate(shifts)
        if shift <= coordinate and (coordinate - shift) % stride == 0
    )
    return index, (coordinate - shifts[index]) // stride


def tap_coordinates(step: ConvStep) -> list[Pair]:
    """The row and column of the input that output (0, 0) reads, by tap."""
    rows, columns = (
        [i * dilation - before for i in range(kernel)]
        for kernel, dilation, (before, _) in zip(
            step.weight.shape[2:], step.dilation, step.padding, strict=True
        )
    )
    return list(product(rows, columns))


def plan_packed_inputs(
    convs: list[ConvStep], shapes: Mapping[str, Shape], images_per_vector: int
) -> dict[str, PackedInput]:
    """The inputs that convolutions cannot read as they are, by the convolution's value."""
    single = images_per_vector == 1
    by_key: dict[tuple[object, ...], PackedInput] = {}
    packed_inputs: dict[str, PackedInput] = {}
    small: dict[str, bool] = {}
    for step in convs:
        pointwise = step.weight.shape[2:] == (1, 1) and step.padding == ((0, 0), (0, 0))
        if step.stride == (1, 1) and (not single or pointwise):
            continue
        # Planes of single images are as large as the outputs' maps.
        key = (step.input, step.stride, shapes[step.value][1:] if single else None)
        packed = by_key.setdefault(
            key, PackedInput(f"{step.input}/{len(by_key)}", step.input, step.stride)
        )
        rows, columns = zip(*tap_coordinates(step), strict=True)
        packed.row_shifts = tuple(sorted({*rows, *packed.row_shifts}))
        packed.column_shifts = tuple(sorted({*columns, *packed.column_shifts}))
        packed_inputs[step.value] = packed
        pixels = prod(shapes[step.value][1:])
        packed.narrow = single and pixels <= NARROW_LANES
        small[packed.name] = pixels <= LANES
    for packed in by_key.values():
        if not (single and small[packed.name]):
            packed.row_shifts = _one_per_phase(packed.row_shifts, packed.stride[0])
        if not single:
            packed.column_shifts = _one_per_phase(packed.column_shifts, packed.stride[1])
    return packed_inputs


def _one_per_phase(shifts: tuple[int, ...], stride: int) -> tuple[int, ...]:
    """The first shift of every remainder modulo the stride: the others are whole strides away."""
    firsts = {shift % stride: shift for shift in reversed(shifts)}
    return tuple(sorted(firsts.values()))


def packed_shape(
    shape: Shape, step: ConvStep, packed: PackedInput, shapes: Mapping[str, Shape]
) -> Shape:
    """The shape of a packed input, so far `shape`, that also serves this convolution."""
    _, height, width = shapes[step.value]
    taps = [packed.locate(row, column) for row, column in tap_coordinates(step)]
    return (
        shapes[step.input][0] * packed.padded_planes,
        max(shape[1], height + max(y for _, y, _ in taps)),
        max(shape[2], width + max(x for _, _, x in taps)),
    )
