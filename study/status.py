"""What a sweep still has to do, and how long that takes by the epochs it has measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import yaml

from lightprune.errors import InputError
from lightprune.experiment.config import load_settings
from lightprune.files import read_csv
from lightprune.launch.choose_folder import saved_hashes, without_hydra
from lightprune.launch.run import compose_config
from lightprune.rendering.number_format import about
from lightprune.runs.folder import RunFolder

_CONFIGS = Path("configs/experiment")

Job = tuple[str, str]


@dataclass(frozen=True)
class StartedRun:
    """A run folder of a sweep.

    Attributes:
        job: Its experiment and its seed.
        budget: Epochs of the dense training and of the fine-tuning.
        seconds: Of every epoch of its fine-tuning so far.
        dense: Seconds of its dense training; None as long as it is not complete.
    """

    job: Job
    done: bool
    budget: tuple[int, int]
    seconds: tuple[float, ...]
    dense: float | None


def requested_jobs(experiments: str, seeds: str) -> list[Job]:
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


def started_runs(sweep: Path, jobs: Sequence[Job], overrides: Sequence[str]) -> list[StartedRun]:
    """The run folders of a sweep that are those of its jobs, told by their configs.

    `overrides` are those that all jobs share.
    """
    folders = {
        digest: file.parent
        for file in sweep.glob("*/config.yaml")
        for digest in saved_hashes(file.parent)
    }
    runs = []
    for name, seed in jobs if folders else ():
        config = compose_config([*overrides, f"experiment={name}", f"seed={seed}"])
        if folder := folders.get(load_settings(without_hydra(config)).config_hash):
            try:
                runs.append(_started_run(folder, (name, seed)))
            except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError):
                continue  # Damaged: its job says so itself, and an estimate can do without it.
    return runs


def _started_run(path: Path, job: Job) -> StartedRun:
    folder = RunFolder(path)
    record, recipe = folder.record(), yaml.safe_load(folder.config_file.read_bytes())["recipe"]
    rows = read_csv(folder.metrics_file) if folder.metrics_file.exists() else []
    return StartedRun(
        job=job,
        done=record is not None,
        budget=(recipe["dense"]["epochs"], recipe["finetune"]["epochs"]),
        seconds=tuple(float(row["seconds"]) for row in rows),
        dense=record.seconds.dense if record else None,
    )


def remaining_work(jobs: Sequence[Job], started: Sequence[StartedRun]) -> str:
    """One line: what is done, what remains, how long that takes."""
    runs = {run.job: run for run in started if run.job in jobs}
    remaining = [job for job in jobs if not (job in runs and runs[job].done)]
    line = f"{len(jobs) - len(remaining)} of {len(jobs)} runs are done"
    if not remaining:
        return f"{line}; nothing remains but the report"
    line += f"; {len(remaining)} remain{'s' if len(remaining) == 1 else ''}"
    if begun := [runs[job] for job in remaining if job in runs]:
        line += f", {len(begun)} of them begun"
    measured = [seconds for run in started for seconds in run.seconds]
    if not measured:
        return f"{line}; how long that takes is known once the first epochs have been measured"
    epoch = median(measured)
    dense_epochs, epochs = started[0].budget
    trained = [run.dense / run.budget[0] for run in started if run.dense and run.budget[0]]
    dense_epoch = median(trained) if trained else epoch
    # Whoever has fine-tuned has a dense network, and all runs of its seed share it.
    dense_seeds = {run.job[1] for run in started if run.seconds}
    dense_epochs *= len({seed for _, seed in remaining} - dense_seeds)
    epochs = epochs * len(remaining) - sum(len(run.seconds) for run in begun)
    total = about(dense_epochs * dense_epoch + epochs * epoch)
    return (
        f"{line}: {dense_epochs} dense and {epochs} fine-tuning epochs, {total} at "
        f"{epoch:.0f} s an epoch, the median of the {len(measured)} measured in this sweep"
    )
