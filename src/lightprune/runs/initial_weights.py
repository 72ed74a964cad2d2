"""The initial weights of a finished run: those of its dense network."""

from pathlib import Path

from torch import nn

from lightprune.errors import InputError
from lightprune.files import checksum
from lightprune.runs.record import RunRecord
from lightprune.runs.weights_file import read_weights_file


def load_initial_weights(network: nn.Module, record: RunRecord, dense_dir: Path | None) -> None:
    """Loads the dense weights that a run started from into the network its constructor builds.

    The cache of dense networks is the run's unless `dense_dir` is given.

    Raises:
        InputError: The weights are no longer there.
    """
    dense = record.dense
    cache = dense_dir or Path(record.paths.get("dense.cache_dir", "outputs/dense"))
    file = cache / dense.key / "model.safetensors" if dense.key else Path(dense.source)
    exists = file.is_file()
    if not exists or checksum(file) != dense.weights_sha256:
        raise InputError(
            f"{file}: {'does not hold' if exists else 'is not there, with'} the weights that the "
            "run began with; allowed are these (--dense-dir DIR says where dense.cache_dir is), "
            "or --network pruned"
        )
    prefix = None if dense.key else record.config["dense"].get("prefix")
    state, _ = read_weights_file(file, network.state_dict().keys(), prefix=prefix)
    network.load_state_dict(state)
