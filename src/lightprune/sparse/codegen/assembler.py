"""A program as the table of operations that the kernels carry out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.codegen.constant_pool import ConstantPool
from lightprune.sparse.codegen.emit import Emitter
from lightprune.sparse.codegen.memory_plan import MemoryPlan, plan_memory
from lightprune.sparse.codegen.schedule import Task
from lightprune.sparse.codegen.weight_packing import PackedWeights, choose_kernel, pack_weights
from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.ir.program import (
    AddStep,
    ConcatStep,
    ConvStep,
    FlattenStep,
    PoolStep,
    Program,
)
from lightprune.sparse.isa.instruction import NEXT, Fields, encode
from lightprune.sparse.isa.register_blocks import (
    CHANNEL_BLOCKS,
    FROM_BIAS,
    FROM_OUTPUT,
    FROM_RESIDUAL,
    LANES,
    NARROW_LANES,
    SINGLE_IMAGE_BLOCKS,
    SMALL_MAP_BLOCKS,
    ChannelBlock,
)


@dataclass(eq=False)
class Instruction:
    """One row of the table.

    Attributes:
        task: What it carries out, or the last part of.
        columns: What its row says.
        weights: The weights, of a convolution.
        follows: Whether it is carried out at once on what the operation before wrote.
    """

    task: Task
    columns: Fields
    weights: PackedWeights | None = None
    follows: bool = False


@dataclass(eq=False)
class Executable:
    """What threads carry out for `unit` images at a time.

    Attributes:
        unit: Images at a time: 1 or `LANES`.
        input_shape: (C, H, W) of an image.
        output_shape: (C, H, W) of an output.
        layout: Where the values lie.
        operations: In order, those that follow others included.
        rows: The rows of the table, in the same order.
        heads: int64, the addresses of the rows that follow no other.
        pool: Keeps what the table's addresses lead to.
    """

    unit: int
    input_shape: Shape
    output_shape: Shape
    layout: MemoryPlan
    operations: list[Instruction]
    rows: list[NDArray[np.int64]]
    heads: NDArray[np.int64]
    pool: ConstantPool = field(repr=False)

    @property
    def arena_size(self) -> int:
        """Float32 values that one thread's arena needs."""
        # Whole cache lines, so that the next thread's arena begins at one.
        return -(-self.layout.size // LANES) * LANES


def compile_program(
    program: Program, unit: int, groupings: Mapping[str, ChannelBlock] | None = None
) -> Executable:
    """Turns the program into a table for `unit` images at a time.

    Args:
        program: What to execute.
        unit: 1 or `LANES`.
        groupings: How the output channels of every convolution are grouped, by its value's name;
            what is missing is chosen by estimated cost.
    """
    return _Assembler(program, unit, groupings or {}).assembled()


class _Assembler:
    def __init__(self, program: Program, unit: int, groupings: Mapping[str, ChannelBlock]) -> None:
        self.program = program
        self.groupings = groupings
        self.layout = plan_memory(program, unit)
        self.rows = Emitter(self.layout)

    def assembled(self) -> Executable:
        operations = [op for task in self.layout.tasks for op in self._operations(task)]
        output = self.program.output
        last = Task("", (output,), None, follows=False)
        operations.append(Instruction(last, self.rows.unpacks(output)))
        rows = [encode(operation.columns) for operation in operations]
        heads = []
        for number, operation in enumerate(operations):
            address = rows[number].ctypes.data
            if operation.follows:
                rows[number - 1][NEXT] = address
            else:
                heads.append(address)
        return Executable(
            self.layout.unit,
            self.program.shapes[INPUT],
            self.program.shapes[output],
            self.layout,
            operations,
            rows,
            np.array(heads, np.int64),
            self.rows.pool,
        )

    def _operations(self, task: Task) -> Iterator[Instruction]:
        rows = self.rows
        match task.step:
            case None:
                yield Instruction(task, rows.packs())
            case ConvStep() as step:
                yield from self._conv(task, step)
            case AddStep() as step:
                yield Instruction(task, rows.sums(step.value, step.inputs, step.bias, step.relu))
            case PoolStep() as step:
                yield Instruction(task, rows.pools(step), follows=task.follows)
            case ConcatStep() as step:
                first = 0
                for name in step.inputs:
                    yield Instruction(task, rows.sums(step.value, (name,), first=first))
                    first += self.layout.values[name].shape[0]
            case FlattenStep() as step:
                yield Instruction(task, rows.flattens(step))

    def _conv(self, task: Task, step: ConvStep) -> Iterator[Instruction]:
        start = FROM_BIAS if step.residual is None else FROM_RESIDUAL
        bias = np.asarray(step.bias, np.float32)
        if bias.ndim > 1:
            added = () if step.residual is None else (step.residual,)
            yield Instruction(task, self.rows.sums(step.value, added, bias))
            start, bias = FROM_OUTPUT, np.zeros(len(bias), np.float32)
        packed = self._packed_weights(step)
        yield Instruction(task, self.rows.multiplies(step, packed, bias, start), packed)

    def _packed_weights(self, step: ConvStep) -> PackedWeights:
        asked = self.groupings.get(step.value)
        every = CHANNEL_BLOCKS
        if self.layout.unit == 1:
            small = prod(self.layout.values[step.value].shape[1:]) <= NARROW_LANES
            every = SMALL_MAP_BLOCKS if small else SINGLE_IMAGE_BLOCKS
        cut = choose_kernel(step, self.layout, [asked] if asked else every)
        return pack_weights(step, self.layout, cut)
