import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightprune.errors import InputError
from lightprune.pruning.plan import Plan, PruneEvent
from lightprune.training.lr_schedule import (
    LearningRate,
    LRCycles,
    RewoundLR,
    allr_peak,
    lr_shape,
    peak_lr,
)
from tests.training.small import plan

SHAPES = ("linear", "cosine", "multistep", "constant")


@st.composite
def rates(draw):
    milestones = draw(st.lists(st.floats(0, 1), max_size=3))
    return LearningRate(
        draw(st.floats(1e-6, 10)),
        draw(st.sampled_from(SHAPES)),
        draw(st.one_of(st.just(0.0), st.floats(0, 1, exclude_max=True))),
        tuple(sorted(milestones)),
    )


@st.composite
def courses(draw):
    epochs = draw(st.integers(1, 12))
    starts = sorted(draw(st.sets(st.integers(0, epochs - 1))))
    return plan(*((start, 0.5) for start in starts), epochs=epochs)


@pytest.mark.parametrize(
    ("shape", "progress", "factor"),
    [
        ("linear", 0.0, 1.0),
        ("linear", 0.25, 0.75),
        ("linear", 1.0, 0.0),
        ("cosine", 0.0, 1.0),
        ("cosine", 1 / 3, 0.75),
        ("cosine", 0.5, 0.5),
        ("cosine", 1.0, 0.0),
        ("multistep", 0.49, 1.0),
        ("multistep", 0.5, 0.1),
        ("multistep", 0.74, 0.1),
        ("multistep", 0.75, 0.01),
        ("multistep", 1.0, 0.01),
        ("constant", 0.0, 1.0),
        ("constant", 1.0, 1.0),
    ],
)
def test_a_shape_takes_its_known_values(shape, progress, factor):
    rate = LearningRate(0.3, shape, warmup=0.0)

    assert rate.at(progress) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_rate_first_rises_linearly_to_the_peak(shape):
    rate = LearningRate(0.3, shape, warmup=0.2)

    assert [rate.at(p) for p in (0.0, 0.05, 0.1)] == pytest.approx([0, 0.25, 0.5])
    assert rate.at(0.2) == 1


@pytest.mark.parametrize(
    ("shape", "factor"), [("linear", 0.5), ("cosine", 0.5), ("multistep", 0.1), ("constant", 1)]
)
def test_the_shape_takes_what_the_warm_up_leaves(shape, factor):
    rate = LearningRate(0.3, shape, warmup=0.25, milestones=(0.5,))

    assert rate.at(0.625) == pytest.approx(factor)


def test_the_milestones_are_shares_of_the_cycle_as_in_the_reference():
    cycles = LRCycles(LearningRate(0.1, "multistep", warmup=0.0), plan(epochs=200))
    by_epoch = [cycles.at(step, 1, 0.1) for step in range(200)]

    assert by_epoch == pytest.approx([0.1] * 100 + [0.01] * 50 + [0.001] * 50)


def test_the_milestones_are_shares_of_what_follows_the_warm_up():
    rate = LearningRate(0.1, "multistep", warmup=0.15)  # 0.15 + 0.85 * 0.5 and 0.75

    assert [rate.at(at) for at in (0.574, 0.576)] == pytest.approx([1, 0.1])
    assert [rate.at(at) for at in (0.787, 0.788)] == pytest.approx([0.1, 0.01])


def test_a_step_takes_the_rate_of_its_middle():
    cycles = LRCycles(LearningRate(1.0, "linear", warmup=0.0), plan(epochs=2))

    assert [cycles.at(step, 2, 1.0) for step in range(4)] == [0.875, 0.625, 0.375, 0.125]


def test_every_prune_event_starts_a_cycle():
    cycles = LRCycles(LearningRate(1.0, "linear", warmup=0.0), plan((0, 0.5), (2, 0.9), epochs=4))

    rates = [cycles.at(step, 1, 1.0) for step in range(4)]

    assert rates == [0.75, 0.25, 0.75, 0.25]
    assert [cycles.cycle_at(epoch) for epoch in range(4)] == [range(0, 2)] * 2 + [range(2, 4)] * 2


