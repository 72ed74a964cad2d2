"""The dense network of an experiment: from one's own file, from the cache, or trained now."""

import json
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from lightprune.distributed import barrier, from_rank_zero, is_rank_zero
from lightprune.experiment.dense_cache import dense_lock, digest, save_rewind_state, warn_unusable
from lightprune.experiment.pretrained import load_pretrained
from lightprune.files import checksum, write_text, write_weights
from lightprune.provenance import commit
from lightprune.pruning.mac_counts import live_masks
from lightprune.pruning.schedules import Plan
from lightprune.runs.predictions import write_predictions
from lightprune.training.fit import Setup, fit, test
from lightprune.training.metrics import Evaluation
from lightprune.training.recipe import Phase


@dataclass(frozen=True)
class DenseRecord:
    """What is known of the dense network.

    Attributes:
        source: `trained` (now or earlier, by the same settings) or the path of one's own file.
        key: Hash of the settings it was trained with; empty for one's own file.
        epochs: Of its training.
        seconds: Of its training, validation included.
        validation: Accuracy on the validation images, 0..1; None for one's own file.
        test_correct: Correctly classified test images.
        test_images: Test images.
        dead_weights: Prunable weights that no input reaches.
        changed_without_dead: Test images that are classified otherwise if those are zero: none.
        weights: SHA-256 of the file that holds them.
        commit: Of the code that trained it; empty for one's own file.
    """

    source: str
    key: str
    epochs: int
    seconds: float
    validation: float | None
    test_correct: int
    test_images: int
    dead_weights: int
    changed_without_dead: int
    weights: str
    commit: str

    @property
    def test_accuracy(self) -> float:
        """Top-1 accuracy on the test images, 0..1."""
        return self.test_correct / self.test_images


def dense_network(
    lab: Setup,
    phase: Phase,
    cache_dir: Path,
    asked: Mapping[str, Any],
    checkpoint: Path | None,
    snapshots: Collection[int] = (),
) -> tuple[dict[str, Tensor], DenseRecord]:
    """The dense network's state dict, and what is known of it.

    Several jobs that need the same network share one training: the first one holds a lock, the
    others wait for it. A training that was interrupted continues; a trained network whose files
    are damaged is trained again, and a line says so.

    Args:
        lab: Data, model and hardware.
        phase: How it is trained.
        cache_dir: Where trained networks are kept.
        asked: What the network depends on; equal mappings share one training.
        checkpoint: One's own weights instead; None to train.
        snapshots: After how many epochs a training keeps the weights, for `early_state`.
    """
    if checkpoint is not None:
        state = load_pretrained(lab, checkpoint)
        seen = _tested(lab, phase, state)
        counts = (seen.correct, seen.images, *_dead(lab, phase, state, seen))
        own = DenseRecord(str(checkpoint), "", 0, 0.0, None, *counts, checksum(checkpoint), "")
        return state, own
    key = digest(asked)
    folder = cache_dir / key
    folder.mkdir(parents=True, exist_ok=True)
    with dense_lock(folder) if is_rank_zero() else nullcontext():
        record = from_rank_zero(lambda: _recall(folder))
        if record is None:
            record = _train(lab, phase, folder, asked, snapshots)
        barrier()
    return load_file(folder / "model.safetensors"), record


def _recall(folder: Path) -> DenseRecord | None:
    """What is known of the network in a cache folder; None if it is not there, or not intact."""
    about, weights = folder / "dense.json", folder / "model.safetensors"
    if not about.exists():
        return None
    damaged = about
    try:
        record = DenseRecord(**json.loads(about.read_text()))
        damaged = weights
        if checksum(weights) == record.weights:
            return record
        reason = "its checksum does not match its content"
    except (FileNotFoundError, TypeError, ValueError) as error:
        reason = str(error)
    warn_unusable(damaged, f"is damaged ({reason})", "the network is trained again")
    return None


def _train(
    lab: Setup, phase: Phase, folder: Path, asked: Mapping[str, Any], snapshots: Collection[int]
) -> DenseRecord:
    """Trains, tests and saves; `dense.json` is written last."""
    network = lab.new_network()
    epochs, seconds, validation = 0, 0.0, None
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    if phase.epochs:
        plan = Plan((), phase.epochs)
        trained = fit(
            lab,
            network,
            phase,
            folder,
            name="dense",
            plan=plan,
            snapshots=snapshots,
            belongs_to=asked,
        )
        if is_rank_zero():
            for after, early in trained.snapshots.items():
                save_rewind_state(folder, after, early)
        state, epochs, seconds = trained.state, phase.epochs, trained.seconds
        validation = trained.validation
    seen = _tested(lab, phase, state)
    weights = folder / "model.safetensors"
    if is_rank_zero():
        write_weights(weights, state)
    barrier()
    counts = (seen.correct, seen.images, *_dead(lab, phase, state, seen))
    record = DenseRecord(
        "trained", folder.name, epochs, seconds, validation, *counts, checksum(weights), commit()
    )
    if is_rank_zero():
        write_predictions(folder / "predictions.csv", lab.data.test.labels.tolist(), seen.predicted)
        write_text(folder / "dense.json", json.dumps(asdict(record), indent=1))
    return record


def _tested(lab: Setup, phase: Phase, state: dict[str, Tensor]) -> Evaluation:
    network = lab.new_network()
    network.load_state_dict(state)
    return test(lab, network, phase)


def _dead(lab: Setup, phase: Phase, state: dict[str, Tensor], seen: Evaluation) -> tuple[int, int]:
    """How many dead weights there are, and how many test images zeroing them alone changes."""
    network = lab.new_network()
    network.load_state_dict(state)
    weights = {name: weight.detach() for name, weight in lab.targets.find(network).items()}
    live = live_masks(network, weights, lab.example)
    if not live.pruned:
        return 0, 0
    live.apply_(weights)
    alone = test(lab, network, phase)
    changed = sum(a != b for a, b in zip(alone.predicted, seen.predicted, strict=True))
    return live.pruned, changed
