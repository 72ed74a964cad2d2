"""Accuracy beside speed, of runs that were timed."""

import json

import pytest

from lightprune.rendering.document import Figure, Table
from lightprune.report.discovery import BENCH
from lightprune.report.sections.speed import fastest_lines, speed_lines, speed_section
from lightprune.report.sections.speed_figure import pareto_front
from lightprune.report.sections.summary import summary_section
from tests.report.run_folders import config, findings_of, make_bench, make_run

RIGHT = [True] * 16 + [False] * 4
DENSE_RIGHT = [True] * 18 + [False] * 2
MS = {"eager": 2.0, "onnx": 1.0, "onnx-stripped": 0.8, "sparse": 0.25}


def run(folder, name="a", about=None, **bench):
    place = folder / name
    settings = config(**(about or {}))
    record = make_run(place, RIGHT, dense_right=DENSE_RIGHT, config=settings)
    return make_bench(place, record, **{"ms": MS, **bench})


def blocks(findings, kind):
    return [block for block in speed_section(findings) if isinstance(block, kind)]


def test_a_row_tells_cost_accuracy_and_speed(tmp_path):
    run(tmp_path)
    one, two = blocks(findings_of(tmp_path), Table)

    assert dict(zip(one.columns, one.rows[0], strict=True)) == {
        "run": "global 98 % one_shot",
        "criterion": "magnitude",
        "sparsity": "98.00 %",
        "live sparsity": "90.00 %",
        "MACs left": "6.8 %",
        "test accuracy": "80.00 %",
        "to its dense (pp)": "−10.00",
        "ms, batch 1": "0.25",
        "over fastest dense, batch 1": "4.00",
        "over stripped, batch 1": "3.20",
        "ms, batch 64": "16",
        "over fastest dense, batch 64": "4.00",
        "over stripped, batch 64": "3.20",
    }
    assert two.rows[0][7] == "0.125"
    source, *_ = blocks(findings_of(tmp_path), str)
    assert "`lightprune bench` on CPU with AVX-512, 2 cores, commit `fedcba987654`" in source
    assert "classifies at most 1 otherwise than eager torch; logits differ by at most 2e-06" in (
        source
    )


def test_a_network_that_the_sparse_runtime_cannot_run_takes_no_other_along(tmp_path):
    run(tmp_path, "a")
    dense = {name: ms for name, ms in MS.items() if name != "sparse"}
    run(tmp_path, "b", {"sparsity": 0.9}, ms=dense, runtime_macs=None, output_checks=())
    findings = findings_of(tmp_path)
    columns, rows = blocks(findings, Table)[0].columns, blocks(findings, Table)[0].rows

    assert sorted(row[columns.index("ms, batch 1")] for row in rows) == ["", "0.25"]
    assert "ms, batch 64" in blocks(findings, Figure)[0].svg
    assert len([*speed_lines(findings.groups)]) == 1


def test_where_no_network_ran_in_the_sparse_runtime_there_is_no_figure(tmp_path):
    run(tmp_path, ms={"eager": 2.0}, runtime_macs=None, output_checks=())
    findings = findings_of(tmp_path)

    assert blocks(findings, Table)
    assert blocks(findings, Figure) == []


def test_a_sentence_tells_how_much_faster_a_run_is(tmp_path):
    run(tmp_path)
    findings = findings_of(tmp_path)

    (line,) = speed_lines(findings.groups)
    assert line == (
        "Speed: **global 98 % one_shot** (magnitude; 6.8 % of the MACs left, −10.00 pp to its "
        "dense network) is 4.0 (batch 1) and 4.0 (batch 64) times as fast as the fastest dense "
        "backend, 3.2 and 3.2 times without its unreachable weights (2 threads of CPU with "
        "AVX-512)."
    )
    assert f"- {line}" in [*summary_section(findings)][-1].splitlines()


def test_the_most_that_is_gained_by_runs_that_lose_little_is_told_by_batch_size(tmp_path):
    run(tmp_path, "a")
    run(tmp_path, "b", ms={**MS, "sparse": 0.2})
    right = make_run(
        tmp_path / "c",
        RIGHT[:-5] + [False] * 5,
        dense_right=DENSE_RIGHT,
        config=config(),
    )
    make_bench(tmp_path / "c", right, ms={**MS, "sparse": 0.1})
    groups = findings_of(tmp_path).groups

    assert list(fastest_lines(groups, 0.1)) == [
        "Speed: timed runs within 10.0 pp of their own dense networks are up to 5.0 (batch 1) "
        "and 5.0 (batch 64) times as fast as the fastest dense backend (2 threads of CPU "
        "with AVX-512)."
    ]
    assert list(fastest_lines(groups, 0.05)) == []


def test_criteria_share_a_figure_and_seeds_are_named(tmp_path):
    per_mac = {"criterion": "MagnitudePerMac", "exponent": 0.5}
    run(tmp_path, "a")
    run(tmp_path, "b", {"seed": 1})
    run(tmp_path, "c", per_mac)
    findings = findings_of(tmp_path)
    (figure,) = blocks(findings, Figure)

    assert figure.name == "speed"
    for words in ("magnitude", "magnitude_per_mac", "dense", "ms, batch 64", "MACs left (%)"):
        assert f">{words}<" in figure.svg
    assert [row[0] for row in blocks(findings, Table)[0].rows] == [
        "global 98 % one_shot, seed 0",
        "global 98 % one_shot, seed 1",
        "magnitude_per_mac 98 % one_shot, exponent 0.5",
    ]


def test_machines_are_not_mixed(tmp_path):
    run(tmp_path, "a")
    run(tmp_path, "b", {"sparsity": 0.99}, processor="another CPU")
    figures = blocks(findings_of(tmp_path), Figure)

    assert [figure.name for figure in figures] == ["speed-1", "speed-2"]


def test_what_was_not_measured_is_left_blank(tmp_path):
    run(tmp_path, ms={"sparse": 0.25}, combinations=[(1, 1)])
    (table,) = blocks(findings_of(tmp_path), Table)
    (figure,) = blocks(findings_of(tmp_path), Figure)

    assert table.rows[0][7:] == ("0.25", "", "", "", "", "")
    assert "batch 64" not in figure.svg


def test_without_measurements_there_is_no_section(tmp_path):
    make_run(tmp_path / "a", RIGHT, dense_right=RIGHT, config=config())

    assert not [*speed_section(findings_of(tmp_path))]


@pytest.mark.parametrize("change", ["text", "cost", "schema"])
def test_another_networks_or_a_damaged_bench_is_named_and_its_run_stays(tmp_path, change):
    run(tmp_path)
    file = tmp_path / "a" / BENCH
    document = json.loads(file.read_text())
    if change == "cost":
        document["cost"]["nnz"] += 1
    elif change == "schema":
        document["schema"] = 0
    file.write_text("{" if change == "text" else json.dumps(document))
    collection = findings_of(tmp_path).collection

    assert [run.bench for run in collection.runs] == [None]
    ((file, reason),) = collection.left_out.items()
    assert file == f"a/{BENCH}"
    assert reason.startswith("is of another network" if change == "cost" else "is damaged (")


def test_the_outline_is_what_nothing_beats():
    points = [(1.0, 0.5, "a"), (2.0, 0.4, "b"), (3.0, 0.9, "c"), (3.0, 0.8, "d"), (4.0, 0.9, "e")]

    assert [words for *_, words in pareto_front(points[::-1])] == ["a", "c"]
