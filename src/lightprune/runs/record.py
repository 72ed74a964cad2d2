"""The typed record of a finished run: run.json and, for its dense network, dense.json."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from lightprune.errors import InputError
from lightprune.files import check_readable, write_text
from lightprune.pruning.cost.cost_report import LayerCost
from lightprune.pruning.event_record import EventRecord
from lightprune.pruning.targets import LeftDense
from lightprune.rendering.number_format import counted

SCHEMA = 2
Json = dict[str, Any]


@dataclass(frozen=True)
class Hardware:
    """The machine that a run was trained on.

    Attributes:
        device: Name of the GPU or of the processor.
        threads: CPU threads of each process.
        precision: Lightning's name of it.
    """

    device: str
    processes: int
    threads: int
    precision: str

    def __str__(self) -> str:
        counts = f"{counted(self.processes, 'process')}, {counted(self.threads, 'thread')}"
        each = " each" if self.processes > 1 else ""
        return f"{self.device}, {counts}{each}, {self.precision}"


@dataclass(frozen=True)
class DataSummary:
    """The data that a run was trained and tested on.

    Attributes:
        source: Class of the data source.
        fingerprint: SHA-256 of images and labels.
        classes: In the order of the labels.
        validation_images: 0 where all images trained, and the last epoch was taken.
        validation_is_test: Whether the run was validated on the test set.
        input_shape: (C, H, W) of an image.
    """

    source: str
    fingerprint: str
    classes: tuple[str, ...]
    train_images: int
    validation_images: int
    validation_is_test: bool
    test_images: int
    input_shape: tuple[int, int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class DenseRecord:
    """The dense network that a run started from.

    Attributes:
        source: `trained`, or the path of the user's weights.
        key: Hash of the settings it was trained with; empty for the user's weights.
        seconds: Of its training, validation included.
        validation_accuracy: 0..1; None without validation, and for the user's weights.
        test_correct: Correctly classified test images.
        unreachable_weights: Prunable weights that no input reaches.
        changed_without_unreachable: Test images whose predicted class changes if those weights
            are set to zero; 0 is expected.
        weights_sha256: Of the file with the weights.
        zero_weights: Prunable weights that are zero before any event.
        zero_live_weights: Those of them that some input reaches.
        counted: SHA-256 of the names of the prunable weights that were counted; empty if unknown.
        teacher_epochs: Epochs of the network that taught it; 0 without.
        teacher_seconds: Of the teacher's training.
        commit: Of the code that trained it; empty for the user's weights.
    """

    source: str
    key: str = ""
    epochs: int = 0
    seconds: float = 0.0
    validation_accuracy: float | None = None
    test_correct: int
    test_images: int
    unreachable_weights: int
    changed_without_unreachable: int
    weights_sha256: str
    zero_weights: int = 0
    zero_live_weights: int = 0
    counted: str = ""
    teacher_epochs: int = 0
    teacher_seconds: float = 0.0
    commit: str = ""

    @property
    def test_accuracy(self) -> float:
        """Top-1 accuracy on the test images, 0..1."""
        return self.test_correct / self.test_images

    @property
    def folder_names(self) -> tuple[str, ...]:
        """Its folder by its key, or beside that of other weights; none for the user's weights."""
        return (self.key, f"{self.key}-{self.weights_sha256[:8]}") if self.key else ()


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class, 0..1; a ratio over nothing is 0."""

    name: str
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Scores:
    """Counts and scores of a network on a set of images; `loss` is the mean cross-entropy."""

    correct: int
    images: int
    loss: float
    classes: tuple[ClassScore, ...]

    @property
    def accuracy(self) -> float:
        """Top-1 accuracy, 0..1."""
        return self.correct / self.images


@dataclass(frozen=True)
class Seconds:
    """Training time of each phase, with that of a dense network's teacher."""

    dense: float
    finetune: float


@dataclass(frozen=True)
class RunRecord:
    """The content of run.json.

    Attributes:
        config: The resolved config without the keys that do not change a result.
        config_hash: SHA-256 of `config`, see `identity.config_hash`.
        command: The command line that the user typed; of a sweep, the one of all its jobs.
        versions: Of the packages that decide a result.
        best_epoch: The fine-tuning epoch whose weights were tested.
        validation_accuracy: Of those weights, 0..1; None without validation.
        cost: Summed over the prunable weights.
        parameters: Number of all, prunable or not.
        compression_prunable: Prunable weights divided by the non-zero ones.
        compression_parameters: All parameters divided by the non-zero ones.
        sizes: Bytes by file name.
        left_dense: Layers of prunable types whose weights could not be pruned.
        paths: Where data and dense networks lie: absolute, by the key of the setting.
        not_tolerated: The event after which a schedule with a drop ended, since the accuracy did
            not recover; the weights are those before it. None for any other end.
        epochs_trained: Of fine-tuning, which may end early; None in earlier versions' records.
    """

    config: Json
    config_hash: str
    command: str
    commit: str
    versions: dict[str, str]
    hardware: Hardware
    data: DataSummary
    dense: DenseRecord
    events: tuple[EventRecord, ...]
    best_epoch: int
    validation_accuracy: float | None
    test: Scores
    cost: LayerCost
    parameters: int
    compression_prunable: float
    compression_parameters: float
    sizes: dict[str, int]
    seconds: Seconds
    left_dense: tuple[LeftDense, ...] = field(default=(), kw_only=True)
    paths: dict[str, str] = field(default_factory=dict, kw_only=True)
    not_tolerated: EventRecord | None = field(default=None, kw_only=True)
    epochs_trained: int | None = field(default=None, kw_only=True)

    @property
    def accuracy_change(self) -> float:
        """Test accuracy minus that of the dense network, -1..1."""
        return (self.test.correct - self.dense.test_correct) / self.test.images

    def to_json(self) -> str:
        """The text of run.json: every field, and for other readers what follows from them."""
        record = {"schema": SCHEMA, **msgspec.to_builtins(self)}
        record["events"] = [event.dump() for event in self.events]
        record["not_tolerated"] = self.not_tolerated and self.not_tolerated.dump()
        for part, names in _DERIVED.items():
            record[part] |= {name: getattr(getattr(self, part), name) for name in names}
        return json.dumps(record, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> "RunRecord":
        """Reads what `to_json` wrote.

        Raises:
            InputError: The text is of another schema.
            ValueError: It is something else.
        """
        record = json.loads(text)
        if isinstance(record, dict) and record.get("schema") != SCHEMA:
            versions = record.get("versions")
            version = versions.get("lightprune") if isinstance(versions, dict) else None
            raise InputError(
                f"schema={record.get('schema')}: allowed is {SCHEMA}; it was written by lightprune "
                f"{version or '?'}, commit {record.get('commit', '?')}"
            )
        return msgspec.convert(record, cls)


_DERIVED = {
    "dense": ("test_accuracy",),
    "test": ("accuracy",),
    "cost": ("sparsity", "live_sparsity", "mac_density"),
}


def write_dense_record(file: Path, record: DenseRecord) -> None:
    """Writes dense.json."""
    write_text(file, json.dumps(msgspec.to_builtins(record), indent=1))


def read_dense_record(file: Path) -> DenseRecord:
    """Reads dense.json.

    Raises:
        InputError: The file may not be read.
        OSError, ValueError: It is not there, or holds something else.
    """
    check_readable(file)
    return msgspec.convert(json.loads(file.read_bytes()), DenseRecord)
