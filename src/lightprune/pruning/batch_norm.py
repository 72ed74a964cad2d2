"""Batch-norm recalibration: running statistics are estimated anew after pruning."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightprune.distributed import all_reduce_mean_
from lightprune.rng import fork_named_rng


def tracked_batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """The batch norms of a network that keep running statistics."""
    return [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    ]


def recalibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Re-estimates the running statistics of every batch norm, in place.

    Pruning changes what every layer sees, and the statistics of the dense network no longer fit:
    most of the accuracy that is lost right after an event is lost by them (Li et al. 2020,
    "EagleEye: Fast Sub-net Evaluation for Efficient Neural Network Pruning", section 3.3).

    Every running mean and variance becomes the plain average of its values over `batches`, and
    over processes where there are several, all of which must call. The network runs in training
    mode without gradients. Weights, the modes of all layers and the global random state stay as
    they were; draws of layers such as dropout depend on their order alone. A network without batch
    norms stays as it is.

    Raises:
        ValueError: There is no batch.
    """
    norms = tracked_batch_norms(network)
    if not norms:
        return
    modes = {module: module.training for module in network.modules()}
    momenta = {norm: norm.momentum for norm in norms}
    count = 0
    try:
        network.train()
        with torch.no_grad(), fork_named_rng("recalibration"):
            for images in batches:
                if count == 0:
                    for norm in norms:
                        norm.reset_running_stats()
                        norm.momentum = None
                network(images)
                count += 1
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum
        for module, training in modes.items():
            module.training = training
    if count == 0:
        raise ValueError("there is no batch to estimate the statistics from")
    for norm in norms:
        for statistic in (norm.running_mean, norm.running_var):
            if statistic is not None:
                all_reduce_mean_(statistic)
