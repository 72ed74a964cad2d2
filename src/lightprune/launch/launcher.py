"""Carries out one composed config: one process runs here, several run under torchrun."""

import os
import shlex
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from omegaconf import DictConfig, OmegaConf

from lightprune.errors import InputError
from lightprune.experiment import console, pipeline
from lightprune.experiment.config import Settings, settings
from lightprune.experiment.preflight import preflight
from lightprune.experiment.run_record import COMMAND
from lightprune.launch.signals import interrupt_on_signals, run_subprocess
from lightprune.launch.worker import CAUSE
from lightprune.runs.folder import RunFolder


class LaunchError(RuntimeError):
    """Processes that were started have failed; their own output says why."""


def launch(cfg: DictConfig, folder: str) -> float | None:
    """Runs a config in its folder.

    Returns:
        The test accuracy, 0..1; None if only the plan was asked for.

    Raises:
        InputError: An input is wrong.
        Interrupted: A signal arrived.
        LaunchError: A process failed.
    """
    with interrupt_on_signals():
        return _launch(cfg, Path(folder))


def _launch(cfg: DictConfig, path: Path) -> float | None:
    try:
        chosen = settings(cfg)
        if chosen.trainer_config.num_nodes > 1 and not chosen.plan_only:
            raise InputError(
                f"trainer.num_nodes={chosen.trainer_config.num_nodes}: allowed is 1 here; for "
                "several nodes write the config by python train.py ... --cfg job --resolve > "
                f"run.yaml, then on each node torchrun --nnodes={chosen.trainer_config.num_nodes} "
                f"--nproc-per-node={chosen.trainer_config.devices} --rdzv-backend=c10d "
                "--rdzv-endpoint=HOST:29500 -m lightprune.launch.worker run.yaml FOLDER"
            )
        if chosen.trainer_config.processes == 1 or chosen.plan_only:
            return pipeline.run(chosen, path)
        return _torchrun(chosen, cfg, path)
    finally:
        # Hydra makes the folder before anything is checked; nothing is left of a refused run.
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _torchrun(chosen: Settings, cfg: DictConfig, path: Path) -> float | None:
    """Starts one process a device on the saved, resolved config."""
    folder = RunFolder(path)
    finished = pipeline.check_run_folder(preflight(chosen), folder)
    if finished is None:
        threads = str(
            chosen.trainer_config.threads
            or max(1, (os.cpu_count() or 1) // chosen.trainer_config.devices)
        )
        with TemporaryDirectory() as ours:
            config, cause = Path(ours, "launch.yaml"), Path(ours, "cause")
            OmegaConf.save(cfg, config, resolve=True)
            command = [
                *(sys.executable, "-m", "lightprune.launch.torchrun", "--standalone"),
                f"--nproc-per-node={chosen.trainer_config.devices}",
                *("-m", "lightprune.launch.worker", str(config), str(path)),
            ]
            told = {"OMP_NUM_THREADS": threads, COMMAND: shlex.join(sys.argv), CAUSE: str(cause)}
            status = run_subprocess(command, told)
            why = cause.read_text() if cause.exists() else "none of them said why"
        finished = folder.record()
        if status or finished is None:
            raise LaunchError(
                f"{path}: {chosen.trainer_config.processes} processes ended with status "
                f"{status}: {why}"
            )
    else:
        console.show_result(finished, path)
    return float(finished["test"]["accuracy"])
