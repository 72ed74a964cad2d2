"""Filter pruning: whole channels are removed, which leaves a smaller dense network."""

import copy
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightprune.errors import InputError, check_choice, check_number, first_line
from lightprune.export.load import load_dense
from lightprune.files import checksum, write_text, write_weights
from lightprune.models.from_spec import registered_constructor
from lightprune.models.slim import SLIM_NETWORK, channel_counts, slim_network
from lightprune.pruning.cost.cost_report import cost_report
from lightprune.pruning.targets import Targets
from lightprune.runs.command_line import split_command
from lightprune.runs.folder import RunFolder
from lightprune.runs.initial_weights import load_initial_weights
from lightprune.runs.record import RunRecord

_SCOPES = ("local", "global")
_LAYERS = Targets(types=("Conv2d", "Linear"))
_FOLLOWED = (
    "allowed are networks of convolutions, batch norms and linear layers, the last of them linear, "
    "whose shortcuts have weights or nothing to change (shortcut=B)"
)
# What a run of the smaller network shares with the run that it comes from, and what it does not;
# whatever else the command says may decide on either.
_SHARED = ("data", "logger", "recipe", "seed", "trainer")
_OWN = ("dense", "force", "hydra", "model", "name", "plan_only", "pruner", "schedule")


@dataclass(frozen=True)
class ChannelPruning:
    """Which channels go.

    Attributes:
        sparsity: The share of the channels that goes, between 0 and 1.
        scope: `local` removes it from every layer; `global` ranks all layers' channels together,
            and leaves a layer whole that would lose its last one: fewer may go than `sparsity`.
        norm: `l1` or `l2`, of the weights of a channel in each layer that has it.
        network: `dense`, which the run began with, or `pruned`, which it ended with.
    """

    sparsity: float
    scope: str = "local"
    norm: str = "l1"
    network: str = "dense"

    def __post_init__(self) -> None:
        check_number("--sparsity", self.sparsity, 0, 1, open_low=True, open_high=True)
        check_choice("--scope", self.scope, _SCOPES)
        check_choice("--norm", self.norm, ("l1", "l2"))
        check_choice("--network", self.network, ("dense", "pruned"))


