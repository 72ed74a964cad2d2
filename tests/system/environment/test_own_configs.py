"""`lightprune train` anywhere, with a folder of the user's own YAML: what train.py does."""

import pytest

from tests.system.entry import record, shortest, small

PLAN = ("plan_only=true", "data=digits", "recipe=smoke", "trainer=cpu")


@pytest.fixture
def place(tmp_path):
    """A working directory that holds an option of two groups, and a network of the user's own."""
    files = {
        "configs/schedule/mine.yaml": "defaults: [cubic, _self_]\nsparsity: 0.75\n",
        "configs/model/mine.yaml": "defaults: [resnet18, _self_]\n"
        "constructor: {_target_: own_network.build}\n",
        "own_network.py": "from tests.system.tiny import tiny_resnet as build\n",
    }
    for name, text in files.items():
        file = tmp_path / "place" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "place"


def run(server, place, *words):
    return server.run("lightprune", place, place.parent, ["train", *words])


@pytest.mark.parametrize(
    "extended", [["--config-dir=configs"], ["--config-dir", "configs"], [], ["-cd", "configs"]]
)
def test_a_folder_of_yaml_extends_the_groups(server, place, extended):
    searched = [] if extended else ["hydra.searchpath=[file://configs]"]
    done = run(server, place, *extended, *PLAN, *searched, "schedule=mine", "model=mine")

    assert done.returncode == 0, done.stderr
    assert "75.00%" in done.stdout


@pytest.mark.long
def test_a_run_is_complete_and_named_below_the_working_directory(server, place):
    words = [*shortest("trainer=cpu", "schedule.sparsity=0.5"), "name=here"]
    done = run(server, place, *words)
    again = run(server, place, *words)

    assert done.returncode == 0, done.stderr
    assert record(place / "outputs" / "runs" / "here")["command"].startswith(
        "lightprune train data=digits recipe=smoke "
    )
    assert again.returncode == 0
    assert "epoch 1/" not in again.stdout
    assert again.stdout.splitlines()[-3:] == done.stdout.splitlines()[-3:]


def test_both_programs_share_runs_and_errors(server, place):
    words = small("plan_only=true", "schedule.sparsity=2", "trainer=cpu")
    ours = run(server, place, *words)
    theirs = server.run("train.py", place, place.parent, list(words))

    assert (ours.returncode, ours.stderr) == (1, theirs.stderr)
    assert ours.stderr.startswith("error: schedule.sparsity=2: ")


def test_a_sweep_lists_its_failed_jobs(server, place):
    done = run(server, place, "-m", "--config-dir=configs", *PLAN, "schedule=mine,nothing")

    assert done.returncode == 1
    assert "schedule=nothing: allowed are constant, cosine, cubic" in done.stderr
    assert done.stderr.count("\n") == 1
