import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning import seed_everything
from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support
from torch import nn

from lightprune.data.augmentation import Augmentation
from lightprune.data.images import ImageDataset, ImageSet
from lightprune.training.classifier import NonFiniteLossError
from tests.training.small import (
    OnEpoch,
    OnStep,
    cnn,
    copied,
    equal,
    image_set,
    labelled,
    phase,
    plan,
    session,
)

COURSE = plan(epochs=2)


def with_test_set(count, classes=("a", "b", "c", "d")):
    return ImageDataset(labelled().train, image_set(count), classes)


@torch.no_grad()
def predictions(made, batches):
    made.network.eval()
    pairs = [(made.classifier(images).double().softmax(1), labels) for images, labels in batches]
    probabilities, labels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return probabilities.numpy(), labels.numpy()


def scattering(num_classes=4):
    """Answers every class."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, num_classes))
    nn.init.normal_(network[2].weight, std=0.2)
    return network


def test_accuracy_loss_and_the_scores_of_every_class_equal_scikit_learns(tmp_path):
    made = session(tmp_path, COURSE, network=scattering, data=with_test_set(1203))
    made.trainer.test(made.classifier, datamodule=made.data, verbose=False)
    probabilities, labels = predictions(made, made.data.test_dataloader())

    seen = made.classifier.evaluation

    guesses = probabilities.argmax(1)
    assert (seen.images, seen.correct) == (1203, int((guesses == labels).sum()))
    assert seen.accuracy == pytest.approx(accuracy_score(labels, guesses))
    assert seen.loss == pytest.approx(log_loss(labels, probabilities), rel=1e-5)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, guesses)
    assert [score.precision for score in seen.classes] == pytest.approx(precision)
    assert [score.recall for score in seen.classes] == pytest.approx(recall)
    assert [score.f1 for score in seen.classes] == pytest.approx(f1)
    assert [score.name for score in seen.classes] == ["a", "b", "c", "d"]


def constant(num_classes=4):
    """Always answers the first class."""
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(256, num_classes))
    nn.init.zeros_(network[2].weight)
    network[2].bias.data = torch.arange(num_classes, 0, -1.0)
    return network


def test_scores_of_classes_that_are_never_predicted_or_never_there_are_0(tmp_path):
    some = ImageSet(labelled().test.images[:10], torch.tensor([0] * 6 + [1] * 4))
    data = ImageDataset(labelled().train, some, ("a", "b", "c", "d"))
    made = session(tmp_path, COURSE, network=constant, data=data)

    made.trainer.test(made.classifier, datamodule=made.data, verbose=False)

    first, *others = made.classifier.evaluation.classes
    assert (first.precision, first.recall, first.f1) == pytest.approx((0.6, 1.0, 0.75))
    assert all((s.precision, s.recall, s.f1) == (0, 0, 0) for s in others)


def test_validation_logs_the_accuracy_and_loss_that_it_keeps(tmp_path):
    made = session(tmp_path, COURSE)
    (logged,) = made.trainer.validate(made.classifier, datamodule=made.data, verbose=False)

    seen = made.classifier.evaluation

    assert logged["val/accuracy"] == pytest.approx(seen.accuracy)
    assert logged["val/loss"] == pytest.approx(seen.loss)


def evaluated(tmp_path, prepare=lambda network: None, **settings):
    """A session that has evaluated its network, and the network as it was before."""
    made = session(tmp_path, COURSE, **settings)
    made.trainer.validate(made.classifier, datamodule=made.data, verbose=False)
    made.network.train()
    prepare(made.network)
    before = copy.deepcopy(made.network)
    seen = made.classifier.evaluate(made.data.val_dataloader())
    return made, before, seen


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_evaluating_outside_of_the_loops_gives_what_validation_gives(tmp_path, precision):
    made, _, seen = evaluated(tmp_path, precision=precision)

    assert seen == made.classifier.evaluation


def test_evaluating_changes_no_parameter_and_no_buffer(tmp_path):
    made, before, _ = evaluated(tmp_path)

    assert equal(made.network.state_dict(), before.state_dict())
    assert all(parameter.grad is None for parameter in made.network.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_evaluating_leaves_the_mode_of_the_network(tmp_path, training):
    made, _, _ = evaluated(tmp_path, lambda network: network.train(training))

    assert all(module.training == training for module in made.network.modules())


def test_evaluating_leaves_a_frozen_layer_frozen(tmp_path):
    made, before, _ = evaluated(tmp_path, lambda network: network[1].eval())

    modes = [[m.training for m in network.modules()] for network in (made.network, before)]
    assert modes[0] == modes[1]


def test_a_rank_without_images_in_the_last_batch_evaluates_an_empty_share(tmp_path):
    made, _, seen = evaluated(tmp_path)
    batches = [*made.data.val_dataloader(), (torch.zeros(0, 3, 8, 8), torch.zeros(0).long())]

    assert made.classifier.evaluate(batches) == seen


def explosive():
    return phase(2, peak=1e30)


def test_a_loss_that_is_not_finite_ends_training_with_epoch_step_and_learning_rate(tmp_path):
    made = session(tmp_path, COURSE, how=explosive())

    with pytest.raises(NonFiniteLossError) as caught:
        made.fit()

    step = made.trainer.global_step
    rate = made.classifier.learning_rate()
    assert str(caught.value).startswith("loss=nan at epoch 0, step ")
    assert f"step {step}, learning rate {rate:.4g}: allowed is a finite loss" in str(caught.value)


def test_a_loss_that_is_not_finite_changes_no_weight(tmp_path):
    made = session(tmp_path, COURSE)
    with torch.no_grad():
        made.network[10].bias[0] = torch.inf
    before = copied(dict(made.network.named_parameters()))

    with pytest.raises(NonFiniteLossError, match="at epoch 0, step 0,"):
        made.fit()

    assert equal(before, dict(made.network.named_parameters()))


def test_the_training_loss_is_the_cross_entropy_with_label_smoothing(tmp_path):
    losses = []

    def first_step(trainer, classifier):
        losses.append(float(trainer.callback_metrics["train/loss"]))

    how = phase(1, label_smoothing=0.2)
    made = session(tmp_path, plan(epochs=1), OnEpoch(first_step), how=how, limit_train_batches=1)
    made.data.trainer = made.trainer
    images, labels = next(iter(made.data.train_dataloader()))
    with torch.no_grad():
        logits = copy.deepcopy(made.network)(images)
    made.fit()

    expected = F.cross_entropy(logits, labels, label_smoothing=0.2).item()
    assert losses == [pytest.approx(expected, rel=1e-5)]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_training_loss_of_mixed_images_weighs_both_of_their_classes(tmp_path, smoothing):
    losses = []

    def first_step(trainer, classifier):
        losses.append(float(trainer.callback_metrics["train/loss"]))

    mixed = Augmentation(crop=0, flip="none", cutmix=1.0)
    how = replace(phase(1, label_smoothing=smoothing), augmentation=mixed)
    made = session(tmp_path, plan(epochs=1), OnEpoch(first_step), how=how, limit_train_batches=1)
    made.data.trainer = made.trainer
    images, shares = next(iter(made.data.train_dataloader()))
    with torch.no_grad():
        logits = copy.deepcopy(made.network)(images).double().numpy()
    made.fit()

    assert ((shares > 0).sum(1) == 2).any()
    wanted = (1 - smoothing) * shares.double().numpy() + smoothing / shares.shape[1]
    own = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert losses == [pytest.approx(-(wanted * own).sum(1).mean(), rel=1e-5)]


def norm(made):
    return sum(float(weight.abs().sum()) for weight in made.weights.values())


def test_l1_pulls_the_prunable_weights_towards_zero(tmp_path):
    trained = [session(tmp_path, COURSE, how=phase(2, l1=l1)).fit() for l1 in (0.0, 0.03)]

    assert norm(trained[1]) < 0.9 * norm(trained[0])


def test_l1_adds_the_sign_of_the_prunable_weights_to_their_gradients_and_to_no_others(tmp_path):
    gradients, signs = [], {}

    def note(trainer, classifier):
        named = classifier.network.named_parameters()
        gradients.append({name: weight.grad.clone() for name, weight in named})

    for l1 in (0.0, 0.5):
        how = phase(1, l1=l1)
        made = session(tmp_path, plan(epochs=1), OnStep(note), how=how, limit_train_batches=1)
        signs = {name: weight.sign() for name, weight in made.weights.items()}
        made.fit()

    for name, plain in gradients[0].items():
        expected = plain + 0.5 * signs[name] if name in signs else plain
        torch.testing.assert_close(gradients[1][name], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_every_step_takes_the_learning_rate_of_its_number(tmp_path, accumulate):
    seen = {}

    def note(trainer, classifier):
        seen.setdefault(trainer.global_step, trainer.optimizers[0].param_groups[0]["lr"])

    course = plan((0, 0.5), (1, 0.8), epochs=2)
    made = session(tmp_path, course, OnStep(note), accumulate_grad_batches=accumulate).fit()

    steps = -(-3 // accumulate)
    assert made.trainer.global_step == 2 * steps
    expected = [0.2 * rate for rate in _linear(steps)] * 2
    found = [seen[number + 1] for number in range(2 * steps)]
    assert found == pytest.approx(expected)


def _linear(steps):
    """A cycle with a tenth of warm-up, at the middle of each step."""
    middles = [(step + 0.5) / steps for step in range(steps)]
    return [p / 0.1 if p < 0.1 else 1 - (p - 0.1) / 0.9 for p in middles]


def test_every_group_of_the_optimizer_takes_the_learning_rate(tmp_path):
    rates = []

    def note(trainer, classifier):
        rates.append({group["lr"] for group in trainer.optimizers[0].param_groups})

    session(tmp_path, COURSE, OnStep(note)).fit()

    assert len(rates) == 6
    assert all(len(groups) == 1 for groups in rates)


def test_training_learns(tmp_path):
    made = session(tmp_path, plan(epochs=6), how=phase(6, crop=0))
    made.trainer.validate(made.classifier, datamodule=made.data, verbose=False)
    before = made.classifier.evaluation
    made.fit()

    assert made.classifier.evaluation.accuracy > max(before.accuracy, 0.6)


def test_the_state_dict_holds_the_network_alone(tmp_path):
    made = session(tmp_path, COURSE)

    names = {name.removeprefix("network.") for name in made.classifier.state_dict()}

    assert names == set(cnn().state_dict())


def test_two_trainings_of_one_seed_are_equal_bit_for_bit(tmp_path):
    states = []
    for _ in range(2):
        seed_everything(3, verbose=False)
        states.append(session(tmp_path, COURSE).fit().network.state_dict())

    assert equal(*states)
