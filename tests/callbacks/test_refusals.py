"""What PruningCallback refuses before training, in one line that names it."""

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.strategies import FSDPStrategy

from lightprune import Cubic, MultiStep, Pruner, PruningCallback, Targets
from lightprune.callbacks.checks import check_strategy
from lightprune.errors import InputError
from lightprune.pruning import OneShot, Plan, PruneEvent
from lightprune.pruning.criteria import Snip, Synflow
from lightprune.pruning.regrowth import Regrowth
from tests.callbacks.scenarios import SCHEDULE, Module, Scenario

pytestmark = pytest.mark.filterwarnings("ignore")


def refusal(folder, *callbacks, checkpoint=None, **settings):
    """The message of a fit that does not train a step."""
    steps = []

    class Watched(Module):
        def training_step(self, batch, batch_idx):
            steps.append(batch_idx)
            return super().training_step(batch, batch_idx)

    with pytest.raises(InputError) as caught:
        Scenario(Watched, lambda: list(callbacks), **settings).fit(folder, checkpoint=checkpoint)
    assert steps == []
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "cubik", "sparsity": 0.9}, "schedule=cubik: allowed are one_shot, .* cubic?"),
        ({"schedule": "cubic"}, "schedule=cubic: allowed is with sparsity=, as sparsity=0.9"),
        ({}, "schedule=cubic: allowed is with sparsity="),
        ({"schedule": Cubic(0.5), "sparsity": 0.9}, "sparsity=0.9: allowed is in the schedule, "),
        ({"schedule": 0.9}, "schedule=0.9: allowed are a Schedule, a Plan, one_shot, multi_step"),
        ({"sparsity": 1.5}, "schedule.sparsity=1.5: "),
    ],
    ids=["name", "no sparsity", "nothing", "two", "number", "above 1"],
)
def test_a_schedule_that_is_none_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        PruningCallback(**arguments)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "val/acc"}, "metric=val/acc: allowed are those of validation, val/score"),
        ({"module": "student"}, "module=student: allowed are encoder, head"),
        ({"module": "encoder.1"}, "the network has no prunable weight"),
        ({"targets": Targets(("Conv2d",))}, "targets.types=['Conv2d']: the network has no"),
        ({"pruner": Pruner(Snip())}, "pruner.criterion=Snip: needs gradients; allowed is loss="),
        ({"pruner": Pruner(Synflow())}, "pruner.criterion=Synflow: needs the size of the inputs"),
        (
            {"pruner": Pruner(regrowth=Regrowth())},
            "pruner.regrowth.grow=gradient: needs gradients; allowed is loss=",
        ),
        ({"schedule": MultiStep(0.5, steps=9)}, "schedule.steps=9: allowed are at most"),
    ],
    ids=["metric", "module", "leaf", "targets", "snip", "synflow", "regrowth", "steps"],
)
def test_what_cannot_work_is_refused_before_the_first_step(tmp_path, settings, message):
    callback = PruningCallback(**{"schedule": SCHEDULE, **settings})

    assert message in refusal(tmp_path, callback)


def test_a_metric_without_validation_is_refused(tmp_path):
    callback = PruningCallback(schedule=SCHEDULE, metric="val/score")

    message = refusal(tmp_path, callback, validates=False)
    assert message.startswith("metric=val/score: there is no validation that would log it")


def test_a_training_without_end_is_refused(tmp_path):
    message = refusal(tmp_path, PruningCallback(schedule=SCHEDULE), trainer={"max_epochs": -1})

    assert message.startswith("max_epochs=-1: the schedule is laid out over the epochs")


def test_two_callbacks_that_prune_the_same_weight_are_refused(tmp_path):
    callbacks = [PruningCallback(schedule=SCHEDULE, module=name) for name in ("", "head")]

    message = refusal(tmp_path, *callbacks)
    assert message.startswith("callbacks: two of them prune weight (PruningCallback, PruningCall")


def test_strategies_that_cut_weights_into_pieces_are_refused_by_name():
    with pytest.raises(InputError, match=r"strategy=FSDPStrategy: pruning ranks whole weights"):
        check_strategy(FSDPStrategy())
    check_strategy(Trainer(accelerator="cpu", logger=False, enable_checkpointing=False).strategy)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": MultiStep(0.9, steps=2)}, "checkpoint: its plan is event 0="),
        ({"pruner": Pruner(scope="local")}, "checkpoint: its pruner is scope=global"),
        ({"module": "head"}, ""),
        ({"schedule": OneShot(0.8)}, "checkpoint: its plan is event 0="),
    ],
    ids=["sparsity", "scope", "part", "schedule"],
)
def test_a_checkpoint_of_another_plan_or_pruner_is_refused_by_name(tmp_path, settings, message):
    whole = Scenario(pruning=lambda: [PruningCallback(schedule=SCHEDULE)]).fit(tmp_path)
    whole.trainer.save_checkpoint(tmp_path / "one.ckpt")
    callback = PruningCallback(**{"schedule": SCHEDULE, **settings})

    if message:
        found = refusal(tmp_path, callback, checkpoint=tmp_path / "one.ckpt")
        assert found.startswith(message)
    else:
        assert callback.state_key != PruningCallback(schedule=SCHEDULE).state_key


def test_the_short_form_is_the_long_one(tmp_path):
    forms = [
        PruningCallback(sparsity=0.8, schedule="cubic"),
        PruningCallback(Pruner(), Cubic(0.8)),
        PruningCallback(schedule=Cubic(0.8).plan(3)),
    ]
    digests = {
        Scenario(pruning=lambda form=form: [form]).fit(tmp_path).callbacks[0].masks.digest()
        for form in forms
    }

    assert len(digests) == 1
    assert forms[0].plan == Cubic(0.8).plan(3)


def test_the_epochs_of_a_plan_reach_to_max_steps(tmp_path):
    callback = PruningCallback(schedule=MultiStep(0.8, steps=2))
    Scenario(pruning=lambda: [callback], trainer={"max_steps": 6, "max_epochs": 9}).fit(tmp_path)

    assert callback.plan == Plan(
        (PruneEvent(0, callback.plan.events[0].sparsity), PruneEvent(1, 0.8)), 2
    )


def test_a_second_trainer_performs_the_plan_again_from_the_masks_of_the_first(tmp_path):
    callback, module = PruningCallback(schedule=SCHEDULE), Module()
    scenario = Scenario(lambda: module, lambda: [callback])
    first = scenario.fit(tmp_path).callbacks[0].masks
    second = scenario.fit(tmp_path).callbacks[0].masks

    assert [record.epoch for record in callback.records] == [0, 1, 0, 1]
    assert first.digest() == second.digest()


def test_sparsity_is_logged_by_part(tmp_path):
    callbacks = [PruningCallback(schedule=SCHEDULE, module=name) for name in ("encoder", "head")]
    fitted = Scenario(pruning=lambda: callbacks).fit(tmp_path)

    logged = fitted.trainer.callback_metrics
    for name, callback in zip(("encoder", "head"), callbacks, strict=True):
        assert float(logged[f"sparsity/{name}"]) == pytest.approx(callback.sparsity)
    assert torch.isfinite(logged["val/score"])
