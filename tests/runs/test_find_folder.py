"""Runs and sweeps by `last` and by how their names begin; what is typed in vain gets one line."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lightprune.errors import InputError
from lightprune.report.discovery import find_runs
from lightprune.runs.find_folder import find_folder, find_run, mark_last
from tests.report.run_folders import config, make_run

RUNS = ("outputs/runs/resnet18_a-s0-1111", "outputs/runs/resnet18_a-s1-2222")
SWEEP = "outputs/sweeps/seed-5c1e"
JOBS = (f"{SWEEP}/vgg_b-s0-3333", f"{SWEEP}/vgg_b-s1-4444")


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (*RUNS, *JOBS):
        Path(folder).mkdir(parents=True)
        Path(folder, "config.yaml").touch()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        *((path, path) for path in (RUNS[0], SWEEP, JOBS[1])),
        ("resnet18_a-s1", RUNS[1]),
        ("seed", SWEEP),
        ("vgg_b-s0", JOBS[0]),
        ("seed-5c1e/vgg_b-s1", JOBS[1]),
        ("nowhere/model.pt", "nowhere/model.pt"),
    ],
)
def test_a_path_or_how_a_name_begins_is_enough(typed, expected):
    assert find_folder(Path(typed)) == Path(expected)


def test_a_whole_name_is_no_beginning_of_a_longer_one():
    Path("outputs/runs/resnet18").mkdir()

    assert find_folder(Path("resnet18")) == Path("outputs/runs/resnet18")


def test_what_is_typed_in_vain_gets_one_line_with_the_candidates():
    with pytest.raises(InputError) as several:
        find_folder(Path("resnet18"))
    with pytest.raises(InputError) as none:
        find_folder(Path("resnet81_a-s0-1111"))
    with pytest.raises(InputError) as sweep:
        find_run(Path("seed"))

    assert str(several.value) == (
        f"resnet18: so begin 2 names; allowed is one of {RUNS[0]}, {RUNS[1]}"
    )
    assert str(none.value) == (
        "resnet81_a-s0-1111: is no path, and no name of a run or a sweep begins so; allowed are a "
        "path, last, or how one of these begins: resnet18_a-s0-1111, resnet18_a-s1-2222, "
        "seed-5c1e, vgg_b-s0-3333, vgg_b-s1-4444; did you mean resnet18_a-s0-1111?"
    )
    assert (
        str(sweep.value)
        == f"seed: is no run but holds some; allowed is one of {JOBS[0]}, {JOBS[1]}"
    )


def test_last_is_the_newest_run_or_the_sweep_of_the_newest_run():
    with pytest.raises(InputError, match="last: is no path, and no name"):
        find_folder(Path("last"))
    mark_last(Path(RUNS[1]))
    assert find_folder(Path("last")) == Path(RUNS[1])
    mark_last(Path(JOBS[0]).absolute())
    assert find_folder(Path("last")) == Path(SWEEP)
    assert not Path("outputs/last").readlink().is_absolute()

    Path("elsewhere").mkdir()
    mark_last(Path("elsewhere"))
    assert find_folder(Path("last")) == Path(SWEEP)
    mark_last(Path("outputs/runs/gone"))
    with pytest.raises(InputError, match="last: is no path"):
        find_folder(Path("last"))


def test_jobs_that_start_at_once_leave_one_whole_link():
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(mark_last, [Path(folder) for folder in RUNS * 20]))

    assert find_folder(Path("last")) in map(Path, RUNS)
    assert sorted(path.name for path in Path("outputs").iterdir()) == ["last", "runs", "sweeps"]


def test_a_file_system_without_links_has_no_last(monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    mark_last(Path(RUNS[0]))

    assert not Path("outputs/last").exists()


def test_a_report_counts_the_last_run_once(tmp_path):
    for folder in (*RUNS, *JOBS):
        Path(folder, "config.yaml").unlink()
    make_run(
        Path("outputs/runs/mine"),
        [True, False] * 10,
        dense_right=[True, False] * 10,
        config=config(),
    )
    mark_last(Path("outputs/runs/mine"))
    collection = find_runs(Path("outputs"), tmp_path / "dense")

    assert [run.folder for run in collection.runs] == ["runs/mine"]
    assert not any(name.startswith("last") for name in collection.left_out)
    assert [run.folder for run in find_runs(find_folder(Path("last")), tmp_path).runs] == ["."]
