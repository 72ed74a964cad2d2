"""Checks before training: data, network, plan and recipe together."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightprune.errors import InputError
from lightprune.experiment.config import Settings
from lightprune.experiment.data_fit import fit_to_data
from lightprune.experiment.network_checks import check_outputs, check_training, network_macs
from lightprune.experiment.pretrained import load_pretrained
from lightprune.files import checksum
from lightprune.pruning.cost.report import CostReport, cost_report
from lightprune.pruning.criteria.context import check_macs_known
from lightprune.pruning.targets import LeftDense
from lightprune.training.setup import Setup


@dataclass(frozen=True)
class CheckedRun:
    """A run whose inputs have been checked.

    Attributes:
        settings: Its settings.
        setup: Data, model and trainer settings.
        fingerprint: Of the data.
        dense_weights: SHA-256 of the file `dense.checkpoint`; None without one.
        cost: Of the dense network, with the zeros of `dense.checkpoint`.
        zeros: The number of pruned weights after each event.
        left_dense: Layers of prunable types whose weights cannot be pruned.
        missing_types: Prunable types of which the network has no weight.
        optimizer_bytes: What the larger of the phases' optimizers keeps.
    """

    settings: Settings
    setup: Setup
    fingerprint: str
    dense_weights: str | None
    cost: CostReport
    zeros: tuple[int, ...]
    left_dense: tuple[LeftDense, ...]
    missing_types: tuple[str, ...]
    optimizer_bytes: int

    @property
    def identity(self) -> dict[str, Any]:
        """What the run's result depends on: the config, and the contents of data and weights."""
        contents = {"fingerprint": self.fingerprint, "dense_weights": self.dense_weights}
        return {**self.settings.identity, **contents}

    @property
    def checkpoint_bytes(self) -> int:
        """Estimates a checkpoint: weights (latest, best, early), optimizer, accumulated scores."""
        pruner = self.settings.pruner
        accumulates = pruner is not None and "accumulated" in pruner.criterion.needs
        copies = 2 + bool(self.settings.rewind_epoch) + accumulates
        return copies * 4 * self.cost.parameters + self.optimizer_bytes

    @property
    def dense_identity(self) -> dict[str, Any]:
        """What the dense network depends on."""
        config = self.settings.identity
        parts = {name: config[name] for name in ("model", "data", "seed", "trainer")}
        return {**parts, "recipe": config["recipe"]["dense"], "fingerprint": self.fingerprint}


def preflight(settings: Settings) -> CheckedRun:
    """Loads the data, builds the network once, and checks whether they, plan and recipe fit.

    Raises:
        InputError: They do not.
    """
    data, fingerprint = settings.source.load()
    if len(data.classes) < 2:
        raise InputError(
            f"data: holds one class, {data.classes[0]}; allowed are two or more to tell apart"
        )
    settings = fit_to_data(settings, data)
    setup = Setup(
        model=settings.model,
        data=data,
        source=settings.source,
        targets=settings.targets,
        trainer_config=settings.trainer_config,
        seed=settings.seed,
        loggers=settings.loggers,
    )
    phases = {"dense": settings.recipe.dense, "finetune": settings.recipe.finetune}
    network = setup.new_network()
    for name, phase in phases.items():
        try:
            phase.build_optimizer(network)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"recipe.{name}.optimizer: {error}; allowed is what the optimizer takes"
            ) from error
    weights = settings.targets.find(network)
    check_outputs(network, setup)
    dense_weights = None
    if settings.dense.checkpoint:
        network.load_state_dict(load_pretrained(setup, Path(settings.dense.checkpoint)))
        dense_weights = checksum(Path(settings.dense.checkpoint))
    with TemporaryDirectory() as scratch:
        settings.loggers(Path(scratch))
    zeros = []
    for event in settings.plan.events:
        assert settings.pruner is not None
        counts = settings.pruner.zero_counts(weights, event.sparsity, final=settings.plan.final)
        zeros.append(sum(count for _, count in counts))
    cost = cost_report(network, weights, setup.example[:1])
    if settings.pruner is not None and "macs" in settings.pruner.criterion.needs:
        check_macs_known([name for name, layer in cost.layers.items() if layer.macs is None])
    if settings.dense.checkpoint or not settings.recipe.dense.epochs:
        del phases["dense"]
    return CheckedRun(
        settings,
        setup,
        fingerprint,
        dense_weights,
        cost,
        tuple(zeros),
        settings.targets.left_dense(network),
        settings.targets.missing_types(network),
        check_training(setup, phases, network_macs(network, setup)),
    )
