"""Steps merged into the convolutions before them: batch norms, sums, biases, activations."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from lightprune.sparse.ir.program import (
    ActivationStep,
    AddStep,
    Array,
    ConvStep,
    Program,
    Step,
)


def fold_batch_norms(program: Program) -> Program:
    """Folds every scale and shift of channels into the convolution before it.

    A convolution whose value is read elsewhere too is left alone, and so is its scale.
    """
    readers = count_readers(program)
    folded: dict[str, Step] = {}
    for step in program.steps:
        before = folded.get(step.input) if isinstance(step, ConvStep) else None
        if (
            isinstance(step, ConvStep)
            and isinstance(before, ConvStep)
            and readers[before.value] == 1
            and is_scale(step)
        ):
            scale = step.weight[:, :, 0, 0]
            del folded[before.value]
            step = replace(
                before,
                value=step.value,
                weight=before.weight * scale[:, :, None, None],
                bias=before.bias * scale[:, 0] + step.bias,
                layers=before.layers + step.layers,
            )
        folded[step.value] = step
    return program.with_steps(folded.values())


def compose_selections(program: Program) -> Program:
    """Lets convolutions that read selected channels read what those are selected from."""
    steps: dict[str, Step] = {}
    for step in program.steps:
        source = steps.get(step.input) if step.inputs else None
        if isinstance(step, ConvStep) and step.groups == 1 and isinstance(source, ConvStep):
            channels = _selected_channels(source)
            if channels is not None:
                outputs, _, *kernel = step.weight.shape
                weight = np.zeros((outputs, source.weight.shape[1], *kernel))
                # One after the other: a channel may be selected several times.
                for number, channel in enumerate(channels):
                    weight[:, channel] += step.weight[:, number]
                step = replace(step, inputs=source.inputs, weight=weight)
        steps[step.value] = step
    return program.with_steps(steps.values())


def _selected_channels(step: ConvStep) -> Array | None:
    """The channels that a convolution copies; None if it does anything else."""
    weight = step.weight
    in_place = step.stride == (1, 1) and step.padding == ((0, 0), (0, 0))
    if weight.shape[2:] != (1, 1) or step.groups != 1 or not in_place or step.bias.any():
        return None
    copies = ((weight == 0) | (weight == 1)).all() and (weight.sum((1, 2, 3)) == 1).all()
    return weight[:, :, 0, 0].argmax(1) if copies else None


def fuse(program: Program) -> Program:
    """Merges sums, biases, ReLUs and activations into the convolutions, or sums, that they follow.

    A sum of two goes into the later of the convolutions that nothing else reads, and the other
    value becomes its residual.
    """
    readers = count_readers(program)
    fused: dict[str, Step] = {}
    for step in program.steps:
        if isinstance(step, AddStep):
            hosts = [
                name
                for name, host in fused.items()
                if name in step.inputs and readers[name] == 1 and _can_absorb(host, step)
            ]
            if hosts:
                step = _merge(fused.pop(hosts[-1]), step)
        elif isinstance(step, ActivationStep) and readers[step.input] == 1:
            host = fused.get(step.input)
            if isinstance(host, ConvStep) and host.activation is None:
                del fused[step.input]
                step = replace(host, value=step.value, activation=step.function)
        fused[step.value] = step
    return program.with_steps(fused.values())


def add_biases(first: Array | None, second: Array | None) -> Array | None:
    """The sum of two biases, of which each is (C,), (C, H, W) or None."""
    if first is None or second is None:
        return second if first is None else first
    if first.ndim == second.ndim:
        return first + second
    wide, narrow = (first, second) if first.ndim > second.ndim else (second, first)
    return wide + narrow[:, None, None]


def count_readers(program: Program) -> Counter[str]:
    """How many steps read each value; the output is read once more."""
    return Counter([program.output, *(name for step in program.steps for name in step.inputs)])


def is_scale(step: ConvStep) -> bool:
    """Whether a convolution multiplies every channel with one number."""
    plain = step.weight.shape[1:] == (1, 1, 1) and step.groups == len(step.weight)
    return plain and step.stride == (1, 1) and step.padding == ((0, 0), (0, 0))


def _can_absorb(host: Step, step: AddStep) -> bool:
    if isinstance(host, ConvStep):
        ends = host.relu or host.activation is not None
        return not ends and (len(step.inputs) == 1 or host.residual is None)
    return isinstance(host, AddStep) and not host.relu and len(step.inputs) == 1


def _merge(host: Step, step: AddStep) -> Step:
    """`host`, followed by the sum `step` of its value and at most one other."""
    assert isinstance(host, AddStep | ConvStep)
    bias: Any = add_biases(host.bias, step.bias)
    others = tuple(name for name in step.inputs if name != host.value)
    inputs = host.inputs + others
    return replace(host, value=step.value, inputs=inputs, bias=bias, relu=step.relu)
