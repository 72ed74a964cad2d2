"""A dense training: what its network depends on, and where the cache keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from lightprune.experiment.dense_cache import dense_folder, is_complete
from lightprune.experiment.pretrained import Pretrained
from lightprune.pruning.plan import Plan
from lightprune.training.fit import PhaseRun
from lightprune.training.recipe import Distillation, Phase
from lightprune.training.setup import Setup


@dataclass(frozen=True)
class DenseTraining:
    """A dense training, and the cache that keeps its network.

    Attributes:
        identity: What the network depends on; equal ones share one training.
        pretrained: The weights that the training starts from if `dense.fresh` asks for one, and
            otherwise the network itself; None for weights that are drawn.
        keep_zeros: Whether what `pretrained` gives as zero is held at zero.
    """

    setup: Setup
    phase: Phase
    cache_dir: Path
    identity: Mapping[str, Any]
    pretrained: Pretrained | None = None
    keep_zeros: bool = False

    @property
    def folder(self) -> Path:
        """Of the network in the cache."""
        return dense_folder(self.cache_dir, self.identity)

    @property
    def is_complete(self) -> bool:
        """Whether the cache has the network."""
        return is_complete(self.folder)

    @property
    def teacher(self) -> "DenseTraining | None":
        """That of the first generation of a born-again network; None without a teacher."""
        phase, setup = self.phase, self.setup
        if not (phase.distillation.weight and phase.epochs):
            return None
        later_images = setup.images_after_dense + phase.epochs * setup.epoch_images(phase)
        recipe = {name: v for name, v in self.identity["recipe"].items() if name != "distillation"}
        return replace(
            self,
            setup=replace(setup, images_after_dense=later_images),
            phase=replace(phase, distillation=Distillation()),
            identity={**self.identity, "recipe": recipe},
        )

    def without_freezing(self) -> "DenseTraining":
        """The same, in which every parameter trains."""
        return replace(self, setup=self.setup.without_freezing())

    def phase_run(self, teacher: nn.Module | None, **settings: Any) -> PhaseRun:
        """What `fit` trains; further settings as of `PhaseRun`."""
        plan = Plan((), self.phase.epochs)
        return PhaseRun(
            "dense", self.phase, plan, teacher=teacher, identity=self.identity, **settings
        )
