"""What the sections say and draw of runs whose numbers are known beforehand."""

import json
import re

import pytest

from lightprune.rendering.document import Figure, Table
from lightprune.report.sections.classes import classes_section
from lightprune.report.sections.layers import layers_section
from lightprune.report.sections.results import result_columns, results_section
from lightprune.report.sections.run_provenance import provenance_section
from lightprune.report.sections.significance import significance_section
from lightprune.report.sections.training_curves import training_curves_section
from tests.report.run_folders import LAYERS, config, event, findings_of, make_run, write_rows

RIGHT = [True, False] * 10
DENSE = [True] * 900 + [False] * 100
POOR = [True] * 700 + [False] * 300


def figures(blocks):
    return {block.name: block.svg for block in blocks if isinstance(block, Figure)}


def run(folder, right=RIGHT, dense_right=RIGHT, about=None, **options):
    make_run(folder, right, dense_right=dense_right, config=config(**(about or {})), **options)


def columns(folder):
    findings = findings_of(folder)
    return {row.name: result_columns(findings, row) for row in findings.rows}


def test_a_run_without_validation_says_so_and_draws_no_accuracies(tmp_path):
    nothing = {"before": None, "after": None, "recovered": None}
    run(tmp_path / "a", events=[event(0, 0.98, 0.9, **nothing)])
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    record["data"]["validation_images"], record["validation_accuracy"] = 0, None
    (tmp_path / "a" / "run.json").write_text(json.dumps(record))
    for file in tmp_path.rglob("metrics.csv"):
        write_rows(file, [{"epoch": 0, "val_accuracy": ""}])
    findings = findings_of(tmp_path)
    row = columns(tmp_path)["global 98 % one_shot"]

    assert list(training_curves_section(findings)) == []
    assert (row["worst drop (pp)"], row["recovered"]) == ("", "")
    assert [row.first.dataset for row in findings.rows] == [
        "ImageFolder (ffffffff), no validation"
    ] * 2
    assert "0 validation (the last epoch was tested)" in [*provenance_section(findings)][-1]


def test_the_fine_tuning_is_drawn_after_the_dense_training(tmp_path):
    run(tmp_path / "a")
    (drawing,) = figures(training_curves_section(findings_of(tmp_path))).values()
    (path,) = re.findall(r'<path class="line" d="M([^"]*)"', drawing)
    places = [float(point.split()[0]) for point in path.split("L")]

    # 22 dense epochs, the fall at the event, 8 of fine-tuning.
    assert len(places) == 22 + 2 + 8
    assert places == sorted(places)
    assert places.count(places[21]) == 3


def test_every_event_of_an_epoch_is_drawn_one_after_the_other(tmp_path):
    run(
        tmp_path / "a",
        events=[event(2, 0.5, 0.9) | {"step": 20}, event(2, 0.98, 0.8) | {"step": 25}],
    )
    (drawing,) = figures(training_curves_section(findings_of(tmp_path))).values()
    (path,) = re.findall(r'<path class="line" d="M([^"]*)"', drawing)
    places = [float(point.split()[0]) for point in path.split("L")]

    # Beside 22 + 8 ends of epochs: before and after each event, the second in mid epoch.
    assert len(places) == 22 + 8 + 4
    assert places == sorted(places)
    assert places[26] == places[27] == pytest.approx((places[25] + places[28]) / 2, abs=0.1)


def test_curves_of_equal_training_are_shown_first_and_others_on_demand(tmp_path):
    whole = {"live_nnz": 2000, "unreachable_nnz": 8000, "events": []}
    run(tmp_path / "control", about={"scope": ""}, **whole)
    run(tmp_path / "98")
    (few,) = training_curves_section(findings_of(tmp_path))
    for epochs in range(9, 14):
        run(tmp_path / f"long{epochs}", about={"epochs": (22, epochs)})
    (many,) = training_curves_section(findings_of(tmp_path))
    names = [name for _, name in many.toggles]

    assert len(few.toggles) == few.shown == 2
    assert set(names[: many.shown]) == {
        "control (dense continued), 22 + 8 epochs",
        "global 98 % one_shot, 22 + 8 epochs",
    }
    assert len(names) == 7
    assert many.svg.count(' off">') == 5


def test_the_worst_event_of_all_seeds_is_told_with_the_epochs_until_it_was_made_good(tmp_path):
    for seed, after in ((0, 0.70), (1, 0.40)):
        events = [
            event(0, 0.5, 0.4, before=0.75, after=after),
            event(2, 0.98, 0.9, before=0.99, after=0.6),
        ]
        run(tmp_path / f"s{seed}", about={"seed": seed}, events=events)
    (row,) = (r for name, r in columns(tmp_path).items() if "global" in name)

    # The curve is 0.70, 0.71, ...: 0.75 is reached in the sixth epoch; 0.99 never, but that fell
    # by less than what fell to 0.40, by 35 pp, did not.
    assert (row["worst drop (pp)"], row["recovered"]) == ("−39.0", "never")

    run(tmp_path / "deep", about={"scope": "local"}, events=[event(0, 0.98, 0.9, before=0.75)])
    row = columns(tmp_path)["local 98 % one_shot"]
    assert (row["worst drop (pp)"], row["recovered"]) == ("−65.0", "6")


