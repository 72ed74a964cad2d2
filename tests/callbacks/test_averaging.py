"""Averages of the weights, begun whenever and standing wherever: pruned weights stay zero."""

from functools import partial

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import (
    EMAWeightAveraging,
    StochasticWeightAveraging,
    WeightAveraging,
)

from lightprune.callbacks.pruning_callback import PruningCallback
from lightprune.pruning.event_record import PruningError
from lightprune.pruning.masks import Masks
from tests.training.small import copied, equal, plan, session

STEPS_AN_EPOCH = 3
COURSE = plan((0, 0.5), (2, 0.9), epochs=5)


class EveryEpoch(WeightAveraging):
    """The mean of the weights that epochs end with."""

    def should_update(self, step_idx=None, epoch_idx=None):
        return epoch_idx is not None


AVERAGES = {
    "ema, before any event": partial(EMAWeightAveraging, decay=0.9),
    "ema, before the last event": partial(EMAWeightAveraging, decay=0.9, update_starting_at_step=4),
    "ema, after the last event": partial(EMAWeightAveraging, decay=0.9, update_starting_at_step=9),
    "mean of steps": WeightAveraging,
    "mean of epochs": EveryEpoch,
    "swa, before the last event": partial(
        StochasticWeightAveraging, swa_lrs=0.01, swa_epoch_start=2
    ),
    "swa, at the last event": partial(StochasticWeightAveraging, swa_lrs=0.01, swa_epoch_start=3),
    "swa, after the last event": partial(
        StochasticWeightAveraging, swa_lrs=0.01, swa_epoch_start=4
    ),
}


class Watch(Callback):
    """Looks at the weights of every step and validation, and saves after every step and epoch."""

    def __init__(self, folder):
        self.folder, self.seen, self.validations = folder, [], 0

    def look(self, trainer, pl_module, when):
        (pruning,) = (c for c in trainer.callbacks if isinstance(c, PruningCallback))
        if found := pruning.masks.violations(dict(pl_module.network.named_parameters())):
            self.seen.append((when, trainer.global_step, found))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.look(trainer, pl_module, "step")
        trainer.save_checkpoint(self.folder / f"step-{trainer.global_step}.ckpt")

    def on_validation_batch_end(self, trainer, pl_module, *_):
        self.validations += 1
        self.look(trainer, pl_module, "validation")

    def on_validation_end(self, trainer, pl_module):
        self.look(trainer, pl_module, "after validation")

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.save_checkpoint(self.folder / f"epoch-{trainer.current_epoch}.ckpt")


def laid_out(folder, averaging, *, first=False, course=COURSE, **settings):
    """A session with an average, and what watches it; `first` puts both before the pruning."""
    folder.mkdir(exist_ok=True)
    watch = Watch(folder)
    made = session(folder, course, averaging, watch, **settings)
    if first:
        made.trainer.callbacks.sort(key=lambda callback: callback is made.pruning)
    return made, watch


def saved_states(checkpoint):
    """Every state dict of the network in a checkpoint, averaged ones included."""
    states = [checkpoint["state_dict"], checkpoint.get("current_model_state")]
    states += [
        state.get("average_model_state")
        for state in checkpoint["callbacks"].values()
        if isinstance(state, dict)
    ]
    return [state for state in states if state is not None]


def saved_violations(path, weights):
    """Pruned weights in a checkpoint that are not zero, by its own masks; and its state dicts."""
    checkpoint = torch.load(path, weights_only=False)
    packed = checkpoint["callbacks"]["PruningCallback"]["masks"]
    masks = Masks.unpack(packed.numpy().tobytes(), weights)
    states = saved_states(checkpoint)
    named = [{name: state[f"network.{name}"] for name in masks} for state in states]
    return [found for state in named if (found := masks.violations(state))], len(states)


@pytest.mark.parametrize("first", [True, False], ids=["before pruning", "after pruning"])
@pytest.mark.parametrize("kind", AVERAGES)
def test_pruned_weights_are_zero_at_every_step_validation_checkpoint_and_end(tmp_path, kind, first):
    made, watch = laid_out(tmp_path, AVERAGES[kind](), first=first)

    made.fit()

    assert watch.validations >= COURSE.epochs
    assert watch.seen == []
    assert made.pruning.masks.violations(made.weights) == {}
    assert made.zeros == round(0.9 * made.total)
    saved = list(tmp_path.glob("*.ckpt"))
    assert len(saved) >= COURSE.epochs * (STEPS_AN_EPOCH + 1)
    for path in saved:
        assert saved_violations(path, made.weights) == ([], 2), path.name


def test_these_averages_do_average(tmp_path):
    plain = session(tmp_path, COURSE).fit()

    for kind, averaging in AVERAGES.items():
        made, _ = laid_out(tmp_path / kind, averaging())
        made.fit()
        assert not torch.equal(made.network[10].weight, plain.network[10].weight), kind


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("kind", AVERAGES)
def test_a_resumed_average_ends_with_the_same_zeros(tmp_path, kind, epoch):
    whole, _ = laid_out(tmp_path / "whole", AVERAGES[kind]())
    whole.fit()
    made, watch = laid_out(tmp_path / "resumed", AVERAGES[kind]())
    checkpoint = tmp_path / "whole" / f"epoch-{epoch}.ckpt"

    made.fit(checkpoint)

    assert watch.seen == []
    assert made.pruning.masks.violations(made.weights) == {}
    assert made.pruning.masks.digest() == whole.pruning.masks.digest()
    for path in (tmp_path / "resumed").glob("*.ckpt"):
        assert saved_violations(path, made.weights) == ([], 2), path.name
    if "epochs" not in kind:
        assert equal(made.network.state_dict(), whole.network.state_dict())


@pytest.mark.parametrize("kind", ["ema, before any event", "swa, after the last event"])
def test_an_average_that_begins_with_a_resume_has_the_same_zeros(tmp_path, kind):
    whole, _ = laid_out(tmp_path / "whole", Callback())
    whole.fit()
    made, watch = laid_out(tmp_path / "resumed", AVERAGES[kind]())

    made.fit(tmp_path / "whole" / "epoch-1.ckpt")

    assert watch.seen == []
    assert made.zeros == whole.zeros == round(0.9 * made.total)


class OwnAverage(Callback):
    """Keeps old weights where nobody finds them and brings them back at one hook."""

    def __init__(self, hook):
        self.old = None
        setattr(self, hook, self.bring_back)

    def on_train_start(self, trainer, pl_module):
        self.old = copied(pl_module.state_dict())

    def bring_back(self, trainer, pl_module):
        pl_module.load_state_dict(self.old)


@pytest.mark.parametrize("hook", ["on_validation_epoch_start", "on_train_end"])
def test_weights_that_an_unknown_callback_brings_back_end_training(tmp_path, hook):
    made = session(tmp_path, plan((0, 0.5), epochs=1), OwnAverage(hook))

    with pytest.raises(
        PruningError, match=r"epoch \d: \d+ pruned weights of 0.weight are not zero"
    ):
        made.fit()
