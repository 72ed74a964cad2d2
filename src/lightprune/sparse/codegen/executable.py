"""Executables: instructions and their memory, and how they print as a disassembly."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.codegen.constant_pool import ConstantPool
from lightprune.sparse.codegen.memory_plan import MemoryPlan
from lightprune.sparse.codegen.schedule import Task
from lightprune.sparse.codegen.weight_packing import PackedWeights
from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.isa import instruction as isa
from lightprune.sparse.isa.records import Record
from lightprune.sparse.isa.register_blocks import FROM_OUTPUT, LANES, PLUS_RESIDUAL, REGISTER_BLOCKS


@dataclass(eq=False)
class Instruction:
    """One instruction of an executable.

    Attributes:
        task: What it computes, or the last part of.
        fused: Whether it runs on the channels that the instruction before has just computed.
    """

    task: Task
    operands: isa.ChannelOperands
    weights: PackedWeights | None = None
    fused: bool = False

    def line(self, memory: MemoryPlan) -> str:
        """Opcode, tensors with their shapes @ byte offsets, kernel and operands."""
        operands = self.operands
        output = _tensor(memory, self.task.value) if self.task.value else "outputs"
        inputs = [_tensor(memory, name) for name in self.task.reads]
        name = operands.opcode.name.lower()
        parts = [f"{name:8} {output} <- {', '.join(inputs) or 'images'}", *self._details()]
        if getattr(operands, "relu", False):
            parts.append("relu")
        shared = f"{operands.channels} channels"
        if isinstance(operands, isa.ConvInstruction) and operands.bands:
            shared = f"bands of {memory.bands[self.task.value]} pixels"
        parts.append(f"{shared} in {operands.chunks} chunk(s)")
        return "; ".join(parts)

    def _details(self) -> Iterator[str]:
        match self.operands:
            case isa.ConvInstruction(init=init, final=final, passes=passes) if (
                self.weights is not None
            ):
                choice = self.weights.choice
                blocks = Counter(REGISTER_BLOCKS[tile.block] for tile in choice.tiles)
                tiles = ", ".join(f"{count} of {b.rows}x{b.columns}" for b, count in blocks.items())
                yield f"kernel {choice.channel_block}, {choice.groups} group(s), {passes} pass(es)"
                yield f"tiles {tiles} {choice.alignment.name.lower()} vectors"
                nonzero = np.count_nonzero(self.weights.weights)
                yield f"{nonzero} weights in {len(self.weights.offsets)} entries"
                start = "from output, " * (init == FROM_OUTPUT)
                yield f"{start}plus bias{' and residual' * (final == PLUS_RESIDUAL)}"
            case isa.AddInstruction(bias_kind=kind) if kind:
                yield f"bias {isa.BiasKind(kind).name.lower().replace('_', ' ')}"
            case isa.Pool() as pool:
                yield f"kernel {pool.kernel_h}x{pool.kernel_w}"
                yield f"stride {pool.stride_h}x{pool.stride_w}"
                yield f"padding {pool.pad_top}x{pool.pad_left}"


@dataclass(eq=False)
class Executable:
    """What threads execute for `images_per_vector` images at a time.

    Attributes:
        images_per_vector: 1 or `LANES`.
        instructions: In order, fused ones included.
        records: Their encodings, in the same order.
        heads: int64: the addresses of the records that are not fused to the one before.
        constants: Store what the records' addresses refer to.
    """

    images_per_vector: int
    input_shape: Shape
    output_shape: Shape
    memory: MemoryPlan
    instructions: list[Instruction]
    records: list[Record]
    heads: NDArray[np.int64]
    constants: ConstantPool = field(repr=False)

    @property
    def arena_size(self) -> int:
        """Float32 values that one thread's arena needs."""
        # Whole cache lines, so that the next thread's arena starts at one.
        return -(-self.memory.size // LANES) * LANES

    def __str__(self) -> str:
        """A line an instruction, "+" where it is fused; then one a buffer, in bytes."""
        buffers = self.memory.buffers
        lines = [
            f"{self.images_per_vector} image(s) at a time: {len(self.instructions)} instructions, "
            f"arena {4 * self.arena_size} bytes a thread, constants {self.constants.size} bytes"
        ]
        for number, instruction in enumerate(self.instructions):
            mark = "+" if instruction.fused else " "
            lines.append(f"{mark}{number:3} {instruction.line(self.memory)}")
        for name, buffer in sorted(buffers.items(), key=lambda item: item[1].offset):
            strides = f"strides {4 * buffer.channel_stride}, {4 * buffer.row_stride}"
            halo = f"; halo {_shape(buffer.halo)}" if any(buffer.halo) else ""
            place = f"buffer {name} {_shape(buffer.shape)}: {4 * buffer.size} bytes"
            lines.append(f"{place} at {4 * buffer.offset}; {strides}{halo}")
        return "\n".join(lines)


def _tensor(memory: MemoryPlan, name: str) -> str:
    buffer = memory.buffers[name]
    return f"{name} {_shape(buffer.shape)} @{4 * buffer.offset}"


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
