"""What a sweep prints of its jobs."""

import pytest
from rich import get_console

from lightprune.launch.sweep import FinishedJob, job_line, note_job_count, show_sweep
from lightprune.runs.command_line import COMMAND


@pytest.mark.parametrize(
    ("overrides", "number", "line"),
    [
        (["pruner=global,local", "seed=range(0,3)", "data=digits"], 2, "job 3/6: "),
        (["pruner=glob([g*,l*])", "seed=0,1", "data=digits"], 0, "job 1/4: "),
        (["pruner=global,local", "schedule.sparsity=interval(0.5,0.9)"], 4, "job 5: "),
        (["pruner=global,local"], 2, "job 3: "),  # The user's own sweeper may add some.
    ],
)
def test_a_job_is_told_with_their_number_and_what_it_differs_in(
    monkeypatch, overrides, number, line
):
    monkeypatch.setenv("LIGHTPRUNE_JOBS", "7")
    monkeypatch.setenv(COMMAND, "train.py -m data=digits " + " ".join(overrides[:-1]))
    note_job_count(overrides)

    task = ["data=digits", "pruner=local", "seed=1"]
    assert job_line(number, task) == f"{line}pruner=local seed=1"


def test_the_best_validated_job_is_marked(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("COLUMNS", "100")
    accuracies = {"seed=0": 0.5, "seed=1": 0.75, "seed=2": None}
    show_sweep(
        [
            FinishedJob(title, str(tmp_path / "sweep" / title), accuracy, ("1",) * 6, "")
            for title, accuracy in accuracies.items()
        ]
    )

    lines = capsys.readouterr().out.splitlines()
    assert [line[:8] for line in lines[2:5]] == ["  seed=0", "* seed=1", "  seed=2"]
    assert lines[5] == f"next: lightprune report {tmp_path / 'sweep'}"


@pytest.mark.parametrize(("width", "shown"), [(100, True), (80, False)])
def test_the_interval_is_shown_where_there_is_room(monkeypatch, capsys, width, shown):
    monkeypatch.setattr(get_console(), "width", width)
    cells = ("97.12%", "96.94%", "+0.28 pp", "98.00%", "98.00%", "10.2%")
    titles = ("pruner=global seed=0", "pruner=local seed=0")
    show_sweep([FinishedJob(title, "sweep/a", 0.5, cells, "-0.70 to +1.26") for title in titles])

    _, head, *rows, _ = capsys.readouterr().out.splitlines()
    assert ("95 % interval" in head) is shown
    assert [("-0.70 to +1.26" in row) for row in rows] == [shown] * 2
    assert len(head) <= width
