"""In which order values are computed, and which follow at once on what they are computed from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.program import ConcatStep, FlattenStep, PoolStep, Program, Step


@dataclass(frozen=True)
class Task:
    """One operation on all channels of a value.

    Attributes:
        value: The name of what it computes.
        reads: The names of what it reads, sorted values included.
        step: The step it carries out; None packs the images.
        follows: Whether it is computed channel by channel from what was computed just before, so
            that whoever computed some channels of that goes on with them.
    """

    value: str
    reads: tuple[str, ...]
    step: Step | None
    follows: bool


def schedule(program: Program, sortings: Mapping[str, str]) -> tuple[Task, ...]:
    """Orders what a program computes.

    Args:
        program: The steps.
        sortings: By a step's value, the name of the sorted value it reads.
    """
    return tuple(_tasks(program, sortings))


def _tasks(program: Program, sortings: Mapping[str, str]) -> Iterator[Task]:
    yield Task(INPUT, (), None, follows=False)
    before: tuple[str, bool] = (INPUT, True)
    for step in program.steps:
        by_channel = not isinstance(step, ConcatStep | FlattenStep)
        follows = isinstance(step, PoolStep) and before == (step.input, True)
        sorted_ = (sortings[step.value],) if step.value in sortings else ()
        yield Task(step.value, (*step.inputs, *sorted_), step, follows)
        before = (step.value, by_channel)
