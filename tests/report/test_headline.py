"""What one reads first: the finding, the tiles, the best by sparsity, what decides it."""

from lightprune.rendering.document import Choice, Table, Tiles
from lightprune.report.build import write_report
from lightprune.report.csv_files import comparisons_csv
from lightprune.report.frontier_figure import frontier_charts, frontier_svg
from lightprune.report.sections.deciding import deciding_lines, undertrained_lines
from lightprune.report.sections.headline import finding, headline, main_part
from tests.report.run_folders import config, event, findings_of, make_bench, make_run

DENSE = [True] * 900 + [False] * 100
NEAR = [True] * 898 + [False] * 102
POOR = [True] * 700 + [False] * 300
CONTROL = {"scope": ""}
WHOLE = {"live_nnz": 2000, "unreachable_nnz": 8000, "events": []}


def run(folder, right=DENSE, about=None, dense_right=DENSE, **options):
    settings = config(**(about or {}))
    return make_run(folder, right, dense_right=dense_right, config=settings, **options)


def block(findings, kind):
    return next(b for b in main_part(findings, "sweep: 1 run") if isinstance(b, kind))


def test_the_finding_is_the_sparsest_within_half_a_point(tmp_path):
    run(tmp_path / "a", DENSE, {"sparsity": 0.95}, live_nnz=500)
    record = run(tmp_path / "b", NEAR, {"sparsity": 0.98})
    run(tmp_path / "c", POOR, {"sparsity": 0.99}, live_nnz=100)
    make_bench(tmp_path / "b", record, ms={"eager": 2.0, "onnx": 1.0, "sparse": 0.25})

    assert finding(findings_of(tmp_path)) == (
        "98 % of the weights pruned, −0.20 pp to its dense network, 6.8 % of the MACs left, "
        "4.0 × as fast"
    )


def test_the_control_comes_before_the_dense_network(tmp_path):
    run(tmp_path / "control", DENSE, CONTROL, POOR, **WHOLE)
    run(tmp_path / "98", NEAR, dense_right=POOR)
    # As far above its dense network, but no control of this training is there.
    run(tmp_path / "99", NEAR, {"sparsity": 0.99, "epochs": (22, 16)}, POOR, live_nnz=100)
    findings = findings_of(tmp_path)

    assert headline(findings).first.folder == "98"
    assert finding(findings).startswith("98 % of the weights pruned, −0.20 pp to the control")
    tiles = block(findings, Tiles).tiles
    assert [label for label, *_ in tiles] == ["sparsity", "to the control", "MACs left"]
    assert tiles[1] == (
        "to the control",
        "−0.20 pp",
        "95 % interval −0.59 to +0.19: not separated",
    )


def test_a_difference_over_fewer_seeds_than_the_accuracy_says_so(tmp_path):
    run(tmp_path / "control", DENSE, CONTROL, POOR, **WHOLE)
    for seed in (0, 1):
        run(tmp_path / str(seed), NEAR, {"seed": seed}, POOR)
    findings = findings_of(tmp_path)
    table = block(findings, Table)

    assert finding(findings).startswith(
        "98 % of the weights pruned, −0.20 pp to the control on seed 0, "
    )
    assert block(findings, Tiles).tiles[1][2].endswith(": not separated on seed 0")
    assert table.rows[0][table.columns.index("to control (pp)")] == "−0.20 (seed 0)"


def test_where_nothing_holds_the_margin_the_least_loss_is_the_finding(tmp_path):
    run(tmp_path / "a", POOR)
    worse = [True] * 600 + [False] * 400
    run(tmp_path / "b", worse, {"sparsity": 0.99}, live_nnz=100)

    assert finding(findings_of(tmp_path)).startswith("98 % of the weights pruned, −20.00 pp")


def test_a_sweep_that_pruned_nothing_says_so_and_has_no_panels(tmp_path):
    run(tmp_path / "a", DENSE, CONTROL, live_nnz=1999, unreachable_nnz=8000, events=[])
    findings = findings_of(tmp_path)

    assert finding(findings) == "1 run, nothing pruned"
    assert frontier_charts(findings.rows) == {}
    assert frontier_svg(findings.rows) == ""
    assert [type(b) for b in main_part(findings, "a")] == [str]


