"""Pruning goes on while the accuracy recovers; a training ends with the last state that did."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning import Callback

from lightprune.errors import InputError
from lightprune.pruning.event_record import PruningError
from lightprune.pruning.plan import Plan
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.schedules import Until
from lightprune.pruning.targets import Targets
from lightprune.training.fit import PhaseRun, fit
from tests.callbacks.fits import without_seconds
from tests.training.small import BreakOffAt, BrokenOffError, equal, phase, plan, small_setup


def course(drop, step=0.8):
    return Until(0.9999, step=step, drop=drop, recovery=2).plan(10)


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    torch.manual_seed(0)
    setup = small_setup()
    run = PhaseRun("dense", phase(8), plan(epochs=8))
    return fit(setup, setup.new_network(), run, tmp_path_factory.mktemp("dense")).state


def trained(folder, dense, drop, *watchers, callbacks=None, **settings):
    setup = small_setup(*watchers)
    run = PhaseRun(
        "finetune",
        phase(10),
        course(drop, **settings),
        pruner=Pruner(),
        callbacks=callbacks or {},
    )
    return fit(setup, setup.network_from(dense), run, folder)


@given(
    sparsity=st.floats(0.01, 0.99),
    step=st.floats(0.05, 0.95),
    recovery=st.integers(1, 4),
    epochs=st.integers(4, 40),
)
def test_the_longest_course_takes_equal_shares_up_to_the_sparsity(sparsity, step, recovery, epochs):
    longest = Until(sparsity, step=step, drop=1, recovery=recovery).plan(epochs)
    shares = [event.sparsity for event in longest.events]

    assert longest.drop == 1
    assert [event.epoch for event in longest.events] == [recovery * n for n in range(len(shares))]
    assert longest.epochs - longest.events[-1].epoch >= recovery
    equal = [min(1 - (1 - step) ** n, sparsity) for n in range(1, len(shares) + 1)]
    assert shares == pytest.approx(equal, abs=1e-9)
    assert shares[-1] == sparsity or longest.epochs < recovery * (len(shares) + 1)


@pytest.mark.parametrize(("sparsity", "events"), [(0.36, 2), (0.488, 3), (0.2, 1)])
def test_rounding_adds_no_event_that_prunes_nothing(sparsity, events):
    longest = Until(sparsity, step=0.2).plan(20)

    assert len(longest.events) == events
    assert longest.final == sparsity


@pytest.mark.parametrize(("recovered", "expected"), [(0.9, True), (0.895, True), (0.894, False)])
def test_a_drop_is_in_percentage_points_and_includes_its_value(recovered, expected):
    assert Plan((), 1, drop=0.5).tolerates(0.9, recovered) == expected
    assert Plan((), 1).tolerates(0.9, recovered)


def test_a_training_ends_with_the_last_state_that_recovered(tmp_path, dense):
    done = trained(tmp_path, dense, 10)
    before, events = done.records[0].before, course(10).events
    weights = [done.state[name] for name in Targets().find(small_setup().new_network())]

    assert 0 < len(done.records) < len(events)
    assert all(before - record.recovered <= 0.1 for record in done.records)
    assert done.epoch == events[len(done.records)].epoch - 1
    assert len(done.rows) == done.epoch + 3
    assert before - done.rows[-1].val_accuracy > 0.1
    assert sum(int((w == 0).sum()) for w in weights) == done.records[-1].pruned
    assert done.validation == done.records[-1].recovered
    assert done.not_tolerated.target == events[len(done.records)].sparsity
    assert done.not_tolerated.recovered == done.rows[-1].val_accuracy


def test_what_always_recovers_takes_the_longest_course(tmp_path, dense):
    done = trained(tmp_path, dense, 100, step=0.3)

    assert len(done.records) == 5
    assert done.not_tolerated is None
    assert done.epoch == 9


@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
def test_it_resumes_to_the_same_bits(tmp_path, dense, epoch):
    whole = trained(tmp_path / "whole", dense, 10)
    with pytest.raises(BrokenOffError):
        trained(tmp_path / "parts", dense, 10, BreakOffAt(epoch))
    resumed = trained(tmp_path / "parts", dense, 10)

    assert equal(resumed.state, whole.state)
    assert resumed.records == whole.records
    assert without_seconds(resumed.rows) == without_seconds(whole.rows)


def test_callbacks_of_the_user_change_no_result_and_no_resumed_one(tmp_path, dense):
    own = {"idle": Callback()}
    alone = trained(tmp_path / "alone", dense, 10)
    beside = trained(tmp_path / "beside", dense, 10, callbacks=own)
    again = trained(tmp_path / "beside", dense, 10, callbacks=own)

    assert alone.not_tolerated is not None
    for done in (beside, again):
        assert equal(done.state, alone.state)
        assert done.not_tolerated == alone.not_tolerated
        assert without_seconds(done.rows) == without_seconds(alone.rows)


def test_what_was_over_trains_no_further_epoch(tmp_path, dense):
    whole = trained(tmp_path, dense, 10)
    again = trained(tmp_path, dense, 10)

    assert equal(again.state, whole.state)
    assert again.rows == whole.rows
    assert again.records == whole.records
    assert again.not_tolerated == whole.not_tolerated


def test_no_event_that_is_tolerated_is_an_error(tmp_path, dense):
    with pytest.raises(PruningError, match=r"schedule.drop=0: at sparsity 99\.\d+%, after"):
        trained(tmp_path, dense, 0, step=0.999)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": 1}, r"schedule.step=1: allowed is a number in \(0, 1\)"),
        ({"drop": -1}, r"schedule.drop=-1: allowed is a number in \[0, 100\]"),
        ({"recovery": 0}, r"schedule.recovery=0: allowed is an integer at least 1"),
        ({"every_n_steps": 3}, r"schedule.every_n_steps=3: until has schedule.step and"),
        ({"sparsity": None, "amount": 0.3}, r"schedule.amount=0.3: until has schedule.step and"),
        ({"recovery": 11}, r"schedule.recovery=11: allowed are at most epochs=10"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(InputError, match=message):
        Until(**{"sparsity": 0.9, **settings}).plan(10)
