"""Everything that can be checked before training: data, network, plan and recipe together."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from lightprune.errors import InputError, first_line
from lightprune.experiment.config import Settings
from lightprune.experiment.pretrained import load_pretrained
from lightprune.files import checksum
from lightprune.pruning.cost import CostReport, cost_report
from lightprune.pruning.eval_mode import eval_mode
from lightprune.training.setup import Setup


@dataclass(frozen=True)
class CheckedRun:
    """A run whose every input has been checked.

    Attributes:
        settings: What was asked.
        lab: Data, model and hardware.
        fingerprint: Of the data.
        dense_weights: SHA-256 of one's own dense weights; None if there are none.
        cost: Of the dense network.
        zeros: How many of them are zero after each event.
    """

    settings: Settings
    lab: Setup
    fingerprint: str
    dense_weights: str | None
    cost: CostReport
    zeros: tuple[int, ...]

    @property
    def identity(self) -> dict[str, Any]:
        """What a run folder belongs to: the config, and the data whatever folder it lies in."""
        about = {"fingerprint": self.fingerprint, "dense_weights": self.dense_weights}
        return {**self.settings.asked, **about}

    @property
    def checkpoint_bytes(self) -> int:
        """About the size of a checkpoint: weights, momentum, best and early ones, scores."""
        pruner = self.settings.pruner
        accumulates = pruner is not None and "accumulated" in pruner.criterion.needs
        return (3 + bool(self.settings.rewinds_to) + accumulates) * 4 * self.cost.parameters

    @property
    def dense_identity(self) -> dict[str, Any]:
        """What the dense network depends on."""
        asked = self.settings.asked
        parts = {name: asked[name] for name in ("model", "data", "seed", "trainer")}
        return {**parts, "recipe": asked["recipe"]["dense"], "fingerprint": self.fingerprint}


def preflight(chosen: Settings) -> CheckedRun:
    """Loads the data, builds the network once, and checks all that can be checked before training.

    Raises:
        InputError: The data, the network, the plan and the recipe do not fit together.
    """
    data, fingerprint = chosen.source.load()
    lab = Setup(
        model=chosen.model,
        data=data,
        source=chosen.source,
        targets=chosen.targets,
        trainer_config=chosen.trainer_config,
        seed=chosen.seed,
        loggers=chosen.loggers,
    )
    train, _ = chosen.source.splits(data)
    phases = {"dense": chosen.recipe.dense, "finetune": chosen.recipe.finetune}
    for name, phase in phases.items():
        if phase.batch_size > len(train):
            raise InputError(
                f"recipe.{name}.batch_size={phase.batch_size}: allowed are at most the "
                f"{len(train)} training images"
            )
    _check_batches(chosen, len(train) // chosen.recipe.finetune.batch_size)
    network = lab.new_network()
    for name, phase in phases.items():
        try:
            phase.build_optimizer(network)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"recipe.{name}.optimizer: {error}; allowed is what the optimizer takes"
            ) from error
    weights = chosen.targets.find(network)
    _try(network, lab)
    own = None
    if chosen.dense.checkpoint:
        load_pretrained(lab, Path(chosen.dense.checkpoint))
        own = checksum(Path(chosen.dense.checkpoint))
    with TemporaryDirectory() as elsewhere:
        chosen.loggers(Path(elsewhere))
    zeros = []
    for event in chosen.plan.events:
        assert chosen.pruner is not None
        quotas = chosen.pruner.quotas(weights, event.sparsity, final=chosen.plan.final)
        zeros.append(sum(count for _, count in quotas))
    cost = cost_report(network, weights, lab.example[:1])
    return CheckedRun(chosen, lab, fingerprint, own, cost, tuple(zeros))


def _check_batches(chosen: Settings, there_are: int) -> None:
    """Raises InputError if an event asks for more training batches than an epoch has."""
    pruner = chosen.pruner
    asked = {
        "recipe.finetune.recalibrate": chosen.recipe.finetune.recalibrate,
        "pruner.criterion.batches": getattr(pruner and pruner.criterion, "batches", 0),
        "pruner.regrowth.batches": getattr(pruner and pruner.regrowth, "batches", 0),
    }
    for name, batches in asked.items():
        if batches > there_are:
            raise InputError(
                f"{name}={batches}: allowed are at most the {there_are} batches of an epoch"
            )


def _try(network: nn.Module, lab: Setup) -> None:
    """Raises InputError unless the network turns images of this size into one logit a class."""
    size, classes = tuple(lab.example.shape[1:]), len(lab.data.classes)
    try:
        with eval_mode(network):
            given = tuple(network(lab.example).shape)
    except Exception as error:  # The user's own code may raise anything.
        reason = first_line(error)
        raise InputError(
            f"model: takes no images of {size} ({reason}); allowed is a network that does"
        ) from error
    if given != (len(lab.example), classes):
        raise InputError(
            f"model: gives outputs of shape {given} for {len(lab.example)} images; allowed is "
            f"one logit for each of the {classes} classes"
        )
