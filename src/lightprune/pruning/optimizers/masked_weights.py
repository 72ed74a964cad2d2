"""Weights that stay at zero where masks prune them, in every step of every optimizer."""

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from lightprune.errors import InputError, check_choice
from lightprune.pruning.criteria.score_accumulator import ScoreAccumulator
from lightprune.pruning.event_record import PruningError
from lightprune.pruning.masks import BitMasks, Masks
from lightprune.pruning.optimizers.state import (
    POLICIES,
    all_but_regrown,
    mask_optimizer,
    moves_pruned,
)


class MaskedWeights:
    """Keeps pruned weights at zero in every step of the optimizers that it is attached to.

    Attributes:
        weights: Parameters by name.
        masks: Which of their entries are kept.
        accumulates: Whether a criterion that accumulates scores (`Movement`) sees the gradients of
            the next steps.
    """

    def __init__(
        self,
        weights: Mapping[str, nn.Parameter],
        accumulator: ScoreAccumulator | None = None,
        optimizer_state: str = "mask",
    ) -> None:
        """Nothing is pruned yet; `optimizer_state` is a name in `POLICIES`."""
        check_choice("optimizer_state", optimizer_state, POLICIES)
        self.weights = weights
        self.masks = Masks.dense(weights)
        self.accumulates = True
        self._accumulator = accumulator
        if accumulator is not None:
            accumulator.to(weights)
        self._optimizer_state = optimizer_state
        self._bit_masks: BitMasks | None = None  # None while no weight is pruned.
        self._handles: WeakKeyDictionary[Optimizer, list[RemovableHandle]] = WeakKeyDictionary()
        # Whether an optimizer leaves zeros with masked gradients at zero; until something changes.
        self._keeps_zeros: WeakKeyDictionary[Optimizer, bool] = WeakKeyDictionary()
        # Optimizers whose gradients are masked for the step to come.
        self._masked: set[int] = set()

    @property
    def sparsity(self) -> float:
        """The share of the weights that are zero now, 0..1, pruned or not."""
        zeros = sum(int((weight == 0).sum()) for weight in self.weights.values())
        return zeros / self.masks.total

    def attach(self, optimizer: Optimizer) -> None:
        """Adds an optimizer; one that is there already stays."""
        if not isinstance(optimizer, Optimizer):
            kind = type(optimizer).__name__
            raise InputError(f"optimizer={kind}: allowed is a torch.optim.Optimizer")
        if optimizer not in self._handles:
            self._handles[optimizer] = [
                optimizer.register_step_pre_hook(self._before_step),
                optimizer.register_step_post_hook(self._after_step),
                optimizer.register_load_state_dict_post_hook(self._after_loading),
            ]

    def detach(self) -> None:
        """Lets go of all optimizers."""
        for handles in self._handles.values():
            for handle in handles:
                handle.remove()
        self._handles.clear()

    def hold_(self, masks: Masks, *, optimizer_state: str | None = None) -> None:
        """Prunes by masks, and keeps their pruned weights at zero from now on.

        State of attached optimizers and accumulated scores are pruned as well; of weights that
        come back they start anew. `optimizer_state` takes the place of the constructor's.
        """
        staying = all_but_regrown(self.masks, masks)
        for optimizer in self._handles:
            POLICIES[optimizer_state or self._optimizer_state](optimizer, self.weights, masks)
            mask_optimizer(optimizer, self.weights, staying)
        if self._accumulator is not None:
            self._accumulator.reset_(staying)
        self._set(masks)

    def mask_gradients_(self, optimizer: Optimizer) -> None:
        """Accumulates scores, and zeroes the gradients of pruned weights that `optimizer` holds.

        Its next step would do that by itself; to be called before gradients are clipped, so that
        their norm is that of the kept weights.
        """
        weights = self._weights_of(optimizer)
        if self._accumulator is not None and self.accumulates:
            self._accumulator.update_(weights)
        if self._bit_masks is not None:
            gradients = {n: w.grad for n, w in weights.items() if w.grad is not None}
            # What a sparse gradient (nn.Embedding) moves, the end of the step takes back.
            strided = {n: g for n, g in gradients.items() if g.layout is torch.strided}
            self._bit_masks.apply_(strided)
        self._masked.add(id(optimizer))

    def check(self) -> None:
        """Raises PruningError if a pruned weight is not exactly zero; names it and how many."""
        for name, count in self.masks.violations(self.weights).items():
            raise PruningError(
                f"{count} pruned weights of {name} are not zero; every step of an attached "
                "optimizer ends with them at zero, so a callback, a hook, another optimizer or the "
                "network itself changed them since"
            )

    def _set(self, masks: Masks) -> None:
        masks.apply_({name: weight.detach() for name, weight in self.weights.items()})
        self.masks = masks
        self._bit_masks = BitMasks(masks, self.weights) if masks.pruned else None
        self._keeps_zeros.clear()

    def _weights_of(self, optimizer: Optimizer) -> dict[str, nn.Parameter]:
        # Looked up at every step: parameter groups may be added while training.
        held = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
        return {name: weight for name, weight in self.weights.items() if id(weight) in held}

    def _before_step(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        closure: Callable[[], Any] | None
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None:
            self._mask_gradients_once(optimizer)
            return None

        def masked_closure() -> Any:
            loss = closure()
            self._mask_gradients_once(optimizer)
            return loss

        return args[:1], {**kwargs, "closure": masked_closure}

    def _mask_gradients_once(self, optimizer: Optimizer) -> None:
        if id(optimizer) not in self._masked:
            self.mask_gradients_(optimizer)
        self._masked.discard(id(optimizer))

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self._bit_masks is None:
            return
        weights = self._weights_of(optimizer)
        is_sparse = any(w.grad is not None and w.grad.is_sparse for w in weights.values())
        if is_sparse or not self._keeps_zeros.get(optimizer, False):
            self._bit_masks.apply_({name: weight.detach() for name, weight in weights.items()})
        if optimizer not in self._keeps_zeros:
            self._keeps_zeros[optimizer] = not moves_pruned(optimizer, weights, self.masks)

    def _after_loading(self, optimizer: Optimizer) -> None:
        self._keeps_zeros.pop(optimizer, None)
