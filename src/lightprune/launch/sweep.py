"""The jobs of a sweep: how many there are, what tells them apart, the table of their results."""

import math
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.types import Glob

from lightprune.launch.overrides import CONFIGS, parse
from lightprune.runs.command_line import COMMAND
from lightprune.runs.find_folder import LAST, is_last
from lightprune.runs.identity import swept_keys

# Environment variable: the number of jobs, where it is known; they may run in other processes.
_COUNT = "LIGHTPRUNE_JOBS"


@dataclass(frozen=True)
class FinishedJob:
    """What came of a job, as it writes it down for the process that lists all of them.

    Attributes:
        title: The overrides in which it differs from the others.
        folder: Of its run.
        validation: What the best job has most of; None without validation.
        cells: Its row of the table, without the title.
        interval: Of its difference to the dense network; empty if unknown.
    """

    title: str
    folder: str
    validation: float | None
    cells: tuple[str, ...]
    interval: str


def note_job_count(overrides: Sequence[str]) -> None:
    """Tells this process, and the jobs that it starts, how many jobs a command line has."""
    counts = []
    for override in map(parse, overrides):
        if override is None or not override.is_sweep_override():
            continue
        if not override.is_discrete_sweep():  # A search takes as many trials as it is told.
            os.environ.pop(_COUNT, None)
            return
        value = override.value()
        if isinstance(value, Glob):
            group = CONFIGS / override.get_key_element().lstrip("+")
            counts.append(len(value.filter([file.stem for file in group.glob("*.yaml")])))
        else:
            counts.append(len(list(override.sweep_string_iterator())))
    if counts:
        os.environ[_COUNT] = str(math.prod(counts))
    else:  # A search whose parameters stand in a config.
        os.environ.pop(_COUNT, None)


def job_line(number: int, overrides: Sequence[str]) -> str:
    """What a job begins with: `job 3/8: pruner=local seed=1`; `number` counts from 0."""
    count = int(os.environ.get(_COUNT, "0"))
    of = f"/{count}" if number < count else ""
    return f"job {number + 1}{of}: {job_title(overrides)}"


def job_title(overrides: Sequence[str]) -> str:
    """The overrides in which a job differs: of keys swept over, or of a search those not typed."""
    swept = swept_keys()
    typed = shlex.split(os.environ.get(COMMAND, ""))
    varied = [o for o in overrides if o.partition("=")[0].lstrip("+") in swept]
    return " ".join(varied or [o for o in overrides if o not in typed] or overrides)


def show_sweep(jobs: Sequence[FinishedJob]) -> None:
    """Prints a row a finished job, the best marked, and the command for their report."""
    from rich import get_console

    from lightprune.rendering.console_table import console_table
    from lightprune.rendering.number_format import counted

    validated = [job for job in jobs if job.validation is not None]
    best = max(validated, key=lambda job: job.validation or 0.0, default=None)
    rows = [(f"{'*' if job is best else ' '} {job.title}", *job.cells) for job in jobs]
    wide = [(*row[:4], job.interval, *row[4:]) for row, job in zip(rows, jobs, strict=True)]
    title = f"sweep: {counted(len(jobs), 'job')}" + (
        ", * has the best validation accuracy" if best else ""
    )
    columns = ("  job", "validation", "test", "to dense", "sparsity", "live", "MACs")
    table = console_table(title, (*columns[:4], "95 % interval", *columns[4:]), wide)
    console = get_console()
    unlimited = console.options.update(max_width=1_000_000)
    too_wide = console.measure(table, options=unlimited).maximum > console.width
    if too_wide or not any(job.interval for job in jobs):
        table = console_table(title, columns, rows)
    console.print(table)
    folder = Path(jobs[0].folder).parent
    print(f"next: lightprune report {LAST if is_last(folder) else shlex.quote(str(folder))}")
