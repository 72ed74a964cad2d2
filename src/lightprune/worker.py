"""The way out of one process of several: the first failure of all is told, once."""

import os
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from lightprune.door import describe
from lightprune.errors import InputError, Interrupted
from lightprune.files import write_text
from lightprune.stopping import stoppable

# Names the file by which a program that starts processes learns why they failed.
CAUSE = "LIGHTPRUNE_CAUSE"
_PATIENCE = timedelta(seconds=5)


def worker(main: Callable[[], None]) -> None:
    """Calls `main` in one process of several, and ends the process with status 1 if it fails.

    Whatever fails in one process soon fails in the others, if only because that one is gone; so
    only the first of them says why: in one line, after a traceback unless an input is wrong.
    """
    try:
        with stoppable():
            main()
    except Interrupted as stop:  # The starter says so, once for all processes.
        sys.exit(stop.status)
    except Exception as error:
        if _first():
            _tell(error)
        sys.exit(1)


def _tell(error: Exception) -> None:
    if not isinstance(error, InputError):
        traceback.print_exception(error)
    if starter := os.environ.get(CAUSE):
        write_text(Path(starter), describe(error))
    else:
        print(f"error: {describe(error)}", file=sys.stderr, flush=True)


def _first() -> bool:
    """Whether no other process of this run has failed yet; yes if there is nobody to ask."""
    told = os.environ
    attempt = f"{told.get('TORCHELASTIC_RUN_ID')}/{told.get('TORCHELASTIC_RESTART_COUNT')}"
    try:
        store = TCPStore(
            told["MASTER_ADDR"], int(told["MASTER_PORT"]), is_master=False, timeout=_PATIENCE
        )
        return bool(store.add(f"lightprune/failed/{attempt}", 1) == 1)
    except (KeyError, ValueError, RuntimeError):
        return True
