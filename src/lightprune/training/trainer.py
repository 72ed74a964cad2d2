"""Settings of the Lightning Trainer (device, processes, precision), and the Trainer itself."""

import logging
import math
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy
from rich import get_console

from lightprune.distributed import is_rank_zero
from lightprune.errors import InputError, Interrupted, check_choice, check_flag, check_number
from lightprune.training.checkpoints import SealedCheckpointIO

_PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


class KeepSigtermHandler(Callback):
    """Puts the program's own SIGTERM handler back in the place of Lightning's.

    Lightning's broadcasts from within the handler, which mixes with whatever collective the
    processes are in. The handler restored is that at the time of construction.
    """

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)

    on_test_start = on_train_start


@dataclass(frozen=True)
class TrainerConfig:
    """Device, processes and precision.

    Attributes:
        accelerator: `auto`, `cpu` or `gpu`.
        devices: Processes a node, one device each.
        num_nodes: Nodes; more than one are started by the user's own torchrun or SLURM.
        precision: `32-true`, `bf16-mixed` or `16-mixed`.
        deterministic: Use deterministic algorithms on GPUs too.
        accumulate_grad_batches: Batches an optimizer step.
        gradient_clip_val: Highest norm of the gradient; None for no limit.
        threads: CPU threads a process; None leaves torch's choice.
        progress: Show a progress bar on a terminal.
        limit_batches: Batches of an epoch and of a validation, to try a run; None for all.
    """

    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    precision: str = "32-true"
    deterministic: bool = False
    accumulate_grad_batches: int = 1
    gradient_clip_val: float | None = None
    threads: int | None = None
    progress: bool = True
    limit_batches: int | None = None

    def __post_init__(self) -> None:
        check_choice("trainer.accelerator", self.accelerator, ("auto", "cpu", "gpu"))
        check_choice("trainer.precision", self.precision, _PRECISIONS)
        for field in ("devices", "num_nodes", "accumulate_grad_batches"):
            check_number(f"trainer.{field}", getattr(self, field), 1, whole=True)
        for field in ("deterministic", "progress"):
            check_flag(f"trainer.{field}", getattr(self, field))
        for field in ("threads", "limit_batches"):
            if getattr(self, field) is not None:
                check_number(f"trainer.{field}", getattr(self, field), 1, whole=True)
        if self.gradient_clip_val is not None:
            check_number("trainer.gradient_clip_val", self.gradient_clip_val, 0, open_low=True)
        if self.precision == "16-mixed" and not self.on_gpu:
            raise InputError(
                "trainer.precision=16-mixed: needs a GPU; allowed here are 32-true and bf16-mixed"
            )
        gpus = torch.cuda.device_count()
        if self.accelerator == "gpu" and gpus == 0:
            raise InputError(
                "trainer.accelerator=gpu: this machine has no GPU that torch can use; allowed are "
                "cpu and auto (trainer=cpu, trainer=ddp_cpu)"
            )
        if self.on_gpu and self.devices > gpus:
            raise InputError(f"trainer.devices={self.devices}: allowed are at most the {gpus} GPUs")

    def batches_per_epoch(self, images: int, batch_size: int) -> int:
        """The training batches of an epoch: whole ones, over all processes."""
        batches = images // batch_size
        return batches if self.limit_batches is None else min(batches, self.limit_batches)

    def steps_per_epoch(self, images: int, batch_size: int) -> int:
        """The optimizer steps of an epoch."""
        return math.ceil(self.batches_per_epoch(images, batch_size) / self.accumulate_grad_batches)

    @property
    def on_gpu(self) -> bool:
        """Whether training runs on GPUs."""
        return uses_gpu(self.accelerator)

    @property
    def shows_bar(self) -> bool:
        """Whether this process shows a progress bar: on a terminal, the first one of several."""
        return self.progress and get_console().is_interactive and is_rank_zero()

    @property
    def processes(self) -> int:
        """Processes over all nodes."""
        return self.devices * self.num_nodes

    def use_threads(self) -> None:
        """Sets the number of threads of this process, if one is given."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)

    def build(
        self,
        *,
        epochs: int,
        folder: Path,
        callbacks: Sequence[Callback] = (),
        loggers: Sequence[Logger] = (),
        validates: bool = True,
    ) -> Trainer:
        """Makes the Trainer of one phase; sets the number of threads."""
        self.use_threads()
        # The run prints its own lines in the place of Lightning's notices.
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings("ignore", message="left dense: ")  # The plan says so.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        warnings.filterwarnings("ignore", message="The dirpath has changed")
        warnings.filterwarnings("ignore", message="The number of training batches")
        backend = "nccl" if self.on_gpu else "gloo"
        return Trainer(
            accelerator="gpu" if self.on_gpu else "cpu",
            devices=self.devices,
            num_nodes=self.num_nodes,
            strategy=DDPStrategy(process_group_backend=backend) if self.processes > 1 else "auto",
            plugins=[SealedCheckpointIO()],
            precision=self.precision,  # type: ignore[arg-type]
            deterministic=self.deterministic,
            accumulate_grad_batches=self.accumulate_grad_batches,
            gradient_clip_val=self.gradient_clip_val,
            max_epochs=epochs,
            limit_train_batches=self.limit_batches,
            limit_val_batches=self.limit_batches if validates else 0,
            default_root_dir=folder,
            callbacks=[KeepSigtermHandler(), *callbacks],
            logger=list(loggers) or False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
            use_distributed_sampler=False,
        )


def uses_gpu(accelerator: str) -> bool:
    """Whether training with this `trainer.accelerator` runs on GPUs here."""
    return accelerator != "cpu" and torch.cuda.is_available()


@contextmanager
def system_exit_as_interrupted() -> Iterator[None]:
    """Raises the `Interrupted` of a signal in the place of the SystemExit Lightning makes of it."""
    try:
        yield
    except SystemExit as end:
        stop = end.__context__
        raise stop if isinstance(stop, Interrupted) else Interrupted(130) from None
