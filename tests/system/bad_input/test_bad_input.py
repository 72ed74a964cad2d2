"""Bad input through the real entry point: one line, non-zero exit, nothing written or lost."""

import shutil
import time

import pytest

from tests.system.bad_input.bad_files import FILES, RUNS
from tests.system.bad_input.bad_values import VALUES
from tests.system.entry import small

# Overrides, or a function that makes files and returns overrides -> parts of the one line.
CASES = {**VALUES, **FILES, **RUNS}
SECONDS = 20


@pytest.fixture(scope="module")
def finished(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    assert server.train(folder, *small("recipe.finetune.epochs=4")).returncode == 0
    return folder


def content(folder):
    """Everything in a folder but the server's own two files and decoded images."""
    return {
        file.relative_to(folder): file.is_file() and file.read_bytes()
        for file in folder.rglob("*")
        if file.name not in ("stdout", "stderr") and folder / "data" not in (file, file.parent)
    }


@pytest.mark.parametrize("name", CASES)
def test_bad_input_gets_one_line_and_nothing_is_written_or_lost(server, request, tmp_path, name):
    overrides, expected = CASES[name]
    if name in RUNS:
        shutil.copytree(request.getfixturevalue("finished"), tmp_path, dirs_exist_ok=True)
    if callable(overrides):
        overrides = overrides(tmp_path)
    groups = [override.partition("=")[0] for override in overrides]
    defaults = [default for default in small() if default.partition("=")[0] not in groups]
    before, began = content(tmp_path), time.monotonic()
    done = server.train(tmp_path, *defaults, *overrides)

    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"error: {expected[0]}"), done.stderr
    assert all(part in done.stderr for part in expected), done.stderr
    assert content(tmp_path) == before
    assert time.monotonic() - began < SECONDS


def test_a_loss_that_is_not_finite_is_named_with_epoch_step_and_learning_rate(server, tmp_path):
    done = server.train(tmp_path, *small("recipe.dense.learning_rate.peak=1e30"))

    assert done.returncode == 1
    assert "error: loss=" in done.stderr
    assert "epoch 0, step" in done.stderr
    assert "learning rate" in done.stderr


def test_a_sparsity_that_cuts_the_network_off_its_input_is_an_error(server, tmp_path):
    done = server.train(
        tmp_path,
        *small("schedule=one_shot", "schedule.sparsity=0.99999", "recipe.dense.epochs=0"),
    )

    assert done.returncode == 1
    assert "no longer depends on its input" in done.stderr


def test_the_traceback_is_there_for_those_who_ask(server, tmp_path):
    done = server.train(tmp_path, *small("schedule.sparsity=2"), HYDRA_FULL_ERROR="1")

    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: schedule.sparsity=2")
