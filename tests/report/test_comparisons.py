import pytest

from lightprune.report import baseline
from lightprune.report.comparisons import against_dense, between_runs
from lightprune.report.csv_files import comparisons_csv
from lightprune.report.discovery import find_runs
from lightprune.report.groups import group_runs
from lightprune.report.sections.significance import significance_section
from lightprune.report.statistics import mcnemar_p_value
from tests.report.run_folders import config, findings_of, make_run

GOOD = [True] * 180 + [False] * 20
POOR = [True] * 120 + [False] * 80
NEAR = [True] * 179 + [False] * 21


def compared(folder, *runs):
    for number, (right, about) in enumerate(runs):
        names = ("fingerprint", "live_nnz", "events", "epochs_trained")
        options = {name: about.pop(name) for name in names if name in about}
        make_run(
            folder / f"run{number}", right, dense_right=GOOD, config=config(**about), **options
        )
    return group_runs(find_runs(folder, folder / "nowhere").runs)


def only(comparisons):
    (comparison,) = comparisons
    return comparison


def test_what_the_test_separates_is_ranked(tmp_path):
    groups = compared(tmp_path, (POOR, {"scope": "local"}), (GOOD, {}))
    comparison = only(between_runs(groups))

    assert (comparison.paired.only_first, comparison.paired.only_second) == (60, 0)
    assert comparison.verdict == "global 98 % one_shot is more accurate"


def test_what_it_does_not_separate_is_not_ranked(tmp_path):
    groups = compared(tmp_path, (NEAR, {"scope": "local"}), (GOOD, {}))

    assert only(between_runs(groups)).verdict == "not separated"


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"epochs": (22, 20)}, "their epochs differ (22 + 8 and 22 + 20)"),
        ({"epochs": (60, 8)}, "their epochs differ (22 + 8 and 60 + 8)"),
        ({"peak": 0.3}, "their settings differ (recipe.dense.peak is 0.1 and 0.3)"),
    ],
)
def test_other_budgets_are_not_ranked_however_far_apart(tmp_path, other, reason):
    groups = compared(tmp_path, (POOR, {}), (GOOD, other))
    comparison = only(between_runs(groups))

    assert comparison.separated
    assert comparison.verdict == f"no ranking: {reason} (the test separates them)"
    *_, shown = significance_section(findings_of(tmp_path))
    assert shown == "No two runs of equal seed, budget and data answer the same question."
    rows = comparisons_csv(between_runs(groups))
    assert f"no ranking: {reason} (the test separates them)" in rows
    assert "more accurate" not in rows


def test_how_learning_rates_follow_the_events_is_a_part_of_what_is_ranked(tmp_path):
    exchanged = {"regrowth": {"grow": "random"}, "schedule": "Cubic", "restart": "never"}
    groups = compared(tmp_path, (POOR, {}), (GOOD, exchanged))

    assert (
        only(between_runs(groups)).verdict == "global 98 % cubic, random regrowth is more accurate"
    )


def test_other_data_are_not_even_compared(tmp_path):
    groups = compared(tmp_path, (POOR, {}), (GOOD, {"fingerprint": "a" * 64}))
    comparison = only(between_runs(groups))

    assert comparison.paired is None
    assert comparison.verdict.startswith("not comparable: their data differ (fingerprints ")


def test_other_seeds_are_not_paired(tmp_path):
    groups = compared(tmp_path, (POOR, {}), (GOOD, {"scope": "local", "seed": 1}))

    assert not between_runs(groups)


def test_other_sparsities_are_another_question(tmp_path):
    about = {"sparsity": 0.96, "live_nnz": 400}
    groups = compared(tmp_path, (POOR, {}), (GOOD, {**about}))

    assert not between_runs(groups)


def test_so_are_sparsities_near_100_percent_that_leave_twice_as_much(tmp_path):
    runs = (
        (POOR, {"sparsity": 0.9996, "live_nnz": 4}),
        (GOOD, {"sparsity": 0.9998, "live_nnz": 2}),
    )

    assert not between_runs(compared(tmp_path, *runs))


def test_a_loss_to_the_dense_network_needs_no_equal_budget_but_a_gain_does(tmp_path):
    groups = compared(tmp_path / "a", (POOR, {}))
    lost = only(against_dense(groups))
    make_run(tmp_path / "b" / "run", GOOD, dense_right=POOR, config=config())
    gained = only(against_dense(group_runs(find_runs(tmp_path / "b", tmp_path).runs)))

    assert lost.verdict == "its dense network is more accurate"
    assert gained.verdict == "no ranking: it has trained 8 epochs more (the test separates them)"


def test_a_run_that_ended_early_is_not_held_against_a_control_of_the_whole_budget(tmp_path):
    control, early, whole = compared(
        tmp_path,
        (GOOD, {"scope": "", "events": []}),
        (POOR, {"epochs_trained": 3}),
        (POOR, {"scope": "local", "epochs_trained": 8}),
    )

    assert (control.first.epochs, whole.first.epochs) == ("22 + 8", "22 + 8")
    assert early.name == "global 98 % one_shot, 22 + 3 epochs"
    held = [c for c in between_runs((control, early, whole)) if control.name in (c.first, c.second)]
    assert [(c.first, c.second) for c in held] == [(control.name, whole.name)]


def test_many_comparisons_are_corrected_for(tmp_path):
    slightly = [True] * 173 + [False] * 27  # 7 images: p = 1/64 alone.
    groups = compared(
        tmp_path, (GOOD, {}), (slightly, {"scope": "local"}), (GOOD, {"criterion": "Random"})
    )
    comparisons = between_runs(groups)

    assert [mcnemar_p_value(c.paired) for c in comparisons] == pytest.approx([1 / 64, 1.0, 1 / 64])
    assert [c.corrected for c in comparisons] == pytest.approx([3 / 64, 1.0, 3 / 64])


def test_what_only_its_own_interval_separates_is_said_to_be_so_before_correction(tmp_path):
    slightly = [True] * 174 + [False] * 26  # 6 images: p = 1/32 alone, 3/32 of three.
    groups = compared(
        tmp_path, (GOOD, {}), (slightly, {"scope": "local"}), (GOOD, {"criterion": "Random"})
    )
    local, _, _ = comparisons = between_runs(groups)

    assert not local.separated
    assert baseline.verdict([local]) == "more accurate before correction"
    assert local.verdict == "global 98 % one_shot is more accurate before correction"
    assert baseline.verdict(baseline.tests_between(comparisons, local.second, local.first)) == (
        "less accurate before correction"
    )
    *_, matrix = significance_section(findings_of(tmp_path))
    assert matrix.svg.count(">↓<") == matrix.svg.count(">↑<") == 2


def test_seeds_of_which_one_alone_is_separated_are_counted(tmp_path):
    runs = [({"seed": 0}, POOR), ({"seed": 1}, NEAR), ({"seed": 2}, POOR)]
    both = [(right, {**about}) for about, right in runs]
    both += [(GOOD, {**about, "scope": "local"}) for about, _ in runs]
    global_, local = compared(tmp_path, *both)
    tests = baseline.tests_between(between_runs((global_, local)), global_.name, local.name)

    assert baseline.verdict(tests) == "less accurate in 2 of 3 seeds"
    assert baseline.verdict(
        [*tests[:2], *baseline.tests_between(tests[2:], local.name, global_.name)]
    ) == ("seeds disagree")
