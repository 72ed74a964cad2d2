"""Dense networks of the cache: taught by one of the same recipe, counted by other targets."""

from dataclasses import replace

import pytest
from safetensors.torch import load_file

from lightprune.experiment.dense_cache import dense_key, rewind_file
from lightprune.experiment.dense_network import dense_network
from lightprune.experiment.dense_training import DenseTraining
from lightprune.experiment.rewinding import rewind_state
from lightprune.pruning import Targets
from lightprune.training.recipe import Distillation
from tests.training.small import BreakOffAt, BrokenOffError, copied, equal, phase, small_setup

FIRST = phase(2)
SECOND = replace(FIRST, distillation=Distillation(weight=0.5))
RECIPE = {"epochs": 2}
IDENTITY = {"seed": 0, "recipe": {**RECIPE, "distillation": {"weight": 0.5}}}
TEACHERS = {"seed": 0, "recipe": RECIPE}


def second_generation(cache, *watchers, snapshots=()):
    setup = small_setup(*watchers)
    return dense_network(DenseTraining(setup, SECOND, cache, IDENTITY), snapshots=snapshots)


def test_a_second_generation_trains_the_first_and_counts_it(tmp_path):
    state, record = second_generation(tmp_path)

    _, teacher = dense_network(DenseTraining(small_setup(BreakOffAt(0)), FIRST, tmp_path, TEACHERS))
    assert (record.epochs, record.teacher_epochs) == (2, 2)
    assert record.teacher_seconds == teacher.seconds > 0
    assert teacher.teacher_epochs == 0
    assert not equal(state, load_file(tmp_path / dense_key(TEACHERS) / "model.safetensors"))


def test_a_first_generation_of_the_cache_is_taken(tmp_path):
    whole, _ = second_generation(tmp_path / "whole")
    dense_network(DenseTraining(small_setup(), FIRST, tmp_path / "parts", TEACHERS))
    teacher = tmp_path / "parts" / dense_key(TEACHERS) / "model.safetensors"
    written = teacher.stat().st_mtime_ns

    state, _ = second_generation(tmp_path / "parts")

    assert equal(state, whole)
    assert teacher.stat().st_mtime_ns == written


def test_a_second_generation_that_was_broken_off_ends_like_one_that_was_not(tmp_path):
    whole, _ = second_generation(tmp_path / "whole")
    dense_network(DenseTraining(small_setup(), FIRST, tmp_path / "parts", TEACHERS))
    with pytest.raises(BrokenOffError):
        second_generation(tmp_path / "parts", BreakOffAt(1))

    assert equal(second_generation(tmp_path / "parts")[0], whole)


def test_early_weights_of_a_second_generation_are_trained_again_to_the_bit(tmp_path):
    second_generation(tmp_path, snapshots=[1])
    file = rewind_file(tmp_path / dense_key(IDENTITY), 1)
    # What is loaded is a view of the file.
    snapshot = copied(load_file(file))
    file.unlink()

    assert equal(
        rewind_state(DenseTraining(small_setup(), SECOND, tmp_path, IDENTITY), 1), snapshot
    )


def test_weights_are_counted_by_the_targets_of_the_run_that_takes_the_network(tmp_path):
    _, trained = dense_network(DenseTraining(small_setup(), FIRST, tmp_path, TEACHERS))
    state = load_file(tmp_path / dense_key(TEACHERS) / "model.safetensors")
    first = next(name for name, value in state.items() if value.dim() == 4)
    other = replace(small_setup(), targets=Targets(exclude=(first,)))

    _, record = dense_network(DenseTraining(other, FIRST, tmp_path, TEACHERS))

    _, alone = dense_network(DenseTraining(other, FIRST, tmp_path / "alone", TEACHERS))
    assert record.counted == alone.counted != trained.counted
    assert record.unreachable_weights == alone.unreachable_weights
    assert record.seconds == trained.seconds
