"""Sweeps and several processes, through the real entry point."""

import pytest
from safetensors.torch import load_file

from tests.system.entry import record, small


@pytest.mark.long
def test_a_sweep_shares_one_dense_training_and_skips_what_is_finished(server, tmp_path):
    sweep = ("-m", *small("pruner=global,local", f"hydra.sweep.dir={tmp_path / 'sweep'}"))
    done = server.train(tmp_path, *sweep)
    again = server.train(tmp_path, *sweep)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("dense epoch 1/2") == 1
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("job ")] == [
        "job 1/2: pruner=global",
        "job 2/2: pruner=local",
    ]
    assert done.stdout.count("plan: ") == 1
    assert again.stdout.count("finished before, nothing is trained: ") == 2
    table = lines[lines.index("job 2/2: pruner=local") :][-5:]
    assert table[0].startswith("sweep: 2 jobs, * has the best validation accuracy")
    assert table == again.stdout.splitlines()[-5:]
    assert [line[1:].split()[0] for line in table[2:4]] == ["pruner=global", "pruner=local"]
    assert [line[0] for line in table[2:4]].count("*") == 1
    assert table[4] == f"next: lightprune report {tmp_path / 'sweep'}"
    runs = sorted((tmp_path / "sweep").glob("*/run.json"))
    assert sorted(record(r.parent)["config"]["pruner"]["scope"] for r in runs) == [
        "global",
        "local",
    ]
    assert again.returncode == 0
    assert "epoch 1/" not in again.stdout


def test_a_failing_job_leaves_the_others_their_results(server, tmp_path):
    done = server.train(
        tmp_path,
        "-m",
        *small("recipe.dense.epochs=0", "schedule.steps=4,9"),
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    )

    assert done.returncode == 1
    cause = "schedule.steps=9: allowed are at most recipe.finetune.epochs=4"
    assert done.stderr.splitlines() == [
        f"error: {cause}",
        "failed jobs of this sweep: 1",
        f"  schedule.steps=9: {cause}",
    ]
    assert len(list((tmp_path / "sweep").glob("*/run.json"))) == 1


@pytest.fixture(scope="module")
def two_processes(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddp")
    settings = small("trainer=ddp_cpu", "pruner=random")
    done = server.train(folder, "-m", *settings, f"hydra.sweep.dir={folder / 'sweep'}", "seed=0,1")
    assert done.returncode == 0, done.stderr + done.stdout
    return folder


@pytest.mark.long
def test_two_processes_run_every_job_of_a_sweep_once(two_processes):
    runs = list((two_processes / "sweep").glob("*/run.json"))

    assert len(runs) == 2
    assert all(record(run.parent)["hardware"]["processes"] == 2 for run in runs)


@pytest.mark.long
def test_two_processes_reach_the_exact_sparsity_and_test_every_image_once(two_processes):
    run = record(next((two_processes / "sweep").glob("*-s0-*")))
    state = load_file(next((two_processes / "sweep").glob("*-s0-*")) / "model.safetensors")
    weights = [w for w in state.values() if w.dim() == 4]

    assert run["test"]["images"] == 397
    assert sum(int((w == 0).sum()) for w in weights) == round(
        0.98 * sum(w.numel() for w in weights)
    )


@pytest.mark.long
def test_a_failing_process_ends_the_run_with_its_cause(server, tmp_path):
    done = server.train(
        tmp_path,
        *small("trainer=ddp_cpu", "recipe.dense.learning_rate.peak=1e30"),
    )

    assert done.returncode == 1
    assert "NonFiniteLossError" in done.stderr
    assert "2 processes ended with status 1: loss=nan" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "run" / "run.json").exists()
