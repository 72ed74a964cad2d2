"""The main job through the real entry point, on the embedded digits."""

import csv
import re
import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file, save_file

from lightprune.data.digits import Digits
from lightprune.runs.folder import RunFolder
from lightprune.runs.predictions import read_predictions
from tests.system.entry import record, small, start, train
from tests.system.tiny import tiny_resnet

MAIN = small("pruner=global", "schedule=multi_step", "schedule.sparsity=0.9")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("main")
    done = train(folder, *MAIN)
    assert done.returncode == 0, done.stderr
    return folder, done


def bare(folder):
    network = tiny_resnet()
    network.load_state_dict(load_file(folder / "run" / "model.safetensors"))
    return network.eval()


def convolutions(network):
    return [m.weight for m in network.modules() if isinstance(m, torch.nn.Conv2d)]


def test_the_saved_network_has_exactly_the_requested_zeros(finished):
    weights = convolutions(bare(finished[0]))
    zeros = sum(int((w == 0).sum()) for w in weights)

    assert zeros == round(0.9 * sum(w.numel() for w in weights))


def test_a_bare_evaluation_of_the_saved_network_counts_the_reported_images(finished):
    folder, _ = finished
    run = record(folder / "run")
    data, fingerprint = Digits(cache_dir=str(folder / "data")).load()
    pixels = data.test.images.float() / 255
    inputs = ((pixels - 0.3) / 0.35).permute(0, 3, 1, 2).contiguous()
    predicted = bare(folder)(inputs).argmax(1)
    correct = int((predicted == data.test.labels).sum())
    labels, predictions = read_predictions(folder / "run" / "predictions.csv")

    assert (correct, len(inputs)) == (run["test"]["correct"], run["test"]["images"])
    assert fingerprint == run["data"]["fingerprint"]
    assert labels == tuple(data.test.labels.tolist())
    assert predictions == tuple(predicted.tolist())
    assert run["dense"]["unreachable_weights"] > 0
    assert run["dense"]["changed_without_unreachable"] == 0


def test_the_console_shows_plan_events_and_result(finished):
    folder, done = finished

    assert done.stdout.count("pruned before epoch") == 4
    assert "\nresult " in done.stdout
    assert re.search(
        r"\ntest accuracy .* pp \([+-]\d+\.\d\d to [+-].*\n +4 more epochs; no control", done.stdout
    )
    assert "dense    not in the cache yet; it will be kept in" in done.stdout
    assert re.search(r"\ntime     about \d+ \w+, estimated from one training step\n", done.stdout)
    assert f"\nfolder   {folder / 'run'}\n" in done.stdout
    assert "finetune epoch 4/4" in done.stdout
    assert "Traceback" not in done.stderr


def test_the_run_folder_is_complete(finished):
    folder = finished[0] / "run"
    run = record(folder)
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    layers = list(csv.DictReader((folder / "layers.csv").open()))

    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert sum(int(layer["nnz"]) for layer in layers) == run["cost"]["nnz"]
    assert len(run["events"]) == 4
    assert all(event["recovered"] is not None for event in run["events"])
    assert len(run["test"]["classes"]) == 10
    assert run["config"]["schedule"]["sparsity"] == 0.9
    assert run["seconds"]["finetune"] > 0
    assert run["sizes"]["model.safetensors"] == (folder / "model.safetensors").stat().st_size
    assert (folder / "checkpoints" / "last.ckpt").exists()


def test_the_same_command_again_shows_the_result_and_trains_nothing(server, finished):
    folder, first = finished
    before = (folder / "run" / "run.json").read_bytes()
    again = server.train(folder, *MAIN)

    assert again.returncode == 0
    assert not re.search(r"epoch \d", again.stdout)
    assert again.stdout.startswith(f"finished before, nothing is trained: {folder / 'run'}\n")
    assert again.stdout.splitlines()[-3:] == first.stdout.splitlines()[-3:]
    assert (folder / "run" / "run.json").read_bytes() == before


def test_another_experiment_in_the_same_folder_is_refused(server, finished):
    folder, _ = finished
    before = (folder / "run" / "run.json").read_bytes()
    done = server.train(folder, *MAIN, "seed=1")

    assert done.returncode == 1
    assert "seed=0, this one has 1" in done.stderr
    assert (folder / "run" / "run.json").read_bytes() == before


def test_other_data_in_the_same_folder_is_refused(server, finished):
    folder, _ = finished
    done = server.train(folder, *MAIN, "data.size=24")
    text = (folder / "run" / "config.yaml").read_text()

    assert done.returncode == 1
    assert "data.size=32, this one has 24" in done.stderr
    assert f"fingerprint: {record(folder / 'run')['data']['fingerprint']}" in text


