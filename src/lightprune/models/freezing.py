"""Freezes parameters by name: they do not train, and so they are not pruned."""

from collections.abc import Iterable

from torch import nn

from lightprune.errors import InputError, nearest
from lightprune.pruning.targets import matches


def freeze_(network: nn.Module, patterns: Iterable[str]) -> None:
    """Sets `requires_grad` to False for the parameters that some pattern (see `matches`) names.

    Batch norms of frozen layers go on estimating their statistics in training mode: those are
    buffers, and follow the data.

    Raises:
        InputError: A pattern matches no parameter.
    """
    parameters = dict(network.named_parameters(remove_duplicate=False))
    for pattern in patterns:
        matching = [name for name in parameters if matches(name, pattern)]
        if not matching:
            layers = list(dict.fromkeys(name.rpartition(".")[0] or name for name in parameters))
            raise InputError(
                f"recipe.finetune.freeze={pattern}: matches no parameter; allowed are layers such "
                f"as {', '.join(layers[:3])}{nearest(pattern, layers)}"
            )
        for name in matching:
            parameters[name].requires_grad_(False)
