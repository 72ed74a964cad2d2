"""Schedules that count optimizer steps: the course of epochs in blocks of steps."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightprune.errors import InputError
from lightprune.pruning.plan import Plan, PruneEvent
from lightprune.pruning.schedules import Cubic, Linear, MultiStep, OneShot, is_cut_to_one_event
from tests.pruning.schedules.test_shapes import schedules


@given(schedules(), st.integers(1, 7), st.integers(0, 6), st.integers(1, 9), st.integers(0, 20))
def test_blocks_of_steps_take_the_place_of_epochs(case, every, rest, per_epoch, start):
    schedule, blocks = case
    steps = start + blocks * every + rest % every
    counted = replace(schedule, every_n_steps=every, start=start)
    plan = counted.plan(-(-steps // per_epoch), per_epoch, steps)
    by_epoch = schedule.plan(blocks)

    assert [event.step for event in plan.events] == [
        start + every * event.epoch for event in by_epoch.events
    ]
    assert [event.sparsity for event in plan.events] == [e.sparsity for e in by_epoch.events]
    assert all(event.epoch == event.step // per_epoch < plan.epochs for event in plan.events)
    cycles = list(dict.fromkeys(plan.cycle_at(step) for step in range(steps)))
    assert [step for cycle in cycles for step in cycle] == list(range(steps))
    assert {cycle.start for cycle in cycles} == {0, *(event.step for event in plan.events)}
    assert tuple(filter(None, map(plan.event_at, range(steps)))) == plan.events


def test_gradual_pruning_fits_one_epoch():
    plan = Linear(0.8, span=1.0, every_n_steps=10).plan(1, 45)

    assert [(event.epoch, event.step) for event in plan.events] == [
        (0, 0),
        (0, 10),
        (0, 20),
        (0, 30),
    ]
    assert [event.sparsity for event in plan.events] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert (plan.epochs, plan.steps) == (1, 45)
    assert plan.final_at(0)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (
            Cubic(0.5, every_n_steps=13),
            "schedule.start=0, schedule.every_n_steps=13: do not fit the 12 optimizer steps",
        ),
        (
            OneShot(0.5, every_n_steps=1, start=12),
            "schedule.start=12, schedule.every_n_steps=1: do not fit the 12 optimizer steps",
        ),
        (
            MultiStep(0.5, steps=5, every_n_steps=3),
            "schedule.steps=5: allowed are at most 4, as often as schedule.every_n_steps=3 fits$",
        ),
        (
            MultiStep(0.5, steps=3, span=0.5, every_n_steps=3),
            "allowed are at most 2, as often as schedule.every_n_steps=3 fits in "
            "schedule.span=0.5 of the steps",
        ),
        (
            MultiStep(0.5, steps=3, span=0.5),
            "schedule.steps=3: allowed are at most 2, the epochs that schedule.span=0.5 has of "
            "epochs=4$",
        ),
        (
            MultiStep(0.5, steps=3, span=0.7, start=1),
            "at most 2, the epochs that schedule.span=0.7 has of epochs=4 less schedule.start=1",
        ),
        (
            MultiStep(0.5, steps=5, span=0.99),
            "schedule.steps=5: allowed are at most epochs=4$",
        ),
    ],
)
def test_steps_without_room_are_refused_by_name(schedule, message):
    with pytest.raises(InputError, match=message):
        schedule.plan(4, 3)


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "10"])
def test_steps_between_events_are_a_whole_number(value):
    with pytest.raises(InputError, match=r"schedule\.every_n_steps=.*: allowed is an integer"):
        Cubic(0.5, every_n_steps=value)


def test_a_plan_mixes_no_units():
    with pytest.raises(InputError, match="allowed are events at steps in this plan"):
        Plan((PruneEvent(0, 0.5),), epochs=1, steps=9)
    with pytest.raises(InputError, match="allowed are events at epochs in this plan"):
        Plan((PruneEvent(0, 0.5, 3),), epochs=1)


def test_a_budget_with_room_for_one_event_is_told_from_one_shot():
    cubic = Cubic(0.9)

    assert is_cut_to_one_event(cubic, cubic.plan(1))
    assert not is_cut_to_one_event(cubic, cubic.plan(4))
    assert not is_cut_to_one_event(OneShot(0.9), OneShot(0.9).plan(1))
    assert not is_cut_to_one_event(cubic, replace(cubic, every_n_steps=2).plan(1, 9))
