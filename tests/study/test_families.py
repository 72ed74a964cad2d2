"""The document of the families is the one that results/ gives, and keeps what it promises."""

from pathlib import Path

import pytest

from benchmarks import families
from lightprune.bench.result import medians_of
from study.families import CompiledNetworks
from study.sparsity_sweep import read_benchmark


@pytest.fixture(scope="module")
def measured():
    return read_benchmark(Path("results/families.json"), CompiledNetworks, "families.py")


def test_the_document_is_in_step_with_the_results(measured):
    assert Path("docs/families.md").read_text() == measured.document()


def test_no_network_is_slower_than_eager_or_farther_from_float64(measured):
    for network in measured.networks:
        for batch in {timing.batch for timing in network.timings}:
            medians = medians_of(network.timings, 1, batch)
            assert medians["sparse"] <= medians["eager"] / 0.95, (network.name, batch)
        # Where eager torch itself is farther from float64 than that, its outputs are no measure.
        assert min(network.difference, network.error) <= 1e-4, network.name


def test_what_another_commit_measured_is_not_joined(monkeypatch, capsys):
    file = Path("results/families.json")
    before = file.read_bytes()
    monkeypatch.setattr("sys.argv", ["families.py", "--networks", "alexnet", "--out", str(file)])

    with pytest.raises(SystemExit, match="2"):
        families.main()

    message = capsys.readouterr().err.splitlines()[-1]
    assert "results/families.json holds what commit " in message
    assert message.endswith("--again begins anew")
    assert file.read_bytes() == before
