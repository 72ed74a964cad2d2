"""The dense network of an experiment: from a given file, from the cache, or trained."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from lightning.pytorch.loggers import Logger
from safetensors.torch import load_file
from torch import Tensor, nn

from lightprune.distributed import barrier, from_rank_zero, is_rank_zero
from lightprune.errors import InputError
from lightprune.experiment.dense_cache import dense_lock, save_rewind_state
from lightprune.experiment.dense_training import DenseTraining
from lightprune.files import checksum, write_weights
from lightprune.provenance import commit
from lightprune.pruning.cost.mac_counts import macs_per_weight
from lightprune.pruning.reachability import live_masks
from lightprune.rendering.console_table import print_line, warn_unusable
from lightprune.runs.predictions import write_predictions
from lightprune.runs.record import DenseRecord, read_dense_record, write_dense_record
from lightprune.training.fit import PhaseRun, evaluate_test_set, fit
from lightprune.training.metrics import Evaluation
from lightprune.training.recipe import Phase
from lightprune.training.run_loggers import log_epochs
from lightprune.training.setup import Setup

# What a dense record says of the prunable weights.
_COUNTS = (
    "unreachable_weights",
    "changed_without_unreachable",
    "zero_weights",
    "zero_live_weights",
    "counted",
)


def dense_network(
    training: DenseTraining, snapshots: Collection[int] = (), loggers: Sequence[Logger] = ()
) -> tuple[dict[str, Tensor], DenseRecord]:
    """The dense network's state dict and record: from a file, from the cache, or trained.

    Several jobs that need the same network share one training: the first one holds a lock, the
    others wait for it. A training that was interrupted continues; a trained network whose files
    are damaged is trained again, and a line says so.

    After each number of epochs in `snapshots` it keeps the weights, for `rewind_state`. `loggers`
    get the epochs of the training, whichever run it was part of.
    """
    setup, phase, pretrained = training.setup, training.phase, training.pretrained
    if pretrained is not None and not pretrained.trained_first:
        state = dict(pretrained.state)
        source = str(pretrained.file.path)
        return state, _measure(setup, phase, state, source, pretrained.sha256)[0]
    training = training.without_freezing()
    setup, folder = training.setup, training.folder
    folder.mkdir(parents=True, exist_ok=True)
    with dense_lock(folder) if is_rank_zero() else nullcontext():
        record = from_rank_zero(lambda: _cached_record(folder))
        if record is not None:
            log_epochs(loggers, folder / "metrics.csv", setup.steps_per_epoch(phase))
            if is_rank_zero():
                print_line(
                    f"dense network from the cache (epochs: {record.epochs}, "
                    f"test accuracy: {record.test_accuracy:.2%})"
                )
        else:
            network, masks = setup.new_network(), None
            if pretrained is not None:
                network.load_state_dict(pretrained.state)
                if training.keep_zeros:
                    masks = pretrained.zeros(setup.targets.find(network))
            teacher, taught_by = dense_teacher(training)
            run = training.phase_run(teacher, masks=masks, snapshots=snapshots)
            record = _train(setup, network, run, folder, taught_by, loggers)
        barrier()
    state = load_file(folder / "model.safetensors")
    if record.counted not in ("", _names_digest(setup.targets.find(setup.new_network()))):
        # The run that trained it prunes other weights.
        measured, _ = _measure(setup, phase, state, record.source, record.weights_sha256)
        record = replace(record, **{name: getattr(measured, name) for name in _COUNTS})
    return state, record


def dense_teacher(training: DenseTraining) -> tuple[nn.Module | None, DenseRecord | None]:
    """The network that a dense training learns from, and its record; None without a teacher."""
    teacher = training.teacher
    if teacher is None:
        return None, None
    state, record = dense_network(teacher)
    return teacher.setup.network_from(state), record


def _measure(
    setup: Setup, phase: Phase, state: Mapping[str, Tensor], source: str, sha256: str
) -> tuple[DenseRecord, Evaluation]:
    """Evaluates a dense network on the test set, and again with its unreachable weights at zero."""
    test = evaluate_test_set(setup, setup.network_from(state), phase)
    network = setup.network_from(state)
    weights = {name: weight.detach() for name, weight in setup.targets.find(network).items()}
    live = live_masks(weights, macs_per_weight(network, weights, setup.example))
    zeros = {name: weight == 0 for name, weight in weights.items()}
    changed = 0
    if live.pruned:
        live.apply_(weights)
        zeroed = evaluate_test_set(setup, network, phase)
        changed = sum(a != b for a, b in zip(zeroed.predicted, test.predicted, strict=True))
    record = DenseRecord(
        source=source,
        test_correct=test.correct,
        test_images=test.images,
        unreachable_weights=live.pruned,
        changed_without_unreachable=changed,
        weights_sha256=sha256,
        zero_weights=sum(int(zero.sum()) for zero in zeros.values()),
        zero_live_weights=sum(int((zero & live[name]).sum()) for name, zero in zeros.items()),
        counted=_names_digest(weights),
    )
    return record, test


def _names_digest(names: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _cached_record(folder: Path) -> DenseRecord | None:
    """The record in a cache folder; None if there is none, or a file of the folder is damaged."""
    file, weights = folder / "dense.json", folder / "model.safetensors"
    if not file.exists():
        return None
    damaged = file
    try:
        record = read_dense_record(file)
        damaged = weights
        if checksum(weights) == record.weights_sha256:
            return record
        reason = "its checksum does not match its content"
    except InputError:
        raise
    except (FileNotFoundError, TypeError, ValueError) as error:
        reason = str(error)
    warn_unusable(damaged, f"is damaged ({reason})", "the network is trained again")
    return None


def _train(
    setup: Setup,
    network: nn.Module,
    run: PhaseRun,
    folder: Path,
    taught_by: DenseRecord | None,
    loggers: Sequence[Logger],
) -> DenseRecord:
    """Trains, measures and saves; `dense.json`, written last, makes the folder complete."""
    phase = run.phase
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    seconds, validation = 0.0, None
    if phase.epochs:
        trained = fit(setup, network, run, folder, loggers)
        state, seconds, validation = trained.state, trained.seconds, trained.validation
        if is_rank_zero():
            for epochs, snapshot in trained.snapshots.items():
                save_rewind_state(folder, epochs, snapshot)
    weights = folder / "model.safetensors"
    if is_rank_zero():
        write_weights(weights, state)
    barrier()
    measured, test = _measure(setup, phase, state, "trained", checksum(weights))
    record = replace(
        measured,
        key=folder.name,
        epochs=phase.epochs,
        seconds=seconds,
        validation_accuracy=validation,
        teacher_epochs=taught_by.epochs if taught_by else 0,
        teacher_seconds=taught_by.seconds if taught_by else 0.0,
        commit=commit(),
    )
    if is_rank_zero():
        labels = setup.data.test.labels.tolist()
        write_predictions(folder / "predictions.csv", labels, test.predicted)
        write_dense_record(folder / "dense.json", record)
    return record
