"""One training phase: callbacks and trainer put together, resumed, and the weights it ends with."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lightning import Callback, seed_everything
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn

from lightprune.callbacks.run_progress import RunProgress
from lightprune.pruning.event_record import EventRecord, pruned_share
from lightprune.pruning.masks import Masks
from lightprune.pruning.plan import Plan
from lightprune.pruning.pruner import Pruner
from lightprune.training.checkpoints import (
    LAST,
    BestEpoch,
    LastTolerated,
    Snapshots,
    checkpoint_to_resume,
    save_every_epoch,
)
from lightprune.training.classifier import Classifier, NonFiniteLossError
from lightprune.training.ema import EmaWeights
from lightprune.training.extra_callbacks import extra_callbacks
from lightprune.training.history import EpochHistory, EpochRow
from lightprune.training.lr_schedule import LRCycles, lr_shape, peak_lr
from lightprune.training.metrics import Evaluation
from lightprune.training.recipe import FineTuning, Phase
from lightprune.training.recorded_pruning import RecordedPruning, weight_reset
from lightprune.training.resume_guard import ResumeGuard
from lightprune.training.setup import Setup
from lightprune.training.step_checkpoints import StepCheckpoints
from lightprune.training.trainer import system_exit_as_interrupted


@dataclass(frozen=True)
class PhaseRun:
    """One training phase of a run: what is trained, how, and what its checkpoints belong to.

    Attributes:
        name: `dense` or `finetune`.
        pruner: Decides the masks at the events; None for a plan without events.
        masks: What is held at zero from the start; None for nothing.
        dense: The phase before this one, for `peak=auto` and `shape=rewind`; None if there is none.
        teacher: What `phase.distillation` learns from; None without.
        rewind_weights: State dict early in that phase, for a pruner with `weights=rewind`.
        snapshots: After how many epochs to keep the state dict.
        until: How many of the plan's epochs to train; None for all.
        save_every_n_steps: At most so often save within epochs; None for at their ends alone.
        callbacks: The user's own, by their names in the config.
        identity: Plain values kept in every checkpoint; one with other values is refused.
    """

    name: str
    phase: Phase
    plan: Plan
    pruner: Pruner | None = None
    masks: Masks | None = None
    dense: Phase | None = None
    teacher: nn.Module | None = None
    rewind_weights: Mapping[str, Tensor] | None = None
    snapshots: Collection[int] = ()
    until: int | None = None
    save_every_n_steps: int | None = None
    callbacks: Mapping[str, Callback] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PhaseResult:
    """What a phase ends with.

    Attributes:
        state: The network's state dict, on the CPU.
        epoch: From which epoch the weights are.
        validation: Their accuracy on the validation images, 0..1; None without such images.
        seconds: Of all epochs, also those before an interruption.
        steps: Of the optimizer.
        snapshots: The state dicts after `PhaseRun.snapshots` epochs, by epochs trained.
        records: Of the events before the weights.
        not_tolerated: Of the event after them that ended the training; None without one.
    """

    state: dict[str, Tensor]
    epoch: int
    validation: float | None
    rows: tuple[EpochRow, ...]
    records: tuple[EventRecord, ...]
    seconds: float
    steps: int
    snapshots: Mapping[int, dict[str, Tensor]]
    not_tolerated: EventRecord | None


def fit(
    setup: Setup,
    network: nn.Module,
    run: PhaseRun,
    folder: Path,
    loggers: Sequence[Logger] = (),
) -> PhaseResult:
    """Trains a network in place, resuming from the latest intact checkpoint in `folder`.

    The result is the best validated epoch at the final sparsity. It is the last epoch if there is
    no validation, if validation uses the test set, since a choice would make the test set part of
    training, and if training ends early (`run.until`); with a drop in the plan, the last one that
    it tolerates.

    `folder` gets metrics.csv and `checkpoints/`; `loggers` get the same metrics.

    Raises:
        InputError: The checkpoint belongs to another run.
        Interrupted: A signal arrived.
        NonFiniteLossError: Training diverged.
    """
    pruning = _pruning(setup, run)
    history = EpochHistory(run.name, folder / "metrics.csv", pruning)
    validation = setup.source.validation
    latest = run.until is not None or validation in ("test", "none")
    tolerant = run.plan.drop is not None
    best = LastTolerated(pruning) if tolerant else BestEpoch(pruning, latest=latest)
    snapshots, decay = Snapshots(run.snapshots), run.phase.ema_decay
    last = folder / "checkpoints" / LAST
    saving: list[Callback] = [save_every_epoch(last.parent)]
    if run.save_every_n_steps is not None:
        saving.append(StepCheckpoints(last, run.save_every_n_steps))
    trainer = setup.trainer_config.build(
        epochs=run.plan.epochs if run.until is None else run.until,
        folder=folder,
        callbacks=[
            ResumeGuard(run.identity),  # Refuses before the others restore.
            *(pruning, history),
            # Before `best`, whose own end of a training they would take back.
            *extra_callbacks(run.callbacks, pruning, folder),
            best,
            *([EmaWeights(decay, pruning)] if decay else []),  # The others see the average.
            snapshots,
            *([_bar(setup, run)] if setup.trainer_config.shows_bar else []),
            *saving,  # Hold the state of all others.
        ],
        loggers=loggers,
        validates=validation != "none",
    )
    classifier = _classifier(setup, network, run, pruning)
    seed_everything(setup.seed, verbose=False)
    checkpoint = checkpoint_to_resume(folder)
    data = setup.data_module(run.phase, run.name)
    try:
        with system_exit_as_interrupted():
            trainer.fit(classifier, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except NonFiniteLossError as error:
        raise NonFiniteLossError(
            f"{error}; last good checkpoint: {last if last.exists() else 'none'}"
        ) from error
    assert best.epoch is not None
    return PhaseResult(
        state=best.weights,
        epoch=best.epoch,
        validation=history.rows[best.epoch].val_accuracy,
        rows=tuple(history.rows),
        records=tuple(r for r in pruning.records if r.epoch <= best.epoch),
        seconds=sum(row.seconds for row in history.rows),
        steps=trainer.global_step,
        snapshots=snapshots.states,
        not_tolerated=next((r for r in pruning.records if r.epoch > best.epoch), None),
    )


def _bar(setup: Setup, run: PhaseRun) -> RunProgress:
    later_images = setup.images_after_dense if run.name == "dense" else 0
    return RunProgress(run.name, run.phase.batch_size, later_images)


def _pruning(setup: Setup, run: PhaseRun) -> RecordedPruning:
    finetuning = run.phase if isinstance(run.phase, FineTuning) else None

    def fresh() -> Mapping[str, Tensor]:
        return replace(setup, seed=setup.seed + 1).new_network().state_dict()

    return RecordedPruning(
        run.pruner,
        run.plan,
        setup.targets,
        setup.example,
        optimizer_state=finetuning.optimizer_state if finetuning else "mask",
        weight_reset=weight_reset(run.pruner.weights, fresh, run.rewind_weights)
        if run.pruner
        else None,
        recalibrate=finetuning.recalibrate if finetuning else 0,
        masks=run.masks,
    )


def _classifier(
    setup: Setup, network: nn.Module, run: PhaseRun, pruning: RecordedPruning
) -> Classifier:
    finetuning = run.phase if isinstance(run.phase, FineTuning) else None
    settings, dense = run.phase.learning_rate, run.dense or run.phase
    shape = lr_shape(settings, dense.learning_rate, dense.epochs)
    cycles = LRCycles(shape, run.plan, finetuning.restart if finetuning else "never")

    def peak(start: int) -> float:
        records = [record for record in pruning.records if record.position <= start]
        return peak_lr(
            settings,
            dense.learning_rate,
            epochs=cycles.epochs_of(cycles.cycle_at(start)),
            dense_epochs=dense.epochs,
            distance=records[-1].distance if records else 0.0,
            pruned=pruned_share(records, pruning.given_live_sparsity) if records else None,
        )

    return Classifier(
        network,
        setup.model,
        setup.data.classes,
        run.phase,
        cycles,
        peak=peak,
        seed=setup.seed,
        l1=finetuning.l1 if finetuning else 0.0,
        l1_weights=setup.targets.find(network).values(),
        teacher=run.teacher,
    )


def evaluate_test_set(setup: Setup, network: nn.Module, phase: Phase) -> Evaluation:
    """Evaluates a network on the test images, every image once."""
    cycles = LRCycles(phase.learning_rate, Plan((), max(phase.epochs, 1)))
    classifier = Classifier(
        network, setup.model, setup.data.classes, phase, cycles, peak=lambda epoch: 0.0
    )
    trainer = setup.trainer_config.build(epochs=0, folder=Path())
    with system_exit_as_interrupted():
        trainer.test(classifier, datamodule=setup.data_module(phase, "test"), verbose=False)
    assert classifier.evaluation is not None
    return classifier.evaluation
