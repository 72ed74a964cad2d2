import pytest
import torch
from lightning import Callback
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from lightprune.pruning.plan import Plan, PruneEvent
from lightprune.pruning.pruner import Pruner
from lightprune.training.fit import PhaseRun, evaluate_test_set, fit
from tests.training.small import (
    BreakOffAt,
    BrokenOffError,
    cnn,
    copied,
    equal,
    phase,
    plan,
    small_setup,
)

DECAY = 0.8
COURSE = plan((0, 0.5), (2, 0.8), epochs=4)
# Four steps an epoch: the last event lies in the middle of one.
STEPS = Plan((PruneEvent(0, 0.5, 0), PruneEvent(1, 0.8, 6)), 3, steps=12)


def with_shared_weights(num_classes=4):
    network = cnn(num_classes)
    network.insert(4, nn.Conv2d(8, 8, 3, stride=2, padding=1, bias=False))
    network[5].weight = network[4].weight
    return network


def trained(folder, *watchers, decay=DECAY, course=COURSE, **settings):
    setup = small_setup(*watchers, **{"validation": "test", **settings})
    how = phase(course.epochs, ema_decay=decay)
    return fit(setup, setup.new_network(), PhaseRun("finetune", how, course, Pruner()), folder)


class Steps(Callback):
    """The weights after every step, and torch's own average of those after the last event."""

    def __init__(self, first):
        self.first, self.states, self.average = first, [], None

    def on_train_start(self, trainer, pl_module):
        network = pl_module.network
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(DECAY))

        def look(optimizer, args, kwargs):
            self.states.append(copied(network.state_dict()))
            if len(self.states) > self.first:
                self.average.update_parameters(network)

        trainer.optimizers[0].register_step_post_hook(look)

    def on_train_epoch_end(self, trainer, pl_module):
        update_bn(trainer.datamodule.train_dataloader(), self.average)


@pytest.mark.parametrize(
    ("course", "first", "settings"),
    [(COURSE, 4, {"accumulate_grad_batches": 2}), (STEPS, 6, {"network": with_shared_weights})],
    ids=["epochs, two batches a step", "steps, shared weights"],
)
def test_the_result_is_the_average_since_the_last_event_as_torch_has_it(
    tmp_path, course, first, settings
):
    steps = Steps(first)
    result = trained(tmp_path, steps, course=course, **settings)

    expected = steps.average.module.state_dict()
    parameters = [name for name, _ in steps.average.module.named_parameters()]
    assert equal(
        *({name: state[name] for name in parameters} for state in (result.state, expected))
    )
    for name, value in expected.items():
        torch.testing.assert_close(result.state[name], value)
    assert not equal(result.state, steps.states[-1])


def test_pruned_weights_are_zero_and_the_validation_accuracy_is_that_of_the_average(tmp_path):
    result, setup = trained(tmp_path), small_setup(validation="test")
    network = setup.new_network()
    network.load_state_dict(result.state)

    weights = setup.targets.find(network).values()
    assert sum(int((weight == 0).sum()) for weight in weights) == result.records[-1].pruned
    assert evaluate_test_set(setup, network, phase()).accuracy == result.validation


def test_averaging_changes_no_step_of_the_training(tmp_path):
    averaged, plain = Steps(0), Steps(0)
    trained(tmp_path / "averaged", averaged)
    trained(tmp_path / "plain", plain, decay=0.0)

    assert len(averaged.states) == 4 * COURSE.epochs
    assert all(map(equal, averaged.states, plain.states))


@pytest.mark.parametrize(
    ("epoch", "settings"),
    [(3, {"validation": 40}), (2, {"validation": "none", "precision": "bf16-mixed"})],
    ids=["float32", "bf16, unvalidated"],
)
def test_an_averaged_training_that_was_broken_off_ends_like_one_that_was_not(
    tmp_path, epoch, settings
):
    whole = trained(tmp_path / "whole", **settings)
    with pytest.raises(BrokenOffError):
        trained(tmp_path / "parts", BreakOffAt(epoch), **settings)
    resumed = trained(tmp_path / "parts", **settings)

    assert equal(resumed.state, whole.state)
    assert (resumed.epoch, resumed.validation) == (whole.epoch, whole.validation)
