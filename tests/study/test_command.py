"""`python -m study`: what it adds to the general report, and its one-line errors."""

import json
from pathlib import Path

import pytest

from lightprune.cli.main import main as lightprune_main
from study.__main__ import main
from tests.report.run_folders import config, make_run, speed_ups

ROOT = Path(__file__).parents[2]
RIGHT = [True, False] * 10


def titles(folder):
    text = (folder / "report" / "report.md").read_text()
    return [line[3:] for line in text.splitlines() if line.startswith("## ")]


def test_a_report_on_a_sweep_shows_its_runs_alone(tmp_path, monkeypatch, capsys):
    """The checkout's benchmarks lie in the working directory, as they do for its users."""
    monkeypatch.chdir(ROOT)
    make_run(tmp_path / "sweep" / "a", RIGHT, dense_right=RIGHT, config=config())
    assert lightprune_main(["report", str(tmp_path / "sweep")]) == 0
    text = (tmp_path / "sweep" / "report" / "report.md").read_text()

    assert not {"Training compute", "Speed", "Speed by sparsity"} & {*titles(tmp_path / "sweep")}
    for word in ("throughput", "speedup", "reference", "Mao", "CIFAR-10"):
        assert word not in text


def test_the_report_of_the_study_adds_the_reference_and_the_benchmarks(tmp_path):
    layers = {"w": (11_166_912, 4_220_096, 1)}
    sweep, throughput, speedup = (tmp_path / n for n in ("sweep", "rates.json", "speedup.json"))
    about = {"config": config(), "layers": layers, "live_nnz": 223_338}
    make_run(sweep / "a", RIGHT, dense_right=RIGHT, **about)
    loops = [
        {"name": name, "batch_size": size, "images_per_second": [100.0]}
        for name, size in (("reference", 128), ("lightprune", 256))
    ]
    rates = {"command": "benchmark", "commit": "0123456789abcdef", "machine": "CPU", "loops": loops}
    throughput.write_text(json.dumps(rates))
    speedup.write_text(speed_ups(resnet18={0.0: 3.0, 0.9: 0.5}).to_json())
    files = ("--throughput", str(throughput), "--speedup", str(speedup))

    assert main(["report", str(sweep), "--dense-dir", str(sweep / "dense"), *files]) == 0
    text = (sweep / "report" / "report.md").read_text()
    assert {"Training compute", "Speed by sparsity"} <= {*titles(sweep)}
    assert "Column “reference”: the reference (L. Mao, blog post “PyTorch Pruning”)" in text
    assert "- The reference: 400 epochs x" in text
    assert (sweep / "report" / "figures" / "speedup-resnet18.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "Missing command"),
        (["stat"], "No such command 'stat'. Did you mean 'status'?"),
        (["status"], "Missing argument 'sweep'"),
        (["status", "sweep", "--nope"], "No such option: --nope"),
        (["report", "/nowhere"], "/nowhere: no such folder"),
    ],
)
def test_a_wrong_command_is_one_line(arguments, reason, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {reason}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(("command", "moved"), [("remaining", "status"), ("results", "publish")])
def test_commands_that_left_lightprune_name_their_successors(command, moved, capsys):
    assert lightprune_main([command, "sweep"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {command}: ")
    assert f"`python -m study {moved}`" in error
    assert error.count("\n") == 1
