from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning import Callback

from lightprune.pruning.pruner import Pruner
from lightprune.training.fit import PhaseRun, fit
from lightprune.training.recipe import Distillation
from tests.training.small import (
    BreakOffAt,
    BrokenOffError,
    OnEpoch,
    copied,
    equal,
    phase,
    plan,
    small_setup,
)

COURSE = plan((0, 0.5), (2, 0.8))
TAUGHT = replace(
    phase(4, label_smoothing=0.1), distillation=Distillation(weight=0.6, temperature=3.0)
)


def teacher(seed=5):
    return small_setup(seed=seed).new_network()


def taught(folder, *watchers, taught_by=None, how=TAUGHT, **settings):
    setup = small_setup(*watchers, **settings)
    run = PhaseRun("finetune", how, COURSE, pruner=Pruner(), teacher=taught_by)
    return fit(setup, setup.new_network(), run, folder)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def reference_loss(student, by_teacher, targets, distillation):
    """In float64, by the definitions of cross-entropy and of the Kullback-Leibler divergence."""
    temperature, weight = distillation.temperature, distillation.weight
    cross_entropy = -(targets * np.log(softmax(student))).sum(axis=1).mean()
    p, q = softmax(by_teacher / temperature), softmax(student / temperature)
    divergence = (p * (np.log(p) - np.log(q))).sum(axis=1).mean()
    return (1 - weight) * cross_entropy + weight * temperature**2 * divergence


@settings(max_examples=30, deadline=None)
@given(
    weight=st.floats(0, 1),
    temperature=st.floats(0.5, 20),
    seed=st.integers(0, 2**16),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_the_loss_is_that_of_the_definition(weight, temperature, seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    student, by_teacher = (3 * torch.randn(6, 5, generator=generator).to(dtype) for _ in range(2))
    labels = torch.randint(5, (6,), generator=generator)
    distillation = Distillation(weight=weight, temperature=temperature)

    by_labels = torch.nn.functional.cross_entropy(student.float(), labels)
    loss = distillation.loss(by_labels, student, by_teacher)

    expected = reference_loss(
        student.double().numpy(), by_teacher.double().numpy(), np.eye(5)[labels], distillation
    )
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(expected, rel=1e-4, abs=1e-6)


class FirstLoss(Callback):
    """The loss of the first step, and what it has to be."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step:
            return
        images, labels = batch
        network = small_setup().new_network()
        network.load_state_dict(pl_module.network.state_dict())
        with torch.no_grad():
            logits = network.train()(images).double().numpy()
            by_teacher = teacher().eval()(images).double().numpy()
        smooth = 0.9 * np.eye(4)[labels] + 0.1 / 4
        self.expected = reference_loss(logits, by_teacher, smooth, TAUGHT.distillation)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 1:
            self.loss = float(outputs["loss"])


def test_the_teacher_sees_the_augmented_batch_in_evaluation_mode_and_stays_as_it_is(tmp_path):
    first, network = FirstLoss(), teacher()
    before = copied(network.state_dict())

    taught(tmp_path, first, taught_by=network)

    assert first.loss == pytest.approx(first.expected, rel=1e-4)
    assert equal(network.state_dict(), before)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_teacher_is_in_no_state_dict_and_no_optimizer(tmp_path):
    names = []

    def note(trainer, classifier):
        groups = trainer.optimizers[0].param_groups
        parameters = sum(len(group["params"]) for group in groups)
        names.append((list(classifier.state_dict()), parameters))

    taught(tmp_path / "taught", OnEpoch(note), taught_by=teacher())
    taught(tmp_path / "alone", OnEpoch(note), how=replace(TAUGHT, distillation=Distillation()))

    assert len(names) == 8
    assert all(each == names[0] for each in names)


def test_a_teacher_changes_what_is_learned_but_no_draw(tmp_path):
    batches = []

    class Watch(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            batches.append(batch[0].sum().item())

    with_teacher = taught(tmp_path / "taught", Watch(), taught_by=teacher())
    alone = taught(tmp_path / "alone", Watch())

    assert batches[: len(batches) // 2] == batches[len(batches) // 2 :]
    assert not equal(with_teacher.state, alone.state)


@pytest.mark.parametrize("settings", [{}, {"precision": "bf16-mixed"}], ids=["float32", "bf16"])
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_taught_training_that_was_broken_off_ends_like_one_that_was_not(
    tmp_path, settings, epoch
):
    whole = taught(tmp_path / "whole", taught_by=teacher(), **settings)
    with pytest.raises(BrokenOffError):
        taught(tmp_path / "parts", BreakOffAt(epoch), taught_by=teacher(), **settings)

    assert equal(taught(tmp_path / "parts", taught_by=teacher(), **settings).state, whole.state)


def test_a_criterion_with_gradients_takes_those_of_the_loss_that_trains(tmp_path):
    losses = []

    class Compare(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            with torch.no_grad():
                losses.append(float(pl_module.loss(pl_module.network, batch)))
                pruning = next(c for c in trainer.callbacks if c.state_key == "PruningCallback")
                losses.append(float(pruning._loss(pl_module.network, batch)))

    taught(tmp_path, Compare(), taught_by=teacher())

    assert losses[::2] == losses[1::2]
    assert len(losses) > 2
