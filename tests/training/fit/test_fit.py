import csv
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning import Callback
from lightning.pytorch.loggers import CSVLogger

from lightprune.errors import InputError
from lightprune.pruning.criteria import Random
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets
from lightprune.training.fit import PhaseRun, evaluate_test_set, fit
from lightprune.training.lr_schedule import LearningRate, allr_peak
from lightprune.training.recipe import Phase
from tests.training.small import (
    MOMENTUM,
    STILL,
    BreakOffAt,
    BrokenOffError,
    OnEpoch,
    OnStep,
    cnn,
    copied,
    equal,
    labelled,
    phase,
    plan,
    small_setup,
)

COURSE = plan((0, 0.5), (2, 0.9))
DENSE = phase(10, peak=0.2)


def dense_phase(epochs=3):
    return Phase(
        epochs=epochs,
        batch_size=32,
        optimizer=MOMENTUM,
        learning_rate=LearningRate(0.1),
        augmentation=STILL,
    )


def fine_tuned(folder, *watchers, course=COURSE, how=None, setup=None, loggers=(), **settings):
    setup = setup or small_setup(*watchers, **settings)
    return fit(
        setup,
        setup.new_network(),
        PhaseRun("finetune", how or phase(course.epochs), course, pruner=Pruner(), dense=DENSE),
        folder,
        loggers,
    )


def without_times(rows):
    """Rows without their times."""
    return [replace(row, seconds=0) for row in rows]


class Rates:
    """The learning rate of every step."""

    def __init__(self):
        self.seen = []
        self.watcher = OnStep(self._note)

    def _note(self, trainer, classifier):
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


def test_the_result_is_the_best_validated_epoch_at_the_final_sparsity(tmp_path):
    trained = fine_tuned(tmp_path, course=plan((0, 0.3), (2, 0.9), epochs=6))

    candidates = [row for row in trained.rows if row.epoch >= 2]
    best = max(candidates, key=lambda row: row.val_accuracy)
    assert trained.epoch == best.epoch
    assert trained.validation == best.val_accuracy


@pytest.mark.parametrize("validation", ["test", "none"])
def test_where_no_images_may_choose_the_last_epoch_is_kept(tmp_path, validation):
    states = []

    def keep(trainer, classifier):
        states.append(copied(classifier.network.state_dict()))

    course = plan((0, 0.5), epochs=6)
    trained = fine_tuned(tmp_path, OnEpoch(keep), course=course, validation=validation)

    assert trained.epoch == 5
    assert trained.validation == trained.rows[-1].val_accuracy
    assert equal(trained.state, states[-1])


