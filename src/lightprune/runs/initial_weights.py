"""The weights that a finished run began with: those of its dense network."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from lightprune.errors import InputError
from lightprune.files import checksum
from lightprune.runs.folder import Json, command_overrides


def load_initial_weights(network: nn.Module, record: Json, dense_dir: Path | None) -> None:
    """Gives a network the weights that its run began with.

    Args:
        network: As the run's constructor builds it.
        record: Of the run.
        dense_dir: The cache of dense networks; None takes the run's.

    Raises:
        InputError: They are not there any more.
    """
    dense = record["dense"]
    cache = dense_dir or Path(command_overrides(record).get("dense.cache_dir", "outputs/dense"))
    file = cache / dense["key"] / "model.safetensors" if dense["key"] else Path(dense["source"])
    there = file.is_file()
    if not there or checksum(file) != dense["weights"]:
        raise InputError(
            f"{file}: {'does not hold' if there else 'is not there, with'} the weights that the "
            "run began with; allowed are these (--dense-dir DIR says where dense.cache_dir is), "
            "or --network pruned"
        )
    if file.suffix == ".safetensors":
        state = load_file(file)
    else:
        state = torch.load(file, map_location="cpu", weights_only=True)
    network.load_state_dict(state)
