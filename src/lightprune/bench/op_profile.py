"""Where the sparse runtime's time goes: every operation timed by itself, on one core."""

import time
from dataclasses import replace
from itertools import takewhile
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray

from lightprune.bench.result import BatchProfile, OpTiming
from lightprune.sparse.codegen.executable import Executable, Instruction
from lightprune.sparse.ir.program import ConvStep, Program
from lightprune.sparse.runtime.network import SparseNetwork, Workspace

# Seconds that one measurement takes at least, and how many there are.
_LONG_ENOUGH = 2e-4
_MEASUREMENTS = 15


def profile_ops(network: SparseNetwork) -> tuple[BatchProfile, ...]:
    """Times every operation: for one image, and for a vector of images.

    A convolution's time includes packing its input, even if another one reads the same.
    """
    return tuple(_timings(network.program, code) for code in (network.single, network.batched))


def _timings(program: Program, code: Executable) -> BatchProfile:
    heads = [number for number, op in enumerate(code.instructions) if not op.fused]
    operations = (
        _op_timing(code, number, program, _median(code, code.heads[head : head + 1]))
        for head, number in enumerate(heads)
    )
    return BatchProfile(code.images_per_vector, _median(code, code.heads), tuple(operations))


def _median(code: Executable, heads: NDArray[np.int64]) -> float:
    workspace = Workspace(replace(code, heads=np.ascontiguousarray(heads)))

    def seconds(times: int) -> float:
        images = torch.zeros(times * code.images_per_vector * prod(code.input_shape))
        outputs = torch.empty(times * code.images_per_vector * prod(code.output_shape))
        addresses = images.data_ptr(), outputs.data_ptr()
        begin = time.perf_counter()
        workspace.run(*addresses, times * code.images_per_vector, times, 1)
        return (time.perf_counter() - begin) / times

    seconds(1)
    # Memory that was never written maps to one page of zeros, which is read at another speed than
    # the output of the operation before.
    workspace.memory.fill(0)
    once = min(seconds(1) for _ in range(3))
    times = max(1, int(_LONG_ENOUGH / once))
    return float(np.median([seconds(times) for _ in range(_MEASUREMENTS)]))


def _op_timing(code: Executable, number: int, program: Program, seconds: float) -> OpTiming:
    operation = code.instructions[number]
    fused = takewhile(lambda following: following.fused, code.instructions[number + 1 :])
    layers = " + ".join(map(_name, (operation, *fused)))
    step, weights = operation.task.step, operation.weights
    density, flops, kernel = None, 0, ""
    if isinstance(step, ConvStep) and weights is not None:
        density = float(np.count_nonzero(step.weight) / step.weight.size)
        flops = 2 * program.macs(step) * code.images_per_vector
        kernel = str(weights.channel_block)
    value, images = operation.task.value, code.images_per_vector
    return OpTiming(value, layers, images, seconds, density, flops, kernel)


def _name(operation: Instruction) -> str:
    task = operation.task
    if task.step is None:
        return "unpack" if task.reads else "pack"
    if isinstance(task.step, ConvStep):
        # A bias that differs by position is added before the weights.
        start = "" if operation.weights else ": bias"
        return (task.step.layers or (task.value,))[0] + start
    return type(task.step).__name__.removesuffix("Step").lower()
