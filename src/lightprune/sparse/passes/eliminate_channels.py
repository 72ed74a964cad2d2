"""Dead channels: liveness propagated backwards from the output, and all else cut out."""

from dataclasses import replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.program import (
    AddStep,
    ConcatStep,
    ConvStep,
    FlattenStep,
    GatherStep,
    Program,
    Step,
)
from lightprune.sparse.passes.crop_kernels import any_over_taps

# By a value's name: (C,), which of its channels are live; or (O, C), which channels weights read.
_Flags = dict[str, NDArray[np.bool_]]


def eliminate_dead_channels(program: Program) -> Program:
    """Removes every channel that no weight reads on its way to the output.

    Values that are added, pooled or scaled channel by channel have the same live channels: one
    that any of them needs is live in all. The input and the output stay whole. The program is one
    before fusion, without residuals.

    Returns:
        The steps with live channels. A convolution of which only constant channels are live is an
        AddStep of its bias alone.
    """
    live = {name: np.zeros(shape[0], dtype=np.bool_) for name, shape in program.shapes.items()}
    live[INPUT][:] = live[program.output][:] = True
    convolutions = (step for step in program.steps if isinstance(step, ConvStep))
    reads = {step.value: any_over_taps(step.weight != 0) for step in convolutions}
    count = -1
    # Each rule only ever adds channels, so that this ends: after few rounds, since one sweep
    # backwards and one forwards take a channel along any chain of steps.
    while count != (count := sum(int(flags.sum()) for flags in live.values())):
        for step in (*reversed(program.steps), *program.steps):
            _propagate_liveness(step, live, reads)
    steps = [_slice_channels(step, live) for step in program.steps if live[step.value].any()]
    shapes = {name: (int(live[name].sum()), h, w) for name, (_, h, w) in program.shapes.items()}
    return replace(program, shapes=shapes).with_steps(steps)


def _propagate_liveness(step: Step, live: _Flags, reads: _Flags) -> None:
    """Marks the channels that a step needs: those it reads, and those it ties to live ones."""
    out = live[step.value]
    if isinstance(step, ConvStep) and step.groups == 1:
        live[step.input] |= reads[step.value][out].any(axis=0)
    elif isinstance(step, ConvStep) and not step.groups == len(out) == len(live[step.input]):
        # Grouped, but not depthwise: kept whole.
        out[:] = live[step.input][:] = True
    elif isinstance(step, FlattenStep):
        source = live[step.input]
        source |= out.reshape(len(source), -1).any(axis=1)
        out[:] = np.repeat(source, len(out) // len(source))
    elif isinstance(step, GatherStep):
        source = live[step.input].reshape(-1, step.planes)
        out |= source.any(axis=1)
        source |= out[:, None]
    elif isinstance(step, ConcatStep):
        ends = accumulate(len(live[name]) for name in step.inputs)
        for name, end in zip(step.inputs, ends, strict=True):
            part = out[end - len(live[name]) : end]
            live[name] |= part
            part |= live[name]
    else:
        for name in step.inputs:
            out |= live[name]
        for name in step.inputs:
            live[name] |= out


def _slice_channels(step: Step, live: _Flags) -> Step:
    out = live[step.value]
    if isinstance(step, ConvStep):
        source = live[step.input]
        if not source.any():
            return AddStep(step.value, (), step.bias[out], relu=False)
        if out.all() and source.all():
            return step
        weight = step.weight[out]
        if step.groups == 1:
            return replace(step, weight=weight[:, source], bias=step.bias[out])
        return replace(step, weight=weight, bias=step.bias[out], groups=len(weight))
    if isinstance(step, AddStep) and step.bias is not None:
        return replace(step, bias=step.bias[out])
    if isinstance(step, ConcatStep):
        return replace(step, inputs=tuple(name for name in step.inputs if live[name].any()))
    return step
