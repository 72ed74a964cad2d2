"""The probe of a network in training, against plain double precision."""

import copy

import pytest
import torch
from lightning import Callback
from torch import nn

from lightprune.pruning.criteria import Movement, Snip, Synflow, Taylor
from lightprune.pruning.criteria.probe import NetworkProbe
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.sparsifier import Sparsifier
from lightprune.pruning.targets import Targets
from tests.training.small import (
    BreakOffAt,
    BrokenOffError,
    cnn,
    copied,
    equal,
    phase,
    plan,
    session,
)


def with_dropout(num_classes=4):
    return cnn(num_classes).insert(10, nn.Dropout(0.5))


def without_biases(num_classes=4):
    """Convolutions whose output, of absolute weights, is as homogeneous in each layer as in one."""
    layers = [nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2)]
    for _ in range(2):
        layers += [nn.Conv2d(8, 8, 3, stride=2, padding=1, bias=False), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, num_classes, bias=False))


def probed(folder, look, network=cnn, epoch=1, **how):
    """Trains up to an epoch and has `look` ask a probe there, with half of each weight pruned."""

    class Ask(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == epoch:
                weights = {n: w.detach() for n, w in Targets().find(pl_module.network).items()}
                masks = Pruner(scope="local").prune(weights, Masks.dense(weights), 0.5)
                probe = NetworkProbe(
                    pl_module.network,
                    pl_module.loss,
                    trainer.datamodule.train_dataloader,
                    pl_module.to_memory_format(torch.randn(2, 3, 8, 8)),
                    rng_key=pl_module.rng_key("probe"),
                )
                look(probe, masks, pl_module, trainer.datamodule.train_dataloader())

    course = plan(epochs=epoch + 1)
    made = session(folder, course, Ask(), network=network, how=phase(epoch + 1, **how))
    return made.fit()


def reference(network, batches, masks, smoothing):
    """Sums of |w g| in double precision, each gradient by backward()."""
    twin = copy.deepcopy(network).double()
    named = dict(twin.named_parameters())
    masks.apply_({name: named[name].detach() for name in masks})
    totals = {name: torch.zeros_like(named[name]) for name in masks}
    for images, labels in batches:
        twin.zero_grad()
        logits = twin(images.double()).log_softmax(1)
        classes = logits.shape[1]
        target = torch.full_like(logits, smoothing / classes)
        target[range(len(labels)), labels] += 1 - smoothing
        (-(target * logits).sum(1).mean()).backward()
        for name in masks:
            totals[name] += (named[name] * named[name].grad).abs().detach()
    return totals


def test_sums_are_those_of_the_epochs_first_batches_with_pruned_weights_at_zero(tmp_path):
    seen = []

    def look(probe, masks, classifier, batches):
        first = list(batches)[:2]
        expected = reference(classifier.network, first, masks, 0.1)
        seen.append((probe.gradient_scores(lambda w, g: (w * g).abs(), 2, masks), expected, masks))

    probed(tmp_path, look, label_smoothing=0.1, l1=0.5)
    ((found, expected, masks),) = seen

    for name, mask in masks.items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], expected[name].float(), rtol=1e-3, atol=1e-6)
        assert not found[name][~mask].any()


def test_scores_of_half_precision_do_not_vanish():
    network = nn.Linear(4, 2, bias=False).half()
    nn.init.constant_(network.weight, 1e-4)
    sparsifier = Sparsifier(network)
    probe = sparsifier.probe(lambda net, x: 1e-4 * net(x).sum(), lambda: [torch.ones(1, 4).half()])
    found = probe.gradient_scores(lambda w, g: w * g, 1, sparsifier.masks)["weight"]

    torch.testing.assert_close(found, torch.full((2, 4), 1e-8), rtol=1e-2, atol=0)


def test_gradients_of_pruned_weights_are_dense(tmp_path):
    shares = []

    def look(probe, masks, classifier, batches):
        gradients = probe.gradient_scores(lambda w, g: g, 1, masks)["4.weight"]
        shares.append(float((gradients[~masks["4.weight"]] != 0).float().mean()))

    probed(tmp_path, look)

    assert shares[0] > 0.9


