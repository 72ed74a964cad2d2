import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lightprune.errors import InputError
from lightprune.pruning.plan import Plan, PruneEvent
from lightprune.pruning.schedules import (
    Constant,
    Cosine,
    Cubic,
    Geometric,
    Linear,
    MultiStep,
    OneShot,
)
from tests.pruning.strategies import schedules

KINDS = [OneShot, MultiStep, Linear, Cubic, Geometric, Cosine]
RAMPS = [Linear, Cubic, Geometric, Cosine]


@pytest.mark.parametrize(
    ("kind", "shares"),
    [
        (Linear, (0.245, 0.490, 0.735)),
        (Cubic, (0.567, 0.858, 0.965)),
        (Geometric, (0.624, 0.859, 0.947)),
        (Cosine, (0.144, 0.490, 0.837)),
    ],
)
def test_the_ramps_pass_through_their_published_values(kind, shares):
    ramp = kind(sparsity=0.98)

    assert [ramp.sparsity_at(p, 0.98) for p in (0.25, 0.5, 0.75)] == pytest.approx(shares, abs=6e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("final", [0.0, 0.5, 0.98])
def test_every_shape_ends_at_the_final_sparsity(kind, final):
    assert kind(sparsity=final).sparsity_at(1.0, final) == pytest.approx(final)


@pytest.mark.parametrize(("steps", "amount"), [(2, 0.859), (4, 0.624), (8, 0.387)])
def test_multi_step_prunes_the_same_share_of_the_kept_weights_at_every_event(steps, amount):
    plan = MultiStep(sparsity=0.98, steps=steps).plan(epochs=steps)

    kept = [1.0, *(1 - event.sparsity for event in plan.events)]
    assert [1 - b / a for a, b in pairwise(kept)] == pytest.approx([amount] * steps, abs=5e-4)


@pytest.mark.parametrize("amount", [0.1, 0.3, 0.7])
def test_a_relative_amount_compounds(amount):
    plan = MultiStep(amount=amount, steps=8).plan(epochs=80)

    expected = [1 - (1 - amount) ** k for k in range(1, 9)]
    assert [event.sparsity for event in plan.events] == pytest.approx(expected, abs=1e-12)


def test_eight_steps_of_thirty_percent_end_at_the_sparsity_of_the_study():
    plan = MultiStep(amount=0.3, steps=8).plan(epochs=400)

    assert plan.final == pytest.approx(0.94235199, abs=1e-12)
    assert [event.epoch for event in plan.events] == list(range(0, 400, 50))


def test_multi_step_rounds_its_gaps_down_to_whole_epochs():
    plan = MultiStep(sparsity=0.9, steps=4).plan(epochs=10)

    assert [event.epoch for event in plan.events] == [0, 2, 5, 7]


@given(st.integers(1, 120), st.integers(1, 20), st.floats(0.01, 1))
def test_multi_step_shares_out_the_epochs_of_its_span(epochs, steps, span):
    schedule, shared = MultiStep(0.9, steps=steps, span=span), max(1, round(span * epochs))
    if steps > shared:
        with pytest.raises(InputError, match=f"schedule.steps={steps}: allowed are at most "):
            schedule.plan(epochs)
    else:
        assert schedule.plan(epochs).events == MultiStep(0.9, steps=steps).plan(shared).events


def test_one_shot_prunes_once_at_the_start():
    assert OneShot(sparsity=0.98).plan(epochs=30).events == (PruneEvent(0, 0.98),)


def test_one_shot_takes_an_amount_as_a_sparsity():
    assert OneShot(amount=0.3).plan(epochs=30).final == pytest.approx(0.3)


@pytest.mark.parametrize("kind", RAMPS)
def test_a_ramp_has_one_event_an_epoch_over_its_span(kind):
    plan = kind(sparsity=0.98, span=0.7).plan(epochs=20)

    assert [event.epoch for event in plan.events] == list(range(14))


@pytest.mark.parametrize("kind", RAMPS)
def test_a_ramp_over_the_whole_budget_leaves_its_last_epoch_for_recovery(kind):
    plan = kind(sparsity=0.98, span=1.0).plan(epochs=20)

    assert plan.events[-1] == PruneEvent(19, 0.98)


def test_a_constant_schedule_is_at_its_final_sparsity_from_the_first_event_on():
    plan = Constant(sparsity=0.9, span=0.5).plan(epochs=8)

    assert plan.events == tuple(PruneEvent(epoch, 0.9) for epoch in range(4))


def test_a_constant_schedule_takes_no_amount():
    with pytest.raises(InputError, match=r"schedule\.amount=0\.3: .*allowed is schedule\.sparsity"):
        Constant(amount=0.3)


@given(schedules())
@example((Geometric(sparsity=1e-16), 30))
@example((MultiStep(sparsity=1e-16, steps=9), 30))
def test_every_schedule_rises_to_exactly_its_target_within_the_budget(case):
    schedule, epochs = case

    plan = schedule.plan(epochs)

    starts = [event.epoch for event in plan.events]
    shares = [event.sparsity for event in plan.events]
    assert starts[0] == 0
    assert starts[-1] < epochs
    assert starts == sorted(set(starts))
    assert shares == sorted(shares)
    assert shares[0] >= 0
    assert plan.final == shares[-1] == schedule.sparsity


@given(schedules())
def test_learning_rate_cycles_partition_the_epochs_at_the_events(case):
    schedule, epochs = case
    plan = schedule.plan(epochs)

    cycles = list(dict.fromkeys(plan.cycle_at(epoch) for epoch in range(epochs)))

    assert [epoch for cycle in cycles for epoch in cycle] == list(range(epochs))
    assert all(epoch in plan.cycle_at(epoch) for epoch in range(epochs))
    assert [cycle.start for cycle in cycles] == [event.epoch for event in plan.events]


def test_the_epochs_before_a_late_first_event_are_a_cycle_of_their_own():
    plan = Plan((PruneEvent(3, 0.5), PruneEvent(5, 0.9)), epochs=8)

    assert [plan.cycle_at(epoch) for epoch in (0, 2, 3, 4, 5, 7)] == [
        range(0, 3),
        range(0, 3),
        range(3, 5),
        range(3, 5),
        range(5, 8),
        range(5, 8),
    ]


@given(schedules())
def test_event_at_finds_every_event_at_its_epoch_and_nothing_else(case):
    schedule, epochs = case
    plan = schedule.plan(epochs)

    found = [event for epoch in range(epochs) if (event := plan.event_at(epoch))]

    assert tuple(found) == plan.events


@given(schedules())
def test_epochs_are_final_from_the_last_event_on(case):
    schedule, epochs = case
    plan = schedule.plan(epochs)

    last = plan.events[-1].epoch
    assert [plan.final_at(epoch) for epoch in range(epochs)] == [e >= last for e in range(epochs)]


def test_a_plan_without_events_is_one_cycle_at_its_final_sparsity():
    plan = Plan((), epochs=5)

    assert plan.final == 0
    assert plan.event_at(0) is None
    assert plan.final_at(0)
    assert plan.cycle_at(2) == range(5)


@pytest.mark.parametrize(
    "events",
    [
        ((3, 0.5), (3, 0.6)),
        ((3, 0.5), (2, 0.6)),
        ((1, 0.6), (2, 0.5)),
    ],
)
def test_a_plan_whose_events_do_not_rise_is_refused(events):
    with pytest.raises(InputError, match=r"schedule: .* allowed is a rising order"):
        Plan(tuple(PruneEvent(*event) for event in events), epochs=10)


@pytest.mark.parametrize("epoch", [-1, 10, 11])
def test_a_plan_with_an_event_outside_the_budget_is_refused(epoch):
    with pytest.raises(InputError, match=rf"epoch {epoch} .*epochs=10"):
        Plan((PruneEvent(epoch, 0.5),), epochs=10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_budget_of_no_epochs_is_refused(kind):
    with pytest.raises(InputError, match=r"epochs=0"):
        kind(sparsity=0.5).plan(epochs=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("targets", [{}, {"sparsity": 0.9, "amount": 0.3}])
def test_the_target_is_given_exactly_once(kind, targets):
    message = r"schedule\.sparsity=.*, schedule\.amount=.*: allowed is exactly one"
    with pytest.raises(InputError, match=message):
        kind(**targets)


@given(st.integers(1, 50), st.integers(1, 50))
def test_more_steps_than_epochs_are_refused_naming_both_settings(epochs, excess):
    message = rf"schedule\.steps={epochs + excess}: .*epochs={epochs}"
    with pytest.raises(InputError, match=message):
        MultiStep(sparsity=0.5, steps=epochs + excess).plan(epochs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [True, "0.5", math.nan, math.inf, -0.1, 1, 1.5])
def test_a_sparsity_that_is_no_share_below_one_is_refused(kind, value):
    with pytest.raises(InputError, match=r"schedule\.sparsity=.*: allowed is a number in \[0, 1\)"):
        kind(sparsity=value)


@pytest.mark.parametrize("value", [True, "0.3", math.nan, 0, 1, -0.1])
def test_an_amount_that_is_no_share_is_refused(value):
    with pytest.raises(InputError, match=r"schedule\.amount=.*: allowed is a number in \(0, 1\)"):
        MultiStep(amount=value)


@pytest.mark.parametrize("value", [True, "4", 4.0, math.nan, 0, -1, None])
def test_steps_that_are_no_positive_integer_are_refused(value):
    with pytest.raises(InputError, match=r"schedule\.steps=.*: allowed is an integer at least 1"):
        MultiStep(sparsity=0.5, steps=value)


@pytest.mark.parametrize("kind", [MultiStep, *RAMPS])
@pytest.mark.parametrize("value", [True, "0.7", math.nan, 0, 1.1, None])
def test_a_span_outside_the_budget_is_refused(kind, value):
    with pytest.raises(InputError, match=r"schedule\.span=.*: allowed is a number in \(0, 1\]"):
        kind(sparsity=0.5, span=value)


def test_an_amount_that_would_leave_nothing_is_refused():
    with pytest.raises(InputError, match=r"schedule\.amount: its sparsity=1\.0"):
        Geometric(amount=0.99).plan(epochs=200)


@pytest.mark.parametrize("kind", KINDS)
def test_a_later_start_lays_the_same_shape_out_over_the_remaining_epochs(kind):
    late, early = kind(sparsity=0.9, start=3).plan(13), kind(sparsity=0.9).plan(10)

    assert late.epochs == 13
    assert [(e.epoch - 3, e.sparsity) for e in late.events] == [
        (e.epoch, e.sparsity) for e in early.events
    ]


@given(schedules(), st.integers(0, 40))
def test_a_start_leaves_room_or_is_refused(case, start):
    schedule, epochs = case
    late = replace(schedule, start=start)
    try:
        plan = late.plan(epochs)
    except InputError:
        room = max(epochs - start, 0)
        assert room < (schedule.steps if isinstance(schedule, MultiStep) else 1)
    else:
        assert plan.events[0].epoch == start
        assert plan.final == schedule.sparsity
        assert [plan.progress_at(event) for event in plan.events] == [
            i / len(plan.events) for i in range(len(plan.events))
        ]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (OneShot(0.5, start=4), "schedule.start=4: allowed are epochs below .*epochs=4"),
        (MultiStep(0.5, steps=4, start=1), r"at most epochs=4 less schedule\.start="),
    ],
)
def test_a_start_without_room_is_refused_by_name(schedule, message):
    with pytest.raises(InputError, match=message):
        schedule.plan(4)


@pytest.mark.parametrize("start", [-1, 0.5, True])
def test_a_start_is_a_whole_number_of_epochs(start):
    with pytest.raises(InputError, match=r"schedule\.start="):
        OneShot(0.5, start=start)
