"""Checks of what a Sparsifier is given: types, and what the pruner needs of an example."""

from lightprune.errors import InputError, check_kind
from lightprune.pruning.cost.example import Example, Inputs
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