def test_the_control_is_the_baseline_and_the_dense_network_the_second_column(tmp_path):
    control = {"live_nnz": 2000, "unreachable_nnz": 8000}
    run(tmp_path / "control", DENSE, POOR, {"scope": ""}, **control)
    run(tmp_path / "pruned", POOR, POOR)
    run(tmp_path / "near", DENSE, POOR, {"scope": "local"})
    rows = columns(tmp_path)
    one = rows["global 98 % one_shot"]

    assert one["to control (pp)"] == "−20.00"
    assert one["verdict"] == "less accurate"
    assert one["to its dense (pp)"] == "0.00"
    assert rows["local 98 % one_shot"]["verdict"] == "not separated"
    assert rows["control (dense continued)"]["to control (pp)"] == ""
    assert rows["control (dense continued)"]["to its dense (pp)"] == "+20.00"
    assert "no control" not in next(results_section(findings_of(tmp_path)))


def test_where_there_is_no_control_the_table_says_so_and_has_no_empty_columns(tmp_path):
    run(tmp_path / "a")
    words, table = results_section(findings_of(tmp_path))

    assert words.endswith(
        "These runs have no control: differences are to each run's own dense network."
    )
    assert not {"to control (pp)", "verdict", "data"} & {*table.columns}
    assert all(any(row[n] for row in table.rows) for n in range(len(table.columns)))


def test_a_layer_of_which_nothing_is_left_or_reached_is_told_apart(tmp_path):
    layers = {"full.weight": (100, 100, 1), "dead.weight": (100, 0, 1), **LAYERS}
    run(tmp_path / "a", layers=layers, live_nnz=16)
    (figure,) = layers_section(findings_of(tmp_path))
    cells = re.findall(r'<text class="mid" [^>]*>([^<]*)</text>', figure.inline)

    assert cells == ["×", "–", "99.3", "99.3"]


def test_networks_of_other_layers_do_not_share_a_heat_map(tmp_path):
    run(tmp_path / "a")
    run(tmp_path / "b", layers={**LAYERS, "head.weight": (1000, 1000, 1)}, fingerprint="a" * 64)
    drawn = figures(layers_section(findings_of(tmp_path)))

    assert sorted("head" in svg for svg in drawn.values()) == [False, True]


def test_data_of_other_classes_have_figures_of_their_own(tmp_path):
    run(tmp_path / "a")
    run(tmp_path / "b", classes=["cat", "newt"], fingerprint="a" * 64)
    drawn = figures(classes_section(findings_of(tmp_path)))

    assert sorted("newt" in svg for svg in drawn.values()) == [False, True]
    assert set(drawn) == {"classes-1", "classes-2"}


def test_of_many_classes_those_that_change_most_are_drawn(tmp_path):
    names = [f"class{n:03}" for n in range(100)]
    right = [n % 100 != 42 for n in range(1000)]
    run(tmp_path / "a", right, [True] * 1000, classes=names)
    (figure,) = classes_section(findings_of(tmp_path))

    assert "class042" in figure.svg
    assert figure.svg.count(">class") == 30
    assert "the 30 of 100 classes that change most" in figure.caption
    assert figure.svg.count('<rect class="lose"') == 1


def test_the_matrix_tells_each_pair_from_both_sides(tmp_path):
    for criterion, right in {"Magnitude": DENSE, "Random": POOR, "Lamp": DENSE}.items():
        run(tmp_path / criterion, right, DENSE, {"criterion": criterion})
    words, figure = significance_section(findings_of(tmp_path))
    cells = re.findall(r'<text class="mid" [^>]*>([^<]*)</text>', figure.inline)

    assert "for 3 comparisons with dense networks and 3 between runs;" in words
    # Rows: global, random, lamp.
    assert cells == ["+", "=", "−", "−", "=", "+"]


def test_runs_that_answer_no_common_question_have_no_matrix(tmp_path):
    run(tmp_path / "a")
    assert not [*significance_section(findings_of(tmp_path))]

    run(tmp_path / "b", about={"epochs": (22, 16)})
    *_, last = significance_section(findings_of(tmp_path))

    assert last == "No two runs of equal seed, budget and data answer the same question."


@pytest.mark.parametrize("seeds", [1, 3])
def test_provenance_has_a_row_for_runs_of_equal_origin(tmp_path, seeds):
    for seed in range(seeds):
        run(tmp_path / f"s{seed}", about={"seed": seed})
    (table,) = (b for b in provenance_section(findings_of(tmp_path)) if isinstance(b, Table))

    assert [row[0] for row in table.rows] == [f"`train.py seed={seed}`" for seed in range(seeds)]
    assert {row[table.columns.index("runs")] for row in table.rows} == {"1"}
