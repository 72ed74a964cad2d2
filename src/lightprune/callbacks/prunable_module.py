"""The LightningModule that PruningCallback works with: one network, its accuracy and its loss."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Protocol

from lightning import LightningModule
from torch import Tensor, nn


class Evaluated(Protocol):
    """The result of an evaluation."""

    @property
    def accuracy(self) -> float:
        """Top-1 accuracy, 0..1."""


class PrunableModule(LightningModule, ABC):
    """A LightningModule around one network that can be evaluated and differentiated at any time.

    Attributes:
        network: The network, under its parameter names.
    """

    network: nn.Module

    @property
    @abstractmethod
    def last_accuracy(self) -> float:
        """Top-1 accuracy of the last validation, 0..1."""

    @abstractmethod
    def evaluate(self, batches: Iterable[Any]) -> Evaluated:
        """Evaluates the network as it stands; every process calls with its share of batches."""

    @abstractmethod
    def to_memory_format(self, images: Tensor) -> Tensor:
        """Images in the memory layout of the network."""

    @abstractmethod
    def cross_entropy(self, network: nn.Module, batch: Any) -> Tensor:
        """The mean training loss of a batch, by `network`, a copy of the module's."""

    @abstractmethod
    def rng_key(self, name: str) -> tuple[int | str, ...]:
        """The key (`rng.named_seed`) of random draws of one kind in this epoch and process."""