def prune_channels(network: nn.Module, example: Tensor, settings: ChannelPruning) -> nn.Module:
    """A copy of a network without the channels that matter least; the logits all stay.

    The network is in evaluation mode; `example` is an input of it, shape (1, C, H, W).

    Layers whose channels are added up lose the same ones. Source: Li et al. 2017, "Pruning
    Filters for Efficient ConvNets"; the groups of layers and their ranking are those of Fang et
    al. 2023, "DepGraph: Towards Any Structural Pruning", by the torch-pruning library.

    Raises:
        InputError: torch-pruning is not installed, it cannot follow the network, or a layer would
            be left without channels.
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
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=int(settings.norm[1])),
            pruning_ratio=settings.sparsity,
            global_pruning=settings.scope == "global",
            ignored_layers=linear[-1:],
        ).step()
        with torch.no_grad():
            fits = smaller(example).shape == network(example).shape
    except Exception as error:  # A library's, on any network at all.
        message = f"its channels cannot be followed ({first_line(error)}); {_FOLLOWED}"
        raise InputError(message) from error
    if not fits:
        raise InputError(f"its logits would be fewer; {_FOLLOWED}")
    _check_removed(network, smaller, settings)
    for parameter in smaller.parameters():
        parameter.grad = None
    return smaller


def write_pruned_channels(run: Path, settings: ChannelPruning, dense_dir: Path | None) -> list[str]:
    """Writes a run's network without some of its channels, as an option of `model`.

    Returns:
        Lines: what is left, and the command that fine-tunes it.

    Raises:
        InputError: There is no such run, or its network's channels cannot be removed.
    """
    folder = RunFolder(run)
    record = folder.finished()
    with folder.reading_config():
        model = record.config["model"]
        constructor = model["constructor"]["_target_"]
    _check_named(run, constructor)
    network, described = load_dense(run)
    if settings.network == "dense":
        load_initial_weights(network, record, dense_dir)
        source = record.dense.weights_sha256
    else:
        source = checksum(folder.model_file)
    example = torch.zeros(1, *described.input_shape)
    try:
        channel_counts(network)
        smaller = prune_channels(network, example, settings)
    except InputError as error:
        raise InputError(f"{run}: {constructor}: {error}") from error
    built: dict[str, Any] = {**described.arguments, "channels": channel_counts(smaller)}
    built.setdefault("base", constructor)
    _check_same(smaller, slim_network(len(described.classes), **built), example)
    spec = replace(described, constructor=SLIM_NETWORK, arguments=built)
    share = f"{100 * settings.sparsity:g}".replace(".", "_")
    name = f"filters_{settings.scope}_{settings.norm}_{share}_{source[:8]}"
    filters = run / "filters"
    weights = filters / f"{name}.safetensors"
    write_weights(weights, smaller.state_dict(), {"description": spec.to_json()})
    option = {**model, "constructor": {"_target_": SLIM_NETWORK, "_partial_": True, **built}}
    lines = (f"{key}: {json.dumps(value)}\n" for key, value in option.items())
    write_text(filters / "model" / f"{name}.yaml", "".join(lines))
    return [*_costs(network, smaller, example), _command(record, filters, name, weights)]


def _check_named(run: Path, constructor: str) -> None:
    try:
        registered_constructor(constructor)
    except InputError as error:
        raise InputError(
            f"{run}: {constructor}: is a custom constructor, which would have to be imported "
            "because a file says so; allowed are torchvision.models and lightprune.models.zoo"
        ) from error


def _check_removed(network: nn.Module, smaller: nn.Module, settings: ChannelPruning) -> None:
    """That channels were removed as configured: a layer that would lose all of them stays whole."""
    pairs = {
        name: (layer.out_channels, pruned.out_channels)
        for (name, layer), pruned in zip(network.named_modules(), smaller.modules(), strict=True)
        if isinstance(layer, nn.Conv2d) and isinstance(pruned, nn.Conv2d)
    }
    if settings.scope == "local":
        for name, (whole, remaining) in pairs.items():
            if remaining > (1 - settings.sparsity) * whole:
                raise InputError(
                    f"--sparsity={settings.sparsity:g}: would leave {name} none of its {whole} "
                    f"channels; allowed are at most {1 - 1 / whole:g}"
                )
    elif all(whole == remaining for whole, remaining in pairs.values()):
        raise InputError(
            f"--sparsity={settings.sparsity:g}: would remove no channel, or all of a layer; "
            "allowed is what some layers can lose"
        )


def _check_same(smaller: nn.Module, built: nn.Module, example: Tensor) -> None:
    images = torch.randn(4, *example.shape[1:], generator=torch.Generator().manual_seed(0))
    try:
        built.load_state_dict(smaller.state_dict())
        with torch.no_grad():
            torch.testing.assert_close(built.eval()(images), smaller(images))
    except (AssertionError, RuntimeError) as error:
        reason = first_line(error)
        raise InputError(f"numbers of channels do not tell it ({reason}); {_FOLLOWED}") from error


def _costs(network: nn.Module, smaller: nn.Module, example: Tensor) -> Iterator[str]:
    def counts(network: nn.Module) -> tuple[int, int, int | None]:
        layers = (layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
        cost = cost_report(network, _LAYERS.find(network), example)
        return sum(layer.out_channels for layer in layers), cost.parameters, cost.total.macs

    names = ("channels", "parameters", "MACs an image")
    for name, full, pruned in zip(names, counts(network), counts(smaller), strict=True):
        if full is None or pruned is None:
            yield f"{name}: unknown"
        else:
            yield f"{name}: {full:,} -> {pruned:,} ({pruned / full:.1%})"


def _command(record: RunRecord, folder: Path, name: str, weights: Path) -> str:
    program, words = split_command(record.command)
    keys = {word: re.split(r"[./@=]", word.lstrip("+"))[0] for word in words or ()}
    composed = words is not None and {*keys.values()} <= {*_SHARED, *_OWN}
    shared = [word for word, key in keys.items() if key in _SHARED and _is_read(word, record)]
    quoted = str(weights).replace("'", r"\'")
    # By an experiment, or as one of a sweep: which data and recipe, the words do not tell.
    shared = shared if composed else ["..."]
    network = [f"--config-dir={folder}", f"model={name}", f"dense.checkpoint='{quoted}'"]
    # With a teacher, the network that has just lost its channels would be its own.
    taught = record.config["recipe"]["finetune"].get("distillation", {}).get("weight")
    untaught = ["recipe.finetune.distillation.weight=0"] if taught else []
    return shlex.join([*program, *shared, *network, "pruner=none", *untaught])


def _is_read(word: str, record: RunRecord) -> bool:
    """Whether fine-tuning from a file, without pruning, reads the setting; else it is refused."""
    key = word.lstrip("+").partition("=")[0]
    if key in ("recipe.finetune.optimizer_state", "recipe.finetune.recalibrate"):
        return False
    rate = record.config["recipe"]["finetune"]["learning_rate"]
    if rate.get("peak") == "auto" or rate.get("shape") == "rewind":
        key = re.sub(r"^recipe\.dense\.(epochs|learning_rate)", "", key)
    return not key.startswith(("recipe.dense.", "recipe.finetune.distillation."))
