"""What a criterion is, and what it may ask of the network: five protocols and a check."""

from collections.abc import Callable, Mapping
from types import UnionType
from typing import Protocol, runtime_checkable

from torch import Tensor

from lightprune.errors import InputError
from lightprune.pruning.masks import Masks


@runtime_checkable
class Criterion(Protocol):
    """Scores weights by their values alone."""

    def saliency(self, name: str, weight: Tensor) -> Tensor:
        """Scores one parameter.

        Args:
            name: The parameter's name.
            weight: Its values, floating point, any shape, layout and device; what is pruned is
                zero.

        Returns:
            float32 scores of the same shape on the same device, none NaN; higher is kept longer.
        """
        ...


@runtime_checkable
class CostedCriterion(Protocol):
    """Scores weights by their values and by what they cost."""

    def saliency_at(self, name: str, weight: Tensor, macs: Tensor) -> Tensor:
        """Scores one parameter.

        Args:
            name: The parameter's name.
            weight: Its values, floating point, any shape, layout and device.
            macs: How often one image has each of them multiply data, on the CPU, in a shape that
                broadcasts to the weight's (`reachability.multiplications`); 0 for dead weights.

        Returns:
            Scores as `Criterion.saliency` returns them.
        """
        ...


class Probe(Protocol):
    """What a criterion may ask of the network at hand, which is left as it was."""

    def summed(
        self, score: Callable[[Tensor, Tensor], Tensor], batches: int, masks: Masks
    ) -> dict[str, Tensor]:
        """Sums a score of weights and gradients over training batches.

        Args:
            score: Of a parameter's values, pruned ones at zero, and of the gradient of one
                batch's mean loss with respect to them; both float32. The gradient is dense: that
                of a pruned weight is what it would be if the weight came back.
            batches: How many batches each process takes.
            masks: What is kept.

        Returns:
            The sums over the batches and over the processes, float32, by parameter name.
        """
        ...

    def flow(self, masks: Masks) -> dict[str, Tensor]:
        """Gradients of the network's flow: of the sum R of its outputs for one all-ones image.

        Args:
            masks: What is kept.

        Returns:
            dR/d|w| in float64, by parameter name, of the network in which every parameter and
            buffer is replaced by its absolute value, and pruned weights by zero.
        """
        ...

    def collected(self) -> dict[str, Tensor]:
        """What a CollectingCriterion collected since fine-tuning began: float32, by name."""
        ...


@runtime_checkable
class ProbingCriterion(Protocol):
    """Scores weights by what the network at hand does with them."""

    @property
    def rounds(self) -> int:
        """How often one event ranks anew, on its way to its sparsity in geometric steps."""
        ...

    def saliencies(
        self, weights: Mapping[str, Tensor], masks: Masks, probe: Probe
    ) -> dict[str, Tensor]:
        """Scores all parameters at once.

        Args:
            weights: Floating-point tensors by name. What `masks` prunes need not be zero yet.
            masks: What is kept, of these weights at least.
            probe: Of the network that these weights are of.

        Returns:
            Scores by name, each as `Criterion.saliency` returns them.
        """
        ...


@runtime_checkable
class CollectingCriterion(Protocol):
    """Scores weights by evidence that it collects at every step of training."""

    def collect_(self, evidence: Tensor, weight: Tensor, gradient: Tensor) -> None:
        """Adds one step's evidence, in place.

        Args:
            evidence: Of one parameter, float32; zeros before the first step.
            weight: The parameter's values before the step.
            gradient: Of the loss with respect to them.
        """
        ...

    def saliency_of(self, name: str, weight: Tensor, evidence: Tensor) -> Tensor:
        """Scores one parameter.

        Args:
            name: The parameter's name.
            weight: Its values, floating point, any shape, layout and device.
            evidence: Collected so far, float32, of the same shape on the same device.

        Returns:
            Scores as `Criterion.saliency` returns them.
        """
        ...


AnyCriterion = Criterion | CostedCriterion | ProbingCriterion | CollectingCriterion


def check_criterion(name: str, value: object, kinds: UnionType | type = AnyCriterion) -> None:
    """Raises InputError unless `value` is a criterion of one of these kinds."""
    if not isinstance(value, kinds) or isinstance(value, type):
        words = "" if isinstance(kinds, UnionType) else " that asks for nothing but the weights"
        raise InputError(f"{name}={value}: allowed is a criterion{words}")