@pytest.mark.parametrize("question", ["gradient_scores", "synaptic_flow"])
def test_a_question_leaves_no_trace(tmp_path, question):
    seen = []

    def state(classifier):
        modes = [module.training for module in classifier.modules()]
        gradients = {n: w.grad for n, w in classifier.named_parameters() if w.grad is not None}
        return copied(classifier.state_dict()), modes, copied(gradients), torch.get_rng_state()

    def look(probe, masks, classifier, batches):
        classifier.network[1].eval()
        before = state(classifier)
        arguments = {
            "gradient_scores": (lambda w, g: w * g, 2, masks),
            "synaptic_flow": (masks,),
        }
        getattr(probe, question)(*arguments[question])
        seen.append((before, state(classifier)))

    probed(tmp_path, look, network=with_dropout)
    ((weights, modes, gradients, stream), after) = seen[0]

    assert equal(weights, after[0])
    assert modes == after[1]
    assert equal(gradients, after[2])
    assert torch.equal(stream, after[3])


def test_what_dropout_draws_depends_on_seed_epoch_and_rank_alone(tmp_path):
    sums = []

    def look(probe, masks, classifier, batches):
        for _ in range(2):
            torch.rand(5)
            sums.append(probe.gradient_scores(torch.mul, 2, masks))

    for folder, epoch in ((tmp_path / "a", 1), (tmp_path / "b", 0)):
        probed(folder, look, network=with_dropout, epoch=epoch, peak=1e-9)

    assert equal(sums[0], sums[1])
    assert equal(sums[2], sums[3])
    assert not equal(sums[0], sums[2])


def test_an_epoch_of_fewer_batches_gives_all_it_has(tmp_path):
    counts = []

    def look(probe, masks, classifier, batches):
        counts.append(probe.gradient_scores(lambda w, g: torch.ones_like(w), 99, masks)["4.weight"])

    probed(tmp_path, look)

    assert bool((counts[0] == 3).all())


def test_a_frozen_weight_is_scored_like_any_other(tmp_path):
    sums = []

    def look(probe, masks, classifier, batches):
        for frozen in (False, True):
            classifier.network[4].weight.requires_grad_(not frozen)
            sums.append(probe.gradient_scores(torch.mul, 1, masks))

    probed(tmp_path, look, epoch=0)

    assert equal(*sums)


def test_the_flow_is_that_of_absolute_values_in_evaluation_mode(tmp_path):
    seen = []

    def look(probe, masks, classifier, batches):
        twin = copy.deepcopy(classifier.network).double().eval()
        with torch.no_grad():
            for value in twin.state_dict().values():
                value.abs_()
        named = {name: twin.get_parameter(name) for name in masks}
        masks.apply_({name: weight.detach() for name, weight in named.items()})
        twin(torch.ones(1, 3, 8, 8, dtype=torch.float64)).sum().backward()
        expected = {name: weight.grad for name, weight in named.items()}
        seen.append((probe.synaptic_flow(masks), expected))

    probed(tmp_path, look)
    found, expected = seen[0]

    for name in expected:
        assert found[name].dtype == torch.float64
        torch.testing.assert_close(found[name], expected[name])


def test_synflow_conserves_the_flow_of_convolutions_and_empties_none_at_its_critical_compression(
    tmp_path,
):
    seen = []

    def look(probe, masks, classifier, batches):
        weights = {n: w.detach() for n, w in Targets().find(classifier.network).items()}
        flow = probe.synaptic_flow(masks)
        sums = [float((flow[n] * weights[n].abs() * masks[n]).sum()) for n in masks]
        dense = Masks.dense(weights)
        most = 1 - len(weights) / dense.total
        seen.append((sums, Pruner(Synflow(rounds=100)).prune(weights, dense, most, probe=probe)))

    probed(tmp_path, look, network=without_biases)
    ((sums, kept),) = seen

    assert sums == pytest.approx([sums[0]] * 3)
    assert [int(mask.sum()) for mask in kept.values()] == [1, 1, 1]


@pytest.mark.parametrize(
    "criterion", [Taylor(batches=2), Snip(), Synflow(rounds=5), Movement()], ids=str
)
def test_a_fit_resumes_bit_for_bit_whatever_the_criterion_asks(tmp_path, criterion):
    course = plan((1, 0.5), (2, 0.8), epochs=4)

    def made(folder, *watchers):
        settings = {"network": with_dropout, "pruner": Pruner(criterion), "saves": True}
        return session(folder, course, *watchers, **settings)

    whole = made(tmp_path / "whole").fit()
    with pytest.raises(BrokenOffError):
        made(tmp_path / "resumed", BreakOffAt(2)).fit()
    resumed = made(tmp_path / "resumed").fit(tmp_path / "resumed" / "last.ckpt")

    assert equal(whole.network.state_dict(), resumed.network.state_dict())
    assert whole.pruning.records == resumed.pruning.records
    assert whole.zeros == round(0.8 * whole.total)