def test_the_epochs_before_the_first_event_are_a_cycle_too():
    cycles = LRCycles(LearningRate(1.0, "linear", warmup=0.0), plan((2, 0.5), epochs=3))

    assert [cycles.cycle_at(epoch) for epoch in range(3)] == [range(0, 2)] * 2 + [range(2, 3)]


def test_without_restarts_the_phase_is_one_cycle():
    course = plan((0, 0.5), (2, 0.9), epochs=4)
    cycles = LRCycles(LearningRate(1.0, "linear", warmup=0.0), course, restart="never")

    assert [cycles.at(step, 1, 1.0) for step in range(4)] == [0.875, 0.625, 0.375, 0.125]
    assert cycles.cycle_at(3) == range(0, 4)


@given(rate=rates(), course=courses(), steps=st.integers(1, 9), restart=st.booleans())
def test_the_rate_is_never_negative_and_never_above_the_peak(rate, course, steps, restart):
    cycles = LRCycles(rate, course, "event" if restart else "never")

    for step in range(course.epochs * steps + 2):
        assert 0 <= cycles.at(step, steps, rate.peak) <= rate.peak


@given(rate=rates(), course=courses(), steps=st.integers(1, 9), order=st.randoms())
def test_the_rate_of_a_step_does_not_depend_on_what_was_asked_before(rate, course, steps, order):
    cycles = LRCycles(rate, course)
    numbers = list(range(course.epochs * steps))
    expected = {step: cycles.at(step, steps, 0.3) for step in numbers}
    order.shuffle(numbers)

    assert all(cycles.at(step, steps, 0.3) == expected[step] for step in numbers)


@given(rate=rates(), length=st.integers(1, 5), count=st.integers(1, 4), steps=st.integers(1, 5))
def test_cycles_of_equal_length_are_alike(rate, length, count, steps):
    course = plan(*((length * k, 0.5) for k in range(count)), epochs=length * count)
    cycles = LRCycles(rate, course)
    period = length * steps

    for step in range(period * (count - 1)):
        assert cycles.at(step, steps, 1.0) == pytest.approx(cycles.at(step + period, steps, 1.0))


@given(
    highest=st.floats(1e-4, 1),
    distance=st.floats(0, 1),
    sparsity=st.floats(1e-3, 1, exclude_max=True),
    epochs=st.integers(1, 300),
    dense=st.integers(1, 300),
)
def test_the_adaptive_peak_lies_between_the_budgets_share_and_the_dense_peak(
    highest, distance, sparsity, epochs, dense
):
    peak = allr_peak(highest, distance, sparsity, epochs, dense)

    assert highest * min(1, epochs / dense) <= peak <= highest


@pytest.mark.parametrize(
    ("distance", "sparsity", "epochs", "expected"),
    [
        (0.5, 0.81, 10, 0.3 * 0.5 / 0.9),
        (0.01, 0.81, 10, 0.3 * 10 / 100),
        (0.95, 0.81, 10, 0.3),
        (0.0, 0.81, 200, 0.3),
        (0.4, 0.64, 1, 0.3 / 2),
    ],
)
def test_the_adaptive_peak_takes_its_known_values(distance, sparsity, epochs, expected):
    assert math.isclose(allr_peak(0.3, distance, sparsity, epochs, 100), expected)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"peak": 0}, "learning_rate.peak=0: allowed is a number above 0"),
        ({"peak": -0.1}, "learning_rate.peak=-0.1: allowed is a number above 0"),
        ({"peak": math.nan}, "learning_rate.peak=nan"),
        ({"peak": math.inf}, "learning_rate.peak=inf"),
        ({"peak": "automatic"}, "learning_rate.peak=automatic: allowed are a number or auto"),
        ({"shape": "cosin"}, "learning_rate.shape=cosin: .*did you mean cosine"),
        ({"warmup": 1.0}, r"learning_rate.warmup=1.0: allowed is a number in \[0, 1\)"),
        ({"warmup": -0.1}, "learning_rate.warmup=-0.1"),
        ({"milestones": (0.5, 1.5)}, r"learning_rate.milestones=1.5: allowed is .* \[0, 1\]"),
        ({"milestones": (100, 150)}, "learning_rate.milestones=100"),
    ],
    ids=str,
)
def test_a_bad_setting_is_refused_with_what_is_allowed(setting, message):
    with pytest.raises(InputError, match=message):
        LearningRate(**{"peak": 0.1, **setting})


