import pytest

from lightprune.report.discovery import find_runs
from lightprune.report.groups import group_runs
from lightprune.report.result_table import result_rows
from lightprune.runs.method_label import method_label
from tests.report.run_folders import config, make_run

RIGHT = [True, False] * 10


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"scope": ""}, "control"),
        ({}, "global one_shot"),
        ({"scope": "local", "schedule": "MultiStep"}, "local multi_step"),
        ({"criterion": "Random"}, "random one_shot"),
        ({"criterion": "Random", "scope": "local"}, "random-local one_shot"),
        (
            {"criterion": "MagnitudePerMac", "exponent": 0.25},
            "magnitude_per_mac one_shot, exponent 0.25",
        ),
        ({"unreachable": "first"}, "global one_shot, unreachable first"),
        ({"weights": "shuffle"}, "global one_shot, masks shuffled"),
        ({"weights": "reinitialise"}, "global one_shot, fresh weights"),
        ({"weights": "rewind"}, "global one_shot, rewound"),
        ({"regrowth": {"grow": "gradient"}}, "global one_shot, gradient regrowth"),
        ({"scope": "", "channels": [4, 3]}, "filters removed"),
        ({"channels": [4, 3]}, "global one_shot, filters removed"),
    ],
)
def test_what_was_done_in_words(about, words):
    assert method_label(config(**about)) == words


@pytest.mark.parametrize(
    ("schedule", "span", "words"),
    [
        ("MultiStep", 0.3, "global multi_step, span 0.3"),
        ("MultiStep", 1.0, "global multi_step"),
        ("Cubic", 0.3, "global cubic"),
    ],
)
def test_a_span_is_named_where_events_end_early(schedule, span, words):
    with_span = config(schedule=schedule)
    with_span["schedule"]["span"] = span

    assert method_label(with_span) == words


def groups_of(folder, *abouts):
    for number, about in enumerate(abouts):
        make_run(folder / f"r{number}", RIGHT, dense_right=RIGHT, config=config(**about))
    return group_runs(find_runs(folder, folder).runs)


def test_seeds_make_one_group(tmp_path):
    (group,) = groups_of(tmp_path, {"seed": 2}, {"seed": 0}, {"seed": 1})

    assert (group.name, [run.seed for run in group.runs]) == ("global 98 % one_shot", [0, 1, 2])


def test_budgets_are_told_apart(tmp_path):
    groups = groups_of(tmp_path, {}, {"epochs": (60, 20)})

    assert [group.name for group in groups] == [
        "global 98 % one_shot, 22 + 8 epochs",
        "global 98 % one_shot, 60 + 20 epochs",
    ]


def test_a_precision_other_than_full_is_told_even_of_the_only_run_of_its_kind(tmp_path):
    for name, about, precision in (
        ("full", {}, "32-true"),
        ("mixed", {}, "bf16-mixed"),
        ("alone", {"criterion": "Lamp"}, "bf16-mixed"),
    ):
        settings = {**config(**about), "trainer": {"precision": precision}}
        make_run(tmp_path / name, RIGHT, dense_right=RIGHT, config=settings)
    groups = group_runs(find_runs(tmp_path, tmp_path).runs)

    assert [group.name for group in groups] == [
        "global 98 % one_shot, 22 + 8 epochs",
        "global 98 % one_shot, 22 + 8 epochs, bf16-mixed",
        "lamp 98 % one_shot, 22 + 8 epochs, bf16-mixed",
    ]
    assert [row.name for row in result_rows(groups) if row.group is None] == [
        "dense, 22 epochs",
        "dense, 22 epochs, bf16-mixed",
    ]


def test_what_a_label_does_not_tell_is_added_to_it(tmp_path):
    groups = groups_of(tmp_path, {"peak": 0.1}, {"peak": 0.2})

    assert [group.name for group in groups] == [
        "global 98 % one_shot (recipe.dense.peak=0.1, recipe.finetune.peak=0.1)",
        "global 98 % one_shot (recipe.dense.peak=0.2, recipe.finetune.peak=0.2)",
    ]


def test_the_same_run_twice_tells_nothing_of_other_seeds(tmp_path):
    groups = groups_of(tmp_path, {}, {})

    assert [(group.name, len(group.runs)) for group in groups] == [
        ("global 98 % one_shot [r0]", 1),
        ("global 98 % one_shot [r1]", 1),
    ]


def test_dense_networks_of_the_user_are_told_apart(tmp_path):
    for name, weights, seed in (("a", "1" * 64, 0), ("b", "2" * 64, 0), ("c", "2" * 64, 1)):
        settings = config(seed=seed)
        make_run(tmp_path / name, RIGHT, dense_right=RIGHT, config=settings, users_weights=weights)
    rows = result_rows(group_runs(find_runs(tmp_path, tmp_path).runs))

    assert [(row.name, row.seeds, len(row.runs)) for row in rows] == [
        ("dense, 22 epochs (no. 1)", "", 1),
        ("dense, 22 epochs (no. 2)", "", 1),
        ("global 98 % one_shot (dense.weights=11111111)", "0", 1),
        ("global 98 % one_shot (dense.weights=22222222)", "0, 1", 2),
    ]


def test_cells_of_other_settings_are_no_curve(tmp_path):
    groups = groups_of(tmp_path, {}, {"sparsity": 0.99}, {"sparsity": 0.99, "peak": 0.2})
    series = [group.series for group in groups]

    assert (
        series[0]
        == series[1]
        == ("global one_shot (recipe.dense.peak=0.1, recipe.finetune.peak=0.1)")
    )
    assert series[2] == "global one_shot (recipe.dense.peak=0.2, recipe.finetune.peak=0.2)"


def test_dense_networks_of_other_recipes_have_rows_of_their_own(tmp_path):
    groups = groups_of(tmp_path, {}, {"seed": 1}, {"peak": 0.2}, {"epochs": (60, 8)})
    rows = [row for row in result_rows(groups) if row.group is None]

    assert [(row.name, row.seeds) for row in rows] == [
        ("dense, 22 epochs (no. 1)", "0, 1"),
        ("dense, 22 epochs (no. 2)", "0"),
        ("dense, 60 epochs (no. 3)", "0"),
    ]


def test_networks_of_other_channels_are_told_apart_in_few_words(tmp_path):
    channels = ([8] * 60, [16] * 60, [8] * 59 + [9])
    groups = groups_of(tmp_path, *({"scope": "", "channels": each} for each in channels))

    names = {group.name for group in groups}
    assert names == {group.series for group in groups}
    assert len(names) == 3
    assert all(name.startswith("filters removed (model.constructor.channels=[") for name in names)
    assert all(len(name) < 100 for name in names)
