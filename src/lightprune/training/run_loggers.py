"""The loggers of a run: one run of each tracker for both phases, with config and test result."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from lightprune.errors import first_line
from lightprune.files import read_csv

# How the trackers' runs are closed: W&B, Comet, Neptune, TensorBoard. Lightning does it for MLflow.
_CLOSING_METHODS = ("finish", "end", "stop", "close")
# What metrics.csv has of an epoch, by the names that a training logs.
_COLUMNS = {
    "train/loss": "train_loss",
    "val/loss": "val_loss",
    "val/accuracy": "val_accuracy",
    "lr": "learning_rate",
    "sparsity/nominal": "sparsity",
}


@dataclass(frozen=True)
class TrackedRun:
    """What trackers get to know of a run.

    Attributes:
        folder: Below it loggers write.
        id: A run that is resumed has the same one, and goes on in the tracker's run; one that
            starts afresh, or in another folder, does not.
        group: Of the runs of one sweep; None without.
    """

    folder: Path
    id: str
    group: str | None = None

    def fill_in(self, settings: Any) -> Any:
        """The settings of a logger with this run's values for `{folder}`, `{name}` and so on."""
        if isinstance(settings, dict):
            return {key: self.fill_in(value) for key, value in settings.items()}
        if isinstance(settings, list):
            return [self.fill_in(value) for value in settings]
        if not isinstance(settings, str):
            return settings
        values = {"{name}": self.folder.name, "{id}": self.id, "{group}": self.group}
        return {"{folder}": str(self.folder), **values}.get(settings, settings)


Loggers = Callable[[TrackedRun], Sequence[Logger]]


@contextmanager
def open_loggers(
    loggers_of: Loggers, run: TrackedRun, config: Mapping[str, Any]
) -> Iterator[Sequence[Logger]]:
    """Makes a run's loggers, gives them its config, and closes their runs at the end.

    Trackers such as W&B keep one run open in a process and hand it to every logger made
    meanwhile; Lightning leaves it open. Nothing else would tell jobs apart.
    """
    loggers = loggers_of(run)
    try:
        for logger in loggers:
            logger.log_hyperparams(dict(config))
            # Lightning calls it after each phase and each test.
            setattr(logger, "finalize", lambda status: None)  # noqa: B010
        yield loggers
    finally:
        for logger in loggers:
            vars(logger).pop("finalize", None)
            _close(logger, failed=sys.exc_info()[0] is not None)


@contextmanager
def continued(loggers: Sequence[Logger], steps: int, epochs: int) -> Iterator[None]:
    """Has loggers count the steps and epochs of a phase from those of the phase before it."""

    def shifted(log: Callable[..., None]) -> Callable[..., None]:
        def log_metrics(metrics: Mapping[str, float], step: int | None = None) -> None:
            if "epoch" in metrics:
                metrics = {**metrics, "epoch": metrics["epoch"] + epochs}
            log(metrics, step=None if step is None else step + steps)

        return log_metrics

    for logger in loggers:
        setattr(logger, "log_metrics", shifted(logger.log_metrics))  # noqa: B010
    try:
        yield
    finally:
        for logger in loggers:
            vars(logger).pop("log_metrics")


def log_epochs(loggers: Sequence[Logger], metrics_file: Path, steps_per_epoch: int) -> None:
    """Logs the epochs of an earlier training, which left metrics.csv; nothing if it is damaged."""
    with suppress(OSError, KeyError, ValueError):
        for row in read_csv(metrics_file):
            metrics = {name: float(row[key]) for name, key in _COLUMNS.items() if row[key]}
            epoch = int(row["epoch"])
            last_step = (epoch + 1) * steps_per_epoch - 1
            for logger in loggers:
                logger.log_metrics({**metrics, "epoch": epoch}, step=last_step)


def log_test_result(loggers: Sequence[Logger], step: int, **scores: float) -> None:
    """Logs scores on the test images, such as `accuracy=`, after so many optimizer steps."""
    for logger in loggers:
        logger.log_metrics({f"test/{name}": value for name, value in scores.items()}, step=step)


def _close(logger: Logger, *, failed: bool) -> None:
    """Closes the run of a logger; a tracker that cannot is no reason to lose the training."""
    try:
        logger.finalize("failed" if failed else "success")
        experiment = getattr(logger, "experiment", None)
        for name in _CLOSING_METHODS:
            if callable(close := getattr(experiment, name, None)):
                # W&B takes a run without an exit status for a success.
                close(**({"exit_code": 1} if failed and name == "finish" else {}))
                break
    except Exception as error:  # The tracker's code may raise anything.
        name, reason = type(logger).__name__, first_line(error)
        print(f"warning: {name}: its run cannot be closed ({reason})", file=sys.stderr)
