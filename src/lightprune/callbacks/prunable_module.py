"""What a prune event asks of the LightningModule whose network it prunes."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Protocol

from lightning import LightningModule
from torch import Tensor, nn


class Score(Protocol):
    """The result of an evaluation."""

    @property
    def accuracy(self) -> float:
        """Top-1 accuracy, 0..1."""


class PrunableModule(LightningModule, ABC):
    """A LightningModule around one network that can be evaluated and differentiated at any time.

    Attributes:
        network: The network, under its own parameter names.
    """

    network: nn.Module

    @property
    @abstractmethod
    def last_accuracy(self) -> float:
        """Of the last validation, 0..1."""

    @abstractmethod
    def evaluate(self, batches: Iterable[Any]) -> Score:
        """Evaluates the network as it stands, on every process' share of `batches`."""

    @abstractmethod
    def to_memory_format(self, images: Tensor) -> Tensor:
        """Images in the memory layout of the network."""

    @abstractmethod
    def cross_entropy(self, network: nn.Module, batch: Any) -> Tensor:
        """The mean training loss of a batch, by a copy of the network."""

    @abstractmethod
    def rng_key(self, name: str) -> tuple[int | str, ...]:
        """Names the random draws of one kind in this epoch and process."""
