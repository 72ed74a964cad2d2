"""Memory planning: strides and halos of every tensor, and its offset in a shared arena."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.codegen import input_packing
from lightprune.sparse.codegen.bands import plan_bands
from lightprune.sparse.codegen.schedule import Task, schedule
from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.ir.program import ConvStep, Program
from lightprune.sparse.isa.register_blocks import LANES, NARROW_LANES
from lightprune.sparse.isa.tables import View

# Channels are computed in groups of up to this many; the last group may exceed the channels.
_CHANNEL_MULTIPLE = 4


@dataclass
class Buffer:
    """The memory of one tensor; offsets and strides count float32 values.

    Attributes:
        shape: (C, H, W); for a packed input C counts the planes.
        halo: Pixels of zeros (above, below, at either side) that readers rely on.
        offset: From the arena's start to its first channel.
        alignment: What the channel stride is a multiple of.
        window: Pixels of a channel that there are at a time; 0: all.
    """

    shape: Shape
    images_per_vector: int
    halo: tuple[int, int, int] = (0, 0, 0)
    offset: int = 0
    alignment: int = LANES
    window: int = 0

    @property
    def row_stride(self) -> int:
        """From one row to the next."""
        return (self.shape[2] + self.halo[2]) * self.images_per_vector

    @property
    def halo_offset(self) -> int:
        """From a channel's start to its first pixel."""
        above, _, beside = self.halo
        return above * self.row_stride + beside * self.images_per_vector

    @property
    def channel_stride(self) -> int:
        """From one channel to the next."""
        return -(-self.window // self.alignment) * self.alignment or self.channel_size

    @property
    def channel_size(self) -> int:
        """Of a whole channel."""
        _, height, width = self.shape
        _, below, beside = self.halo
        size = (height - 1 + below) * self.row_stride + (width + beside) * self.images_per_vector
        return -(-(self.halo_offset + size) // self.alignment) * self.alignment

    @property
    def size(self) -> int:
        """All channels, and those beyond the last that a group may have."""
        return -(-self.shape[0] // _CHANNEL_MULTIPLE) * _CHANNEL_MULTIPLE * self.channel_stride

    @property
    def vector_grid(self) -> tuple[int, int]:
        """Rows and columns of vectors: those of the map, or all its pixels in one row."""
        _, height, width = self.shape
        if self.images_per_vector == 1:
            return 1, -(-height * width // LANES)
        return height, width

    @property
    def vectors(self) -> int:
        """Those of a whole channel; at least one, which narrow channels share."""
        return max(1, self.channel_size // LANES)

    @property
    def view(self) -> View:
        """Its pixels as an operand."""
        _, height, width = self.shape
        return View(
            self.offset + self.halo_offset,
            self.channel_stride,
            self.row_stride,
            height,
            width * self.images_per_vector,
        )


@dataclass
class MemoryPlan:
    """The memory of a whole program.

    Attributes:
        buffers: By the name of their value or packed input.
        packed_inputs: By the name of the convolution's value that reads them.
        bands: Pixels in a band, by the value of the convolutions that threads share by bands.
        size: Float32 values of the arena.
    """

    images_per_vector: int
    buffers: dict[str, Buffer]
    packed_inputs: dict[str, input_packing.PackedInput]
    bands: dict[str, int]
    tasks: tuple[Task, ...] = ()
    size: int = 0

    @property
    def flags_size(self) -> int:
        """Float32 values at the arena's start: two int64 for every packed input."""
        return -(-4 * len(self.packed_inputs) // LANES) * LANES

    def input_buffer(self, step: ConvStep) -> Buffer:
        """What a convolution reads: its input, or that packed."""
        packed = self.packed_inputs.get(step.value)
        return self.buffers[packed.name if packed else step.input]

    def readers(self, packed: input_packing.PackedInput) -> list[ConvStep]:
        """The convolutions that read a packed input."""
        steps = (task.step for task in self.tasks)
        return [
            step
            for step in steps
            if isinstance(step, ConvStep) and self.packed_inputs.get(step.value) is packed
        ]

    def keeps_channel_order(self, name: str) -> bool:
        """Whether the channels of a value must be computed in order.

        Fused tasks, and clearing the halo, work on a range of neighbouring channels.
        """
        has_fused = any(a.value == name and b.fused for a, b in pairwise(self.tasks))
        return has_fused or any(self.buffers[name].halo)

    def tap_offsets(self, step: ConvStep) -> tuple[int, NDArray[np.int64]]:
        """What a convolution reads: float32 values from the input's first pixel.

        Returns:
            From one input channel to the next; and (kh * kw,), by tap, for output (0, 0).
        """
        packed, buffer = self.packed_inputs.get(step.value), self.input_buffer(step)
        offsets = []
        for row, column in input_packing.tap_coordinates(step):
            plane, y, x = packed.locate(row, column) if packed else (0, row, column)
            offsets.append(
                plane * buffer.channel_stride + y * buffer.row_stride + x * buffer.images_per_vector
            )
        planes = packed.padded_planes if packed else 1
        return buffer.channel_stride * planes, np.array(offsets, np.int64)


def plan_memory(program: Program, images_per_vector: int) -> MemoryPlan:
    """Gives every value of the program, and every packed input, a buffer in one arena."""
    convs = [step for step in program.steps if isinstance(step, ConvStep)]
    buffers = {name: Buffer(shape, images_per_vector) for name, shape in program.shapes.items()}
    packed_inputs = input_packing.plan_packed_inputs(convs, program.shapes, images_per_vector)
    for step in convs:
        packed = packed_inputs.get(step.value)
        if packed is None:
            _grow_halo(buffers[step.input], step)
            continue
        alignment = NARROW_LANES if packed.narrow else LANES
        buffer = buffers.setdefault(
            packed.name, Buffer((0, 0, 0), images_per_vector, alignment=alignment)
        )
        buffer.shape = input_packing.packed_shape(buffer.shape, step, packed, program.shapes)
    bands = plan_bands(program, packed_inputs) if images_per_vector == 1 else {}
    for value in bands.keys() & packed_inputs.keys():
        buffer = buffers[packed_inputs[value].name]
        rows_below = buffer.shape[1] - program.shapes[value][1]
        window = bands[value] + rows_below * buffer.row_stride
        buffer.window = min(window, buffer.channel_size)
    names = {value: packed.name for value, packed in packed_inputs.items()}
    tasks = schedule(program, names, bands)
    plan = MemoryPlan(images_per_vector, buffers, packed_inputs, bands, tasks)
    plan.size = _assign_offsets(plan, program.output)
    return plan


def _grow_halo(buffer: Buffer, step: ConvStep) -> None:
    (top, bottom), (left, right) = step.padding
    above, below, beside = buffer.halo
    buffer.halo = (max(above, top), max(below, bottom), max(beside, left, right))


def _assign_offsets(plan: MemoryPlan, output: str) -> int:
    """First fit: buffers share memory unless both are live; returns the arena's size."""
    first_use: dict[str, int] = {}
    last_use: dict[str, int] = {}
    time = 0
    for task in plan.tasks:
        # A fused task runs while other threads still compute the task before it.
        time += not task.fused
        for name in (task.value, *task.reads):
            first_use.setdefault(name, time)
            last_use[name] = time
    last_use[output] = time + 1
    placed: list[tuple[Buffer, int]] = []
    # Kernels for single images read a little before a buffer's start, and beyond its end.
    start = LANES * -(-max(buffer.row_stride for buffer in plan.buffers.values()) // LANES)
    start += plan.flags_size
    for name, begin in first_use.items():
        buffer = plan.buffers[name]
        buffer.offset = start
        for other, last in sorted(placed, key=lambda entry: entry[0].offset):
            if last < begin:
                continue
            if buffer.offset + buffer.size <= other.offset:
                break
            buffer.offset = max(buffer.offset, other.offset + other.size)
        placed.append((buffer, last_use[name]))
    largest = max(buffer.channel_stride for buffer, _ in placed)
    return max(buffer.offset + buffer.size for buffer, _ in placed) + largest + start
