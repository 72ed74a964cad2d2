"""The compiler's middle: a graph and its weights, pass by pass, become a program."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import DTypeLike

from lightprune.errors import InputError
from lightprune.sparse.ir.graph import INPUT, Graph
from lightprune.sparse.ir.program import AddStep, ConvStep, Program, Step
from lightprune.sparse.passes.cleanup import eliminate_dead_steps, propagate_copies
from lightprune.sparse.passes.crop_kernels import crop_kernels
from lightprune.sparse.passes.eliminate_channels import eliminate_dead_channels
from lightprune.sparse.passes.fold_constants import fold_constants
from lightprune.sparse.passes.fold_gathers import fold_gathers
from lightprune.sparse.passes.fuse import compose_selections, fold_batch_norms, fuse
from lightprune.sparse.passes.legalize import State, legalize


def lower(graph: Graph, state: State, dtype: DTypeLike = np.float32) -> Program:
    """Simplifies a network without changing what it computes.

    Batch norms are folded; kernels are cropped to the taps that meet data; channels that are
    constant or that nothing reads are removed; bias, residual and ReLU are part of the
    convolutions. The tensors, of any float type, stay as they are; the passes compute in float64.

    Raises:
        InputError: A tensor is missing or does not fit, or the output does not depend on the
            image.
    """
    # A deque of one element holds no stage but the last.
    ((_, program),) = deque(stages(graph, state, dtype), maxlen=1)
    return program


def stages(
    graph: Graph, state: State, dtype: DTypeLike = np.float32
) -> Iterator[tuple[str, Program]]:
    """Runs the passes of `lower` in order and yields each one's name and the program after it."""
    program = legalize(graph, state)
    yield "legalize", program
    program = propagate_copies(program)
    if program.output == INPUT:
        raise InputError("the network returns its input unchanged: there is nothing to run")
    yield "propagate_copies", program
    program = eliminate_dead_steps(fold_gathers(program))
    yield "fold_gathers", program
    program = fold_batch_norms(program)
    yield "fold_batch_norms", program
    program = eliminate_dead_steps(compose_selections(program))
    yield "compose_selections", program
    constants: set[str] | None = None
    # Removing channels may leave a convolution with none but constant ones.
    while constants != (constants := {s.value for s in program.steps if _is_constant(s)}):
        program = eliminate_dead_steps(fold_constants(program))
        if not any(INPUT in step.inputs for step in program.steps):
            raise InputError(
                "the network's output is the same for every image: no non-zero weights lead from "
                "the input to it; prune less, or keep a floor in every layer"
            )
        yield "fold_constants", program
        program = eliminate_dead_steps(eliminate_dead_channels(program))
        yield "eliminate_dead_channels", program
    program = fuse(program)
    yield "fuse", program
    program = propagate_copies(program)
    yield "propagate_copies", program
    program = crop_kernels(program)
    yield "crop_kernels", program
    yield "cast", program.with_steps(_cast(step, np.dtype(dtype)) for step in program.steps)


def _is_constant(step: Step) -> bool:
    return not step.inputs or (isinstance(step, ConvStep) and not step.weight.any())


def _cast(step: Step, dtype: np.dtype) -> Step:
    if isinstance(step, ConvStep):
        weight, bias = (np.ascontiguousarray(a, dtype=dtype) for a in (step.weight, step.bias))
        return replace(step, weight=weight, bias=bias)
    if isinstance(step, AddStep) and step.bias is not None:
        return replace(step, bias=np.ascontiguousarray(step.bias, dtype=dtype))
    return step
