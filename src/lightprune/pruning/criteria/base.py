"""What a criterion is: the base class of all, and the check of what a config names as one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from lightprune.errors import InputError
from lightprune.pruning.criteria.context import ScoringContext

Need = Literal["macs", "gradient_scores", "synaptic_flow", "accumulated"]


class Criterion(ABC):
    """Scores every prunable weight: the lowest scores are pruned first.

    Attributes:
        needs: The attributes of the context that `scores` uses; known before training, so that
            settings under which one of them is missing are refused early.
        rounds: In how many geometric steps one prune event reaches its sparsity; every step
            ranks anew.
    """

    needs: ClassVar[tuple[Need, ...]] = ()
    rounds: int = 1

    @abstractmethod
    def scores(self, weights: Mapping[str, Tensor], context: ScoringContext) -> dict[str, Tensor]:
        """Scores parameters.

        Args:
            weights: Parameters by name, floating point, of any shape, layout and device. What
                `context.masks` prunes need not be zero yet.
            context: Masks, MACs, gradients and more, as far as they are available.

        Returns:
            By name, float32 scores of the weight's shape on its device, none NaN. They must be
            equal on every device and memory layout, as ties are broken by index.
        """

    def update_(self, state: Tensor, weight: Tensor, gradient: Tensor) -> None:
        """Adds one training step to what `context.accumulated` holds of a parameter, in place.

        Called if `needs` has "accumulated", at every step before the last prune event, with the
        weight before it and the dense gradient, pruned weights included. The state is float32, of
        the weight's shape; zeros before the first step.
        """
        raise NotImplementedError(f"{type(self).__name__}.update_")


def check_criterion(name: str, value: object) -> None:
    """Raises InputError unless `value` is a criterion."""
    if not isinstance(value, Criterion):
        raise InputError(
            f"{name}={value}: allowed is a lightprune.pruning.Criterion, such as Magnitude()"
        )
