"""The way out of the program: a failure becomes one line and a non-zero exit status."""

import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn, TypeVar

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from lightprune.errors import Interrupted, nearest

T = TypeVar("T")
_FULL = os.environ.get("HYDRA_FULL_ERROR") == "1"


def door(main: Callable[[], object]) -> None:
    """Calls `main` and ends the program with status 1 and one line if it fails.

    With HYDRA_FULL_ERROR=1 a traceback comes first.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands failures on instead of printing them.
    try:
        main()
    except Exception as error:
        _end(error)
    except KeyboardInterrupt as stop:
        print(stop if str(stop) else "interrupted", file=sys.stderr)
        sys.exit(stop.status if isinstance(stop, Interrupted) else 130)


def told(job: Callable[[], T], *, sweep: bool) -> T:
    """Calls one job of the program and tells of its failure at once.

    A single job ends the program here, before Hydra adds lines of its own; a failed job of a
    sweep is handed on to Hydra, which runs the others and fails at the end.
    """
    try:
        return job()
    except Exception as error:
        if not sweep:
            _end(error)
        print(f"error: {describe(error)}", file=sys.stderr)
        raise


def _end(error: Exception) -> NoReturn:
    if _FULL:
        traceback.print_exception(error)
    print(f"error: {describe(error)}", file=sys.stderr)
    sys.exit(1)


def describe(error: BaseException) -> str:
    """One line that names what is wrong, its value and what is allowed."""
    if isinstance(error, MissingConfigException):
        return _unknown_option(error)
    cause = error.__cause__ if isinstance(error, HydraException) else error
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return _unknown_key(cause)
    if isinstance(cause, OmegaConfBaseException):
        reason = str(cause).partition("\n")[0]
        return f"{cause.full_key}: {reason}" if cause.full_key else reason
    return re.sub(r"\s*\n\s*", " ", str(error)).strip() or type(error).__name__


def _unknown_option(error: MissingConfigException) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    options = [str(o) for o in error.options or ()]
    return f"{group}={option}: allowed are {', '.join(options)}{nearest(option, options)}"


def _unknown_key(error: OmegaConfBaseException) -> str:
    parent = error.parent_node
    options = [str(key) for key in parent] if parent is not None else []
    where = str(error.full_key or error.key)
    return (
        f"{where}: no such key; allowed are {', '.join(options)}"
        f"{nearest(where.rpartition('.')[2], options)}"
    )
