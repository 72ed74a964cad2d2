"""What a sweep still has to do, and how long that takes by the epochs it has measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import yaml

from lightprune.errors import InputError
from lightprune.files import read_csv
from lightprune.runs.folder import RunFolder

_CONFIGS = Path("configs/experiment")


@dataclass(frozen=True)
class StartedRun:
    """A run folder of a sweep.

    Attributes:
        job: Its experiment and its seed.
        done: Whether it is complete.
        budget: Epochs of the dense training and of the fine-tuning.
        seconds: Of every epoch of its fine-tuning so far.
        dense: Seconds of its dense training; None as long as it is not complete.
    """

    job: tuple[str, str]
    done: bool
    budget: tuple[int, int]
    seconds: tuple[float, ...]
    dense: float | None


def requested_jobs(experiments: str, seeds: str) -> list[tuple[str, str]]:
    """Experiment and seed of each run that `make reproduce EXPERIMENTS= SEEDS=` asks for.

    Raises:
        InputError: No experiment has such a name.
    """
    names = sorted(file.stem for file in _CONFIGS.glob(f"reference_{experiments}.yaml"))
    if not names:
        options = ", ".join(
            sorted(f.stem.removeprefix("reference_") for f in _CONFIGS.glob("reference_*"))
        )
        raise InputError(
            f"EXPERIMENTS={experiments}: matches no experiment; allowed are patterns of {options}"
        )
    return [(name, seed) for name in names for seed in seeds.split(",")]


def started_runs(sweep: Path, data: str) -> list[StartedRun]:
    """The run folders of a sweep on one kind of data, told by their names."""
    found = []
    for file in sorted(sweep.glob("*/config.yaml")):
        overrides = dict(part.partition("=")[::2] for part in file.parent.name.split(","))
        if overrides.get("data") == data and "experiment" in overrides:
            try:
                job = overrides["experiment"], overrides.get("seed", "0")
                found.append(_begun(file.parent, job))
            except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError):
                continue  # Damaged: its job says so itself, and an estimate can do without it.
    return found


def _begun(path: Path, job: tuple[str, str]) -> StartedRun:
    folder = RunFolder(path)
    record, recipe = folder.record(), yaml.safe_load(folder.config_file.read_bytes())["recipe"]
    return StartedRun(
        job=job,
        done=record is not None,
        budget=(recipe["dense"]["epochs"], recipe["finetune"]["epochs"]),
        seconds=_seconds(folder.metrics_file),
        dense=record.seconds.dense if record else None,
    )


def remaining_work(jobs: Sequence[tuple[str, str]], begun: Sequence[StartedRun]) -> str:
    """One line: what is done, what remains, how long that takes."""
    mine = {b.job: b for b in begun if b.job in jobs}
    done = [job for job in jobs if job in mine and mine[job].done]
    left = [job for job in jobs if job not in done]
    line = f"{len(done)} of {len(jobs)} runs are done"
    if not left:
        return f"{line}; nothing remains but the report"
    line += f"; {len(left)} remain"
    if partly := [job for job in left if job in mine]:
        line += f", {len(partly)} of them begun"
    measured = [seconds for b in begun for seconds in b.seconds]
    if not measured:
        return f"{line}; how long that takes is known once the first epochs have been measured"
    epoch = median(measured)
    dense_epochs, epochs = begun[0].budget
    trained = [b.dense / b.budget[0] for b in begun if b.dense and b.budget[0]]
    dense_epoch = median(trained) if trained else epoch
    # Whoever has fine-tuned has a dense network, and all runs of its seed share it.
    have = {b.job[1] for b in begun if b.seconds}
    dense_left = dense_epochs * len({seed for _, seed in left} - have)
    tune_left = sum(epochs - (len(mine[job].seconds) if job in mine else 0) for job in left)
    total = dense_left * dense_epoch + tune_left * epoch
    return (
        f"{line}: {dense_left} dense and {tune_left} fine-tuning epochs, about {_duration(total)} "
        f"at {epoch:.0f} s an epoch, the median of the {len(measured)} measured in this sweep"
    )


def _duration(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _seconds(file: Path) -> tuple[float, ...]:
    if not file.exists():
        return ()
    return tuple(float(row["seconds"]) for row in read_csv(file))
