"""The order of computation, and which tasks are fused to the one before."""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.program import ConcatStep, FlattenStep, PoolStep, Program, Step


@dataclass(frozen=True)
class Task:
    """The computation of one value.

    Attributes:
        reads: The names of what it reads, packed inputs included.
        step: The program step; None packs the images.
        fused: Whether each channel is computed from that channel of the task before, so that the
            thread that computed some channels there continues with them here.
    """

    value: str
    reads: tuple[str, ...]
    step: Step | None
    fused: bool


def schedule(
    program: Program, packed_inputs: Mapping[str, str], bands: Container[str]
) -> tuple[Task, ...]:
    """Orders what a program computes.

    `packed_inputs` names those that a step's value reads; threads share the values `bands` by bands
    of pixels, and the others by channels.
    """
    tasks = [Task(INPUT, (), None, fused=False)]
    previous: tuple[str, bool] = (INPUT, True)
    for step in program.steps:
        fused = isinstance(step, PoolStep) and previous == (step.input, True)
        packed = (packed_inputs[step.value],) if step.value in packed_inputs else ()
        tasks.append(Task(step.value, (*step.inputs, *packed), step, fused))
        by_channel = step.value not in bands and not isinstance(step, ConcatStep | FlattenStep)
        previous = (step.value, by_channel)
    return tuple(tasks)
