"""What the plan says of batches and learning rates under several processes and accumulation."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from lightprune.experiment.config import load_settings
from lightprune.experiment.console.show_plan import show_plan
from lightprune.experiment.console.show_result import show_result
from lightprune.experiment.console.time_estimate import estimated_time
from lightprune.experiment.preflight import preflight
from lightprune.experiment.schema import register_configs
from lightprune.rendering.number_format import about
from lightprune.runs.record import DenseRecord, RunRecord, write_dense_record
from tests.report.run_folders import config, make_run

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = ("data=digits", "recipe=smoke", "model.constructor._target_=tests.system.tiny.tiny_resnet")
SEEN = "learning rates are for a whole {}; batch norm sees the {}"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (12.3, "12 s"), (47, "50 s"), (100, "2 min"), (3000, "50 min"), (9000, "2.5 h")],
)
def test_a_time_is_told_no_finer_than_it_is_known(seconds, text):
    assert about(seconds) == f"about {text}"


def test_a_run_on_several_processes_is_told_no_time_by_the_step_of_one(tmp_path, capsys):
    assert not any(line.startswith("time") for line in shown(capsys, tmp_path, "trainer=ddp_cpu"))
    assert any(line.startswith("time     about") for line in shown(capsys, tmp_path))


@pytest.mark.parametrize(
    ("weights", "by_step", "by_epochs"),
    [
        # Epochs of fine-tuning and of dense training, in those without a teacher.
        ((0, 0), 4 + 2, 4),
        ((0.5, 0), 4 * 4 / 3 + 2, 4 * 4 / 3),
        ((0, 0.5), 4 + 2 * 4 / 3 + 2, 4 * 3 / 4),
        ((0.5, 0.5), 4 * 4 / 3 + 2 * 4 / 3 + 2, 4),
    ],
)
def test_the_time_counts_the_forward_passes_of_teachers(tmp_path, weights, by_step, by_epochs):
    names = ("recipe.finetune.distillation.weight", "recipe.dense.distillation.weight")
    taught = [f"{name}={weight}" for name, weight in zip(names, weights, strict=True)]
    checked = checked_run(tmp_path, "data.validation=none", *taught)
    images = checked.setup.epoch_images(checked.settings.recipe.finetune)
    seconds = dict.fromkeys(("dense", "finetune"), 1000 / images)
    run = tmp_path / "run"

    assert estimated_time(checked, run, seconds).startswith(f"{about(1000 * by_step)}, estimated")
    scores = {"test_correct": 1, "test_images": 1, "weights_sha256": ""}
    unreachable = {"unreachable_weights": 0, "changed_without_unreachable": 0}
    record = DenseRecord(source="trained", epochs=2, seconds=2000.0, **scores, **unreachable)
    checked.dense_folder.mkdir()
    write_dense_record(checked.dense_folder / "dense.json", record)
    assert estimated_time(checked, run, seconds).startswith(f"{about(1000 * by_epochs)}, by the")


def checked_run(folder, *overrides):
    register_configs()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = compose(
            "train", [*SMALL, f"data.cache_dir={folder}", f"dense.cache_dir={folder}", *overrides]
        )
    return preflight(load_settings(cfg))


def shown(capsys, folder, *overrides):
    checked = checked_run(folder, *overrides)
    show_plan(checked, folder / "run", checked.check_training().image_seconds)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("overrides", "lines"),
    [
        ((), []),
        (
            ("trainer=ddp_cpu",),
            ["batch 64 = 2 processes x 32; " + SEEN.format("batch", "32 images of its process")],
        ),
        (
            ("trainer.accumulate_grad_batches=4",),
            ["step 256 = 4 batches x 64; " + SEEN.format("step", "64 images")],
        ),
        (
            (
                *("trainer=ddp_cpu", "trainer.num_nodes=2"),
                *("trainer.accumulate_grad_batches=2", "recipe.dense.batch_size=32"),
            ),
            [
                "dense: batch 32 = 4 processes x 8; step 64 = 2 batches x 32; "
                + SEEN.format("step", "8 images of its process"),
                "fine-tune: batch 64 = 4 processes x 16; step 128 = 2 batches x 64; "
                + SEEN.format("step", "16 images of its process"),
            ],
        ),
    ],
)
def test_the_plan_tells_what_a_step_and_its_learning_rate_are(tmp_path, capsys, overrides, lines):
    printed = shown(capsys, tmp_path, *overrides)

    assert printed[len(printed) - len(lines) :] == lines
    assert sum("batch norm sees" in line for line in printed) == len(lines)


@pytest.mark.parametrize(
    ("overrides", "lines"),
    [
        ((), []),
        (("pruner/targets=all",), ["the network has no MultiheadAttention"]),
        (
            ("model.constructor._target_=tests.system.tiny.partly_dense",),
            [
                "left dense: 2,904 weights of 3 layers (frozen: conv1, layer2.0.conv1; computed "
                "from other parameters whose zeros are not its zeros: layer1.0.conv1)"
            ],
        ),
    ],
)
def test_the_plan_tells_what_is_left_dense(tmp_path, capsys, overrides, lines):
    printed = shown(capsys, tmp_path, *overrides)

    told = [line for line in printed if line.startswith(("left dense", "the network has no"))]
    assert told == lines


@pytest.mark.parametrize(
    ("overrides", "lines"),
    [
        ((), []),
        (("recipe.dense.ema_decay=0.9", "recipe.finetune.ema_decay=0.8"), []),
        (
            ("recipe.dense.ema_decay=0.99", "recipe.finetune.ema_decay=0.999"),
            [
                "recipe.dense.ema_decay=0.99: 70% of the average at the end are still the weights "
                "right after the start, 36 steps before",
                "recipe.finetune.ema_decay=0.999: 98% of the average at the end are still the "
                "weights right after the last event, 18 steps before",
            ],
        ),
        (
            (
                "trainer.limit_batches=4",
                "schedule.every_n_steps=1",
                "schedule.steps=2",
                "recipe.finetune.ema_decay=0.9",
            ),
            [
                "recipe.finetune.ema_decay=0.9: 48% of the average at the end are still the "
                "weights right after the last event, 8 steps before"
            ],
        ),
    ],
)
def test_the_plan_tells_of_an_average_of_too_few_steps(tmp_path, capsys, overrides, lines):
    printed = shown(capsys, tmp_path, *overrides)

    assert [line for line in printed if "of the average" in line] == lines


@pytest.mark.parametrize(("trained", "told"), [(3, "3 more epochs;"), (None, "8 more epochs;")])
def test_a_result_tells_how_many_epochs_were_trained(tmp_path, capsys, trained, told):
    folder = tmp_path / "run"
    right = [True, False] * 10
    make_run(folder, right, dense_right=right, config=config(), epochs_trained=trained)
    show_result(RunRecord.from_json((folder / "run.json").read_bytes()), folder)

    assert told in capsys.readouterr().out
