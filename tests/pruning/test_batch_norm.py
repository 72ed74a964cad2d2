import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import nn

from lightprune.pruning.batch_norm import recalibrate
from lightprune.pruning.pruner import Pruner
from lightprune.training.fit import PhaseRun, fit
from tests.training.small import OnStep, copied, equal, phase, plan, small_setup


def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4, momentum=0.9),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(4, 2, 3),
        nn.BatchNorm2d(2, momentum=None),
        nn.BatchNorm2d(2, track_running_stats=False),
    )


def batches(count=3):
    return [torch.randn(5, 3, 8, 8) * (1 + number) for number in range(count)]


def test_statistics_become_the_plain_average_over_the_batches():
    made, given = network(), batches()
    made[1].running_mean.fill_(99)

    recalibrate(made, given)

    seen = [made[0](images).double().transpose(0, 1).flatten(1) for images in given]
    means = torch.stack([values.mean(1) for values in seen]).mean(0)
    variances = torch.stack([values.var(1) for values in seen]).mean(0)
    torch.testing.assert_close(made[1].running_mean, means.float())
    torch.testing.assert_close(made[1].running_var, variances.float())
    assert made[1].num_batches_tracked == made[5].num_batches_tracked == 3


def test_everything_else_is_left_as_it_was():
    made = network()
    made[5].eval()
    modes = [module.training for module in made.modules()]
    weights = copied(dict(made.named_parameters()))
    given, stream = batches(), torch.get_rng_state()

    recalibrate(made, given)

    assert [module.training for module in made.modules()] == modes
    assert (made[1].momentum, made[5].momentum) == (0.9, None)
    assert equal(weights, dict(made.named_parameters()))
    assert all(weight.grad is None for weight in made.parameters())
    assert torch.equal(torch.get_rng_state(), stream)


def test_what_layers_draw_does_not_depend_on_what_was_drawn_before():
    made, given, ends = network(), batches(), []
    for _ in range(2):
        torch.rand(7)
        recalibrate(made, given)
        ends.append(copied(made.state_dict()))

    assert equal(*ends)


def test_a_network_without_batch_norms_needs_no_batches():
    recalibrate(nn.Linear(2, 2), [])


def test_without_a_batch_there_is_nothing_to_estimate_from():
    made = network()
    before = copied(made.state_dict())

    with pytest.raises(ValueError, match="no batch"):
        recalibrate(made, [])

    assert equal(before, made.state_dict())


def test_an_event_recalibrates_on_the_first_training_batches_and_tells_both_accuracies(tmp_path):
    starts = []

    def look(trainer, classifier):
        if trainer.current_epoch == 1 and trainer.global_step == 4:
            starts.append(copied(dict(classifier.network.named_buffers())))

    records, ends = {}, {}
    for count in (0, 2):
        folder = tmp_path / str(count)
        setup = small_setup(OnStep(look))
        run = PhaseRun(
            "finetune", phase(2, recalibrate=count), plan((1, 0.7), epochs=2), pruner=Pruner()
        )
        logger = CSVLogger(folder, name="log", version="")
        trained = fit(setup, setup.new_network(), run, folder, [logger])
        records[count], ends[count] = trained.records[0], trained.state

    assert records[0].recalibrated is None
    assert records[2].recalibrated is not None
    assert records[0].after == records[2].after
    logged = (tmp_path / "2" / "log" / "metrics.csv").read_text()
    assert "prune/recalibrated" in logged.splitlines()[0]
    # One step after the event: momentum 0.5 of what the event left, and the step's own batch.
    assert [int(start["1.num_batches_tracked"]) for start in starts] == [4, 3]
    # In training mode statistics change nothing but validation.
    assert all(
        torch.equal(ends[0][name], ends[2][name])
        for name in ends[0]
        if "running" not in name and "tracked" not in name
    )
