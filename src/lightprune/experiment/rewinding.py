"""The weights that rewinding goes back to: the network early in its dense training."""

import shutil
from contextlib import nullcontext
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from lightprune.distributed import barrier, from_rank_zero, is_rank_zero
from lightprune.experiment.dense_cache import (
    dense_lock,
    rewind_file,
    rewind_file_fault,
    save_rewind_state,
)
from lightprune.experiment.dense_network import dense_teacher
from lightprune.experiment.dense_training import DenseTraining
from lightprune.rendering.console_table import warn_unusable
from lightprune.rendering.number_format import counted
from lightprune.training.fit import PhaseRun, fit
from lightprune.training.setup import Setup


def rewind_state(training: DenseTraining, epochs: int) -> dict[str, Tensor]:
    """The state dict of the network after the first `epochs` epochs of its dense training.

    A dense training keeps it as a snapshot. If there is none, or it is damaged, the first epochs
    are trained again, and a line says so: exactly those epochs, wherever training is
    deterministic. 0 epochs are the network before training.

    Source: Frankle et al. 2020, "Linear Mode Connectivity and the Lottery Ticket Hypothesis",
    section 4; with no epochs, Frankle & Carbin 2019, "The Lottery Ticket Hypothesis".
    """
    training = training.without_freezing()
    if epochs == 0:
        return training.setup.new_network().state_dict()
    folder = training.folder
    file = rewind_file(folder, epochs)
    with dense_lock(folder) if is_rank_zero() else nullcontext():
        fault = from_rank_zero(lambda: rewind_file_fault(folder, epochs))
        if fault is not None:
            if is_rank_zero():
                again = f"{counted(epochs, 'epoch')} of the dense training will be trained again"
                warn_unusable(file, fault, again)
            teacher, _ = dense_teacher(training)
            run = training.phase_run(teacher, until=epochs, snapshots=[epochs])
            _train_first_epochs(training.setup, run, folder, epochs)
        barrier()
    return load_file(file)


def _train_first_epochs(setup: Setup, run: PhaseRun, folder: Path, epochs: int) -> None:
    working_folder = folder / rewind_file(folder, epochs).stem
    trained = fit(setup, setup.new_network(), run, working_folder)
    if is_rank_zero():
        save_rewind_state(folder, epochs, trained.snapshots[epochs])
        shutil.rmtree(working_folder)
