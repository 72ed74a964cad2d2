"""What a criterion may use besides the weights: masks, MACs, gradients, flow, accumulated state."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from torch import Tensor

from lightprune.errors import InputError
from lightprune.pruning.masks import Masks

Score = Callable[[Tensor, Tensor], Tensor]


class Probe(Protocol):
    """Differentiates the network that is pruned, and leaves it as it was."""

    def gradient_scores(self, score: Score, batches: int, masks: Masks) -> dict[str, Tensor]:
        """As `ScoringContext.gradient_scores`, of the network pruned by `masks`."""

    def synaptic_flow(self, masks: Masks) -> dict[str, Tensor]:
        """As `ScoringContext.synaptic_flow`, of the network pruned by `masks`."""

    def accumulated(self) -> Mapping[str, Tensor]:
        """What `Criterion.update_` has accumulated: float32, by parameter name."""


class ScoringContext:
    """What a criterion may use besides the weights; `masks` says which are kept so far."""

    def __init__(
        self, masks: Masks, *, macs: Mapping[str, Tensor] | None = None, probe: Probe | None = None
    ) -> None:
        self.masks, self._macs, self._probe = masks, macs, probe

    @property
    def macs(self) -> Mapping[str, Tensor]:
        """MACs per weight for one image (`macs_per_weight`); 0 for unreachable weights.

        By parameter name, on the CPU, in shapes that broadcast to the weights'.

        Raises:
            TypeError: The pruner was called without.
            InputError: Those of a weight are unknown.
        """
        if self._macs is None:
            raise TypeError("the criterion needs context.macs: prune(..., macs=...)")
        check_macs_known([name for name in self.masks if name not in self._macs])
        return self._macs

    def gradient_scores(self, score: Score, batches: int) -> dict[str, Tensor]:
        """Sums a score of weights and gradients over training batches.

        Args:
            score: Of a parameter's values, pruned ones at zero, and of the gradient of one
                batch's mean loss with respect to them; both float32. The gradient is dense: that
                of a pruned weight is what it would be if the weight came back.
            batches: How many batches each process takes.

        Returns:
            The sums over the batches and over the processes, float32, by parameter name.

        Raises:
            TypeError: The pruner was called without a probe.
        """
        return self._network("gradient_scores").gradient_scores(score, batches, self.masks)

    def synaptic_flow(self) -> dict[str, Tensor]:
        """Gradients of the network's flow: of the sum R of its outputs for one all-ones image.

        Returns:
            dR/d|w| in float64, by parameter name, of the network in which every parameter and
            buffer is replaced by its absolute value, and pruned weights by zero.

        Raises:
            TypeError: The pruner was called without a probe.
        """
        return self._network("synaptic_flow").synaptic_flow(self.masks)

    @property
    def accumulated(self) -> Mapping[str, Tensor]:
        """What `Criterion.update_` has accumulated since fine-tuning began: float32, by name.

        Raises:
            InputError: There was no training step yet.
            TypeError: The pruner was called without a probe.
        """
        state = self._network("accumulated").accumulated()
        if not any(values.any() for values in state.values()):
            raise InputError(
                "pruner.criterion: it accumulates scores at every step of fine-tuning, and there "
                "was none before this event; allowed is a schedule.start above 0"
            )
        return state

    def _network(self, name: str) -> Probe:
        if self._probe is None:
            raise TypeError(f"context.{name} needs the network: prune(..., probe=...)")
        return self._probe


def check_macs_known(unknown: Sequence[str]) -> None:
    """Raises InputError if there are weights whose MACs are unknown."""
    if unknown:
        raise InputError(
            f"pruner.criterion: needs the MACs of every weight, and those of {len(unknown)} are "
            f"unknown ({', '.join(unknown[:3])}); allowed is a criterion without, or targets that "
            f"exclude {unknown[0]}"
        )
