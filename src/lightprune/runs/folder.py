"""What a run leaves behind: one folder, written atomically, complete or visibly incomplete."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from filelock import Timeout

from lightprune.errors import InputError, check_folder, first_line
from lightprune.files import check_readable, csv_text, file_lock, write_text
from lightprune.pruning.cost.cost_report import CostReport
from lightprune.runs.record import RunRecord


class _File:
    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: "RunFolder", owner: type) -> Path:
        return folder.path / self._name


@dataclass(frozen=True)
class RunFolder:
    """The files of one run, in the folder `path`."""

    path: Path
    # The resolved config, written first.
    config_file = _File("config.yaml")
    # The complete record, written last.
    record_file = _File("run.json")
    # By which trackers know the run: another for each start, the same for a resumed one.
    tracker_id_file = _File(".tracker_id")
    # Lightning's checkpoints of the fine-tuning.
    checkpoints = _File("checkpoints")
    # One row an epoch.
    metrics_file = _File("metrics.csv")
    # One row a prunable parameter.
    layers_file = _File("layers.csv")
    # The predicted class of every test image.
    predictions_file = _File("predictions.csv")
    # The final network: plain names, row-major, zeros in place.
    model_file = _File("model.safetensors")
    # Where exported files of the network go by default.
    export = _File("export")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keeps other processes from writing this folder until the block ends.

        Raises:
            InputError: Another one is writing it, or nobody can.
        """
        check_folder("hydra.run.dir", str(self.path))
        self.path.mkdir(parents=True, exist_ok=True)
        lock = file_lock(self.path / ".lock")
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

    @property
    def _outputs(self) -> tuple[Path, ...]:
        """What a run, or the export of one, writes after its config."""
        files = (self.record_file, self.metrics_file, self.model_file, self.predictions_file)
        tensorboard = self.path / "tensorboard"
        return (*files, self.layers_file, self.checkpoints, self.export, tensorboard)

    def check_free(self) -> None:
        """Raises InputError if the folder holds no run, but files that a run would overwrite."""
        if self.config_file.exists():
            return
        for place in self._outputs:
            if place.exists():
                raise InputError(
                    f"hydra.run.dir={self.path}: holds {place.name}, but no run, which would "
                    "overwrite it; allowed is a folder without it, or one of the same run"
                )

    def record(self) -> RunRecord | None:
        """Reads run.json; None if there is none, since it is written last.

        Raises:
            InputError: It is damaged, of another schema, or may not be read.
        """
        check_readable(self.record_file)
        try:
            return RunRecord.from_json(self.record_file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except InputError as error:
            raise InputError(f"{self.record_file}: {error}") from error
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{self.record_file}: is damaged ({first_line(error)}); allowed is an intact "
                "run.json"
            ) from error

    def finished(self) -> RunRecord:
        """Reads run.json.

        Raises:
            InputError: The run is not finished, or there is none.
        """
        if not self.path.exists():
            raise InputError(f"{self.path}: is not there; allowed is the folder of a finished run")
        record = self.record()
        if record is None:
            begun = self.config_file.is_file()
            raise InputError(
                f"{self.path}: {'is not finished' if begun else 'holds no run'}; allowed is the "
                "folder of a finished run"
            )
        return record

    @contextmanager
    def reading_config(self) -> Iterator[None]:
        """Turns the errors of a block that reads a record's config by key into one line.

        Raises:
            InputError: The config lacks a key, or holds something else there.
        """
        try:
            yield
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"lacks {error}" if isinstance(error, KeyError) else first_line(error)
            raise InputError(
                f"{self.record_file}: is damaged ({reason}); allowed is a finished run's"
            ) from error

    def clear(self) -> None:
        """Deletes what an earlier run left, except for its config: it says whose the rest is."""
        for place in (*self._outputs, self.tracker_id_file):
            if place.is_dir():
                shutil.rmtree(place, ignore_errors=True)
            else:
                place.unlink(missing_ok=True)

    def tracker_id(self) -> str:
        """The run's id, made by its first call in a folder that is new or cleared."""
        if not self.tracker_id_file.exists():
            write_text(self.tracker_id_file, uuid4().hex[:16])
        return self.tracker_id_file.read_text("utf-8")

    def write_layers(self, cost: CostReport) -> None:
        """Writes layers.csv: one row a prunable parameter."""
        columns = ["name", *asdict(cost.total), "sparsity", "live_sparsity", "mac_density"]
        rows = (
            (name, *layer.counts(), layer.sparsity, layer.live_sparsity, layer.mac_density)
            for name, layer in cost.layers.items()
        )
        write_text(self.layers_file, csv_text(columns, rows))

    def complete(self, record: RunRecord) -> None:
        """Writes run.json, after everything else."""
        write_text(self.record_file, record.to_json())
