"""One process of several, started by torchrun on a saved config: `python -m` runs this file."""

import os
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from lightprune.errors import InputError, Interrupted
from lightprune.experiment import pipeline
from lightprune.experiment.config import register, settings
from lightprune.files import write_text
from lightprune.launch.error_reporting import describe_error
from lightprune.launch.signals import exit_with_parent, interrupt_on_signals
from lightprune.training.trainer import TrainerConfig

# Names the file by which a program that starts processes learns why they failed.
CAUSE = "LIGHTPRUNE_CAUSE"
_PATIENCE = timedelta(seconds=5)


def run_worker(main: Callable[[], None]) -> None:
    """Calls `main` in one process of several, and ends the process with status 1 if it fails.

    Whatever fails in one process soon fails in the others, if only because that one is gone; so
    only the first of them says why: in one line, after a traceback unless an input is wrong.
    """
    try:
        with interrupt_on_signals():
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
        write_text(Path(starter), describe_error(error))
    else:
        print(f"error: {describe_error(error)}", file=sys.stderr, flush=True)


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


def main(arguments: Sequence[str]) -> None:
    """One process of several, started by torchrun on a saved config.

    Raises:
        InputError: An input is wrong.
    """
    exit_with_parent()
    register()
    if len(arguments) != 2 or not Path(arguments[0]).is_file():
        raise InputError(
            f"arguments={shlex.join(arguments)}: allowed are the file that "
            "python train.py ... --cfg job --resolve wrote, and a run folder"
        )
    loaded = OmegaConf.load(arguments[0])
    assert isinstance(loaded, DictConfig)
    chosen = settings(loaded)
    _join(chosen.trainer_config)
    pipeline.run(chosen, Path(arguments[1]))
    torch.distributed.destroy_process_group()


def _join(hardware: TrainerConfig) -> None:
    """Meets the other processes of this run.

    Raises:
        InputError: They are not as many as the config says.
    """
    started = int(os.environ.get("WORLD_SIZE", 0))
    if started != hardware.processes:
        raise InputError(
            f"trainer.num_nodes={hardware.num_nodes} trainer.devices={hardware.devices}: torchrun "
            f"started {started} processes; allowed is torchrun --nnodes={hardware.num_nodes} "
            f"--nproc-per-node={hardware.devices}"
        )
    if hardware.on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Rank 0 may wait for hours for another job's dense training; a dead rank ends all anyway.
    torch.distributed.init_process_group(
        "nccl" if hardware.on_gpu else "gloo", timeout=timedelta(days=1)
    )


if __name__ == "__main__":
    run_worker(lambda: main(sys.argv[1:]))
