"""The state of a criterion that accumulates scores over training steps."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lightprune.pruning.criteria import Criterion
from lightprune.pruning.masks import Masks


class ScoreAccumulator:
    """`state`: float32 by name, on its parameter's device, in its layout; first all zeros."""

    def __init__(self, criterion: Criterion) -> None:
        self.state: dict[str, Tensor] = {}
        self._criterion = criterion

    def to(self, weights: Mapping[str, Tensor]) -> None:
        """Moves the state to the devices and layouts of `weights`; adds zeros for new ones."""
        self.state = {
            name: torch.zeros_like(weight, dtype=torch.float32, requires_grad=False).copy_(
                self.state.get(name, torch.zeros(()))
            )
            for name, weight in weights.items()
        }

    @torch.no_grad()
    def update_(self, weights: Mapping[str, nn.Parameter], scale: Tensor | None = None) -> None:
        """Adds one step: weights before it, and their dense gradients, `scale` times too large."""
        for name, weight in weights.items():
            if weight.grad is not None:
                gradient = weight.grad if scale is None else weight.grad / scale
                self._criterion.update_(self.state[name], weight.detach(), gradient)

    def reset_(self, staying: Masks) -> None:
        """Zeroes the state of the weights that are not `staying`."""
        staying.apply_(self.state)
