"""The weights that rewinding goes back to: the network early in its dense training."""

import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from lightprune.distributed import barrier, from_rank_zero, is_rank_zero
from lightprune.experiment.dense_cache import (
    dense_lock,
    digest,
    rewind_file,
    rewind_file_fault,
    save_rewind_state,
    warn_unusable,
)
from lightprune.pruning.schedules import Plan
from lightprune.training.fit import Setup, fit
from lightprune.training.recipe import Phase


def rewind_state(
    lab: Setup, phase: Phase, cache_dir: Path, asked: Mapping[str, Any], epochs: int
) -> dict[str, Tensor]:
    """The state dict of the network after the first `epochs` epochs of its dense training.

    The training keeps it if it is told to. A network that was trained without being told, or
    whose early weights are damaged, has its first epochs trained again, and a line says so:
    exactly those epochs, wherever training is deterministic.

    Source: Frankle et al. 2020, "Linear Mode Connectivity and the Lottery Ticket Hypothesis",
    section 4; with no epochs, Frankle & Carbin 2019, "The Lottery Ticket Hypothesis".

    Args:
        lab: Data, model and hardware.
        phase: The dense training.
        cache_dir: Where trained networks are kept.
        asked: What the network depends on.
        epochs: 0 is the network before training.
    """
    if epochs == 0:
        return lab.new_network().state_dict()
    folder = cache_dir / digest(asked)
    with dense_lock(folder) if is_rank_zero() else nullcontext():
        fault = from_rank_zero(lambda: rewind_file_fault(folder, epochs))
        if fault is not None:
            _train_again(lab, phase, folder, asked, epochs, fault)
        barrier()
    return load_file(rewind_file(folder, epochs))


def _train_again(
    lab: Setup, phase: Phase, folder: Path, asked: Mapping[str, Any], epochs: int, fault: str
) -> None:
    """Trains the first epochs, and keeps what they end with."""
    file = rewind_file(folder, epochs)
    if is_rank_zero():
        warn_unusable(
            file, fault, f"the first {epochs} epochs of the dense training are trained again"
        )
    place = folder / file.stem
    trained = fit(
        lab,
        lab.new_network(),
        phase,
        place,
        name="dense",
        plan=Plan((), phase.epochs),
        until=epochs,
        belongs_to=asked,
    )
    if is_rank_zero():
        save_rewind_state(folder, epochs, trained.state)
        shutil.rmtree(place)