def test_without_validation_all_images_train_and_no_accuracy_is_known(tmp_path):
    counts, how = [], phase(4, recalibrate=2)

    def count(trainer, classifier):
        counts.append(trainer.num_training_batches)

    trained = fine_tuned(tmp_path, OnEpoch(count), how=how, validation="none")

    assert counts == [136 // 32] * 4
    assert trained.validation is None
    assert {(row.val_loss, row.val_accuracy) for row in trained.rows} == {(None, None)}
    assert [(r.before, r.after, r.recalibrated, r.recovered) for r in trained.records] == [
        (None, None, None, None)
    ] * 2
    assert [r.sparsity for r in trained.records] == pytest.approx([0.5, 0.9], abs=1e-3)


def test_the_validation_accuracy_belongs_to_the_weights(tmp_path):
    setup = small_setup(validation="test")
    trained = fine_tuned(tmp_path, setup=setup)
    network = setup.new_network()
    network.load_state_dict(trained.state)

    assert evaluate_test_set(setup, network, phase()).accuracy == trained.validation


@pytest.mark.parametrize("limit", [None, 1])
def test_the_accuracy_before_an_event_is_that_of_the_same_images_as_the_epochs(tmp_path, limit):
    # A batch of the validation has 500 images.
    setup = replace(small_setup(validation=900, limit_batches=limit), data=labelled(1000))
    done = fine_tuned(tmp_path, setup=setup)

    assert 0 < done.rows[1].val_accuracy < 1
    assert done.records[1].before == done.rows[1].val_accuracy


def test_a_dense_phase_prunes_nothing(tmp_path):
    setup = small_setup()
    trained = fit(
        setup, setup.new_network(), PhaseRun("dense", dense_phase(), plan(epochs=3)), tmp_path
    )

    assert trained.records == ()
    assert [row.sparsity for row in trained.rows] == [0, 0, 0]
    assert {row.phase for row in trained.rows} == {"dense"}


def test_an_automatic_peak_follows_the_recorded_distance(tmp_path):
    rates, how = Rates(), phase(peak="auto", shape="constant")
    trained = fine_tuned(tmp_path, rates.watcher, how=how)

    first, second = (record.live_sparsity for record in trained.records)
    shares = first, 1 - (1 - second) / (1 - first)
    peaks = [
        allr_peak(0.2, record.distance, share, 2, 10)
        for record, share in zip(trained.records, shares, strict=True)
    ]
    assert all(0.2 * 2 / 10 <= peak <= 0.2 for peak in peaks)
    assert peaks[0] != peaks[1]
    expected = [peak * share for peak in peaks for share in (1, 1, 1, 1, 1, 1)]
    warm = [0, 6]
    assert [r for i, r in enumerate(rates.seen) if i not in warm] == pytest.approx(
        [r for i, r in enumerate(expected) if i not in warm]
    )
    assert [rates.seen[i] for i in warm] == pytest.approx(
        [peak * (0.5 / 6) / 0.1 for peak in peaks]
    )


def test_an_automatic_peak_before_the_first_event_is_the_dense_peak(tmp_path):
    rates = Rates()
    how = phase(peak="auto", shape="constant")
    fine_tuned(tmp_path, rates.watcher, course=plan((2, 0.9)), how=how)

    assert rates.seen[1:6] == pytest.approx([0.2] * 5)


def test_an_automatic_peak_of_one_cycle_is_that_of_its_first_event(tmp_path):
    rates = Rates()
    how = phase(peak="auto", shape="constant", restart="never")
    trained = fine_tuned(tmp_path, rates.watcher, how=how)

    first = trained.records[0]
    peak = allr_peak(0.2, first.distance, first.live_sparsity, 4, 10)
    assert rates.seen[2:] == pytest.approx([peak] * 10)


def test_a_finished_fit_is_read_back_without_training(tmp_path):
    rates = Rates()
    first = fine_tuned(tmp_path)

    again = fine_tuned(tmp_path, rates.watcher)

    assert rates.seen == []
    assert equal(again.state, first.state)
    assert replace(again, state={}) == replace(first, state={})


@pytest.mark.parametrize(
    ("epoch", "validation"),
    [*itertools.product([1, 2, 3], [40, "test"]), (2, "none")],
)
def test_a_fit_that_was_broken_off_ends_like_one_that_was_not(tmp_path, epoch, validation):
    whole = fine_tuned(tmp_path / "whole", validation=validation)
    with pytest.raises(BrokenOffError):
        fine_tuned(tmp_path / "resumed", BreakOffAt(epoch), validation=validation)

    resumed = fine_tuned(tmp_path / "resumed", validation=validation)

    assert equal(resumed.state, whole.state)
    assert (resumed.epoch, resumed.validation) == (whole.epoch, whole.validation)
    assert resumed.records == whole.records
    assert without_times(resumed.rows) == without_times(whole.rows)


def test_a_resumed_dense_phase_ends_like_one_that_was_not_broken_off(tmp_path):
    def dense(folder, *watchers):
        setup = small_setup(*watchers)
        network = setup.new_network()
        return fit(setup, network, PhaseRun("dense", dense_phase(), plan(epochs=3)), folder)

    whole = dense(tmp_path / "whole")
    with pytest.raises(BrokenOffError):
        dense(tmp_path / "resumed", BreakOffAt(1))
    resumed = dense(tmp_path / "resumed")

    assert equal(resumed.state, whole.state)
    assert without_times(resumed.rows) == without_times(whole.rows)


def test_the_rows_are_complete_after_a_resume(tmp_path):
    with pytest.raises(BrokenOffError):
        fine_tuned(tmp_path, BreakOffAt(3))
    trained = fine_tuned(tmp_path)

    with (tmp_path / "metrics.csv").open() as file:
        written = [int(row["epoch"]) for row in csv.DictReader(file)]

    assert [row.epoch for row in trained.rows] == [0, 1, 2, 3] == written
    assert trained.seconds == pytest.approx(sum(row.seconds for row in trained.rows))


def test_a_seed_decides_a_fit_bit_for_bit(tmp_path):
    runs = [fine_tuned(tmp_path / str(i), seed=seed) for i, seed in enumerate((3, 3, 4))]

    assert equal(runs[0].state, runs[1].state)
    assert runs[0].records == runs[1].records
    assert not equal(runs[0].state, runs[2].state)


def test_another_seed_alone_changes_the_batches_of_a_fit(tmp_path):
    start = small_setup().new_network().state_dict()
    states = []
    for seed in (0, 1):
        setup = small_setup(seed=seed)
        network = setup.new_network()
        network.load_state_dict(start)
        folder = tmp_path / str(seed)
        course = plan(epochs=1)
        trained = fit(setup, network, PhaseRun("dense", dense_phase(1), course), folder)
        states.append(trained.state)

    assert not equal(*states)


def test_a_checkpoint_of_another_plan_is_refused(tmp_path):
    fine_tuned(tmp_path)

    with pytest.raises(InputError, match="checkpoint: its plan is "):
        fine_tuned(tmp_path, course=plan((0, 0.5), (2, 0.8)))


def test_the_weights_returned_are_on_the_cpu_under_the_networks_own_names(tmp_path):
    trained = fine_tuned(tmp_path)

    assert list(trained.state) == list(cnn().state_dict())
    assert {value.device.type for value in trained.state.values()} == {"cpu"}


def test_loggers_get_the_metrics_of_a_fit(tmp_path):
    logger = CSVLogger(tmp_path / "log", name="", version="")
    fine_tuned(tmp_path, loggers=[logger])

    header = (tmp_path / "log" / "metrics.csv").read_text().splitlines()[0].split(",")
    every_epoch = {"train/loss", "val/accuracy", "val/loss", "lr", "macs"}
    sparsities = {"sparsity/nominal", "sparsity/live"}
    assert every_epoch | sparsities | {"prune/before", "prune/after", "prune/drop"} <= set(header)


def test_a_network_is_tested_on_every_test_image_once_and_stays_as_it_is():
    setup = small_setup()
    network = setup.new_network()
    before = copied(network.state_dict())

    seen = evaluate_test_set(setup, network, dense_phase())

    assert seen.images == 40
    assert equal(network.state_dict(), before)


def test_testing_writes_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    setup = small_setup()
    evaluate_test_set(setup, setup.new_network(), dense_phase(0))

    assert list(tmp_path.iterdir()) == []


def test_a_new_network_depends_on_the_seed_alone():
    first = small_setup(seed=5).new_network().state_dict()
    torch.rand(7)

    assert equal(first, small_setup(seed=5).new_network().state_dict())
    assert not equal(first, small_setup(seed=6).new_network().state_dict())


def test_the_examples_differ_from_each_other_and_have_the_size_of_the_images():
    example = small_setup().example

    assert example.shape == (8, 3, 8, 8)
    assert len({tuple(image.flatten().tolist()) for image in example}) == 8
    assert torch.equal(example, small_setup().example)


def test_nothing_but_the_events_prunes_between_them(tmp_path):
    trained = fine_tuned(tmp_path, how=phase(l1=1e-3))

    total = 2 * trained.records[0].pruned
    counts = [round(row.sparsity * total) for row in trained.rows]
    assert counts == [trained.records[0].pruned] * 2 + [trained.records[1].pruned] * 2


def test_random_pruning_of_another_seed_keeps_other_weights(tmp_path):
    digests = []
    for seed in (0, 1):
        setup = small_setup()
        trained = fit(
            setup,
            setup.new_network(),
            PhaseRun(
                "finetune",
                phase(1),
                plan((0, 0.5), epochs=1),
                pruner=Pruner(Random(seed)),
                dense=DENSE,
            ),
            tmp_path / str(seed),
        )
        digests.append(trained.records[0].digest)

    assert digests[0] != digests[1]


def test_a_checkpoint_is_replaced_in_one_go_even_if_temporary_files_lie_elsewhere(
    tmp_path, monkeypatch
):
    files, last = [], tmp_path / "checkpoints" / "last.ckpt"
    elsewhere = Path("/dev/shm")
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere if elsewhere.is_dir() else tmp_path))

    class Watch(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if last.exists():
                files.append(last.stat().st_ino)

    fine_tuned(tmp_path, Watch())

    assert files[0] != files[1]
    assert files[1] != files[2]


@pytest.mark.parametrize("events", [(), ((1, 0.7), (3, 0.8))])
def test_masks_from_the_start_hold_and_resume_to_the_same_bits(tmp_path, events):
    masks = Masks({n: torch.rand(w.shape) < 0.5 for n, w in Targets().find(cnn()).items()})
    run = PhaseRun(
        "finetune", phase(4), plan(*events), pruner=Pruner() if events else None, masks=masks
    )

    def trained(folder, *watchers):
        setup = small_setup(*watchers)
        network = setup.new_network()
        masks.apply_({name: w.detach() for name, w in Targets().find(network).items()})
        return fit(setup, network, run, tmp_path / folder)

    whole = trained("whole")
    with pytest.raises(BrokenOffError):
        trained("parts", BreakOffAt(2))
    resumed = trained("parts")

    assert equal(resumed.state, whole.state)
    assert not masks.violations(whole.state)
    assert masks.pruned > 0
