"""Carries out one composed config: one process runs here, several run under torchrun."""

import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lightprune import console, experiment
from lightprune.config import Settings, settings
from lightprune.errors import InputError, Interrupted
from lightprune.prepare import prepare
from lightprune.record import COMMAND
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
        return _torchrun(chosen, cfg, path)
    finally:
        # Hydra makes the folder before anything is checked; nothing is left of a refused run.
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _torchrun(chosen: Settings, cfg: DictConfig, path: Path) -> float | None:
    """Starts one process a device on the saved, resolved config."""
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
        told = {"OMP_NUM_THREADS": threads, COMMAND: shlex.join(sys.argv)}
        status = _wait(subprocess.Popen(command, env={**os.environ, **told}))
        finished = folder.record()
        if status or finished is None:
            raise LaunchError(
                f"{path}: {chosen.hardware.processes} processes ended with status {status}; the "
                "first failure is shown above"
            )
    else:
        console.show_result(finished, path)
    return float(finished["test"]["accuracy"])


def _wait(process: "subprocess.Popen[bytes]") -> int:
    """Waits for torchrun, and lets it stop its processes if this one is told to stop.

    Raises:
        Interrupted: A signal arrived; no process is left.
    """
    received: list[int] = []

    def stop(number: int, _: object) -> None:
        received.append(number)
        process.send_signal(number)

    signals = (signal.SIGTERM, signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, stop) for number in signals} if main else {}
    try:
        status = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise Interrupted(128 + received[0])
    return status
