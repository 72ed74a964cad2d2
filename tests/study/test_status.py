import pytest

from lightprune.errors import InputError
from study.__main__ import main
from study.status import StartedRun, remaining_work, requested_jobs, started_runs
from tests.system.entry import small

CONTROL, GLOBAL = "reference_control", "reference_global_98_one_shot"
JOBS = [(name, seed) for name in (CONTROL, GLOBAL) for seed in ("0", "1")]


def begun(name, seed, *, epochs=8, dense=None):
    done = dense is not None
    return StartedRun((name, seed), done, (22, 8), (60.0,) * epochs, dense)


def test_nothing_is_known_before_the_first_epoch():
    assert remaining_work(JOBS, []) == (
        "0 of 4 runs are done; 4 remain; how long that takes is known once the first epochs have "
        "been measured"
    )


def test_what_remains_by_hand():
    # Seed 0 has its dense network; control-0 is done, global-0 has 5 of 8 epochs left.
    # Seed 1: 22 dense epochs at 120 s; 5 + 8 + 8 fine-tuning epochs at 60 s.
    started = [begun(CONTROL, "0", dense=2640.0), begun(GLOBAL, "0", epochs=3)]

    assert remaining_work(JOBS, started) == (
        "1 of 4 runs are done; 3 remain, 1 of them begun: 22 dense and 21 fine-tuning epochs, "
        "about 65 min at 60 s an epoch, the median of the 11 measured in this sweep"
    )


def test_a_finished_sweep_says_so():
    started = [begun(name, seed, dense=1.0) for name, seed in JOBS]

    assert remaining_work(JOBS, started) == "4 of 4 runs are done; nothing remains but the report"


def test_real_folders_are_counted(finished_sweep, capsys):
    shared = small()
    arguments = ["status", str(finished_sweep / "sweep"), *shared]
    assert main([*arguments, "--experiments", "global_9[08]_one_shot"]) == 0
    assert main([*arguments, "--experiments", "control"]) == 0
    first, second = capsys.readouterr().out.splitlines()

    assert first.startswith("sweep: 1 of 2 ")
    assert "about " in first
    assert second == "sweep: 1 of 1 runs are done; nothing remains but the report"
    assert started_runs(finished_sweep / "sweep", [(CONTROL, "1")], shared) == []


def test_jobs_are_those_of_the_glob():
    assert requested_jobs("local_9*", "0,2") == [
        (f"reference_local_{name}", seed)
        for name in ("94_multi_step", "94_one_shot", "98_one_shot")
        for seed in ("0", "2")
    ]
    with pytest.raises(
        InputError, match=r"EXPERIMENTS=nothing: matches no experiment; allowed are"
    ):
        requested_jobs("nothing", "0")
