"""One process of several: the module `lightprune.launch.worker` that torchrun starts."""

import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from lightprune.console_encoding import accept_any_text
from lightprune.errors import InputError, Interrupted
from lightprune.experiment import pipeline
from lightprune.experiment.config import load_settings
from lightprune.experiment.schema import register_configs
from lightprune.files import write_text
from lightprune.launch.error_messages import describe_error
from lightprune.launch.signals import exit_with_parent, interrupt_on_signals
from lightprune.rendering.number_format import counted
from lightprune.training.trainer import TrainerConfig

# Environment variable: the file in which the launcher looks for the cause of a failure.
CAUSE_FILE = "LIGHTPRUNE_CAUSE_FILE"
# Environment variable: the number of the job, in a sweep; empty otherwise.
SWEEP_JOB = "LIGHTPRUNE_SWEEP_JOB"
_STORE_TIMEOUT = timedelta(seconds=5)


def main(arguments: Sequence[str]) -> None:
    """Runs one process of several, and ends it with status 1 if it fails.

    A failure in one process soon makes the others fail, if only because their peer is gone; so
    only the first one reports: in one line, after a traceback unless an input is wrong. The
    arguments are the file of a resolved config, and the run folder.
    """
    accept_any_text()
    try:
        with interrupt_on_signals():
            _run(arguments)
    except Interrupted as stop:  # The launcher reports it, once for all processes.
        sys.exit(stop.status)
    except Exception as error:
        if _is_first_failure():
            _report(error)
        sys.exit(1)


def _report(error: Exception) -> None:
    if not isinstance(error, InputError):
        traceback.print_exception(error)
    if file := os.environ.get(CAUSE_FILE):
        write_text(Path(file), describe_error(error))
    else:
        print(f"error: {describe_error(error)}", file=sys.stderr, flush=True)


def _is_first_failure() -> bool:
    """Whether no other process of this run has failed yet; True if the store is unreachable.

    Torchelastic's `@record` and `ChildFailedError.get_first_failure` cannot decide that: their
    times are whole seconds, of two failures in one second the lowest rank counts as the first
    (mostly the one whose peer is gone), and each node chooses for itself.
    """
    env = os.environ
    attempt = f"{env.get('TORCHELASTIC_RUN_ID')}/{env.get('TORCHELASTIC_RESTART_COUNT')}"
    try:
        store = TCPStore(
            env["MASTER_ADDR"], int(env["MASTER_PORT"]), is_master=False, timeout=_STORE_TIMEOUT
        )
        return bool(store.add(f"lightprune/failed/{attempt}", 1) == 1)
    except (KeyError, ValueError, RuntimeError):
        return True


def _run(arguments: Sequence[str]) -> None:
    exit_with_parent()
    register_configs()
    if len(arguments) != 2 or not Path(arguments[0]).is_file():
        raise InputError(
            f"arguments={shlex.join(arguments)}: allowed are the file that "
            "lightprune train ... --cfg job --resolve wrote, and a run folder"
        )
    cfg = OmegaConf.load(arguments[0])
    assert isinstance(cfg, DictConfig)
    settings = load_settings(cfg)
    _init_process_group(settings.trainer_config)
    folder = Path(arguments[1]).expanduser()
    job = os.environ.get(SWEEP_JOB)
    pipeline.run_pipeline(
        settings,
        folder,
        start_checked=CAUSE_FILE in os.environ,
        sweep_job=int(job) if job else None,
    )
    torch.distributed.destroy_process_group()


def _init_process_group(trainer: TrainerConfig) -> None:
    """Raises InputError unless torchrun started as many processes as the config says."""
    world_size = int(os.environ.get("WORLD_SIZE", 0))
    if world_size != trainer.processes:
        raise InputError(
            f"trainer.num_nodes={trainer.num_nodes} trainer.devices={trainer.devices}: torchrun "
            f"started {counted(world_size, 'process')}; allowed is torchrun "
            f"--nnodes={trainer.num_nodes} --nproc-per-node={trainer.devices}"
        )
    if trainer.on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Rank 0 may wait for hours for another job's dense training; a dead rank ends all anyway.
    torch.distributed.init_process_group(
        "nccl" if trainer.on_gpu else "gloo", timeout=timedelta(days=1)
    )


if __name__ == "__main__":
    main(sys.argv[1:])
