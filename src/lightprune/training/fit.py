"""One training phase: trainer, callbacks, resume, and the weights it ends with."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning import seed_everything
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn

from lightprune.callbacks.prune_step import weight_reset
from lightprune.callbacks.pruning_callback import PruningCallback
from lightprune.data.datamodule import ImageDataModule
from lightprune.data.images import LabelledImages
from lightprune.data.sources import Source
from lightprune.distributed import from_rank_zero, is_rank_zero
from lightprune.errors import Interrupted
from lightprune.files import discard_partials
from lightprune.models.model import Model
from lightprune.pruning.event_record import EventRecord
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.schedules import Plan
from lightprune.pruning.targets import Targets
from lightprune.training.checkpoints import LAST, BestEpoch, Snapshots, every_epoch, latest_intact
from lightprune.training.classifier import Classifier, NonFiniteLossError
from lightprune.training.history import EpochHistory, EpochRow, tell_damaged
from lightprune.training.lr_schedule import LRCycles
from lightprune.training.metrics import Evaluation
from lightprune.training.peaks import lr_shape, peak_lr
from lightprune.training.recipe import FineTuning, Phase
from lightprune.training.resume_guard import ResumeGuard
from lightprune.training.trainer import TrainerConfig

Loggers = Callable[[Path], Sequence[Logger]]


@dataclass(frozen=True)
class Setup:
    """What both phases of an experiment share.

    Attributes:
        model: How networks are built and run.
        data: The images.
        source: How they are split and normalised.
        targets: Which weights are prunable.
        hardware: What training runs on.
        seed: Of everything random.
        loggers: Makes the loggers of a phase, for its folder.
    """

    model: Model
    data: LabelledImages
    source: Source
    targets: Targets
    hardware: TrainerConfig
    seed: int
    loggers: Loggers

    @property
    def example(self) -> Tensor:
        """Inputs of the networks' size that differ from each other, shape (8, 3, H, W)."""
        height, width = self.data.test.images.shape[1:3]
        return torch.randn(8, 3, height, width, generator=torch.Generator().manual_seed(0))

    def new_network(self) -> nn.Module:
        """A network whose weights depend on the seed alone."""
        seed_everything(self.seed, verbose=False)
        return self.model.build(len(self.data.classes))

    def data_module(self, phase: Phase, stream: str) -> ImageDataModule:
        """The batches of a phase."""
        return ImageDataModule(
            self.data,
            self.source,
            batch_size=phase.batch_size,
            augmentation=phase.augmentation,
            seed=self.seed,
            stream=stream,
        )


@dataclass(frozen=True)
class Trained:
    """What a phase ends with.

    Attributes:
        state: The network's state dict, on the CPU.
        epoch: From which epoch the weights are.
        validation: Their accuracy on the validation images, 0..1.
        rows: One row an epoch.
        records: What the prune events did.
        seconds: Of all epochs, also those before an interruption.
        snapshots: The network's state dicts after so many epochs, of those that were asked for.
    """

    state: dict[str, Tensor]
    epoch: int
    validation: float
    rows: tuple[EpochRow, ...]
    records: tuple[EventRecord, ...]
    seconds: float
    snapshots: Mapping[int, dict[str, Tensor]]