def test_another_pruner_shares_the_dense_training(server, finished):
    folder, _ = finished
    done = server.train(folder, *MAIN, "pruner=local", f"hydra.run.dir={folder / 'local'}")

    assert done.returncode == 0, done.stderr
    assert "dense epoch" not in done.stdout
    assert "\ndense network from the cache (epochs: 2, test accuracy: " in done.stdout
    assert ", by the epochs of the dense training\n" in done.stdout
    state = load_file(folder / "local" / "model.safetensors")
    convs = [w for w in state.values() if w.dim() == 4]
    assert sum(int((w == 0).sum()) for w in convs) == round(0.9 * sum(w.numel() for w in convs))


@pytest.mark.long
def test_an_interrupted_run_says_so_and_continues(server, finished, tmp_path):
    folder, _ = finished
    shutil.copytree(folder / "dense", tmp_path / "dense")
    process = start(tmp_path, *MAIN)
    for line in process.stdout:
        if line.startswith("finetune epoch 2"):
            process.send_signal(signal.SIGUSR1)
    complaint = process.stderr.read()
    done = server.train(tmp_path, *MAIN)

    assert process.wait() == 138
    assert complaint.splitlines()[-1] == "interrupted: the same command continues"
    assert "Traceback" not in complaint
    assert "finetune epoch 1/" not in done.stdout
    assert re.search(r"\nfinetune continues with epoch [23]/4, where it was ", done.stdout)
    assert record(tmp_path / "run")["events"] == record(folder / "run")["events"]


def test_a_folder_that_another_process_is_writing_is_refused(server, tmp_path):
    with RunFolder(tmp_path / "run").writing():
        done = server.train(tmp_path, *MAIN)

    assert done.returncode == 1
    assert "is being written by another process" in done.stderr


def test_force_starts_afresh_and_ends_the_same(server, finished, tmp_path):
    folder, _ = finished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "run" / "run.json").write_text("{")
    refused = server.train(tmp_path, *MAIN)
    done = server.train(tmp_path, *MAIN, "force=true")

    assert refused.returncode == 1
    assert "run.json: is damaged" in refused.stderr
    assert done.returncode == 0, done.stderr
    assert "finetune epoch 1/" in done.stdout
    assert record(tmp_path / "run")["test"] == record(folder / "run")["test"]


def test_dense_weights_from_a_file_count_by_content(server, finished, tmp_path):
    folder, _ = finished
    source = next((folder / "dense").glob("*/model.safetensors"))
    file = shutil.copy(source, tmp_path / "dense.safetensors")
    done = server.train(tmp_path, *MAIN, f"dense.checkpoint={file}")
    state = load_file(file)
    state["fc.bias"] += 1
    save_file(state, file)
    other = server.train(tmp_path, *MAIN, f"dense.checkpoint={file}")

    assert done.returncode == 0, done.stderr
    assert record(tmp_path / "run")["test"] == record(folder / "run")["test"]
    assert other.returncode == 1
    assert "holds a run with dense_weights=" in other.stderr


def test_a_machine_without_git_loses_no_result(server, finished, tmp_path):
    folder, _ = finished
    shutil.copytree(folder / "dense", tmp_path / "dense")
    done = server.train(tmp_path, *MAIN, PATH=str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert record(tmp_path / "run")["commit"] == "unknown"


def test_plan_only_trains_and_writes_nothing(server, tmp_path):
    done = server.train(
        tmp_path, *small("plan_only=true", "schedule=cubic", "schedule.sparsity=0.5")
    )

    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^\d\S* +prune ", done.stdout, re.M)) == 3
    assert "50.00%" in done.stdout
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "dense").exists()


def test_a_relative_amount_reaches_its_compounded_sparsity(server, tmp_path):
    done = server.train(
        tmp_path, *small("plan_only=true", "schedule.amount=0.3", "schedule.steps=4")
    )

    assert "75.99%" in done.stdout, done.stderr


def test_a_plan_names_the_pruner_settings_that_differ_from_the_defaults(server, tmp_path):
    settings = ("pruner/criterion=magnitude_per_mac", "pruner.cap=0.9", "pruner.weights=shuffle")
    done = server.train(tmp_path, *small("plan_only=true", *settings))

    assert "plan: prune by global magnitude_per_mac" in done.stdout, done.stderr
    assert "pruner: cap=0.9, weights=shuffle\n" in done.stdout


def test_without_a_pruner_the_network_is_only_trained_on(server, tmp_path):
    done = server.train(tmp_path, *small("pruner=none", "recipe.dense.epochs=0"))

    assert done.returncode == 0, done.stderr
    assert record(tmp_path / "run")["events"] == []
    assert record(tmp_path / "run")["cost"]["sparsity"] == 0
