"""Where every value lies in memory: planes, rows, margins of zeros, and a place in the arena."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.codegen.input_packing import (
    PackedInput,
    packed_shape,
    plan_packed_inputs,
    tap_coordinates,
)
from lightprune.sparse.codegen.schedule import Task, schedule
from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.ir.program import ConvStep, Program
from lightprune.sparse.isa.register_blocks import LANES, NARROW_LANES

# Channels are computed in groups of up to this many; one may have channels beyond the last.
_CHANNEL_MULTIPLE = 4


@dataclass
class Buffer:
    """One value's memory; distances are float32 values.

    Attributes:
        shape: (C, H, W); for a sorted value C counts the planes.
        unit: Float32 values a position.
        margin: Positions of zeros (above, below, at either side) that readers rely on.
        place: From the arena's start to its first plane.
        vector: Float32 values that a plane is a multiple of.
    """

    shape: Shape
    unit: int
    margin: tuple[int, int, int] = (0, 0, 0)
    place: int = 0
    vector: int = LANES

    @property
    def row(self) -> int:
        """From one row to the next."""
        return (self.shape[2] + self.margin[2]) * self.unit

    @property
    def before(self) -> int:
        """From a plane's start to its first position."""
        above, _, beside = self.margin
        return above * self.row + beside * self.unit

    @property
    def origin(self) -> int:
        """From the arena's start to the first position of the first channel."""
        return self.place + self.before

    @property
    def plane(self) -> int:
        """From one channel to the next."""
        _, height, width = self.shape
        _, below, beside = self.margin
        needed = (height - 1 + below) * self.row + (width + beside) * self.unit
        return -(-(self.before + needed) // self.vector) * self.vector

    @property
    def size(self) -> int:
        """All planes, and those of channels beyond the last that a group may have."""
        return -(-self.shape[0] // _CHANNEL_MULTIPLE) * _CHANNEL_MULTIPLE * self.plane

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of vectors: those of the map, or all its positions in one row."""
        _, height, width = self.shape
        if self.unit == 1:
            return 1, -(-height * width // LANES)
        return height, width


@dataclass
class MemoryPlan:
    """The memory of a whole program for one number of images at a time.

    Attributes:
        unit: Float32 values a position: 1 or `LANES`.
        values: By name, those that are sorted included.
        sortings: By the name of the convolution's value that reads them.
        tasks: What is computed, in order.
        size: Float32 values of the arena.
    """

    unit: int
    values: dict[str, Buffer]
    sortings: dict[str, PackedInput]
    tasks: tuple[Task, ...] = ()
    size: int = 0

    @property
    def stamps(self) -> int:
        """Float32 values at the arena's start: an int64 for every sorted value."""
        return -(-2 * len(self.sortings) // LANES) * LANES

    def read_by(self, step: ConvStep) -> Buffer:
        """What a convolution reads: its input, or that sorted."""
        sorting = self.sortings.get(step.value)
        return self.values[sorting.name if sorting else step.input]

    def readers(self, sorting: PackedInput) -> list[ConvStep]:
        """The convolutions that read a sorted value."""
        steps = (task.step for task in self.tasks)
        return [
            step
            for step in steps
            if isinstance(step, ConvStep) and self.sortings.get(step.value) is sorting
        ]

    def in_order(self, name: str) -> bool:
        """Whether the channels of a value must be computed one after the other.

        What follows at once, and zeroes margins, does so on channels that are neighbours.
        """
        followed = any(a.value == name and b.follows for a, b in pairwise(self.tasks))
        return followed or any(self.values[name].margin)

    def taps(self, step: ConvStep) -> tuple[int, NDArray[np.int64]]:
        """Where a convolution reads: float32 values from the input's origin.

        Returns:
            From one input channel to the next; and (kh * kw), by tap, for output (0, 0).
        """
        sorting, read = self.sortings.get(step.value), self.read_by(step)
        taps = []
        for row, column in tap_coordinates(step):
            plane, down, across = sorting.tap(row, column) if sorting else (0, row, column)
            taps.append(plane * read.plane + down * read.row + across * read.unit)
        return read.plane * (sorting.apart if sorting else 1), np.array(taps, np.int64)


def plan_memory(program: Program, unit: int) -> MemoryPlan:
    """Places every value of the program in an arena, for `unit` images at a time."""
    convs = [step for step in program.steps if isinstance(step, ConvStep)]
    values = {name: Buffer(shape, unit) for name, shape in program.shapes.items()}
    sortings = plan_packed_inputs(convs, program.shapes, unit)
    for step in convs:
        sorting = sortings.get(step.value)
        if sorting is None:
            _grow_halo(values[step.input], step)
            continue
        vector = NARROW_LANES if sorting.narrow else LANES
        found = values.setdefault(sorting.name, Buffer((0, 0, 0), unit, vector=vector))
        found.shape = packed_shape(found.shape, step, sorting, program.shapes)
    tasks = schedule(program, {value: sorting.name for value, sorting in sortings.items()})
    layout = MemoryPlan(unit, values, sortings, tasks)
    layout.size = _assign_offsets(layout, program.output)
    return layout


def _grow_halo(value: Buffer, step: ConvStep) -> None:
    (top, bottom), (left, right) = step.padding
    above, below, beside = value.margin
    value.margin = (max(above, top), max(below, bottom), max(beside, left, right))


def _assign_offsets(layout: MemoryPlan, output: str) -> int:
    """Lets values share memory that are never needed at the same time; returns the arena's size."""
    born: dict[str, int] = {}
    last: dict[str, int] = {}
    moment = 0
    for task in layout.tasks:
        # What follows at once is computed while others still compute what it follows.
        moment += not task.follows
        for name in (task.value, *task.reads):
            born.setdefault(name, moment)
            last[name] = moment
    last[output] = moment + 1
    placed: list[Buffer] = []
    ends: dict[int, int] = {}
    # Single images are read a little before their start, and beyond their end.
    start = LANES * -(-max(value.row for value in layout.values.values()) // LANES)
    start += layout.stamps
    for name in born:
        value = layout.values[name]
        value.place = start
        for other in sorted(placed, key=lambda other: other.place):
            if ends[id(other)] < born[name]:
                continue
            if value.place + value.size <= other.place:
                break
            value.place = max(value.place, other.place + other.size)
        placed.append(value)
        ends[id(value)] = last[name]
    largest = max(value.plane for value in placed)
    return max(value.place + value.size for value in placed) + largest + start
