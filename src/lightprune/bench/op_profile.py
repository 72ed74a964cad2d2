"""Where the sparse runtime's time goes: every operation timed by itself, on one core."""

import time
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray

from lightprune.sparse.codegen.executable import Executable, Instruction
from lightprune.sparse.ir.program import ConvStep, Program
from lightprune.sparse.runtime.network import SparseNetwork, Workspace

# One measurement lasts about so many seconds.
_LONG_ENOUGH = 2e-4
_TIMES = 15


@dataclass(frozen=True)
class OpTiming:
    """One operation, and those that follow it on the same channels.

    Attributes:
        value: The name of what it computes.
        what: The modules it is made of, or the kind of step.
        images: How many at a time.
        seconds: For all of these.
        density: The share of weights that are not zero; None for what has none.
        flops: Two for every non-zero weight and output, for all of the images.
        grouping: Output channels at a time, and how; see `ChannelBlock`.
    """

    value: str
    what: str
    images: int
    seconds: float
    density: float | None
    flops: int
    grouping: str

    @property
    def rate(self) -> float:
        """Useful float32 operations a second."""
        return self.flops / self.seconds


@dataclass(frozen=True)
class BatchProfile:
    """The operations of the sparse runtime for so many images at a time.

    Attributes:
        images: How many.
        seconds: For the whole network, all operations in order.
        operations: Each by itself.
    """

    images: int
    seconds: float
    operations: tuple[OpTiming, ...]


def profile_ops(network: SparseNetwork) -> tuple[BatchProfile, ...]:
    """Times every operation: for one image, and for a vector of images.

    A convolution's time includes sorting what it reads, even if another one reads the same.
    """
    return tuple(_timings(network.program, code) for code in (network.single, network.batched))


def _timings(program: Program, code: Executable) -> BatchProfile:
    heads = [number for number, found in enumerate(code.instructions) if not found.fused]
    operations = []
    for place, number in enumerate(heads):
        seconds = _median(code, code.heads[place : place + 1])
        operations.append(_described(code, number, program, seconds))
    return BatchProfile(code.images_per_vector, _median(code, code.heads), tuple(operations))


def _median(code: Executable, heads: NDArray[np.int64]) -> float:
    """Seconds that one thread takes for the operations at these addresses."""
    workspace = Workspace(replace(code, heads=np.ascontiguousarray(heads)))

    def seconds(times: int) -> float:
        images = torch.zeros(times * code.images_per_vector * prod(code.input_shape))
        outputs = torch.empty(times * code.images_per_vector * prod(code.output_shape))
        addresses = images.data_ptr(), outputs.data_ptr()
        begin = time.perf_counter()
        workspace.run(*addresses, times * code.images_per_vector, times, 1)
        return (time.perf_counter() - begin) / times

    seconds(1)
    # What was never written is one page of zeros, wherever it seems to lie, and is not read as fast
    # as what the operation before would have written.
    workspace.memory.fill(0)
    once = min(seconds(1) for _ in range(3))
    times = max(1, int(_LONG_ENOUGH / once))
    return float(np.median([seconds(times) for _ in range(_TIMES)]))


def _described(code: Executable, number: int, program: Program, seconds: float) -> OpTiming:
    operation = code.instructions[number]
    parts = [_name(operation)]
    for following in code.instructions[number + 1 :]:
        if not following.fused:
            break
        parts.append(_name(following))
    step, weights = operation.task.step, operation.weights
    density, flops, grouping = None, 0, ""
    if isinstance(step, ConvStep) and weights is not None:
        density = np.count_nonzero(step.weight) / step.weight.size
        flops = 2 * program.macs(step) * code.images_per_vector
        grouping = str(weights.channel_block)
    what = " + ".join(parts)
    return OpTiming(
        operation.task.value, what, code.images_per_vector, seconds, density, flops, grouping
    )


def _name(operation: Instruction) -> str:
    task = operation.task
    if task.step is None:
        return "unpack" if task.reads else "pack"
    if isinstance(task.step, ConvStep):
        # What a bias by position leaves to be done before the weights.
        start = "" if operation.weights else ": bias"
        return (task.step.layers or (task.value,))[0] + start
    return type(task.step).__name__.removesuffix("Step").lower()
