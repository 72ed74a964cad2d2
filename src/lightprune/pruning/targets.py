"""Which parameters of a network are prunable, by layer type and name pattern."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lightprune.errors import InputError, check_names, first_of, nearest
from lightprune.pruning.parametrized_weights import layer_tensors, original_of

# What `*` stands for.
LAYER_TYPES = (
    *("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"),
    *("Linear", "Bilinear", "Embedding", "EmbeddingBag", "MultiheadAttention"),
    *("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"),
)
# A list may name these for networks of every kind, as the options of pruner/targets do.
_GENERAL = ("*", "Conv2d", "Linear", "MultiheadAttention")
# Matrices of attention (one for all projections, or one each where they read features of different
# sizes) and of recurrent layers and cells.
_OTHER_WEIGHTS = re.compile(
    r"in_proj_weight|[qkv]_proj_weight|weight_(ih|hh|hr)(_l\d+(_reverse)?)?"
)
FROZEN = "frozen"
COMPUTED = "computed from other parameters whose zeros are not its zeros"
REMOVE = ", and after torch.nn.utils.prune those of which prune.remove has made parameters"


def matches(parameter: str, pattern: str) -> bool:
    """Whether a shell-style `pattern` names a parameter, or the layer that holds it.

    `layer4.*`, `fc` and `fc.weight` all match `fc.weight` or its likes.
    """
    layer = parameter.rpartition(".")[0]
    return fnmatchcase(parameter, pattern) or fnmatchcase(layer, pattern)


@dataclass(frozen=True)
class LeftDense:
    """Layers of prunable types, by name, whose weights cannot be pruned; their number; why."""

    reason: str
    layers: tuple[str, ...]
    weights: int


@dataclass(frozen=True)
class Targets:
    """Chooses the prunable weights of a network.

        targets = lightprune.Targets(types=("Conv2d", "Linear"), exclude=("conv1.*",))
        names = list(targets.find(torchvision.models.resnet18()))
        assert "fc.weight" in names and "conv1.weight" not in names

    Attributes:
        types: Names of the `torch.nn` layer types whose weights may be pruned (`weights_of`); `*`
            stands for all of `LAYER_TYPES`, as far as the network has them.
        include: Patterns (see `matches`) of which a weight must match at least one.
        exclude: Patterns of which a weight must match none.
    """

    types: tuple[str, ...] = ("Conv2d",)
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in ("types", "include", "exclude"):
            value = getattr(self, field)
            check_names(f"targets.{field}", value)
            object.__setattr__(self, field, tuple(value))
        for name in self.types:
            kind = nn.Module if name == "*" else getattr(nn, name, None)
            if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
                layer_types = [
                    n
                    for n, k in vars(nn).items()
                    if isinstance(k, type) and issubclass(k, nn.Module)
                ]
                raise InputError(
                    f"targets.types={name}: allowed are layer types of torch.nn"
                    f"{nearest(name, layer_types)}"
                )

    def find(self, network: nn.Module) -> dict[str, nn.Parameter]:
        """Lists the prunable weights in the network's order, each tensor once.

        Frozen parameters are left out: nothing would retrain around their zeros. A tensor that
        several layers share appears under its first name; patterns may go by any of its names.
        In the place of a weight that a parametrization computes (`weight_norm`, `spectral_norm`)
        stands the parameter whose zeros are the weight's, if there is one.

        Returns:
            `{parameter name: parameter}`.

        Raises:
            InputError: A pattern matches nothing, a type contributes nothing, or there is nothing
                to prune.
        """
        candidates = self._candidates(network)
        weights = {n: w for n, w in candidates.items() if _why_dense(w) is None}
        for field in ("include", "exclude"):
            for pattern in getattr(self, field):
                # A pattern may name what is left dense in any case.
                if not any(matches(name, pattern) for name in candidates):
                    check_pattern(f"targets.{field}", pattern, weights)
        targets = {n: w for n, w in self._match(weights).items() if isinstance(w, nn.Parameter)}
        if weights:
            self._check_types(network)
        if not targets:
            why = "; ".join(
                f"{first_of(group.layers, 3)}: {group.reason}" for group in self.left_dense(network)
            )
            raise InputError(
                f"targets.types={list(self.types)}: the network has no prunable weight of these "
                f"types and patterns{f' ({why})' if why else ''}; allowed are types it contains"
                f"{REMOVE if COMPUTED in why else ''}"
            )
        return targets

    def left_dense(self, network: nn.Module) -> tuple[LeftDense, ...]:
        """Weights that types and patterns ask for and `find` leaves out, by the reason."""
        groups: dict[str, dict[str, Tensor]] = {}
        for name, weight in self._match(self._candidates(network)).items():
            if reason := _why_dense(weight):
                groups.setdefault(reason, {})[name] = weight
        return tuple(
            LeftDense(
                reason,
                tuple(dict.fromkeys(_layer_of(name) for name in weights)),
                sum(weight.numel() for weight in weights.values()),
            )
            for reason, weights in groups.items()
        )

    def missing_types(self, network: nn.Module) -> tuple[str, ...]:
        """The types of which the network has no layer with a weight."""
        return tuple(
            name
            for name in self.types
            if name != "*" and not any(True for _ in _of_type(network, [name]))
        )

    def _candidates(self, network: nn.Module) -> dict[str, Tensor]:
        candidates = dict(_of_type(network, self.types))
        for name, weight in candidates.items():
            if is_lazy(weight):
                raise InputError(
                    f"module: {name} has no shape yet; allowed is a module that was called once"
                )
        return candidates

    def _match(self, named: dict[str, Tensor]) -> dict[str, Tensor]:
        """Those that the patterns choose, each tensor once, under its first name."""
        included, excluded = (
            {id(w) for n, w in named.items() if any(matches(n, p) for p in patterns)}
            for patterns in (self.include, self.exclude)
        )
        first = {id(weight): name for name, weight in reversed(named.items())}
        return {
            name: weight
            for name, weight in named.items()
            if first[id(weight)] == name and id(weight) in included - excluded
        }

    def _check_types(self, network: nn.Module) -> None:
        for name in self.types:
            weights = dict(_of_type(network, [name]))
            reasons = dict.fromkeys(_why_dense(weight) for weight in weights.values())
            if name in _GENERAL or None in reasons:
                continue
            kind = getattr(nn, name)
            layers = sum(isinstance(module, kind) for module in network.modules())
            why = " and ".join(reason for reason in reasons if reason)
            fault = f"is {why}" if why else "has no parameter named weight"
            raise InputError(
                f"targets.types={name}: contributes no prunable weight: "
                + (
                    f"each of its {layers} layers {fault}"
                    if layers
                    else "the network has no such layer"
                )
                + "; allowed are types that contribute"
            )


ANY_LAYER = Targets(types=("*",))


def _of_type(network: nn.Module, types: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
    """Every weight of layer types, under each of its names."""
    expanded = [kind for name in types for kind in (LAYER_TYPES if name == "*" else (name,))]
    kinds = tuple(getattr(nn, name) for name in expanded)
    # Once a layer: what is computed is another tensor every time.
    tensors = {m: list(_tensors_of(m)) for m in network.modules() if isinstance(m, kinds)}
    for layer, module in network.named_modules(remove_duplicate=False):
        for name, weight in tensors.get(module, ()):
            yield f"{layer}.{name}" if layer else name, weight


def _why_dense(weight: Tensor) -> str | None:
    if not isinstance(weight, nn.Parameter):
        return COMPUTED
    return None if weight.requires_grad else FROZEN


def _layer_of(parameter: str) -> str:
    return parameter.rpartition(".")[0] or parameter


def weights_of(layer: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of a layer that multiply its input, by their names in it.

    `weight`; of nn.MultiheadAttention the projections of query, key and value; the matrices of
    recurrent layers. The output projection of attention is a separate linear layer.
    """
    return {n: w for n, w in _tensors_of(layer) if isinstance(w, nn.Parameter)}


def _tensors_of(layer: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """As `weights_of`, with weights that are computed.

    A parameter whose zeros are a computed weight's stands in its place, under its own name first.
    """
    for name, weight in layer_tensors(layer):
        if name != "weight" and not _OTHER_WEIGHTS.fullmatch(name):
            continue
        if original := original_of(layer, name):
            yield original.name, original.parameter
            weight = original.parameter
        yield name, weight


def check_pattern(setting: str, pattern: str, weights: Mapping[str, Tensor]) -> None:
    """Raises InputError if `pattern` matches none of `weights` (`*` may match nothing)."""
    if pattern != "*" and not any(matches(name, pattern) for name in weights):
        layers = [name.rpartition(".")[0] for name in weights]
        raise InputError(
            f"{setting}={pattern}: matches no prunable weight; allowed are layers such as "
            f"{', '.join(layers[:3])}{nearest(pattern, layers)}"
        )