def test_the_best_of_each_sparsity_is_told_with_how_many_it_was_chosen_from(tmp_path):
    run(tmp_path / "a", NEAR)
    run(tmp_path / "b", DENSE, {"schedule": "MultiStep"})
    run(tmp_path / "c", POOR, {"sparsity": 0.99}, live_nnz=100)
    table = block(findings_of(tmp_path), Table)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]

    assert [(row["best of each sparsity"], row["chosen from"]) for row in rows] == [
        ("[global 98 % multi_step](../b)", "2"),
        ("[global 99 % one_shot](../c)", "1"),
    ]
    assert [row["verdict"] for row in rows] == ["not separated", "less accurate"]
    assert [row["to its dense (pp)"] for row in rows] == ["0.00", "−20.00"]
    assert not {"to control (pp)", "speed-up, batch 1"} & {*table.columns}
    assert [row["epochs"] for row in rows] == ["22 + 8"] * 2
    assert [row["seeds"] for row in rows] == ["1"] * 2
    # 3000.4 s dense, 1200.6 s fine-tuning.
    assert [row["training (min)"] for row in rows] == ["70"] * 2
    assert "as the run measured it" in [*main_part(findings_of(tmp_path), "a")][-2]

    run(tmp_path / "control", DENSE, CONTROL, **WHOLE)
    run(tmp_path / "long", NEAR, {"epochs": (22, 16), "sparsity": 0.95}, live_nnz=500)
    table = block(findings_of(tmp_path), Table)
    column = table.columns.index("to control (pp)")
    assert table.numeric[column]
    assert [row[column] for row in table.rows] == [
        "−0.20 (dense, no control)",
        "0.00",
        "−20.00",
    ]


def test_an_undertrained_dense_network_is_named(tmp_path):
    run(tmp_path / "a", DENSE, dense_right=POOR)
    (line,) = undertrained_lines(findings_of(tmp_path))

    assert line == (
        "**dense** is undertrained: global 98 % one_shot is +20.00 pp above it, so a difference "
        "to it flatters pruning; `pruner=none` makes a control."
    )
    assert f"- {line}" in str([*main_part(findings_of(tmp_path), "a")][-1])

    run(tmp_path / "control", DENSE, CONTROL, POOR, **WHOLE)
    (line,) = undertrained_lines(findings_of(tmp_path))
    assert "pruner=none" not in line
    run(tmp_path / "well" / "b", DENSE, {"sparsity": 0.9}, live_nnz=1000)
    assert not [*undertrained_lines(findings_of(tmp_path / "well"))]


def deciding(folder):
    findings = findings_of(folder)
    return [*deciding_lines(findings, headline(findings))]


def test_what_decides_is_told_with_its_extremes(tmp_path):
    run(tmp_path / "a", DENSE)
    run(tmp_path / "b", POOR, {"scope": "local"}, live_nnz=100, unreachable_nnz=100)
    run(tmp_path / "c", NEAR, {"epochs": (22, 16)})
    lines = deciding(tmp_path)

    assert lines[0].startswith(
        "Which weights go: at 98 % and equal training the accuracy is from 70.00 % (local one_shot"
    )
    assert lines[1] == (
        "How one trains: global one_shot at 98 % has 89.80 % after 22 + 16 epochs, 90.00 % "
        "after 22 + 8 epochs."
    )
    assert lines[2].startswith("Where the zeros lie: at 98 % from 3.4 % (local one_shot")
    assert lines[3].startswith("Unreachable weights: ")


def test_settings_and_masks_that_are_no_method_decide_nothing(tmp_path):
    run(tmp_path / "a", DENSE)
    run(tmp_path / "b", POOR, {"peak": 0.2})

    assert [line.partition(":")[0] for line in deciding(tmp_path)] == ["Unreachable weights"]


def test_other_images_are_another_question(tmp_path):
    run(tmp_path / "cifar", NEAR, {"schedule": "MultiStep"}, fingerprint="c" * 64)
    run(tmp_path / "digits", DENSE, {"epochs": (10, 12)}, fingerprint="d" * 64)
    findings = findings_of(tmp_path)
    table = block(findings, Table)
    figure = next(iter(block(findings, Choice).figures.values()))

    assert [line.partition(":")[0] for line in deciding(tmp_path)] == ["Unreachable weights"]
    assert [row[1] for row in table.rows] == ["1", "1"]
    assert "data" in table.columns
    assert 'href="../digits"' in figure.inline
    assert 'href="../cifar"' not in figure.inline
    assert 'href="../../digits"' in figure.svg
    assert "and the network of the title alone" in figure.caption


