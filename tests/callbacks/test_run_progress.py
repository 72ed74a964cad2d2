"""The progress bar of a run, on a console that is a terminal."""

import io
import re

import pytest
from rich.console import Console

from lightprune.callbacks import run_progress
from lightprune.callbacks.run_progress import RunProgress
from tests.training.small import BreakOffAt, BrokenOffError, plan, session


@pytest.fixture
def terminal(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(run_progress, "get_console", lambda: console)
    return console


def plain(terminal):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.file.getvalue())


def test_the_bar_counts_epochs_as_the_lines_do_and_tells_the_time_for_the_whole_run(
    tmp_path, terminal
):
    made = session(tmp_path, plan((0, 0.5), (2, 0.9)))
    # As many images as an hour takes, or more: a batch takes a millisecond at least.
    bar = RunProgress("finetune", batch_size=8, images_after=8 * 10**7)
    made.trainer.callbacks.insert(1, bar)
    made.fit()

    text = plain(terminal)
    for epoch in (1, 2, 3, 4):
        assert f"finetune epoch {epoch}/4" in text
    assert "finetune epoch 5/4" not in text
    assert re.search(r"about \S+ h left", text)


def test_the_bar_is_gone_and_the_cursor_back_once_a_training_ends_or_breaks_off(tmp_path, terminal):
    made = session(tmp_path, plan((0, 0.5)), BreakOffAt(2))
    made.trainer.callbacks.insert(1, RunProgress("finetune", batch_size=8))
    with pytest.raises(BrokenOffError):
        made.fit()

    assert terminal.file.getvalue().rindex("\x1b[?25h") > terminal.file.getvalue().rindex("epoch")
