"""The loggers of one phase: a tracker's run of its own, with config and test result, closed."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from lightprune.errors import first_line
from lightprune.training.metrics import Evaluation
from lightprune.training.setup import Setup

# How the trackers' runs are closed: W&B, Comet, Neptune, TensorBoard. Lightning does it for MLflow.
_CLOSING_METHODS = ("finish", "end", "stop", "close")


@contextmanager
def open_loggers(
    setup: Setup, folder: Path, config: Mapping[str, Any]
) -> Iterator[Sequence[Logger]]:
    """Makes a phase's loggers, gives them its config, and closes their runs at the end.

    Trackers such as W&B keep one run open in a process and hand it to every logger made
    meanwhile; Lightning leaves it open. Nothing else would tell phases and jobs apart.
    """
    loggers = setup.loggers(folder)
    try:
        for logger in loggers:
            logger.log_hyperparams(dict(config))
        yield loggers
    finally:
        for logger in loggers:
            _close(logger, failed=sys.exc_info()[0] is not None)


def log_test_result(loggers: Sequence[Logger], test: Evaluation, step: int) -> None:
    """Logs accuracy and loss on the test images, after so many optimizer steps."""
    for logger in loggers:
        logger.log_metrics({"test/accuracy": test.accuracy, "test/loss": test.loss}, step=step)


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
