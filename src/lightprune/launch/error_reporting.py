"""The way out of the program: failures become lines and a non-zero exit status."""

import json
import math
import os
import re
import shutil
import sys
import traceback
from argparse import ArgumentParser
from collections.abc import Callable
from functools import cache
from multiprocessing import current_process
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError

from lightprune.errors import InputError, Interrupted, first_line, nearest
from lightprune.files import write_text
from lightprune.launch.signals import exit_with_parent, interrupt_on_signals

# Jobs of a sweep may be other processes than the one that lists their failures.
_FAILED = "LIGHTPRUNE_FAILED_JOBS"
_TRACEBACKS = "LIGHTPRUNE_TRACEBACKS"
_WRONG_PATHS = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


def run_hydra_main(main: Callable[[], object]) -> None:
    """Calls `main` and ends the program with a non-zero status and its reason if it fails.

    The failed jobs of a sweep are listed at the end, one line each. With HYDRA_FULL_ERROR=1 a
    traceback comes first.
    """
    os.environ[_TRACEBACKS] = os.environ.get("HYDRA_FULL_ERROR", "")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands failures on instead of printing them.
    # Of a wrong command line argparse would print its whole usage, and end with status 2.
    ArgumentParser.error = _refuse  # type: ignore[method-assign,assignment]
    # Below the working directory, which jobs on other machines see too.
    failed = Path("outputs", f".failed-{uuid4().hex}").absolute()
    os.environ[_FAILED] = str(failed)
    try:
        with interrupt_on_signals():
            main()
    except Exception as error:
        _list(failed)
        _end(error)
    except KeyboardInterrupt as stop:
        _list(failed)
        print(stop if str(stop) else "interrupted", file=sys.stderr)
        sys.exit(stop.status if isinstance(stop, Interrupted) else 130)
    if _list(failed):
        sys.exit(1)


def run_job(job: Callable[[], float | None]) -> float | None:
    """Calls one job of the program and tells of its failure at once.

    A single job ends the program here, before Hydra adds lines of its own. A failed job of a
    sweep is noted for the list at the end and gives NaN, so that the others run on, and Hydra
    has nothing to print, nor to carry from process to process.
    """
    _end_with_sweep()
    try:
        return job()
    except Exception as error:
        about = HydraConfig.get()
        if about.mode != RunMode.MULTIRUN:
            _end(error)
        _tell(error)
        note = {"job": list(about.overrides.task), "cause": describe_error(error)}
        write_text(Path(os.environ[_FAILED], f"{about.job.num:06}"), json.dumps(note))
        return math.nan


@cache
def _end_with_sweep() -> None:
    """Lets a worker of a parallel sweep outlive neither its end nor its being killed."""
    if current_process().name != "MainProcess":
        exit_with_parent()


def _list(failed: Path) -> bool:
    """Prints what the jobs of a sweep have noted; returns whether any failed."""
    notes = [json.loads(note.read_text()) for note in sorted(failed.glob("[0-9]*"))]
    shutil.rmtree(failed, ignore_errors=True)
    if notes:
        print(f"failed jobs of this sweep: {len(notes)}", file=sys.stderr)
    for note in notes:
        # What was typed without alternatives is the same for all jobs.
        own = [override for override in note["job"] if override not in sys.argv]
        print(f"  {' '.join(own or note['job'])}: {note['cause']}", file=sys.stderr)
    return bool(notes)


def _end(error: Exception) -> NoReturn:
    _tell(error)
    sys.exit(1)


def _tell(error: Exception) -> None:
    if os.environ.get(_TRACEBACKS) == "1":
        traceback.print_exception(error)
    print(f"error: {describe_error(error)}", file=sys.stderr)


def _refuse(_: ArgumentParser, message: str) -> NoReturn:
    raise InputError(
        f"{message}; allowed are overrides such as seed=1 in one row, with options such as -m "
        "before or after them (--help shows all)"
    )


def describe_error(error: BaseException) -> str:
    """One line that names what is wrong, its value and what is allowed."""
    if isinstance(error, MissingConfigException):
        return _unknown_option(error)
    cause = error.__cause__ if isinstance(error, HydraException) else error
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return _unknown_key(cause)
    if isinstance(cause, OmegaConfBaseException):
        reason = first_line(cause)
        return f"{cause.full_key}: {reason}" if cause.full_key else reason
    said = re.sub(r"\s*\n\s*", " ", str(error)).strip() or type(error).__name__
    if isinstance(error, OverrideParseException) and error.override not in said:
        return f"{error.override}: {said}"
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        return f"{error.problem_mark.name}: is damaged ({said}); allowed is intact YAML"
    if isinstance(error, _WRONG_PATHS) and error.filename:
        return f"{error.filename}: {error.strerror}; allowed is a path one may read and write"
    if said.startswith("Config group override must be"):
        return _no_option_name(error, said)
    return said


def _no_option_name(error: BaseException, said: str) -> str:
    """Names the override that chooses a number or null: Hydra's message leaves it out."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    override = trace.tb_frame.f_locals.get("override") if trace else None
    typed = getattr(override, "input_line", "")
    return f"{typed}: {said}; allowed is the name of an option (none is one of logger and pruner)"


def _unknown_option(error: MissingConfigException) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if not group:
        return first_line(error)
    options = [str(o) for o in error.options or ()]
    if group == "hydra/launcher" and "joblib" not in options:
        return (
            f"{group}={option}: is not installed; allowed are basic, and after "
            "pip install '.[sweeps]' joblib and slurm"
        )
    return f"{group}={option}: allowed are {', '.join(options)}{nearest(option, options)}"


def _unknown_key(error: OmegaConfBaseException) -> str:
    parent = error.parent_node
    options = [str(key) for key in parent] if parent is not None else []
    where = str(error.full_key or error.key)
    return (
        f"{where}: no such key; allowed are {', '.join(options)}"
        f"{nearest(where.rpartition('.')[2], options)}"
    )
