"""Steps that a program can do without: copies of their input, and steps that nothing reads."""

from collections.abc import Mapping
from dataclasses import replace

from lightprune.sparse.ir import program as ir
from lightprune.sparse.ir.ops import Shape


def eliminate_dead_steps(program: ir.Program) -> ir.Program:
    """Removes the steps that the output does not depend on."""
    live = {program.output}
    steps: list[ir.Step] = []
    for step in reversed(program.steps):
        if step.value in live:
            live.update(step.inputs)
            steps.append(step)
    return program.with_steps(reversed(steps))


def propagate_copies(program: ir.Program) -> ir.Program:
    """Removes the steps that return their only input: its readers read that input itself."""
    sources: dict[str, str] = {}
    steps: list[ir.Step] = []
    for step in program.steps:
        step = replace(step, inputs=tuple(sources.get(name, name) for name in step.inputs))
        if _is_copy(step, program.shapes):
            sources[step.value] = step.input
        else:
            steps.append(step)
    return program.with_steps(steps, output=sources.get(program.output, program.output))


def _is_copy(step: ir.Step, shapes: Mapping[str, Shape]) -> bool:
    match step:
        case ir.AddStep(inputs=(_,), relu=False):
            return step.bias is None or not step.bias.any()
        case ir.PoolStep(padding=(0, 0)):
            return step.kernel == step.stride == (1, 1)
        case ir.ConcatStep(inputs=(_,)):
            return True
        case ir.FlattenStep():
            return shapes[step.input] == shapes[step.value]
    return False
