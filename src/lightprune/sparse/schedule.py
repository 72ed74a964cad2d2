"""In which order values are computed, and which follow at once on what they are computed from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lightprune.sparse.graph import INPUT
from lightprune.sparse.program import ConcatStep, FlattenStep, PoolStep, Program, Step


@dataclass(frozen=True)
class Task:
    """One operation on all channels of a value.

    Attributes:
        value: The name of what it computes.
        reads: The names of what it reads, sorted values included.
        step: The step it carries out; None packs the images or splits a value.
        follows: Whether it is computed channel by channel from what was computed just before, so
            that whoever computed some channels of that goes on with them.
    """

    value: str
    reads: tuple[str, ...]
    step: Step | None
    follows: bool


def schedule(
    program: Program, splits: Mapping[str, str], sortings: Mapping[str, tuple[str, str]]
) -> tuple[Task, ...]:
    """Orders what a program computes.

    Args:
        program: The steps.
        splits: The names of split values, with those of the values that they come from.
        sortings: By a step's value, the names of what it sorts and of the sorted value it reads.
    """
    return tuple(_tasks(program, splits, sortings))


def _tasks(
    program: Program, splits: Mapping[str, str], sortings: Mapping[str, tuple[str, str]]
) -> Iterator[Task]:
    yield Task(INPUT, (), None, follows=False)
    yield from _splits(INPUT, splits, by_channel=True)
    before: tuple[str, bool] = (INPUT, True)
    for step in program.steps:
        by_channel = not isinstance(step, ConcatStep | FlattenStep)
        follows = isinstance(step, PoolStep) and before == (step.input, True)
        yield Task(step.value, (*step.inputs, *sortings.get(step.value, ())), step, follows)
        yield from _splits(step.value, splits, by_channel)
        before = (step.value, by_channel)


def _splits(value: str, splits: Mapping[str, str], by_channel: bool) -> Iterator[Task]:
    for name, origin in splits.items():
        if origin == value:
            yield Task(name, (value,), None, by_channel)
