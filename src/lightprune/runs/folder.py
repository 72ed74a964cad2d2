"""What a run leaves behind: one folder, written atomically, complete or visibly incomplete."""

import json
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lightprune.errors import InputError, check_folder
from lightprune.files import csv_text, write_text
from lightprune.pruning.cost import CostReport

SCHEMA = 1
Json = dict[str, Any]


@dataclass(frozen=True)
class RunFolder:
    """The files of one run.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def config_file(self) -> Path:
        """The resolved config, written first."""
        return self.path / "config.yaml"

    @property
    def record_file(self) -> Path:
        """The complete record, written last."""
        return self.path / "run.json"

    @property
    def checkpoints(self) -> Path:
        """Lightning's checkpoints of the fine-tuning."""
        return self.path / "checkpoints"

    @property
    def metrics_file(self) -> Path:
        """One row an epoch."""
        return self.path / "metrics.csv"

    @property
    def layers_file(self) -> Path:
        """One row a prunable parameter."""
        return self.path / "layers.csv"

    @property
    def export(self) -> Path:
        """Where the network goes in other formats, unless told otherwise."""
        return self.path / "export"

    @property
    def predictions_file(self) -> Path:
        """The predicted class of every test image."""
        return self.path / "predictions.csv"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keeps other processes from writing this folder until the block ends.

        Raises:
            InputError: Another one is writing it, or nobody can.
        """
        check_folder("hydra.run.dir", str(self.path))
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise InputError(
                f"{self.path}: is being written by another process; allowed is one at a time "
                "(name= or hydra.run.dir= goes elsewhere)"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def check_free(self) -> None:
        """Raises InputError if the folder holds files, but no run."""
        if self.config_file.exists() or not self.path.is_dir():
            return
        for file in sorted(self.path.iterdir()):
            if not file.name.startswith("."):
                raise InputError(
                    f"hydra.run.dir={self.path}: holds {file.name}, but no run; allowed is a new "
                    "folder, an empty one, or one of the same run"
                )

    def record(self) -> Json | None:
        """The record of a complete run; None if the run is not complete."""
        try:
            record: Json = json.loads(self.record_file.read_text())
            if not isinstance(record, dict):
                raise ValueError(f"it holds a {type(record).__name__}")
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise InputError(
                f"{self.record_file}: is damaged ({error}); allowed is an intact run.json "
                "(force=true starts afresh)"
            ) from error
        if record.get("schema") != SCHEMA:
            raise InputError(
                f"{self.record_file}: schema={record.get('schema')}: allowed is {SCHEMA} "
                "(force=true starts afresh)"
            )
        return record

    def clear(self) -> None:
        """Deletes what an earlier run left, except for its config: it says whose the rest is."""
        files = (self.record_file, self.metrics_file, self.model_file, self.predictions_file)
        for file in (*files, self.layers_file):
            file.unlink(missing_ok=True)
        for folder in (self.checkpoints, self.export, self.path / "tensorboard"):
            shutil.rmtree(folder, ignore_errors=True)

    def write_layers(self, cost: CostReport) -> None:
        """Writes layers.csv: one row a prunable parameter."""
        columns = ["name", *asdict(cost.total), "sparsity", "live_sparsity", "mac_density"]
        rows = (
            (name, *layer.counts(), layer.sparsity, layer.live_sparsity, layer.mac_density)
            for name, layer in cost.layers.items()
        )
        write_text(self.layers_file, csv_text(columns, rows))

    @property
    def model_file(self) -> Path:
        """The final network: plain names, row-major, zeros in place."""
        return self.path / "model.safetensors"

    def complete(self, record: Json) -> None:
        """Writes run.json, after everything else."""
        write_text(self.record_file, json.dumps({"schema": SCHEMA, **record}, indent=1))


def command_overrides(record: Json) -> dict[str, str]:
    """The settings of a run's command: its config leaves out where things lie."""
    words = [word.lstrip("+").partition("=") for word in shlex.split(record.get("command", ""))]
    return {key: _unquoted(value) for key, _, value in words}


def _unquoted(value: str) -> str:
    """A value without the quotes that keep its commas and blanks from Hydra's grammar."""
    mark = value[:1]
    if len(value) < 2 or mark not in ("'", '"') or value[-1] != mark:
        return value
    return value[1:-1].replace(f"\\{mark}", mark)
