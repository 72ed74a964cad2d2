"""Filter pruning: whole channels are removed, which leaves a smaller dense network."""

import copy
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightprune.beginning import load_beginning
from lightprune.errors import InputError, check_choice, check_number
from lightprune.files import write_text, write_weights
from lightprune.pruning.cost import cost_report
from lightprune.run_folder import Json, RunFolder
from lightprune.sparse.load import load_dense
from lightprune.training.narrowed import extents, narrowed

_SCOPES = ("local", "global")
# What a run of the smaller network shares with the run that it comes from.
_SHARED = ("data", "logger", "recipe", "seed", "trainer")


@dataclass(frozen=True)
class Removal:
    """Which channels go.

    Attributes:
        sparsity: The share of the channels that goes at least, below 1.
        scope: `local` removes it from every layer, `global` the least of all layers.
        norm: Channels are ranked by the L1 or the L2 norm of all weights that go with them: the
            filter, its batch norm, and what reads it, in every layer that must share its channels.
        network: `dense`, which the run began with, or `pruned`, which it ended with.
    """

    sparsity: float
    scope: str = "local"
    norm: str = "l1"
    network: str = "dense"

    def __post_init__(self) -> None:
        """Checks every setting."""
        check_number("--sparsity", self.sparsity, 0, 1, open_low=True, open_high=True)
        check_choice("--scope", self.scope, _SCOPES)
        check_choice("--norm", self.norm, ("l1", "l2"))
        check_choice("--network", self.network, ("dense", "pruned"))


def remove_filters(network: nn.Module, example: Tensor, removal: Removal) -> nn.Module:
    """A copy of a network without the channels that matter least; the logits all stay.

    Layers whose channels are added up lose the same ones. Source: Li et al. 2017, "Pruning
    Filters for Efficient ConvNets"; the groups of layers and their ranking are those of Fang et
    al. 2023, "DepGraph: Towards Any Structural Pruning", by the torch-pruning library.

    Args:
        network: In evaluation mode.
        example: An input, shape (1, C, H, W).
        removal: What goes.

    Raises:
        InputError: torch-pruning is not installed, or cannot follow the network.
    """
    if find_spec("torch_pruning") is None:
        raise InputError("torch-pruning: is not installed; pip install -e '.[filters]' adds it")
    import torch_pruning

    smaller = copy.deepcopy(network)
    linear = [layer for layer in smaller.modules() if isinstance(layer, nn.Linear)]
    try:
        torch_pruning.pruner.BasePruner(
            smaller,
            example,
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=int(removal.norm[1])),
            pruning_ratio=removal.sparsity,
            global_pruning=removal.scope == "global",
            ignored_layers=linear[-1:],
        ).step()
        with torch.no_grad():
            smaller(example)
    except Exception as error:  # A library's, on any network at all.
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(
            f"the network's channels cannot be followed ({reason}); allowed are networks of "
            "convolutions, batch norms and linear layers"
        ) from error
    for parameter in smaller.parameters():
        parameter.grad = None
    return smaller


def write_smaller(run: Path, removal: Removal, dense_dir: Path | None) -> list[str]:
    """Writes a run's network without some of its channels, as an option of `model`.

    Args:
        run: The folder of a finished run.
        removal: What goes.
        dense_dir: The cache of dense networks; None takes the run's.

    Returns:
        Lines: what is left, and the command that fine-tunes it.

    Raises:
        InputError: There is no such run, or its network's channels cannot be removed.
    """
    network, described = load_dense(run)
    record = RunFolder(run).record()
    assert record is not None
    if removal.network == "dense":
        load_beginning(network, record, dense_dir)
    example = torch.zeros(1, *described.input_shape)
    try:
        extents(network)
        smaller = remove_filters(network, example, removal)
    except InputError as error:
        raise InputError(f"{run}: {described.constructor}: {error}") from error
    built: dict[str, Any] = {**described.arguments, "channels": extents(smaller)}
    built.setdefault("base", described.constructor)
    _check_same(smaller, narrowed(len(described.classes), **built), example)
    name = f"filters_{removal.network}_{removal.scope}_{100 * removal.sparsity:g}".replace(".", "_")
    folder = run / "filters"
    weights = folder / f"{name}.safetensors"
    left = replace(
        described, constructor=f"{narrowed.__module__}.{narrowed.__name__}", arguments=built
    )
    built = {"_target_": left.constructor, "_partial_": True, **built}
    option = {**record["config"]["model"], "constructor": built}
    write_weights(weights, smaller.state_dict(), {"description": left.to_json()})
    lines = (f"{key}: {json.dumps(value)}\n" for key, value in option.items())
    write_text(folder / "model" / f"{name}.yaml", "".join(lines))
    return [*_costs(network, smaller, example), _command(record, folder, name, weights)]


def _check_same(smaller: nn.Module, built: nn.Module, example: Tensor) -> None:
    """That the constructor's network is the one that was left."""
    built.load_state_dict(smaller.state_dict())
    images = torch.randn(4, *example.shape[1:], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(built.eval()(images), smaller(images))


def _costs(network: nn.Module, smaller: nn.Module, example: Tensor) -> Iterator[str]:
    before, after = (
        cost_report(each, dict(_weights(each)), example) for each in (network, smaller)
    )
    counts = {
        "parameters": (before.parameters, after.parameters),
        "MACs an image": (before.total.macs, after.total.macs),
    }
    for what, (was, left) in counts.items():
        yield f"{what}: {was:,} -> {left:,} ({left / was:.1%})"


def _weights(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            yield f"{name}.weight", layer.weight


def _command(record: Json, folder: Path, name: str, weights: Path) -> str:
    """What fine-tunes the smaller network on the run's data by its recipe."""
    program, *words = shlex.split(record["command"])
    quoted = str(weights).replace("'", r"\'")
    composed = Path(program).name == "train.py" and not {"-m", "--multirun"} & set(words)
    kept = [word for word in words if word.lstrip("+").partition("=")[0].split(".")[0] in _SHARED]
    return shlex.join(
        [
            "python",
            "train.py",
            *(kept if composed else ["..."]),
            f"--config-dir={folder}",
            f"model={name}",
            f"dense.checkpoint='{quoted}'",
            "pruner=none",
        ]
    )
