"""Steps merged into the convolutions before them: batch norms, sums, biases, ReLUs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.ir.program import (
    AddStep,
    Array,
    ConcatStep,
    ConvStep,
    FlattenStep,
    PoolStep,
    Step,
)


def fold_batch_norms(steps: list[Step], output: str) -> list[Step]:
    """Folds every scale-and-shift of channels into the convolution before it.

    A convolution whose value something else reads too stays as it is, and so does its scale.

    Args:
        steps: Unfused steps in order.
        output: The value that the network returns.
    """
    uses = _uses(steps, output)
    folded: dict[str, Step] = {}
    for step in steps:
        before = folded.get(step.input) if isinstance(step, ConvStep) else None
        if (
            isinstance(step, ConvStep)
            and isinstance(before, ConvStep)
            and uses[before.value] == 1
            and _is_scale(step)
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
    return list(folded.values())


def fuse(steps: list[Step], output: str) -> list[Step]:
    """Takes sums, constants and ReLUs into the convolutions, or the sums, that they follow.

    A sum of two goes into the later of the convolutions that nothing else reads, and the other
    value becomes its residual.

    Args:
        steps: Steps in order.
        output: The value that the network returns.
    """
    uses = _uses(steps, output)
    fused: dict[str, Step] = {}
    for step in steps:
        if isinstance(step, AddStep):
            order = list(fused)
            hosts = [
                name
                for name in step.inputs
                if uses[name] == 1 and name in fused and _takes(fused[name], step)
            ]
            if hosts:
                host = max(hosts, key=order.index)
                step = _merged(fused.pop(host), step, host)
        fused[step.value] = step
    return list(fused.values())


def read_from(step: Step, renamed: Mapping[str, str]) -> Step:
    """The step, reading other values in place of some."""
    if isinstance(step, AddStep | ConcatStep):
        return replace(step, inputs=tuple(renamed.get(name, name) for name in step.inputs))
    source = renamed.get(step.input, step.input)
    if isinstance(step, ConvStep) and step.residual is not None:
        residual = renamed.get(step.residual, step.residual)
        return replace(step, input=source, residual=residual)
    return replace(step, input=source)


def propagate_copies(
    steps: list[Step], shapes: Mapping[str, Shape], output: str
) -> tuple[list[Step], str]:
    """Leaves out the steps that give their only input back.

    Returns:
        The other steps, and the name that `output` has among them.
    """
    renamed: dict[str, str] = {}
    kept: list[Step] = []
    for step in steps:
        step = read_from(step, renamed)
        if _is_copy(step, shapes):
            renamed[step.value] = step.inputs[0]
        else:
            kept.append(step)
    return kept, renamed.get(output, output)


def summed(first: Array | None, second: Array | None) -> Array | None:
    """The sum of two biases, of which each is (C,), (C, H, W) or None."""
    if first is None or second is None:
        return second if first is None else first
    if first.ndim == second.ndim:
        return first + second
    wide, narrow = (first, second) if first.ndim > second.ndim else (second, first)
    return wide + narrow[:, None, None]


def _uses(steps: list[Step], output: str) -> Counter[str]:
    """How often each value is read; the network's output once more."""
    return Counter([output, *(name for step in steps for name in step.inputs)])


def _is_scale(step: ConvStep) -> bool:
    """Whether a convolution multiplies every channel with a number and no more."""
    plain = step.weight.shape[1:] == (1, 1, 1) and step.groups == len(step.weight)
    return plain and step.stride == (1, 1) and step.padding == ((0, 0), (0, 0))


def _takes(host: Step, step: AddStep) -> bool:
    """Whether a step can end with a sum: it has no ReLU yet, and room for the other summand."""
    if isinstance(host, ConvStep):
        return not host.relu and (len(step.inputs) == 1 or host.residual is None)
    return isinstance(host, AddStep) and not host.relu and len(step.inputs) == 1


def _merged(host: Step, step: AddStep, name: str) -> Step:
    """`host`, followed by the sum `step` of its value `name` and at most one other."""
    if isinstance(host, AddStep):
        bias = summed(host.bias, step.bias)
        return replace(host, value=step.value, bias=bias, relu=step.relu)
    assert isinstance(host, ConvStep)
    others = [other for other in step.inputs if other != name]
    bias = summed(host.bias, step.bias)
    assert bias is not None
    residual = others[0] if others else host.residual
    return replace(host, value=step.value, bias=bias, residual=residual, relu=step.relu)


def _is_copy(step: Step, shapes: Mapping[str, Shape]) -> bool:
    """Whether a step gives its only input back."""
    if isinstance(step, AddStep):
        return (
            len(step.inputs) == 1 and not step.relu and (step.bias is None or not step.bias.any())
        )
    if isinstance(step, PoolStep):
        return step.kernel == step.stride == (1, 1) and step.padding == (0, 0)
    if isinstance(step, ConcatStep):
        return len(step.inputs) == 1
    return isinstance(step, FlattenStep) and shapes[step.input] == shapes[step.value]
