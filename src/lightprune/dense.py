"""The dense network of an experiment: from one's own file, from the cache, or trained now."""

import json
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lightprune.errors import InputError, nearest
from lightprune.files import write_text, write_weights
from lightprune.pruning.schedules import Plan
from lightprune.training.classifier import Evaluation
from lightprune.training.fit import Lab, fit, test
from lightprune.training.ranks import barrier, decided, first_process
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
    """

    source: str
    key: str
    epochs: int
    seconds: float
    validation: float | None
    test_correct: int
    test_images: int

    @property
    def test_accuracy(self) -> float:
        """Top-1 accuracy on the test images, 0..1."""
        return self.test_correct / self.test_images


def dense_network(
    lab: Lab, phase: Phase, cache_dir: Path, key: str, checkpoint: Path | None
) -> tuple[dict[str, Tensor], DenseRecord]:
    """The dense network's state dict, and what is known of it.

    Several jobs that need the same network share one training: the first one holds a lock, the
    others wait for it. A training that was interrupted continues.
    """
    if checkpoint is not None:
        state = own_weights(lab, checkpoint)
        seen = _tested(lab, phase, state)
        record = DenseRecord(str(checkpoint), "", 0, 0.0, None, seen.correct, seen.images)
        return state, record
    folder = cache_dir / key
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock") if first_process() else nullcontext():
        if not decided((folder / "dense.json").exists()):
            _train(lab, phase, folder, key)
        barrier()
    record = DenseRecord(**json.loads((folder / "dense.json").read_text()))
    return load_file(folder / "model.safetensors"), record


def _train(lab: Lab, phase: Phase, folder: Path, key: str) -> None:
    """Trains, tests and saves; `dense.json` is written last."""
    network = lab.new_network()
    epochs, seconds, validation = 0, 0.0, None
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    if phase.epochs:
        plan = Plan((), phase.epochs)
        trained = fit(lab, network, phase, folder, name="dense", plan=plan)
        state, epochs, seconds = trained.state, phase.epochs, trained.seconds
        validation = trained.validation
    seen = _tested(lab, phase, state)
    record = DenseRecord("trained", key, epochs, seconds, validation, seen.correct, seen.images)
    if first_process():
        write_weights(folder / "model.safetensors", state)
        write_text(folder / "dense.json", json.dumps(asdict(record), indent=1))


def _tested(lab: Lab, phase: Phase, state: dict[str, Tensor]) -> Evaluation:
    network = lab.new_network()
    network.load_state_dict(state)
    return test(lab, network, phase)


def own_weights(lab: Lab, path: Path) -> dict[str, Tensor]:
    """Reads one's own weights: safetensors, or a state dict saved by torch.

    Raises:
        InputError: The file is not there, not readable without running code, or of another
            network.
    """
    if not path.is_file():
        raise InputError(f"dense.checkpoint={path}: no such file; allowed is a saved state dict")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise InputError(
            f"dense.checkpoint={path}: cannot be read without running code from it; allowed are "
            "safetensors, or a state dict saved by torch.save"
        ) from error
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"dense.checkpoint={path}: cannot be read ({reason}); allowed are safetensors, or a "
            "state dict saved by torch.save"
        ) from error
    expected = lab.new_network().state_dict()
    for name in [*expected, *state]:
        theirs, mine = state.get(name), expected.get(name)
        if theirs is None or mine is None or theirs.shape != mine.shape:
            near = nearest(name, [] if name in state else state)
            raise InputError(
                f"dense.checkpoint={path}: is of another network: {name} is "
                f"{_shape(theirs)} there and {_shape(mine)} here{near}"
            )
    return state


def _shape(value: Tensor | None) -> str:
    return "missing" if value is None else str(tuple(value.shape))