def test_a_list_of_milestones_is_taken_as_a_config_gives_it():
    assert LearningRate(0.1, milestones=[0.3]) == LearningRate(0.1, milestones=(0.3,))


def test_rewinding_repeats_the_last_epochs_of_the_dense_course():
    dense = LearningRate(0.3, "cosine", warmup=0.2)
    course, steps = plan((0, 0.5), (4, 0.9), epochs=7), 5
    whole = LRCycles(dense, plan(epochs=10))
    rewound = LRCycles(RewoundLR(dense, 10), course)

    before = [whole.at(step, steps, 0.3) for step in range(10 * steps)]
    after = [rewound.at(step, steps, 0.3) for step in range(7 * steps)]
    assert after[: 4 * steps] == pytest.approx(before[-4 * steps :])
    assert after[4 * steps :] == pytest.approx(before[-3 * steps :])


@given(rate=rates(), course=courses(), spare=st.integers(0, 5))
def test_a_rewound_rate_is_never_negative_and_never_above_the_peak(rate, course, spare):
    cycles = LRCycles(RewoundLR(rate, course.epochs + spare), course)

    for step in range(course.epochs * 3):
        assert 0 <= cycles.at(step, 3, 1.0) <= 1


def test_fine_tuning_that_rewinds_takes_the_dense_shape_and_peak():
    finetune = LearningRate(0.2, "rewind")
    dense = LearningRate(0.7, "cosine")

    assert lr_shape(finetune, dense, 8) == RewoundLR(dense, 8)
    assert lr_shape(dense, dense, 8) == dense
    assert peak_lr(finetune, dense, epochs=4, dense_epochs=8) == 0.7
    assert peak_lr(LearningRate(0.2), dense, epochs=4, dense_epochs=8) == 0.2


def test_an_automatic_peak_needs_an_event_that_pruned():
    finetune, dense = LearningRate("auto"), LearningRate(0.7)

    assert peak_lr(finetune, dense, epochs=4, dense_epochs=8, distance=0.9) == 0.7
    # One that took unreachable weights alone changed nothing: the least peak.
    assert peak_lr(finetune, dense, epochs=4, dense_epochs=8, pruned=0.0) == 0.35
    assert peak_lr(finetune, dense, epochs=4, dense_epochs=0, distance=0.1, pruned=0.25) == 0.7


@given(rate=rates(), course=courses(), steps=st.integers(1, 9), restart=st.booleans())
def test_events_at_the_first_steps_of_epochs_give_the_rates_of_events_at_epochs(
    rate, course, steps, restart
):
    at_steps = Plan(
        tuple(PruneEvent(e.epoch, e.sparsity, e.epoch * steps) for e in course.events),
        course.epochs,
        course.epochs * steps,
    )
    mode = "event" if restart else "never"
    for step in range(course.epochs * steps + 2):
        by_epoch, by_step = (
            LRCycles(rate, each, mode).at(step, steps, rate.peak) for each in (course, at_steps)
        )
        assert by_step == by_epoch


def test_a_cycle_between_events_within_an_epoch_goes_through_the_whole_shape():
    course = Plan((PruneEvent(0, 0.5, 0), PruneEvent(0, 0.9, 2)), epochs=1, steps=4)
    cycles = LRCycles(LearningRate(1.0, "linear", warmup=0.0), course)

    assert [cycles.at(step, 4, 1.0) for step in range(4)] == [0.75, 0.25, 0.75, 0.25]
    assert cycles.epochs_of(cycles.cycle_at(3)) == 0.5
