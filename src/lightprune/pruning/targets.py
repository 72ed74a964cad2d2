"""Which parameters of a network are prunable, by layer type and name pattern."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn

from lightprune.errors import InputError, nearest

# All in one, or one each where they read features of different sizes.
_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


def matches(parameter: str, pattern: str) -> bool:
    """Whether a shell-style `pattern` names a parameter, or the layer that holds it.

    `layer4.*`, `fc` and `fc.weight` all match `fc.weight` or its likes.
    """
    layer = parameter.rpartition(".")[0]
    return fnmatchcase(parameter, pattern) or fnmatchcase(layer, pattern)


@dataclass(frozen=True)
class Targets:
    """Chooses the prunable weights of a network.

    Attributes:
        types: Names of the `torch.nn` layer types whose weights may be pruned (`weights_of`).
        include: Patterns (see `matches`) of which a weight must match at least one.
        exclude: Patterns of which a weight must match none.
    """

    types: tuple[str, ...] = ("Conv2d",)
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in ("types", "include", "exclude"):
            value = getattr(self, field)
            if not isinstance(value, list | tuple) or not all(isinstance(n, str) for n in value):
                raise InputError(f"pruner.targets.{field}={value}: allowed is a list of names")
            object.__setattr__(self, field, tuple(value))
        for name in self.types:
            kind = getattr(nn, name, None)
            if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
                layer_types = [
                    n
                    for n, k in vars(nn).items()
                    if isinstance(k, type) and issubclass(k, nn.Module)
                ]
                raise InputError(
                    f"pruner.targets.types={name}: allowed are layer types of torch.nn"
                    f"{nearest(name, layer_types)}"
                )

    def find(self, network: nn.Module) -> dict[str, nn.Parameter]:
        """Lists the prunable weights in the network's order, each tensor once.

        Frozen parameters are left out: nothing would retrain around their zeros. A tensor that
        several layers share appears under its first name; patterns may go by any of its names.

        Returns:
            `{parameter name: parameter}`.

        Raises:
            InputError: A pattern matches nothing, or there is nothing to prune.
        """
        named = self._named(network)
        for field in ("include", "exclude"):
            for pattern in getattr(self, field):
                check_pattern(f"pruner.targets.{field}", pattern, named)
        included, excluded = (
            {id(w) for n, w in named.items() if any(matches(n, p) for p in patterns)}
            for patterns in (self.include, self.exclude)
        )
        first = {id(weight): name for name, weight in reversed(named.items())}
        targets = {
            name: weight
            for name, weight in named.items()
            if first[id(weight)] == name and id(weight) in included - excluded
        }
        if not targets:
            raise InputError(
                f"pruner.targets.types={list(self.types)}: the network has no prunable weight "
                "of these types and patterns; allowed are types it contains"
            )
        return targets

    def _named(self, network: nn.Module) -> dict[str, nn.Parameter]:
        """Every trainable weight of these layer types, under each of its names."""
        kinds = tuple(getattr(nn, name) for name in self.types)
        return {
            f"{layer}.{name}" if layer else name: weight
            for layer, module in network.named_modules(remove_duplicate=False)
            if isinstance(module, kinds)
            for name, weight in weights_of(module).items()
            if weight.requires_grad
        }


def weights_of(layer: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of a layer that multiply its input, by their names in it.

    `weight`; of nn.MultiheadAttention the projections of query, key and value. Its output
    projection is a separate linear layer.
    """
    names = _PROJECTIONS if isinstance(layer, nn.MultiheadAttention) else ("weight",)
    weights = {name: getattr(layer, name, None) for name in names}
    return {n: weight for n, weight in weights.items() if isinstance(weight, nn.Parameter)}


def check_pattern(
    setting: str, pattern: str, weights: dict[str, torch.Tensor] | dict[str, nn.Parameter]
) -> None:
    """Raises InputError if `pattern` matches none of `weights` (`*` may match nothing)."""
    if pattern != "*" and not any(matches(name, pattern) for name in weights):
        layers = [name.rpartition(".")[0] for name in weights]
        raise InputError(
            f"{setting}={pattern}: matches no prunable weight; allowed are layers such as "
            f"{', '.join(layers[:3])}{nearest(pattern, layers)}"
        )
