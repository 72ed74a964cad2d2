"""Steps that a program can do without: copies of their input, and steps that nothing reads."""

from collections.abc import Mapping
from dataclasses import replace

from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.ir.program import (
    AddStep,
    ConcatStep,
    ConvStep,
    FlattenStep,
    PoolStep,
    Program,
    Step,
)


def eliminate_dead_steps(program: Program) -> Program:
    """Removes the steps that the output does not depend on."""
    live = {program.output}
    steps: list[Step] = []
    for step in reversed(program.steps):
        if step.value in live:
            live.update(step.inputs)
            steps.append(step)
    return program.with_steps(reversed(steps))


def propagate_copies(program: Program) -> Program:
    """Removes the steps that return their only input: its readers read that input itself."""
    sources: dict[str, str] = {}
    steps: list[Step] = []
    for step in program.steps:
        step = _with_inputs(step, sources)
        if _is_copy(step, program.shapes):
            sources[step.value] = step.inputs[0]
        else:
            steps.append(step)
    return program.with_steps(steps, output=sources.get(program.output, program.output))


def _with_inputs(step: Step, sources: Mapping[str, str]) -> Step:
    if isinstance(step, AddStep | ConcatStep):
        return replace(step, inputs=tuple(sources.get(name, name) for name in step.inputs))
    source = sources.get(step.input, step.input)
    if isinstance(step, ConvStep) and step.residual is not None:
        return replace(step, input=source, residual=sources.get(step.residual, step.residual))
    return replace(step, input=source)


def _is_copy(step: Step, shapes: Mapping[str, Shape]) -> bool:
    match step:
        case AddStep():
            no_bias = step.bias is None or not step.bias.any()
            return len(step.inputs) == 1 and not step.relu and no_bias
        case PoolStep():
            return step.kernel == step.stride == (1, 1) and step.padding == (0, 0)
        case ConcatStep():
            return len(step.inputs) == 1
        case FlattenStep():
            return shapes[step.input] == shapes[step.value]
        case ConvStep():
            return False
