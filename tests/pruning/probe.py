"""A Probe of a plain network, its batches and its loss: what criteria ask, by autograd alone."""

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lightprune.pruning.masks import Masks


@dataclass
class PlainProbe:
    """Answers by copies of the network, in evaluation mode; counts how often it was asked.

    Attributes:
        network: The network whose parameters the masks name.
        batches: Its (inputs, targets), in the order in which they are taken.
        image: The shape of the one image that the flow takes.
        evidence: What a CollectingCriterion has collected.
    """

    network: nn.Module
    batches: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    image: tuple[int, ...] = (1,)
    evidence: dict[str, Tensor] = field(default_factory=dict)
    asked: int = 0

    def summed(self, score, batches, masks):
        self.asked += 1
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

    def flow(self, masks):
        self.asked += 1
        network = pruned_copy(self.network, masks).double()
        with torch.no_grad():
            for value in network.state_dict().values():
                value.abs_()
        weights = parameters(network, masks)
        with torch.enable_grad():
            total = network(torch.ones(1, *self.image, dtype=torch.float64)).sum()
            gradients = torch.autograd.grad(total, list(weights.values()))
        return dict(zip(weights, gradients, strict=True))

    def collected(self):
        return self.evidence


def parameters(network: nn.Module, masks: Masks) -> dict[str, nn.Parameter]:
    """The masked parameters of a network, in the order of the masks."""
    named = dict(network.named_parameters())
    return {name: named[name] for name in masks}


def pruned_copy(network: nn.Module, masks: Masks) -> nn.Module:
    """A copy in evaluation mode with what is pruned at zero."""
    network = copy.deepcopy(network).eval()
    masks.apply_({name: w.detach() for name, w in parameters(network, masks).items()})
    return network
