"""Checks of what a Sparsifier is given: types, a checkpoint, and what its pruner needs."""

from collections.abc import Mapping

from torch import Tensor

from lightprune.errors import InputError, check_kind, check_number
from lightprune.pruning.cost.example import Example, Inputs
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets


def check_types(pruner: object, targets: object, example: object) -> None:
    """Raises InputError unless they are of the types that a `Sparsifier` takes."""
    check_kind("pruner", pruner, Pruner | None, "a Pruner")
    check_kind("targets", targets, Targets, "a Targets")
    if example is not None:
        Inputs.of(example)


def check_example(pruner: Pruner, example: Example | None) -> None:
    """Raises InputError if the pruner needs an example, and there is none."""
    if example is not None:
        return
    needs, name = pruner.criterion.needs, type(pruner.criterion).__name__
    if "macs" in needs or "synaptic_flow" in needs:
        what = "MACs of every weight" if "macs" in needs else "size of the inputs"
        raise InputError(
            f"pruner.criterion={name}: needs the {what}; allowed is example=, a batch of the "
            "module's inputs, or another criterion"
        )
    if pruner.unreachable == "first":
        raise InputError(
            "pruner.unreachable=first: needs the size of the inputs; allowed is example=, a batch "
            "of the module's inputs, or pruner.unreachable=rank"
        )


def check_shapes(saved: Mapping[str, list[int]], weights: Mapping[str, Tensor]) -> None:
    """Raises InputError unless the shapes in a checkpoint are those of the weights."""
    shapes = {name: list(weight.shape) for name, weight in weights.items()}
    for name in [*shapes, *saved]:
        if shapes.get(name) != saved.get(name):
            raise InputError(
                f"checkpoint: its network is {name}={saved.get(name)}, this run's is "
                f"{name}={shapes.get(name)}; allowed is a checkpoint of the same network"
            )


def check_weights_stay(pruner: Pruner) -> None:
    """Raises InputError if the pruner asks for other weights, which nothing here has."""
    if pruner.weights in ("rewind", "reinitialise"):
        raise InputError(
            f"pruner.weights={pruner.weights}: experiments alone (lightprune train) replace the "
            "kept weights; allowed are keep and shuffle, and load_state_dict after an event"
        )


def checked_progress(progress: float | None, pruner: Pruner, masks: Masks) -> float:
    """How far the events are, 1 if that makes no difference; InputError where it would."""
    if progress is None:
        if pruner.regrowth is not None and masks.pruned:
            raise InputError(
                "progress=None: regrowth fades over the events; allowed is (i-1)/n for event i of "
                "n, as prune_(0.8, progress=1/4)"
            )
        return 1.0
    check_number("progress", progress, 0, 1)
    return progress