def fit(
    lab: Setup,
    network: nn.Module,
    phase: Phase,
    folder: Path,
    *,
    name: str,
    plan: Plan,
    pruner: Pruner | None = None,
    dense: Phase | None = None,
    early: Mapping[str, Tensor] | None = None,
    snapshots: Collection[int] = (),
    until: int | None = None,
    belongs_to: Mapping[str, Any] | None = None,
) -> Trained:
    """Trains a network, continuing from `folder/checkpoints` if it was interrupted.

    The newest checkpoint that is intact continues; of one that is not a line is printed.

    The result is the best validated epoch at the final sparsity; if validation uses the test
    set, it is the last epoch, since a choice would make the test set part of training; so it is
    of a training that ends early.

    Args:
        lab: What both phases share.
        network: Trained in place.
        phase: How.
        folder: Where checkpoints, metrics.csv and logs go.
        name: `dense` or `finetune`.
        plan: The phase's epochs and prune events.
        pruner: Decides the masks at the events.
        dense: The phase before this one, for `peak=auto` and `shape=rewind`.
        early: The network's state early in that phase; needed by a pruner that rewinds.
        snapshots: After how many epochs the state is to be kept.
        until: How many of the plan's epochs to train; None for all.
        belongs_to: What was asked, by which checkpoints of another run are refused.

    Raises:
        InputError: The checkpoint belongs to another run.
        Interrupted: A signal arrived.
        NonFiniteLossError: Training diverged.
    """

    def fresh() -> Mapping[str, Tensor]:
        return replace(lab, seed=lab.seed + 1).new_network().state_dict()

    finetuning = phase if isinstance(phase, FineTuning) else None
    pruning = PruningCallback(
        pruner,
        plan,
        lab.targets,
        lab.example,
        optimizer_state=finetuning.optimizer_state if finetuning else "mask",
        replacement=weight_reset(pruner.weights, fresh, early) if pruner else None,
        recalibrate=finetuning.recalibrate if finetuning else 0,
    )
    before = dense or phase
    restart = finetuning.restart if finetuning else "never"
    cycles = LRCycles(lr_shape(phase, before), plan, restart)
    classifier = Classifier(
        network,
        lab.model,
        lab.data.classes,
        phase,
        cycles,
        peak=lambda epoch: peak_lr(epoch, phase, cycles, pruning.records, before),
        seed=lab.seed,
        l1=finetuning.l1 if finetuning else 0.0,
        l1_weights=lab.targets.find(network).values(),
    )
    history = EpochHistory(name, folder / "metrics.csv", pruning)
    best = BestEpoch(pruning, newest=until is not None or isinstance(lab.source.validation, str))
    kept = Snapshots(snapshots)
    checkpoints = folder / "checkpoints"
    trainer = lab.hardware.trainer(
        epochs=plan.epochs if until is None else until,
        folder=folder,
        callbacks=[
            ResumeGuard(belongs_to or {}),
            pruning,
            history,
            best,
            kept,
            every_epoch(checkpoints),
        ],
        loggers=lab.loggers(folder),
    )
    seed_everything(lab.seed, verbose=False)
    if is_rank_zero():
        discard_partials(folder)
        discard_partials(checkpoints)
    last, damaged = from_rank_zero(lambda: latest_intact(checkpoints))
    if is_rank_zero():
        tell_damaged(damaged, last)
    try:
        with interruptible():
            trainer.fit(
                classifier,
                datamodule=lab.data_module(phase, name),
                ckpt_path=last,
                weights_only=True,
            )
    except NonFiniteLossError as error:
        good = checkpoints / LAST
        raise NonFiniteLossError(
            f"{error}; last good checkpoint: {good if good.exists() else 'none'}"
        ) from error
    assert best.epoch is not None
    return Trained(
        state=best.weights,
        epoch=best.epoch,
        validation=history.rows[best.epoch].val_accuracy,
        rows=tuple(history.rows),
        records=tuple(pruning.records),
        seconds=sum(row.seconds for row in history.rows),
        snapshots=kept.states,
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """Hands a signal on that arrived while a trainer ran, instead of Lightning's SystemExit."""
    try:
        yield
    except SystemExit as end:
        stop = end.__context__
        raise stop if isinstance(stop, Interrupted) else Interrupted(130) from None


def test(lab: Setup, network: nn.Module, phase: Phase) -> Evaluation:
    """Evaluates a network on the test images, every image once."""
    plan = Plan((), max(phase.epochs, 1))
    cycles = LRCycles(phase.learning_rate, plan)
    classifier = Classifier(
        network, lab.model, lab.data.classes, phase, cycles, peak=lambda epoch: 0.0
    )
    trainer = lab.hardware.trainer(epochs=0, folder=Path())
    with interruptible():
        trainer.test(classifier, datamodule=lab.data_module(phase, "test"), verbose=False)
    assert classifier.evaluation is not None
    return classifier.evaluation
