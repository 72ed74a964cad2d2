"""Carries out one composed config: one process runs here, several run under torchrun."""

import os
import subprocess
import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lightprune import console, experiment
from lightprune.config import settings
from lightprune.errors import InputError
from lightprune.prepare import prepare
from lightprune.run_folder import RunFolder


class LaunchError(RuntimeError):
    """Processes that were started have failed; their own output says why."""


def launch(cfg: DictConfig, folder: str) -> float | None:
    """Runs a config in its folder.

    Returns:
        The test accuracy, 0..1; None if only the plan was asked for.

    Raises:
        InputError: An input is wrong.
        LaunchError: A process failed.
    """
    path = Path(folder)
    try:
        chosen = settings(cfg)
        if chosen.hardware.num_nodes > 1 and not chosen.plan_only:
            raise InputError(
                f"trainer.num_nodes={chosen.hardware.num_nodes}: allowed is 1 here; on several "
                "nodes start python -m lightprune.experiment CONFIG.yaml FOLDER under torchrun"
            )
        if chosen.hardware.processes == 1 or chosen.plan_only:
            return experiment.run(chosen, path)
        return _torchrun(cfg, path)
    finally:
        # Hydra makes the folder before anything is checked; nothing is left of a refused run.
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _torchrun(cfg: DictConfig, path: Path) -> float | None:
    """Starts one process a device on the saved, resolved config."""
    chosen = settings(cfg)
    folder = RunFolder(path)
    finished = experiment.claim(prepare(chosen), folder)
    if finished is None:
        config = path / "launch.yaml"
        path.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(cfg, config, resolve=True)
        threads = str(
            chosen.hardware.threads or max(1, (os.cpu_count() or 1) // chosen.hardware.devices)
        )
        command = [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            f"--nproc-per-node={chosen.hardware.devices}",
            *("-m", "lightprune.experiment", str(config), str(path)),
        ]
        done = subprocess.run(command, env={"OMP_NUM_THREADS": threads, **os.environ}, check=False)
        finished = folder.record()
        if done.returncode or finished is None:
            raise LaunchError(
                f"{path}: {chosen.hardware.processes} processes ended with status "
                f"{done.returncode}; the first failure is shown above"
            )
    else:
        console.show_result(finished, path)
    return float(finished["test"]["accuracy"])
