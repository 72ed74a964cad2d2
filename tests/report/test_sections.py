"""What the sections say and draw of runs whose numbers are known beforehand."""

import json

from lightprune.rendering.document import Figure
from lightprune.report.sections.frontier import frontier_section
from lightprune.report.sections.per_class import per_class_section
from lightprune.report.sections.per_layer import per_layer_section
from lightprune.report.sections.prune_events import prune_events_section
from lightprune.report.sections.run_provenance import provenance_section
from lightprune.report.sections.summary import summary_section
from lightprune.report.sections.training_curves import training_curves_section
from tests.report.run_folders import LAYERS, config, event, findings_of, make_run, write_rows

RIGHT = [True, False] * 10


def figures(blocks):
    return {block.name: block.svg for block in blocks if isinstance(block, Figure)}


def run(folder, right=RIGHT, dense_right=RIGHT, about=None, **options):
    make_run(folder, right, dense_right=dense_right, config=config(**(about or {})), **options)


def lines(findings):
    (block,) = summary_section(findings)
    return [line.removeprefix("- ") for line in block.splitlines()]


def said(folder, start):
    (line,) = (line for line in lines(findings_of(folder)) if line.startswith(start))
    return line


def test_a_run_without_validation_says_so_and_draws_no_accuracies(tmp_path):
    nothing = {"before": None, "after": None, "recovered": None}
    run(tmp_path / "a", events=[event(0, 0.98, 0.9, **nothing)])
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    record["data"]["validation_images"], record["validation_accuracy"] = 0, None
    (tmp_path / "a" / "run.json").write_text(json.dumps(record))
    for file in tmp_path.rglob("metrics.csv"):
        write_rows(file, [{"epoch": 0, "val_accuracy": ""}])
    findings = findings_of(tmp_path)
    (table,) = prune_events_section(findings)

    assert list(training_curves_section(findings)) == []
    assert dict(zip(table.columns, table.rows[0], strict=True))["right after"] == ""
    assert [row.first.dataset for row in findings.rows] == [
        "ImageFolder (ffffffff), no validation"
    ] * 2
    assert "0 validation (the last epoch was tested)" in [*provenance_section(findings)][1]


def test_a_loss_within_the_margin_comes_with_its_interval(tmp_path):
    dense = [True] * 800 + [False] * 200
    near = [True] * 798 + [False] * 202
    run(tmp_path / "a", near, dense, {"sparsity": 0.98})
    run(tmp_path / "b", near, dense, {"sparsity": 0.98, "schedule": "MultiStep"})
    run(tmp_path / "c", [True] * 700 + [False] * 300, dense, {"sparsity": 0.99}, live_nnz=100)
    line = said(tmp_path, "The highest sparsity measured within 0.3 pp")

    interval = "95 % interval −0.59 to +0.19, so it may be more"
    assert f"**global 98 % one_shot** (−0.20 pp, {interval}; live sparsity 90 %" in line
    assert "**global 98 % multi_step**" in line
    assert "99 %" not in line
    assert not [other for other in lines(findings_of(tmp_path)) if "within 1.0 pp" in other]


def test_of_many_cells_within_the_margin_two_are_described_and_all_named(tmp_path):
    for name, schedule in zip("abc", ("OneShot", "MultiStep", "Cubic"), strict=True):
        run(tmp_path / name, [True] * 20, [True] * 20, {"schedule": schedule})
    line = said(tmp_path, "The highest sparsity measured within 0.3 pp")

    assert line.count("live sparsity") == 2
    assert "; as sparse and within it, too: **global 98 % " in line
    assert all(f" {schedule}**" in line for schedule in ("one_shot", "multi_step", "cubic"))


def test_no_sparsity_within_the_margin_is_said_too(tmp_path):
    run(tmp_path / "a", [True] * 15 + [False] * 5, [True] * 20)

    assert said(tmp_path, "No sparsity measured is within 0.3") == (
        "No sparsity measured is within 0.3 pp of its own dense network, 22 + 8 epochs."
    )


def test_the_dense_training_is_drawn_before_the_groups(tmp_path):
    run(tmp_path / "a")
    (drawing,) = figures(training_curves_section(findings_of(tmp_path))).values()

    assert drawing.index(">dense<") < drawing.index(">global 98 % one_shot<")


def test_events_sum_up_every_seed(tmp_path):
    for seed, live, emptied in ((0, 0.90, ["conv1.weight"]), (1, 0.92, [])):
        happened = [event(0, 0.98, live, emptied=emptied)]
        run(tmp_path / f"s{seed}", about={"seed": seed}, events=happened)
    row = [*prune_events_section(findings_of(tmp_path))][-1].rows[0]

    assert row[3] == "91.00 %"
    assert row[-1] == "conv1 (1 of 2 seeds)"


def test_the_accuracy_after_recalibration_is_shown_where_some_run_has_one(tmp_path):
    run(tmp_path / "old", events=[event(0, 0.98, 0.9)])
    before = [*prune_events_section(findings_of(tmp_path))]
    anew = {**event(0, 0.98, 0.9), "recalibrated": 0.625}
    run(tmp_path / "new", about={"scope": "local"}, events=[anew])
    after = [*prune_events_section(findings_of(tmp_path))]

    assert "recalibrated" not in before[-1].columns
    column = after[-1].columns.index("recalibrated")
    assert sorted(row[column] for row in after[-1].rows) == ["", "62.50 %"]
    assert ">recalibrated<" in figures(after)["events"]
    assert ">recalibrated<" not in figures(before)["events"]


def test_networks_of_other_layers_do_not_share_axes(tmp_path):
    run(tmp_path / "a")
    run(tmp_path / "b", layers={**LAYERS, "head.weight": (1000, 1000, 1)}, fingerprint="a" * 64)
    drawn = figures(per_layer_section(findings_of(tmp_path)))

    assert sorted("head" in svg for svg in drawn.values()) == [False, True]


def test_data_of_other_classes_have_figures_of_their_own(tmp_path):
    run(tmp_path / "a")
    run(tmp_path / "b", classes=["cat", "newt"], fingerprint="a" * 64)
    drawn = figures(per_class_section(findings_of(tmp_path)))

    assert sorted("newt" in svg for svg in drawn.values()) == [False, True]
    assert set(drawn) == {"classes-1", "classes-2"}


def test_a_control_with_a_stray_zero_is_not_pruned(tmp_path):
    run(tmp_path / "a", about={"scope": ""}, live_nnz=1999, unreachable_nnz=8000, events=[])
    findings = findings_of(tmp_path)

    assert not [*frontier_section(findings)]
    assert not [line for line in lines(findings) if "sparsity measured" in line]
    assert [
        line
        for line in lines(findings)
        if line.startswith("**control (dense continued)**: 50.00 %")
    ]
