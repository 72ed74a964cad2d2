"""What the phases of an experiment share: network, data, targets, trainer settings, seed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lightprune.data.datamodule import ImageDataModule
from lightprune.data.images import ImageDataset
from lightprune.data.sources import Source
from lightprune.models.freezing import freeze_
from lightprune.models.model import Model
from lightprune.pruning.targets import Targets
from lightprune.rng import fork_rng
from lightprune.training.recipe import Phase
from lightprune.training.trainer import TrainerConfig


@dataclass(frozen=True)
class Setup:
    """What both phases of an experiment share.

    Attributes:
        seed: Of everything random.
        freeze: Patterns of parameters that do not train.
        images_after_dense: Training images of what follows the dense training, over all epochs.
    """

    model: Model
    data: ImageDataset
    source: Source
    targets: Targets
    trainer_config: TrainerConfig
    seed: int
    freeze: tuple[str, ...] = ()
    images_after_dense: int = 0

    @property
    def example(self) -> Tensor:
        """Inputs of the networks' size that differ from each other, shape (8, 3, H, W)."""
        height, width = self.data.test.images.shape[1:3]
        return torch.randn(8, 3, height, width, generator=torch.Generator().manual_seed(0))

    def batches_per_epoch(self, phase: Phase) -> int:
        """The training batches of an epoch of a phase: whole ones, over all processes."""
        images, _ = self.source.splits(self.data)
        return self.trainer_config.batches_per_epoch(len(images), phase.batch_size)

    def steps_per_epoch(self, phase: Phase) -> int:
        """The optimizer steps of an epoch of a phase."""
        images, _ = self.source.splits(self.data)
        return self.trainer_config.steps_per_epoch(len(images), phase.batch_size)

    def new_network(self) -> nn.Module:
        """A network whose weights depend on the seed alone; global generators stay as they are."""
        with fork_rng(self.seed):
            network = self.model.build(len(self.data.classes))
        freeze_(network, self.freeze)
        return network

    def without_freezing(self) -> "Setup":
        """The same for a phase that trains every parameter."""
        return replace(self, freeze=())

    def network_from(self, state: Mapping[str, Tensor]) -> nn.Module:
        """A network with the weights and buffers of a state dict."""
        network = self.new_network()
        network.load_state_dict(state)
        return network

    def epoch_images(self, phase: Phase) -> int:
        """The training images of an epoch: those of its whole batches."""
        return phase.batch_size * self.batches_per_epoch(phase)

    def data_module(self, phase: Phase, rng_key: str) -> ImageDataModule:
        return ImageDataModule(
            self.data,
            self.source,
            batch_size=phase.batch_size,
            augmentation=phase.augmentation,
            seed=self.seed,
            rng_key=rng_key,
        )
