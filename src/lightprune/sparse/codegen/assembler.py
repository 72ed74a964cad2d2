"""Compiles a program to an executable: memory plan, kernel choice, emission, encoding."""

from collections.abc import Iterator, Mapping
from math import prod

import numpy as np

from lightprune.sparse.codegen.emit import Emitter
from lightprune.sparse.codegen.executable import Executable, Instruction
from lightprune.sparse.codegen.kernel_choice import choose_kernel
from lightprune.sparse.codegen.memory_plan import plan_memory
from lightprune.sparse.codegen.schedule import Task
from lightprune.sparse.codegen.weight_packing import pack_weights
from lightprune.sparse.ir import program as ir
from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.isa.records import encode
from lightprune.sparse.isa.register_blocks import (
    CHANNEL_BLOCKS,
    FROM_OUTPUT,
    FROM_ZERO,
    NARROW_LANES,
    SINGLE_IMAGE_BLOCKS,
    SMALL_MAP_BLOCKS,
    ChannelBlock,
)


def compile_program(
    program: ir.Program,
    images_per_vector: int,
    channel_blocks: Mapping[str, ChannelBlock] | None = None,
) -> Executable:
    """Compiles a program to execute 1 or `LANES` images at a time.

    `channel_blocks` has the channel block of convolutions, by their value's name; the others' are
    chosen by estimated cost.
    """
    plan = plan_memory(program, images_per_vector)
    emitter, blocks = Emitter(plan), channel_blocks or {}
    instructions = [op for task in plan.tasks for op in _instructions(task, emitter, blocks)]
    unpack = Task("", (program.output,), None, fused=False)
    instructions.append(Instruction(unpack, emitter.unpack(program.output)))
    records = [encode(instruction.operands) for instruction in instructions]
    heads = []
    for number, instruction in enumerate(instructions):
        address = records[number].ctypes.data
        if instruction.fused:
            records[number - 1]["next"] = address
        else:
            heads.append(address)
    return Executable(
        images_per_vector,
        program.shapes[INPUT],
        program.shapes[program.output],
        plan,
        instructions,
        records,
        np.array(heads, np.int64),
        emitter.constants,
    )


def _instructions(
    task: Task, emitter: Emitter, channel_blocks: Mapping[str, ChannelBlock]
) -> Iterator[Instruction]:
    match task.step:
        case None:
            yield Instruction(task, emitter.pack())
        case ir.ConvStep() as step:
            yield from _conv(task, step, emitter, channel_blocks.get(step.value))
        case ir.AddStep() as step:
            yield Instruction(task, emitter.add(step.value, step.inputs, step.bias, step.relu))
        case ir.ActivationStep() as step:
            yield Instruction(task, emitter.activate(step))
        case ir.MultiplyStep() as step:
            yield Instruction(task, emitter.multiply(step))
        case ir.PoolStep() as step:
            yield Instruction(task, emitter.pool(step), fused=task.fused)
        case ir.ConcatStep() as step:
            first = 0
            for name in step.inputs:
                yield Instruction(task, emitter.add(step.value, (name,), first=first))
                first += emitter.plan.buffers[name].shape[0]
        case ir.GatherStep() as step:
            yield Instruction(task, emitter.gather(step))
        case ir.FlattenStep() as step:
            yield Instruction(task, emitter.flatten(step))


def _conv(
    task: Task, step: ir.ConvStep, emitter: Emitter, channel_block: ChannelBlock | None
) -> Iterator[Instruction]:
    plan = emitter.plan
    init, bias = FROM_ZERO, np.asarray(step.bias, np.float32)
    if bias.ndim > 1:
        _, rows, columns = bias.shape
        # That of the pixels whose windows meet no padding, if there are any.
        init, level = FROM_OUTPUT, bias[:, rows // 2, columns // 2]
        yield Instruction(task, emitter.add(step.value, (), bias - level[:, None, None]))
        bias = level
    candidates = CHANNEL_BLOCKS
    if channel_block:
        candidates = (channel_block,)
    elif plan.images_per_vector == 1:
        small = prod(plan.buffers[step.value].shape[1:]) <= NARROW_LANES
        candidates = SMALL_MAP_BLOCKS if small else SINGLE_IMAGE_BLOCKS
    weights = pack_weights(step, plan, choose_kernel(step, plan, candidates))
    yield Instruction(task, emitter.conv(step, weights, bias, init), weights)
