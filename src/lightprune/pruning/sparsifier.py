"""Sparsifier: prunes any module and keeps its pruned weights at zero, whatever trains it."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from lightprune.errors import InputError, check_kind, check_number, first_of
from lightprune.pruning.argument_checks import (
    check_example,
    check_shapes,
    check_types,
    check_weights_stay,
    checked_progress,
)
from lightprune.pruning.cost.example import Example
from lightprune.pruning.cost.mac_counts import macs_per_weight
from lightprune.pruning.criteria.probe import Loss, NetworkProbe
from lightprune.pruning.criteria.score_accumulator import ScoreAccumulator
from lightprune.pruning.event_record import PruningError
from lightprune.pruning.masks import Masks, warn_of_emptied
from lightprune.pruning.optimizers.masked_weights import MaskedWeights
from lightprune.pruning.parametrized_weights import check_slices, largest_of_slices, normed_axes
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.sync import broadcast_masks, check_same_weights
from lightprune.pruning.targets import ANY_LAYER, Targets


class Sparsifier(MaskedWeights):
    """Prunes a module and keeps its pruned weights at zero, whatever trains it.

    Masks live here: the module stays an ordinary one, with the names it has. An attached optimizer
    sees no gradient of a pruned weight, and every one of its steps begins and ends with them at
    zero: `load_state_dict` may bring them back (so may writes into `weight.data`, which `check`
    alone sees), and an optimizer that mixes the entries of a tensor (Muon, SOAP, Shampoo) moves
    them. Where processes train together, all make the same calls; rank 0 decides the masks.

        sparsifier = Sparsifier(model)
        sparsifier.attach(optimizer)
        sparsifier.prune_(0.9)
        train(model, optimizer)
        sparsifier.finalize()

    Attributes:
        module: The module.
        pruner: Decides the masks.
        weights: The prunable parameters by name.
        left_dense: Weights of prunable layers that cannot be pruned, by the reason.
        masks: Which weights are kept.
        macs: How often one input has each weight multiply data (`macs_per_weight`); None without
            an example.
    """

    def __init__(
        self,
        module: nn.Module,
        pruner: Pruner | None = None,
        targets: Targets = ANY_LAYER,
        *,
        example: Example | None = None,
        optimizer_state: str = "mask",
    ) -> None:
        """Finds the weights, and warns of those that stay dense; nothing is pruned yet.

        Args:
            module: Any.
            pruner: Decides the masks; None for magnitudes over all weights together.
            targets: Which weights are prunable.
            example: A batch of the module's inputs, on its device, for live weights and MACs: a
                tensor, a tuple of tensors, or a dict of them by argument name.
            optimizer_state: What pruning does to that of attached optimizers: `mask` zeroes that
                of pruned weights, `reset` clears it, `keep` leaves it.

        Raises:
            InputError: There is nothing to prune, or the pruner needs an example.
        """
        check_kind("module", module, nn.Module, "a torch.nn.Module")
        check_types(pruner, targets, example)
        pruner = pruner or Pruner()
        check_example(pruner, example)
        accumulates = "accumulated" in pruner.criterion.needs
        super().__init__(
            module,
            targets.find(module),
            ScoreAccumulator(pruner.criterion) if accumulates else None,
            optimizer_state,
        )
        self.pruner = pruner
        self.left_dense = targets.left_dense(module)
        for group in self.left_dense:
            warnings.warn(
                f"left dense: {group.weights:,} weights of {first_of(group.layers)} "
                f"({group.reason})",
                stacklevel=2,
            )
        self.macs = None if example is None else macs_per_weight(module, self.weights, example)
        self._example = example
        self._normed_axes = normed_axes(module, self.weights)

    @classmethod
    def from_zeros(
        cls,
        module: nn.Module,
        pruner: Pruner | None = None,
        targets: Targets = ANY_LAYER,
        *,
        example: Example | None = None,
    ) -> Self:
        """A sparsifier that keeps the zeros which the weights have, by whatever tool.

        `torch.nn.utils.prune` leaves its weights computed until `prune.remove` is called.
        """
        sparsifier = cls(module, pruner, targets, example=example)
        sparsifier._set(Masks({name: w.detach() != 0 for name, w in sparsifier.weights.items()}))
        return sparsifier

    def prune_(
        self,
        sparsity: float,
        *,
        final: float | None = None,
        progress: float | None = None,
        probe: NetworkProbe | None = None,
    ) -> Masks:
        """Prunes to `sparsity`, the absolute share of zeros; args as of `next_masks`.

        Returns:
            Which weights are kept.
        """
        check_weights_stay(self.pruner)
        masks = self.next_masks(sparsity, final=final, progress=progress, probe=probe)
        self.hold_(masks)
        warn_of_emptied(masks)
        return masks

    def next_masks(
        self,
        sparsity: float,
        *,
        final: float | None = None,
        progress: float | None = None,
        probe: NetworkProbe | None = None,
    ) -> Masks:
        """The masks that `prune_` would set, the same ones on every rank.

        Args:
            sparsity: In [0, 1).
            final: The sparsity of the last event, if others follow.
            progress: (i-1)/n for event i of n; regrowth alone needs it, from the second on.
            probe: For criteria that need gradients: `probe(loss, batches)`.

        Raises:
            InputError: The pruner cannot reach the sparsity, or needs what is not there.
            PruningError: The weights of the ranks differ.
        """
        check_number("sparsity", sparsity, 0, 1, open_high=True)
        self._follow_module()
        check_same_weights(self.weights)
        masks = self.pruner.prune(
            self.weights,
            self.masks,
            sparsity,
            final=final,
            macs=self.macs,
            probe=probe or self.probe(),
            progress=checked_progress(progress, self.pruner, self.masks),
            protected={
                name: largest_of_slices(self.weights[name], self.masks[name], axis)
                for name, axis in self._normed_axes.items()
            },
        )
        check_slices(masks, self._normed_axes)
        return broadcast_masks(masks, self.weights)

    def probe(
        self,
        loss: Loss | None = None,
        batches: Callable[[], Iterable[Any]] | None = None,
        rng_key: tuple[int | str, ...] = ("probe",),
    ) -> NetworkProbe:
        """A probe of the module, for criteria that need gradients (see `NetworkProbe`)."""
        return NetworkProbe(self.module, loss, batches, self._example, self._accumulator, rng_key)

    def state_dict(self) -> dict[str, Any]:
        """The masks, one bit a weight, with digest and shapes; scores of a criterion that has them.

        Plain values and tensors, which `torch.load(weights_only=True)` reads.
        """
        packed = torch.from_numpy(np.frombuffer(self.masks.pack(), np.uint8).copy())
        shapes = {name: list(weight.shape) for name, weight in self.weights.items()}
        state = {"masks": packed, "digest": self.masks.digest(), "shapes": shapes}
        return state | ({"accumulated": self._accumulator.state} if self._accumulator else {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` returned, and zeroes the pruned weights.

        Raises:
            InputError: It is of another module.
            PruningError: Its masks are damaged.
        """
        if not {"masks", "digest", "shapes"} <= state.keys():
            raise InputError("checkpoint: holds no masks; allowed is what state_dict() returns")
        self._follow_module()
        check_shapes(state["shapes"], self.weights)
        try:
            masks = Masks.unpack(state["masks"].cpu().numpy().tobytes(), self.weights)
        except ValueError as error:
            raise PruningError(f"checkpoint: {error}") from error
        if masks.digest() != state["digest"]:
            raise PruningError("checkpoint: its masks do not match their digest")
        if self._accumulator is not None:
            self._accumulator.state = state.get("accumulated", {})
            self._accumulator.to(self.weights)
        self._set(masks)

    def finalize(self) -> Masks:
        """Checks the zeros, which stay in the module, and lets go of all optimizers."""
        self.check()
        self.detach()
        return self.masks


def prune(
    module: nn.Module,
    sparsity: float,
    pruner: Pruner | None = None,
    targets: Targets = ANY_LAYER,
    *,
    example: Example | None = None,
) -> Masks:
    """Zeroes weights of a module in place; `Sparsifier` also holds the zeros in a training.

        model = torchvision.models.resnet18()
        masks = lightprune.prune(model, 0.9)
        assert masks.pruned == round(0.9 * masks.total)

    The sparsity is the absolute share of zeros afterwards, in [0, 1); everything else is as of
    `Sparsifier`.

    Returns:
        Which weights are kept, by parameter name.

    Raises:
        InputError: There is nothing to prune, or the pruner cannot reach the sparsity.
    """
    return Sparsifier(module, pruner, targets, example=example).prune_(sparsity)
