"""Runs whose jobs work in another folder, and run folders that hold files of Hydra's."""

import shutil
import subprocess
import sys

import pytest

from tests.system.entry import ROOT, environment, record, shortest, small

CHDIR = "hydra.job.chdir=true"
LOGS = ("hydra/job_logging=default", "hydra.output_subdir=.hydra")
RUN = "outputs/runs/there"


def train_in(server, folder, *overrides):
    """Runs train.py from a folder, with every path left at its relative default."""
    return server.run("train.py", folder, folder, shortest("name=there", *overrides))


@pytest.fixture(scope="module")
def changed(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("changed")
    done = train_in(server, folder, CHDIR, *LOGS)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_job_that_works_in_its_own_folder_uses_the_caches_of_all(changed):
    assert {place.name for place in (changed / "outputs").iterdir()} == {
        "data",
        "dense",
        "last",
        "runs",
    }
    assert not (changed / RUN / "outputs").exists()
    assert (changed / RUN / ".hydra" / "hydra.yaml").exists()
    assert record(changed / RUN)["test"]["images"] == 397


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        (CHDIR,),
        (CHDIR, *LOGS, "hydra.output_subdir=conf"),
    ],
)
def test_the_working_directory_of_a_job_makes_no_other_run(server, changed, overrides):
    again = train_in(server, changed, *overrides)

    assert again.returncode == 0, again.stderr
    assert "epoch 1/" not in again.stdout


@pytest.mark.long
def test_several_processes_may_work_in_the_run_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", *shortest("name=there", CHDIR, "trainer=ddp_cpu")],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    run = record(tmp_path / RUN)
    assert run["hardware"]["processes"] == 2
    assert run["command"].startswith(f"{ROOT}/train.py data=digits ")
    assert not (tmp_path / RUN / "outputs").exists()


@pytest.mark.parametrize(
    "overrides",
    [(CHDIR,), (CHDIR, *LOGS), ("hydra.output_subdir=conf",), ("hydra/job_logging=default",)],
)
def test_a_refused_run_leaves_nothing(changed, server, tmp_path, overrides):
    shutil.copytree(changed / "outputs" / "data", tmp_path / "data")
    done = server.train(tmp_path, *small("recipe.finetune.batch_size=9999", *overrides))

    assert done.returncode == 1
    assert "recipe.finetune.batch_size=9999" in done.stderr
    assert not (tmp_path / "run").exists()
