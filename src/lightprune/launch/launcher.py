"""Launches one composed config: in this process, or on several processes under torchrun."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from hydra.conf import HydraConf
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lightprune.cores import available_cores
from lightprune.errors import InputError
from lightprune.experiment import pipeline
from lightprune.experiment.config import Settings, load_settings
from lightprune.experiment.config_checks import check_search
from lightprune.experiment.console.show_result import show_finished
from lightprune.experiment.preflight import preflight
from lightprune.experiment.unread_settings import check_mode, check_overrides
from lightprune.launch.signals import interrupt_on_signals, run_subprocess
from lightprune.launch.worker import CAUSE_FILE, SWEEP_JOB
from lightprune.runs.command_line import COMMAND, command_line
from lightprune.runs.find_folder import mark_last
from lightprune.runs.folder import RunFolder


class LaunchError(RuntimeError):
    """A process that torchrun started has failed."""


@interrupt_on_signals()
def launch(cfg: DictConfig, folder: Path, hydra: HydraConf | None = None) -> float | None:
    """Runs a composed config in its run folder.

    What the user gave, by Hydra's own settings of this job, must be read by the run.

    Returns:
        What a sweeper maximises: the validation accuracy, 0..1; None without validation, 0 for
        `plan_only`.

    Raises:
        InputError: An input is wrong.
        Interrupted: A signal arrived.
        LaunchError: A process failed.
    """
    try:
        # `hydra.job.chdir` may have changed the working directory.
        settings = load_settings(cfg, Path(hydra.runtime.cwd) if hydra is not None else None)
        if hydra is not None:
            typed = hydra.overrides
            check_mode(typed.hydra, typed.task, multirun=hydra.mode == RunMode.MULTIRUN)
            check_overrides(settings, typed.task)
            if hydra.mode == RunMode.MULTIRUN:
                check_search(settings.source, hydra.sweeper["_target_"])
        in_sweep = hydra is not None and hydra.mode == RunMode.MULTIRUN
        sweep_job = hydra.job.num if hydra is not None and in_sweep else None
        if settings.plan_only or settings.trainer_config.processes == 1:
            return pipeline.run_pipeline(settings, folder, sweep_job=sweep_job)
        return _run_processes(settings, folder, sweep_job)
    finally:
        # Hydra makes the folder before anything is checked; a refused run leaves none behind.
        if folder.is_dir():
            if hydra is not None and not RunFolder(folder).config_file.exists():
                _remove_files_of_hydra(folder, hydra)
            if not any(folder.iterdir()):
                folder.rmdir()


def _remove_files_of_hydra(folder: Path, hydra: HydraConf) -> None:
    """Removes what Hydra wrote for a job: its log, and the job's config in a folder of its own."""
    handlers = (hydra.job_logging or {}).get("handlers") or {}
    for handler in handlers.values():
        if (log := handler.get("filename")) and Path(folder, log).parent == folder:
            Path(folder, log).unlink(missing_ok=True)
    saved = folder / (hydra.output_subdir or ".hydra")
    for name in ("config.yaml", "hydra.yaml", "overrides.yaml"):
        (saved / name).unlink(missing_ok=True)
    if saved != folder and saved.is_dir() and not any(saved.iterdir()):
        saved.rmdir()


def _run_processes(settings: Settings, folder: Path, sweep_job: int | None) -> float | None:
    trainer, run_folder = settings.trainer_config, RunFolder(folder)
    if trainer.num_nodes > 1:
        raise InputError(
            f"trainer.num_nodes={trainer.num_nodes}: allowed is 1 here; for several nodes write "
            "the config by lightprune train ... --cfg job --resolve > run.yaml, then on each node "
            f"torchrun --nnodes={trainer.num_nodes} --nproc-per-node={trainer.devices} "
            "--rdzv-backend=c10d --rdzv-endpoint=HOST:29500 "
            "-m lightprune.launch.worker run.yaml FOLDER"
        )
    checked = preflight(settings)
    record = pipeline.check_run_folder(checked, run_folder)
    if record is not None:
        mark_last(folder)
        show_finished(record, folder, sweep_job)
        return record.validation_accuracy
    pipeline.check_start(checked, run_folder)
    threads = trainer.threads or max(1, available_cores() // trainer.devices)
    with TemporaryDirectory() as scratch:
        config, cause = Path(scratch, "config.yaml"), Path(scratch, "cause")
        OmegaConf.save(settings.config, config)
        command = [
            *(sys.executable, "-m", "lightprune.launch.torchrun", "--standalone"),
            f"--nproc-per-node={trainer.devices}",
            *("-m", "lightprune.launch.worker", str(config), str(folder)),
        ]
        environment = {
            "OMP_NUM_THREADS": str(threads),
            # What this process imports, wherever it works.
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            COMMAND: command_line(),
            CAUSE_FILE: str(cause),
            SWEEP_JOB: "" if sweep_job is None else str(sweep_job),
        }
        status = run_subprocess(command, environment)
        reason = cause.read_text("utf-8") if cause.exists() else "none of them reported an error"
    record = run_folder.record()
    if status or record is None:
        raise LaunchError(
            f"{folder}: {trainer.processes} processes ended with status {status}: {reason}"
        )
    return record.validation_accuracy
