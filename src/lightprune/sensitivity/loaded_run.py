"""What is scanned: the network of a finished run, its criterion, and images it is measured on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lightprune.data.datamodule import EvaluationBatches
from lightprune.errors import check_choice
from lightprune.export.load import load_dense
from lightprune.models.live_tap_conv import use_live_taps
from lightprune.models.model import to_channels_last
from lightprune.models.registry import Constructor
from lightprune.pruning.cost.mac_counts import macs_per_weight
from lightprune.pruning.criteria import Criterion, Magnitude
from lightprune.pruning.pruner import Pruner
from lightprune.runs.folder import RunFolder
from lightprune.runs.initial_weights import load_initial_weights
from lightprune.runs.instantiate import instantiate_safely, package_class, prunable_weights
from lightprune.runs.record import Json, RunRecord
from lightprune.sensitivity.calibration_data import SampleSize, load_calibration_data

_MAGNITUDE = "layers are pruned by magnitude"


@dataclass(frozen=True)
class NetworkChoice:
    """Which network of a run is scanned.

    Attributes:
        network: `dense`, which the run began with, or `pruned`, which it ended with.
        dense_dir: The cache of dense networks; None takes the run's.
        constructor: What builds the network if it is neither torchvision's nor lightprune's.
    """

    network: str = "dense"
    dense_dir: Path | None = None
    constructor: Constructor | None = None

    def __post_init__(self) -> None:
        check_choice("--network", self.network, ("dense", "pruned"))


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A network that can be pruned and measured.

    Attributes:
        network: In evaluation mode, on the device.
        macs: How often one image has each weight multiply data.
        calibration: Batches of images that batch norm is recalibrated on.
        validation: Images that accuracy is measured on.
        pruner: The run's criterion and its way with unreachable weights; no other setting.
        floor: The share of each tensor that the run's pruner never prunes.
        notes: What its user should know of it, a line each.
    """

    network: nn.Module
    weights: Mapping[str, nn.Parameter]
    macs: Mapping[str, Tensor]
    calibration: tuple[Tensor, ...]
    validation: EvaluationBatches
    pruner: Pruner
    floor: float
    record: RunRecord
    notes: tuple[str, ...]

    @property
    def zeros(self) -> int:
        """How many of the weights the run pruned in the end."""
        cost = self.record.cost
        return cost.weights - cost.nnz


def load_run(run: Path, which: NetworkChoice, sample: SampleSize) -> LoadedRun:
    """Reads the network of a finished run and the images of its data set.

    Raises:
        InputError: The run is not finished, or its network or its data cannot be found.
    """
    network, spec = load_dense(run, which.constructor)
    folder = RunFolder(run)
    record = folder.finished()
    if which.network == "dense":
        load_initial_weights(network, record, which.dense_dir)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device)
    with folder.reading_config():
        # Both for speed alone, and not every network bears them.
        model = record.config["model"]
        if model.get("channels_last", True):
            to_channels_last(network)
        if model.get("live_taps", True):
            use_live_taps(network)
        pruner = record.config["pruner"]
        weights = prunable_weights(record, network)
        criterion, notes = _criterion(pruner.get("criterion"))
        calibration, validation, about = load_calibration_data(record, spec, sample, device)
        return LoadedRun(
            network=network,
            weights=weights,
            macs=macs_per_weight(
                network, weights, torch.zeros(1, *spec.input_shape, device=device)
            ),
            calibration=calibration,
            validation=validation,
            pruner=Pruner(criterion=criterion, unreachable=pruner.get("unreachable", "rank")),
            floor=pruner.get("floor", 0.0),
            record=record,
            notes=(*notes, *about),
        )


def _criterion(node: Json | None) -> tuple[Criterion, tuple[str, ...]]:
    """The run's criterion if it can score a layer by itself; else magnitude, and a line on it."""
    if node is None:
        return Magnitude(), (f"the run pruned nothing: {_MAGNITUDE}",)
    name = str(node["_target_"]).rpartition(".")[2]
    if package_class(node["_target_"]) is None:
        return Magnitude(), (
            f"the run's criterion, {name}, is none of lightprune's own, and nothing is imported "
            f"because a file says so: {_MAGNITUDE}",
        )
    criterion: Criterion = instantiate_safely(node, Criterion, "pruner.criterion")
    if set(criterion.needs) <= {"macs"}:
        return criterion, ()
    return Magnitude(), (
        f"the run's criterion, {name}, needs more than a layer's weights, such as gradients: "
        f"{_MAGNITUDE}",
    )
