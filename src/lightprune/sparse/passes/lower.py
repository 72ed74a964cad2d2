"""A traced network lowered to a program: the same function in far fewer multiplications."""

from dataclasses import replace

import numpy as np
from numpy.typing import DTypeLike

from lightprune.errors import InputError
from lightprune.sparse.ir.graph import INPUT, Graph
from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.ir.program import AddStep, ConvStep, Program, Step
from lightprune.sparse.passes.crop_kernels import crop_kernel
from lightprune.sparse.passes.eliminate_channels import eliminate_dead_channels
from lightprune.sparse.passes.fold_constants import fold_constants
from lightprune.sparse.passes.fuse import fold_batch_norms, fuse, propagate_copies
from lightprune.sparse.passes.legalize import State, eliminate_dead_steps, legalize


def lower(graph: Graph, state: State, dtype: DTypeLike = np.float32) -> Program:
    """Simplifies a network without changing what it computes.

    Batch norms are folded, kernels cropped to their live taps, channels that are constant or that
    nothing reads are gone, and bias, residual and ReLU belong to the convolutions.

    Args:
        graph: The network.
        state: Its tensors by their names, of any float type; not changed.
        dtype: Of the weights and biases of the program; the arithmetic here is float64.

    Raises:
        InputError: A tensor is missing or does not fit, or the output does not depend on the
            image.
    """
    steps, shapes, output = unfused(graph, state)
    constants = -1
    # Cutting channels may leave a convolution with none but constant ones.
    while constants != (constants := sum(not step.inputs for step in steps)):
        steps = eliminate_dead_steps(fold_constants(steps, shapes), output)
        if not any(INPUT in step.inputs for step in steps):
            raise InputError(
                "the network's output is the same for every image: no non-zero weights lead from "
                "the input to it; prune less, or keep a floor in every layer"
            )
        steps, shapes = eliminate_dead_channels(steps, shapes, output)
        steps = eliminate_dead_steps(steps, output)
    steps, output = propagate_copies(fuse(steps, output), shapes, output)
    finished = tuple(_finished(step, shapes, np.dtype(dtype)) for step in steps)
    left = {name: shapes[name] for name in (INPUT, *(step.value for step in finished))}
    return Program(finished, left, output, graph.flat)


def unfused(graph: Graph, state: State) -> tuple[list[Step], dict[str, Shape], str]:
    """The network as steps with batch norms folded and dead taps gone, but all channels there.

    Returns:
        The steps in float64, the shape of every value, and the name of the output.

    Raises:
        InputError: A tensor is missing or does not fit, or the network returns its input.
    """
    shapes = dict(graph.shapes)
    steps, output = propagate_copies(legalize(graph, state), shapes, graph.output)
    if output == INPUT:
        raise InputError("the network gives the image back as it is: there is nothing to run")
    return fold_batch_norms(steps, output), shapes, output


def _finished(step: Step, shapes: dict[str, Shape], dtype: np.dtype) -> Step:
    """A step whose arrays are contiguous and of the type asked for, kernels cropped once more."""
    if isinstance(step, ConvStep):
        step = crop_kernel(step, shapes[step.input], shapes[step.value])
        weight, bias = (np.ascontiguousarray(a, dtype=dtype) for a in (step.weight, step.bias))
        return replace(step, weight=weight, bias=bias)
    if isinstance(step, AddStep) and step.bias is not None:
        return replace(step, bias=np.ascontiguousarray(step.bias, dtype=dtype))
    return step
