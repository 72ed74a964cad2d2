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
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import asdict
from functools import cache, wraps
from io import StringIO
from multiprocessing import current_process
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

# Private: Hydra has no public parser of its command line, and ends the program where it fails.
from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from lightprune.console_encoding import accept_any_text
from lightprune.errors import InputError, Interrupted, first_line
from lightprune.files import write_text
from lightprune.launch.error_messages import describe_error
from lightprune.launch.help_text import help_text
from lightprune.launch.overrides import check_group_options, note_swept_keys
from lightprune.launch.signals import exit_with_parent, interrupt_on_signals
from lightprune.launch.sweep import FinishedJob, job_line, job_title, note_job_count, show_sweep

# Environment variables, since the jobs of a sweep may run in other processes, on other machines:
# the folder of their failures, and whether to print tracebacks.
_FAILURES = "LIGHTPRUNE_FAILED_JOBS"
_TRACEBACKS = "LIGHTPRUNE_TRACEBACKS"
# What the names of files begin with that tell which jobs run in processes of their own, and what
# has come of those that have finished.
_RUNNING, _FINISHED = "running-", "finished-"

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
            if arguments.help:
                print(help_text(arguments.config_dir))
                return
            check_group_options(arguments.overrides)
            note_swept_keys(arguments.overrides, multirun=arguments.multirun)
            note_job_count(arguments.overrides)
            # Hydra only warns of a folder on the search path that is not there.
            warnings.filterwarnings("error", message="provider=.* is not available")
            main()
    except Exception as error:
        running = _jobs(failures, f"{_RUNNING}*")
        _list_jobs(failures)
        _exit(_process_ended(running, error) if running else error)
    except KeyboardInterrupt as stop:
        _list_jobs(failures)
        print(stop if str(stop) else "interrupted", file=sys.stderr)
        sys.exit(stop.status if isinstance(stop, Interrupted) else 130)
    if _list_jobs(failures):
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
        hydra = HydraConfig.get()
        try:
            if hydra.mode == RunMode.MULTIRUN:
                return _run_job_of_sweep(job, cfg, hydra)
            return job(cfg)
        except Exception as error:
            _exit(error)

    return reported


def _run_job_of_sweep(job: Job, cfg: DictConfig, hydra: HydraConf) -> float | None:
    file = Path(os.environ[_FAILURES], f"{hydra.job.num:06}")
    running = file.with_name(_RUNNING + file.name)
    print(job_line(hydra.job.num, hydra.overrides.task), flush=True)
    about = {"job": list(hydra.overrides.task), "cause": ""}
    # The jobs of the basic launcher run in the process that would list this one.
    if hydra.runtime.choices["hydra/launcher"] != "basic":
        write_text(running, json.dumps(about))
    try:
        result = job(cfg)
        _note_finished_job(file, hydra)
        return result
    except Exception as error:
        _print(error)
        write_text(file, json.dumps({**about, "cause": describe_error(error)}))
        return math.nan
    finally:
        running.unlink(missing_ok=True)


def _note_finished_job(file: Path, hydra: HydraConf) -> None:
    # The job has imported torch, without which the process that lists all jobs may do.
    from lightprune.experiment.console.show_result import difference_interval, result_cells
    from lightprune.runs.finished_run import paired_with_dense
    from lightprune.runs.folder import RunFolder

    path = Path(hydra.runtime.output_dir)
    if (record := RunFolder(path).record()) is not None:
        job = FinishedJob(
            title=job_title(hydra.overrides.task),
            folder=hydra.runtime.output_dir,
            validation=record.validation_accuracy,
            cells=result_cells(record),
            interval=difference_interval(paired_with_dense(record, path)),
        )
        write_text(file.with_name(_FINISHED + file.name), json.dumps(asdict(job)))


@cache
def _prepare_worker() -> None:
    if current_process().name != "MainProcess":  # A worker of a parallel sweep ends with it.
        accept_any_text()
        exit_with_parent()


def _parse_arguments() -> Namespace:
    """As Hydra does; InputError with argparse's own message, which its usage would precede."""
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


def _list_jobs(folder: Path) -> bool:
    """Prints the jobs of a sweep, finished and failed; returns whether any has failed."""
    failures = _jobs(folder, "[0-9]*")
    files = sorted(folder.glob(f"{_FINISHED}*"))
    if files:
        show_sweep([FinishedJob(**json.loads(file.read_bytes())) for file in files])
        sys.stdout.flush()
    shutil.rmtree(folder, ignore_errors=True)
    if failures:
        print(f"failed jobs of this sweep: {len(failures)}", file=sys.stderr)
    for job, cause in failures:
        print(f"  {job}: {cause}", file=sys.stderr)
    return bool(failures)


def _jobs(folder: Path, pattern: str) -> list[tuple[str, str]]:
    """What jobs have noted: the overrides in which they differ, and the cause of their failure."""
    jobs = []
    for file in sorted(folder.glob(pattern)):
        noted = json.loads(file.read_bytes())
        jobs.append((job_title(noted["job"]), noted["cause"]))
    return jobs


def _process_ended(running: Sequence[tuple[str, str]], error: Exception) -> Exception:
    """The error of a sweep whose launcher has lost the process of a job, which ends all."""
    status = re.search(r"[{][^}]+[}]", str(error))
    names = "; ".join(name for name, _ in running)
    which = "its process" if len(running) == 1 else "the process of one of these jobs"
    return RuntimeError(
        f"{names}: {which} was killed or crashed ({status[0] if status else first_line(error)}), "
        "as the system does where memory runs out; the same command continues, with fewer jobs at "
        "once by hydra.launcher.n_jobs="
    )


def _exit(error: Exception) -> NoReturn:
    _print(error)
    sys.exit(1)


def _print(error: Exception) -> None:
    if os.environ.get(_TRACEBACKS) == "1":
        traceback.print_exception(error)
    print(f"error: {describe_error(error)}", file=sys.stderr)
