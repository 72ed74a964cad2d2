"""Everything that can be checked before training: data, network, plan and recipe together."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from lightprune.config import Settings
from lightprune.dense import dense_key, own_weights
from lightprune.errors import InputError
from lightprune.training.fit import Lab


@dataclass(frozen=True)
class Prepared:
    """A run whose every input has been checked.

    Attributes:
        settings: What was asked.
        lab: Data, model and hardware.
        fingerprint: Of the data.
        weights: The shapes of the prunable weights, by name.
        zeros: How many of them are zero after each event.
    """

    settings: Settings
    lab: Lab
    fingerprint: str
    weights: Mapping[str, Tensor]
    zeros: tuple[int, ...]

    @property
    def identity(self) -> dict[str, Any]:
        """What a run folder belongs to: the config, and the data whatever folder it lies in."""
        return {**self.settings.asked, "fingerprint": self.fingerprint}

    @property
    def dense_key(self) -> str:
        """What the dense network depends on."""
        asked = self.settings.asked
        parts = {name: asked[name] for name in ("model", "data", "seed", "trainer")}
        recipe = asked["recipe"]["dense"]
        return dense_key({**parts, "recipe": recipe, "fingerprint": self.fingerprint})


def prepare(chosen: Settings) -> Prepared:
    """Loads the data, builds the network once, and checks all that can be checked before training.

    Raises:
        InputError: The data, the network, the plan and the recipe do not fit together.
    """
    data, fingerprint = chosen.source.load()
    lab = Lab(
        model=chosen.model,
        data=data,
        source=chosen.source,
        targets=chosen.targets,
        hardware=chosen.hardware,
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
    network = lab.new_network()
    for name, phase in phases.items():
        try:
            phase.build_optimizer(network)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"recipe.{name}.optimizer: {error}; allowed is what the optimizer takes"
            ) from error
    weights = {name: w.detach() for name, w in chosen.targets.find(network).items()}
    if chosen.dense.checkpoint:
        own_weights(lab, Path(chosen.dense.checkpoint))
    with TemporaryDirectory() as elsewhere:
        chosen.loggers(Path(elsewhere))
    zeros = []
    for event in chosen.plan.events:
        assert chosen.pruner is not None
        quotas = chosen.pruner.quotas(weights, event.sparsity, final=chosen.plan.final)
        zeros.append(sum(count for _, count in quotas))
    return Prepared(chosen, lab, fingerprint, weights, tuple(zeros))
