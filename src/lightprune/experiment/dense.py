"""The dense network of an experiment: from a given file, from the cache, or trained."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from safetensors.torch import load_file
from torch import Tensor, nn

from lightprune.distributed import barrier, from_rank_zero, is_rank_zero
from lightprune.errors import InputError
from lightprune.experiment.dense_cache import (
    dense_key,
    dense_lock,
    save_rewind_state,
    warn_unusable,
)
from lightprune.experiment.pretrained import Pretrained
from lightprune.files import checksum, write_weights
from lightprune.provenance import commit
from lightprune.pruning.cost.mac_counts import macs_per_weight
from lightprune.pruning.reachability import live_masks
from lightprune.pruning.schedules import Plan
from lightprune.runs.predictions import write_predictions
from lightprune.runs.record import DenseRecord, read_dense_record, write_dense_record
from lightprune.training.fit import PhaseRun, evaluate_test_set, fit
from lightprune.training.metrics import Evaluation
from lightprune.training.phase_loggers import log_test_result, open_loggers
from lightprune.training.recipe import Phase
from lightprune.training.setup import Setup


@dataclass(frozen=True)
class DenseMeasurement:
    """A dense network on the test images.

    Attributes:
        test: Its evaluation.
        unreachable: Prunable weights that no input reaches.
        changed: Test images that are classified otherwise if those are zero.
        zeros: Prunable weights that are zero.
        live_zeros: Those of them that some input reaches.
    """

    test: Evaluation
    unreachable: int
    changed: int
    zeros: int
    live_zeros: int


def dense_network(
    setup: Setup,
    phase: Phase,
    cache_dir: Path,
    identity: Mapping[str, Any],
    pretrained: Pretrained | None,
    keep_zeros: bool = False,
    snapshots: Collection[int] = (),
) -> tuple[dict[str, Tensor], DenseRecord]:
    """The dense network's state dict and record: from a file, from the cache, or trained.

    Several jobs that need the same network share one training: the first one holds a lock, the
    others wait for it. A training that was interrupted continues; a trained network whose files
    are damaged is trained again, and a line says so.

    Args:
        setup: Data, model and trainer settings.
        phase: How it is trained.
        cache_dir: Where trained networks are kept.
        identity: What the network depends on; equal mappings share one training.
        pretrained: Given weights: what the training starts from if some of them are fresh, and
            otherwise the network itself.
        keep_zeros: Whether a training holds what `pretrained` gives as zero.
        snapshots: After how many epochs a training keeps the weights, for `rewind_state`.
    """
    if pretrained is not None and not pretrained.fresh:
        state = dict(pretrained.state)
        measured = measure_dense(setup, phase, state)
        return state, DenseRecord(
            source=str(pretrained.file.path),
            test_correct=measured.test.correct,
            test_images=measured.test.images,
            unreachable_weights=measured.unreachable,
            changed_without_unreachable=measured.changed,
            weights_sha256=pretrained.sha256,
            zero_weights=measured.zeros,
            zero_live_weights=measured.live_zeros,
        )
    setup = setup.without_freezing()
    folder = cache_dir / dense_key(identity)
    folder.mkdir(parents=True, exist_ok=True)
    with dense_lock(folder) if is_rank_zero() else nullcontext():
        record = from_rank_zero(lambda: _cached_record(folder))
        if record is None:
            network, masks = setup.new_network(), None
            if pretrained is not None:
                network.load_state_dict(pretrained.state)
                masks = pretrained.zeros(setup.targets.find(network)) if keep_zeros else None
            run = PhaseRun(
                "dense",
                phase,
                Plan((), phase.epochs),
                masks=masks,
                snapshots=snapshots,
                identity=identity,
            )
            record = _train(setup, network, run, folder)
        barrier()
    return load_file(folder / "model.safetensors"), record


def measure_dense(setup: Setup, phase: Phase, state: Mapping[str, Tensor]) -> DenseMeasurement:
    """Evaluates a dense network on the test set, and again with its unreachable weights at zero."""
    test = evaluate_test_set(setup, setup.network_from(state), phase)
    network = setup.network_from(state)
    weights = {name: weight.detach() for name, weight in setup.targets.find(network).items()}
    live = live_masks(weights, macs_per_weight(network, weights, setup.example))
    zeros = sum(int((weight == 0).sum()) for weight in weights.values())
    live_zeros = sum(int(((weight == 0) & live[name]).sum()) for name, weight in weights.items())
    if not live.pruned:
        return DenseMeasurement(test, 0, 0, zeros, live_zeros)
    live.apply_(weights)
    zeroed = evaluate_test_set(setup, network, phase)
    changed = sum(a != b for a, b in zip(zeroed.predicted, test.predicted, strict=True))
    return DenseMeasurement(test, live.pruned, changed, zeros, live_zeros)


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


def _train(setup: Setup, network: nn.Module, run: PhaseRun, folder: Path) -> DenseRecord:
    """Trains, measures and saves; `dense.json`, written last, makes the folder complete."""
    phase = run.phase
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    seconds, steps, validation = 0.0, 0, None
    with ExitStack() as phase_end:
        loggers: Sequence[Logger] = ()
        if phase.epochs:
            loggers = phase_end.enter_context(open_loggers(setup, folder, run.identity))
            trained = fit(setup, network, run, folder, loggers)
            state, seconds, steps = trained.state, trained.seconds, trained.steps
            validation = trained.validation
            if is_rank_zero():
                for epochs, snapshot in trained.snapshots.items():
                    save_rewind_state(folder, epochs, snapshot)
        measured = measure_dense(setup, phase, state)
        log_test_result(loggers, measured.test, steps)
    weights = folder / "model.safetensors"
    if is_rank_zero():
        write_weights(weights, state)
    barrier()
    record = DenseRecord(
        source="trained",
        key=folder.name,
        epochs=phase.epochs,
        seconds=seconds,
        validation_accuracy=validation,
        test_correct=measured.test.correct,
        test_images=measured.test.images,
        unreachable_weights=measured.unreachable,
        changed_without_unreachable=measured.changed,
        weights_sha256=checksum(weights),
        zero_weights=measured.zeros,
        zero_live_weights=measured.live_zeros,
        commit=commit(),
    )
    if is_rank_zero():
        labels = setup.data.test.labels.tolist()
        write_predictions(folder / "predictions.csv", labels, measured.test.predicted)
        write_dense_record(folder / "dense.json", record)
    return record
