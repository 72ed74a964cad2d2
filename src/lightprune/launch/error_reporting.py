"""Failures of a training as one line each and a non-zero exit status."""

import json
import math
import os
import re
import shutil
import sys
import traceback
import warnings
from argparse import Namespace
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import cache, wraps
from io import StringIO
from multiprocessing import current_process
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError

from lightprune.errors import InputError, Interrupted, first_line, nearest
from lightprune.experiment.renamed_settings import RENAMED_KEYS, renamed_option
from lightprune.files import write_text
from lightprune.launch.signals import exit_with_parent, interrupt_on_signals
from lightprune.launch.sweep_arguments import note_swept_values
from lightprune.streams import accept_any_text

# Environment variables, since the jobs of a sweep may run in other processes, on other machines:
# the folder of their failures, and whether to print tracebacks.
_FAILURES = "LIGHTPRUNE_FAILED_JOBS"
_TRACEBACKS = "LIGHTPRUNE_TRACEBACKS"
_PATH_ERRORS = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)

Job = Callable[[DictConfig], float | None]


def run_hydra_main(main: Callable[[], object]) -> None:
    """Calls a Hydra main function; a failure ends the program with one line and a non-zero status.

    The failed jobs of a sweep are listed at the end, one line each. With HYDRA_FULL_ERROR=1 a
    traceback precedes the line.
    """
    accept_any_text()
    os.environ[_TRACEBACKS] = os.environ.get("HYDRA_FULL_ERROR", "")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises failures instead of printing them.
    # Below the working directory, which jobs on other machines see too.
    failures = Path("outputs", f".failed-{uuid4().hex}").absolute()
    os.environ[_FAILURES] = str(failures)
    try:
        with interrupt_on_signals():
            arguments = _parse_arguments()
            note_swept_values(arguments.overrides, multirun=arguments.multirun)
            # Hydra only warns of a folder on the search path that is not there.
            warnings.filterwarnings("error", message="provider=.* is not available")
            main()
    except Exception as error:
        _list_failed_jobs(failures)
        _exit(error)
    except KeyboardInterrupt as stop:
        _list_failed_jobs(failures)
        print(stop if str(stop) else "interrupted", file=sys.stderr)
        sys.exit(stop.status if isinstance(stop, Interrupted) else 130)
    if _list_failed_jobs(failures):
        sys.exit(1)


def report_errors(job: Job) -> Job:
    """Decorates the function below `hydra.main`, so that each job's failure is reported at once.

    A single job ends the program here, before Hydra adds lines of its own. A failed job of a
    sweep is noted for the list at the end and returns NaN: the others run on, and Hydra neither
    prints the exception nor pickles it.
    """

    @wraps(job)
    def reported(cfg: DictConfig) -> float | None:
        _prepare_worker()
        try:
            return job(cfg)
        except Exception as error:
            hydra = HydraConfig.get()
            if hydra.mode != RunMode.MULTIRUN:
                _exit(error)
            _print(error)
            failure = {"job": list(hydra.overrides.task), "cause": describe_error(error)}
            file = Path(os.environ[_FAILURES], f"{hydra.job.num:06}")
            write_text(file, json.dumps(failure))
            return math.nan

    return reported


@cache
def _prepare_worker() -> None:
    """Lets a worker process of a parallel sweep end with the sweep, even if that is killed."""
    if current_process().name != "MainProcess":
        accept_any_text()
        exit_with_parent()


def _parse_arguments() -> Namespace:
    """Parses the command line as Hydra does.

    Raises:
        InputError: With argparse's own message, which its usage would precede.
    """
    with redirect_stderr(StringIO()) as printed:
        try:
            return get_args_parser().parse_args()
        except SystemExit as end:
            if not end.code:
                raise
            message = printed.getvalue().rpartition("error: ")[2].strip()
            raise InputError(
                f"{message}; allowed are overrides such as seed=1, all of them before or after "
                "options such as -m (--help shows all)"
            ) from None


def _list_failed_jobs(folder: Path) -> bool:
    """Prints the failed jobs of a sweep; returns whether there are any."""
    failures = [json.loads(file.read_bytes()) for file in sorted(folder.glob("[0-9]*"))]
    shutil.rmtree(folder, ignore_errors=True)
    if failures:
        print(f"failed jobs of this sweep: {len(failures)}", file=sys.stderr)
    for failure in failures:
        # Overrides without alternatives are the same for all jobs.
        varied = [override for override in failure["job"] if override not in sys.argv]
        print(f"  {' '.join(varied or failure['job'])}: {failure['cause']}", file=sys.stderr)
    return bool(failures)


def _exit(error: Exception) -> NoReturn:
    _print(error)
    sys.exit(1)


def _print(error: Exception) -> None:
    if os.environ.get(_TRACEBACKS) == "1":
        traceback.print_exception(error)
    print(f"error: {describe_error(error)}", file=sys.stderr)


def describe_error(error: BaseException) -> str:
    """Returns one line that names what is wrong, its value and what is allowed."""
    if isinstance(error, MissingConfigException):
        return _unknown_option(error)
    cause = error.__cause__ if isinstance(error, HydraException) else error
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return _unknown_key(cause)
    if isinstance(cause, OmegaConfBaseException):
        reason = first_line(cause)
        return f"{cause.full_key}: {reason}" if cause.full_key else reason
    message = re.sub(r"\s*\n\s*", " ", str(error)).strip() or type(error).__name__
    if isinstance(error, OverrideParseException) and error.override not in message:
        return f"{error.override}: {message}"
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        return f"{error.problem_mark.name}: is damaged ({message}); allowed is intact YAML"
    if isinstance(error, _PATH_ERRORS) and error.filename:
        return f"{error.filename}: {error.strerror}; allowed is a path one may read and write"
    if isinstance(error, UserWarning) or message.startswith("Additional config directory"):
        return f"{message}; allowed is a folder (hydra.searchpath=[file://DIR], --config-dir=DIR)"
    if message.startswith("Config group override must be"):  # Hydra does not say which one.
        return (
            f"{message}, in {' '.join(sys.argv[1:])}; allowed is the name of an option (none is "
            "one of logger and pruner)"
        )
    return message


def _unknown_option(error: MissingConfigException) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if not group:
        return first_line(error)
    if new := renamed_option(group, option):
        return f"{group}={option}: has been renamed; allowed is {group}={new}"
    options = [str(o) for o in error.options or ()]
    if group == "hydra/launcher" and "joblib" not in options:
        return (
            f"{group}={option}: is not installed; allowed are basic, and after "
            "pip install '.[sweeps]' joblib and slurm"
        )
    return f"{group}={option}: allowed are {', '.join(options)}{nearest(option, options)}"


def _unknown_key(error: OmegaConfBaseException) -> str:
    key = str(error.full_key or error.key)
    if key in RENAMED_KEYS:
        return f"{key}: has been renamed; allowed is {RENAMED_KEYS[key]}"
    parent = error.parent_node
    options = [str(option) for option in parent] if parent is not None else []
    return (
        f"{key}: no such key; allowed are {', '.join(options)}"
        f"{nearest(key.rpartition('.')[2], options)}"
    )
