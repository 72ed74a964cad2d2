"""Accuracy beside speed, of runs that were timed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightprune.rendering.document import Table, Tiles
from lightprune.report.discovery import BENCH
from lightprune.report.frontier_figure import frontier_charts, latencies, outline
from lightprune.report.sections.headline import main_part
from lightprune.report.sections.speed import speed_section
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
    (table,) = blocks(findings_of(tmp_path), Table)

    assert dict(zip(table.columns, table.rows[0], strict=True)) == {
        "run": "global 98 % one_shot",
        "live sparsity": "90.00 %",
        "MACs left": "6.8 %",
        "test accuracy": "80.00 %",
        "to its dense (pp)": "−10.00",
        "ms, batch 1": "0.125",
        "over fastest dense, batch 1": "4.00",
        "over stripped, batch 1": "3.20",
        "ms, batch 64": "8",
        "over fastest dense, batch 64": "4.00",
        "over stripped, batch 64": "3.20",
    }
    source, *_ = blocks(findings_of(tmp_path), str)
    assert (
        "`lightprune bench` with 2 threads on CPU with AVX-512, 2 cores, commit `fedcba987654`"
        in source
    )
    assert "classifies at most 1 otherwise than eager torch; logits differ by at most 2e-06" in (
        source
    )


def test_what_was_timed_is_shown_at_any_threads_and_batches(tmp_path):
    run(tmp_path, "a")
    run(tmp_path, "b", {"sparsity": 0.99}, combinations=((1, 1),))
    run(tmp_path, "c", {"sparsity": 0.9}, combinations=((2, 8),))
    two, one = blocks(findings_of(tmp_path), Table)

    assert [column for column in two.columns if column.startswith("ms")] == [
        "ms, batch 1",
        "ms, batch 8",
        "ms, batch 64",
    ]
    assert len(two.rows) == 2
    assert one.rows[0][one.columns.index("ms, batch 1")] == "0.25"


def test_a_network_that_the_sparse_runtime_cannot_run_takes_no_other_along(tmp_path):
    run(tmp_path, "a")
    dense = {name: ms for name, ms in MS.items() if name != "sparse"}
    run(tmp_path, "b", {"scope": "local"}, ms=dense, runtime_macs=None, output_checks=())
    findings = findings_of(tmp_path)
    columns, rows = blocks(findings, Table)[0].columns, blocks(findings, Table)[0].rows

    assert sorted(row[columns.index("ms, batch 1")] for row in rows) == ["", "0.125"]
    assert latencies(findings.rows) == (
        {"global 98 % one_shot": 0.125},
        "2 threads of CPU with AVX-512",
    )


def test_where_no_network_ran_in_the_sparse_runtime_there_is_no_figure(tmp_path):
    run(tmp_path, ms={"eager": 2.0}, runtime_macs=None, output_checks=())
    findings = findings_of(tmp_path)

    assert blocks(findings, Table)
    assert "latency" not in frontier_charts(findings.rows)


def test_a_tile_tells_how_much_faster_the_finding_is(tmp_path):
    run(tmp_path)
    tiles = next(b for b in main_part(findings_of(tmp_path), "a") if isinstance(b, Tiles)).tiles

    assert tiles[-1] == (
        "speed-up",
        "4.0 × / 4.0 ×",
        "batch 1 / 64, over the fastest dense backend, 2 threads of CPU with AVX-512",
    )


def test_seeds_are_named(tmp_path):
    run(tmp_path, "a")
    run(tmp_path, "b", {"seed": 1})
    run(tmp_path, "c", {"criterion": "MagnitudePerMac", "exponent": 0.5})
    (table,) = blocks(findings_of(tmp_path), Table)

    assert [row[0] for row in table.rows] == [
        "global 98 % one_shot, seed 0",
        "global 98 % one_shot, seed 1",
        "magnitude_per_mac 98 % one_shot, exponent 0.5",
    ]


def test_machines_are_not_mixed(tmp_path):
    run(tmp_path, "a")
    run(tmp_path, "b", {"scope": "random"})
    run(tmp_path, "c", {"scope": "local"}, processor="another CPU")
    findings = findings_of(tmp_path)

    assert [len(table.rows) for table in blocks(findings, Table)] == [2, 1]
    timed, machine = latencies(findings.rows)
    assert [*timed] == ["global 98 % one_shot", "random 98 % one_shot"]
    assert machine == "2 threads of CPU with AVX-512"


def test_what_was_not_measured_is_left_blank(tmp_path):
    run(tmp_path, ms={"sparse": 0.25}, combinations=[(1, 1)])
    (table,) = blocks(findings_of(tmp_path), Table)

    assert table.rows[0][-1] == "0.25"
    assert not [name for name in table.columns if "batch 64" in name or "over" in name]


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


marks = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1)


@given(marks)
def test_the_outline_is_what_nothing_beats(marks):
    front = outline(marks)

    assert front == sorted(front, reverse=True)
    for cost, accuracy in marks:
        beaten = [m for m in marks if m[0] <= cost and m[1] >= accuracy and m != (cost, accuracy)]
        assert ((cost, accuracy) in front) == (not beaten)
