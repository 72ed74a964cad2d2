"""Weights that stay at zero where masks prune them, in every step of every optimizer."""

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from lightprune.errors import InputError, check_choice, check_kind
from lightprune.pruning.criteria.score_accumulator import ScoreAccumulator
from lightprune.pruning.event_record import PruningError
from lightprune.pruning.masks import BitMasks, Masks
from lightprune.pruning.optimizers.state import (
    POLICIES,
    all_but_regrown,
    has_finite_gradients,
    mask_optimizer,
    moves_pruned,
)


class MaskedWeights:
    """Keeps pruned weights at zero in every step of the optimizers that it is attached to.

    Weights may move to another device or dtype with their module, and others may take their places
    (`load_state_dict(assign=True)`): every method that is called takes the module as it is. A copy,
    or one that was pickled, is attached to no optimizer.

    Attributes:
        module: Has the weights.
        weights: Parameters of it by name.
        masks: Which of their entries are kept.
        accumulates: Whether a criterion that accumulates scores (`Movement`) sees the gradients of
            the next steps.
    """

    def __init__(
        self,
        module: nn.Module,
        weights: Mapping[str, nn.Parameter],
        accumulator: ScoreAccumulator | None = None,
        optimizer_state: str = "mask",
    ) -> None:
        """Nothing is pruned yet; `optimizer_state` is a name in `POLICIES`."""
        check_choice("optimizer_state", optimizer_state, POLICIES)
        self.module = module
        self.weights = weights
        self.masks = Masks.dense(weights)
        self.accumulates = True
        self._accumulator = accumulator
        if accumulator is not None:
            accumulator.to(weights)
        self._optimizer_state = optimizer_state
        self._bit_masks: BitMasks | None = None  # None while no weight is pruned.
        self._forget_optimizers()

    def _forget_optimizers(self) -> None:
        self._handles: WeakKeyDictionary[Optimizer, list[RemovableHandle]] = WeakKeyDictionary()
        # Whether an optimizer leaves zeros with masked gradients at zero; until something changes.
        self._keeps_zeros: WeakKeyDictionary[Optimizer, bool] = WeakKeyDictionary()
        # Those whose gradients have been accumulated before the step to come.
        self._accumulated: WeakSet[Optimizer] = WeakSet()
        # How often the weights had been written to after the last step of any, and where they were.
        self._versions: dict[str, tuple[int, int]] = {}

    def __repr__(self) -> str:
        masks = self.masks
        return (
            f"{type(self).__name__}({masks.pruned:,} of {masks.total:,} weights pruned, "
            f"in {len(masks)} tensor{'s' * (len(masks) != 1)})"
        )

    def __getstate__(self) -> dict[str, Any]:
        of_this_training = ("_handles", "_keeps_zeros", "_accumulated", "_versions")
        return {name: value for name, value in vars(self).items() if name not in of_this_training}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget_optimizers()

    @property
    def sparsity(self) -> float:
        """The share of the weights that are zero now, 0..1, pruned or not."""
        self._follow_module()
        zeros = sum(int((weight == 0).sum()) for weight in self.weights.values())
        return zeros / self.masks.total

    def attach(self, optimizer: Optimizer) -> None:
        """Adds an optimizer; one that is there already stays."""
        check_kind("optimizer", optimizer, Optimizer, "a torch.optim.Optimizer")
        if optimizer not in self._handles:
            self._follow_module()
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
        self._follow_module()
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
        # Where a gradient has overflowed, a GradScaler leaves the step out.
        if self._accumulator is not None and self.accumulates and has_finite_gradients(optimizer):
            # Fused optimizers get gradients as a GradScaler has scaled them.
            self._accumulator.update_(weights, getattr(optimizer, "grad_scale", None))
        self._accumulated.add(optimizer)
        self._mask_gradients(weights)

    def check(self) -> None:
        """Raises PruningError if a pruned weight is not exactly zero; names it and how many."""
        self._follow_module()
        for name, count in self.masks.violations(self.weights).items():
            raise PruningError(
                f"{count} pruned weights of {name} are not zero; every step of an attached "
                "optimizer begins and ends with them at zero, so a callback, a hook, another "
                "optimizer or the network itself changed them since"
            )

    def _set(self, masks: Masks) -> None:
        masks.apply_({name: weight.detach() for name, weight in self.weights.items()})
        self.masks = masks
        self._bit_masks = BitMasks(masks) if masks.pruned else None
        self._keeps_zeros.clear()

    def _follow_module(self) -> None:
        parameters = dict(self.module.named_parameters(remove_duplicate=False))
        for name, weight in self.weights.items():
            shape = parameters[name].shape if name in parameters else "none"
            if shape != weight.shape:
                raise InputError(
                    f"module: its parameter {name} was of shape {tuple(weight.shape)} and is "
                    f"{shape if shape == 'none' else tuple(shape)} now; allowed is a Sparsifier "
                    "that is made after such changes"
                )
        self.weights = {name: parameters[name] for name in self.weights}
        if any(self.masks[name].device != w.device for name, w in self.weights.items()):
            self.masks = self.masks.like(self.weights)
            if self._accumulator is not None:
                self._accumulator.to(self.weights)

    def _weights_of(self, optimizer: Optimizer) -> dict[str, nn.Parameter]:
        # Looked up at every step: parameter groups may be added while training.
        held = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
        return {name: weight for name, weight in self.weights.items() if id(weight) in held}

    def _before_step(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if not callable(closure):
            self._before_update(optimizer)
            return None

        def masked_closure() -> Any:
            loss = closure()
            self._before_update(optimizer)
            return loss

        if "closure" in kwargs:
            return args, {**kwargs, "closure": masked_closure}
        return (args[0], masked_closure, *args[2:]), kwargs

    def _before_update(self, optimizer: Optimizer) -> None:
        weights = self._weights_of(optimizer)
        if optimizer in self._accumulated:
            # Masked already, but for what a later backward pass has added.
            self._mask_gradients(weights)
        else:
            self.mask_gradients_(optimizer)
        self._accumulated.discard(optimizer)
        if self._bit_masks is not None:
            # Others may have written to the weights since the last step, as load_state_dict does.
            versions = self._versions
            written = {n: w.detach() for n, w in weights.items() if versions.get(n) != _version(w)}
            self._bit_masks.apply_(written)

    def _mask_gradients(self, weights: Mapping[str, nn.Parameter]) -> None:
        if self._bit_masks is not None:
            gradients = {n: w.grad for n, w in weights.items() if w.grad is not None}
            # What a sparse gradient (nn.Embedding) moves, the end of the step takes back.
            strided = {n: g for n, g in gradients.items() if g.layout is torch.strided}
            self._bit_masks.apply_(strided)

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self._bit_masks is None:
            return
        weights = self._weights_of(optimizer)
        if optimizer not in self._keeps_zeros:
            self._keeps_zeros[optimizer] = not moves_pruned(optimizer, weights, self.masks)
        is_sparse = any(w.grad is not None and w.grad.is_sparse for w in weights.values())
        if is_sparse or not self._keeps_zeros[optimizer]:
            self._bit_masks.apply_({name: weight.detach() for name, weight in weights.items()})
        self._versions |= {name: _version(weight) for name, weight in weights.items()}

    def _after_loading(self, optimizer: Optimizer) -> None:
        self._keeps_zeros.pop(optimizer, None)


def _version(weight: nn.Parameter) -> tuple[int, int]:
    """Another after every write, but for those into `weight.data`, which torch does not count."""
    return weight._version, weight.data_ptr()
