"""Methods at one sparsity: who may be compared, and what the table and the figures say."""

import pytest

from lightprune.rendering.document import Table
from lightprune.report.sections.methods import method_comparisons, methods_section
from tests.report.run_folders import config, findings_of, make_bench, make_run

DENSE = [True] * 900 + [False] * 100
NEAR = [True] * 890 + [False] * 110
POOR = [True] * 700 + [False] * 300
RIGHT = {"Lamp": NEAR, "Magnitude": DENSE, "Random": POOR}


def run(folder, right=DENSE, about=None, **options):
    return make_run(folder, right, dense_right=DENSE, config=config(**(about or {})), **options)


@pytest.fixture
def three(tmp_path):
    for criterion, right in RIGHT.items():
        record = run(tmp_path / criterion, right, {"criterion": criterion})
        if criterion == "Lamp":
            make_bench(tmp_path / criterion, record, ms={"eager": 2.0, "sparse": 0.5})
    return tmp_path


def table(folder):
    (shown,) = (b for b in methods_section(findings_of(folder)) if isinstance(b, Table))
    return [dict(zip(shown.columns, row, strict=True)) for row in shown.rows]


def test_every_method_is_held_against_plain_global_magnitude(three):
    first, random, lamp = table(three)

    assert [first["method"], first["difference (pp)"], first["verdict"]] == [
        "global one_shot",
        "",
        "",
    ]
    assert random["method"] == "random one_shot"
    assert random["difference (pp)"] == "−20.00"
    assert random["verdict"] == "less accurate"
    low, high = random["95 % interval"].split(" to ")
    assert (low, high) == ("−22.45", "−17.47")
    assert [lamp["method"], lamp["difference (pp)"]] == ["lamp one_shot", "−1.00"]


def test_latency_stands_beside_a_method_that_was_timed(three):
    first, _, lamp = table(three)

    assert [lamp["ms, batch 1"], lamp["ms, batch 64"]] == ["0.25", "16"]
    assert [first["ms, batch 1"], first["ms, batch 64"]] == ["", ""]


def test_a_method_better_than_the_first_line_is_told_as_more_accurate(tmp_path):
    for criterion, right in {"Magnitude": POOR, "Lamp": NEAR, "Taylor": POOR}.items():
        run(tmp_path / criterion, right, {"criterion": criterion})
    _, lamp, taylor = table(tmp_path)

    assert [lamp["difference (pp)"], lamp["verdict"]] == [
        "+19.00",
        "more accurate",
    ]
    assert taylor["verdict"] == "not separated"


def test_a_difference_is_the_mean_over_the_seeds_that_both_have(tmp_path):
    better = [True] * 910 + [False] * 90
    for criterion, seeds in {"Magnitude": (0, 1), "Lamp": (0, 1), "Taylor": (1,)}.items():
        for seed in seeds:
            right = better if (criterion, seed) == ("Lamp", 1) else NEAR
            run(tmp_path / f"{criterion}{seed}", right, {"criterion": criterion, "seed": seed})
    _, lamp, taylor = table(tmp_path)

    assert lamp["difference (pp)"] == "+1.00 ± 1.41"
    assert taylor["verdict"] == "not separated"


def test_two_methods_or_other_dense_networks_are_no_contest(three, tmp_path):
    assert [comparison.title for comparison in method_comparisons(findings_of(three))] == [
        "98 %, 22 + 8 epochs"
    ]

    run(three / "own", DENSE, {"criterion": "Taylor"}, users_weights="w" * 64)
    assert "taylor" not in str([row["method"] for row in table(three)])

    two = tmp_path / "two"
    for criterion in ("Magnitude", "Lamp"):
        run(two / criterion, NEAR, {"criterion": criterion})
    assert not [*methods_section(findings_of(two))]


def test_budgets_and_sparsities_have_contests_of_their_own(three):
    for criterion, right in RIGHT.items():
        run(
            three / f"{criterion}-99",
            right,
            {"criterion": criterion, "sparsity": 0.99},
            live_nnz=100,
        )
        run(three / f"{criterion}-long", right, {"criterion": criterion, "epochs": (22, 16)})
    comparisons = method_comparisons(findings_of(three))

    assert sorted(comparison.title for comparison in comparisons) == [
        "98 %, 22 + 16 epochs",
        "98 %, 22 + 8 epochs",
        "99 %, 22 + 8 epochs",
    ]
    assert all(len(comparison.rows) == len(RIGHT) for comparison in comparisons)
    assert [row["at"] for row in table(three)] == [
        comparison.title for comparison in comparisons for _ in comparison.rows
    ]


def test_another_precision_has_a_contest_of_its_own(three):
    for criterion, right in RIGHT.items():
        settings = {**config(criterion=criterion), "trainer": {"precision": "bf16-mixed"}}
        make_run(three / f"{criterion}-mixed", right, dense_right=DENSE, config=settings)

    assert [
        (comparison.title, len(comparison.rows))
        for comparison in method_comparisons(findings_of(three))
    ] == [
        ("98 %, 22 + 8 epochs", len(RIGHT)),
        ("98 %, 22 + 8 epochs, bf16-mixed", len(RIGHT)),
    ]


def test_milliseconds_of_other_machines_and_threads_are_not_mixed(three):
    for criterion, options in (("Random", {"processor": "other"}), ("Magnitude", {})):
        record = run(
            three / f"{criterion}-2", RIGHT[criterion], {"criterion": criterion, "seed": 1}
        )
        combinations = ((1, 1), (1, 64))
        make_bench(
            three / f"{criterion}-2",
            record,
            ms={"sparse": 0.4},
            combinations=combinations,
            **options,
        )
    first, random, lamp = table(three)

    assert [first["ms, batch 1"], lamp["ms, batch 1"]] == ["0.4", "0.5"]
    assert random["ms, batch 1"] == ""
    words, _ = methods_section(findings_of(three))
    assert (
        "of the first seed that was timed, with the most threads that all have in common" in words
    )


def test_what_filter_pruning_left_is_held_against_nothing(three):
    run(three / "cut", NEAR, {"scope": "", "channels": [4, 3]}, users_weights="w" * 64)
    findings = findings_of(three)
    (row,) = (row for row in findings.rows if row.name == "filters removed")

    assert row.difference is None
    assert [row.name for row in findings.rows].count("dense") == 1
    assert "filters removed" not in [test.first for test in findings.against_dense]