def test_of_several_controls_the_one_with_most_seeds_counts(tmp_path):
    for seed in range(3):
        run(tmp_path / f"control{seed}", DENSE, {"seed": seed, **CONTROL}, POOR, **WHOLE)
        run(tmp_path / f"98-{seed}", NEAR, {"seed": seed}, POOR)
    run(tmp_path / "copy", POOR, CONTROL, POOR, **WHOLE)

    assert finding(findings_of(tmp_path)).startswith(
        "98 % of the weights pruned, −0.20 pp to the control, "
    )


def test_seeds_that_until_stopped_at_other_sparsities_are_no_one_row(tmp_path):
    for seed, sparsity in enumerate((0.98, 0.7)):
        events = [event(0, sparsity, 0.9)]
        about = {"schedule": "Until", "seed": seed}
        run(tmp_path / str(seed), NEAR, about, events=events, live_nnz=int(2000 * (1 - sparsity)))

    names = [row.name for row in findings_of(tmp_path).rows if row.pruned]
    assert sorted(names) == ["global 70 % until", "global 98 % until"]


def test_a_network_that_filters_left_is_held_against_nothing(tmp_path):
    slim = {"channels": {"conv1": 3}}
    run(tmp_path / "a", NEAR, slim, users_weights="w" * 64)
    findings = findings_of(tmp_path)

    assert finding(findings) == "1 run, no dense network to hold them against"
    assert comparisons_csv(findings.against_dense).splitlines()[1:] == []
    write_report(findings, "one run", tmp_path / "report")


def test_the_figure_has_an_axis_for_what_was_measured(tmp_path):
    for name, ms in (("a", 0.5), ("b", 0.25)):
        sparsity = {"a": 0.98, "b": 0.99}[name]
        record = run(
            tmp_path / name, NEAR, {"sparsity": sparsity}, live_nnz=int(1e4 * (1 - sparsity))
        )
        make_bench(tmp_path / name, record, ms={"eager": 2.0, "sparse": ms})
    findings = findings_of(tmp_path)

    assert [*frontier_charts(findings.rows)] == ["MACs", "latency", "sparsity", "live sparsity"]
    assert [*block(findings, Choice).figures] == [*frontier_charts(findings.rows)]
    for svg in frontier_charts(findings.rows).values():
        assert svg.count('<a href="../') == 2
        assert ">global one_shot<" in svg
        assert ">dense: 90.00 %<" in svg
    assert "2 threads of CPU with AVX-512" in frontier_charts(findings.rows)["latency"]


def test_six_series_are_named_and_the_others_are_pale(tmp_path):
    criteria = ("Magnitude", "Lamp", "Taylor", "Movement", "Random", "Snip", "Synflow", "Erk")
    for number, criterion in enumerate(criteria):
        run(
            tmp_path / criterion,
            [True] * (890 + number) + [False] * (110 - number),
            {"criterion": criterion},
        )
    findings = findings_of(tmp_path)
    svg = frontier_charts(findings.rows)["MACs"]

    assert svg.count('<text class="b"') == 6
    assert svg.count('<g class="other">') == 2
    assert "Pale marks" in block(findings, Choice).figures["MACs"].caption


def test_a_series_that_lies_on_another_is_pale(tmp_path):
    for sparsity, live in ((0.98, 200), (0.99, 100)):
        for mode in ("rank", "first") if live == 100 else ("rank",):
            about = {"sparsity": sparsity, "unreachable": mode}
            run(tmp_path / f"{mode}-{live}", NEAR, about, live_nnz=live)
    svg = frontier_charts(findings_of(tmp_path).rows)["MACs"]

    assert svg.count('<text class="b"') == svg.count('<g class="other">') == 1
    assert ">global one_shot<" in svg


def test_networks_that_have_every_image_right_are_drawn(tmp_path):
    right = [True] * 360
    for criterion in ("Magnitude", "Lamp"):
        run(tmp_path / criterion, right, {"criterion": criterion}, right)

    # Two marks, and one beside the name: the other series would hide the first.
    assert frontier_svg(findings_of(tmp_path).rows).count('class="m"') == 2 + 1
