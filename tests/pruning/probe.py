"""A Probe of a plain network, its batches and its loss, by autograd alone; scores of one tensor."""

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lightprune.pruning.cost.mac_counts import macs_per_weight
from lightprune.pruning.criteria import Criterion, ScoringContext
from lightprune.pruning.masks import Masks
from lightprune.pruning.reachability import live_masks


@dataclass
class PlainProbe:
    """Computes by copies of the network, in evaluation mode; counts how often it did.

    Attributes:
        network: The network whose parameters the masks name.
        batches: Its (inputs, targets), in the order in which they are taken.
        image: The shape of the one image that the flow takes.
        state: What a criterion has accumulated.
        calls: How often it differentiated the network.
    """

    network: nn.Module
    batches: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    image: tuple[int, ...] = (1,)
    state: dict[str, Tensor] = field(default_factory=dict)
    calls: int = 0

    def gradient_scores(self, score, batches, masks):
        self.calls += 1
        network = pruned_copy(self.network, masks)
        weights = parameters(network, masks)
        sums = {name: torch.zeros(mask.shape) for name, mask in masks.items()}
        for inputs, targets in self.batches[:batches]:
            with torch.enable_grad():
                loss = nn.functional.cross_entropy(network(inputs), targets)
            gradients = torch.autograd.grad(loss, list(weights.values()))
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
                sums[name] += score(weight.detach().float(), gradient.float())
        return sums

    def synaptic_flow(self, masks):
        self.calls += 1
        network = pruned_copy(self.network, masks).double()
        with torch.no_grad():
            for value in network.state_dict().values():
                value.abs_()
        weights = parameters(network, masks)
        with torch.enable_grad():
            total = network(torch.ones(1, *self.image, dtype=torch.float64)).sum()
            gradients = torch.autograd.grad(total, list(weights.values()))
        return dict(zip(weights, gradients, strict=True))

    def accumulated(self):
        return self.state


def live_masks_of(network: nn.Module, weights: dict[str, Tensor], example: Tensor) -> Masks:
    """Masks of the weights that some input of the example's size reaches."""
    return live_masks(weights, macs_per_weight(network, weights, example))


def scores_of(criterion: Criterion, weight: Tensor, macs: Tensor | None = None) -> Tensor:
    """The scores of one tensor, named "a", of which nothing is pruned."""
    weights = {"a": weight}
    context = ScoringContext(Masks.dense(weights), macs=None if macs is None else {"a": macs})
    return criterion.scores(weights, context)["a"]


def parameters(network: nn.Module, masks: Masks) -> dict[str, nn.Parameter]:
    """The masked parameters of a network, in the order of the masks."""
    named = dict(network.named_parameters())
    return {name: named[name] for name in masks}


def pruned_copy(network: nn.Module, masks: Masks) -> nn.Module:
    """A copy in evaluation mode with what is pruned at zero."""
    network = copy.deepcopy(network).eval()
    masks.apply_({name: w.detach() for name, w in parameters(network, masks).items()})
    return network
