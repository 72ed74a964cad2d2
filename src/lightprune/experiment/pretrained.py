"""The weights that a run is given: a file of your own, or torchvision's by `weights=`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from torch import Tensor
from torchvision.models import get_model_weights

from lightprune.errors import InputError, check_choice, first_line, first_of, nearest
from lightprune.files import checksum
from lightprune.pruning.masks import Masks
from lightprune.pruning.targets import matches
from lightprune.runs.weights_file import read_weights_file
from lightprune.training.setup import Setup

# Packages whose networks have the layer names of torchvision's, and so can take its weights.
_PACKAGES = ("torchvision", "lightprune")


@dataclass(frozen=True)
class WeightsFile:
    """Where given weights are.

    Attributes:
        setting: That names them, with its value.
        url: Where to get the file if it is not there; None for a file of the user's.
        prefix: Of the network's names in it (`read_weights_file`).
    """

    setting: str
    path: Path
    url: str | None = None
    prefix: str | None = None


@dataclass(frozen=True)
class Pretrained:
    """Given weights, in the form of a network's state dict.

    Attributes:
        sha256: Of the file.
        state: Every entry of the network's state dict, in its dtype.
        fresh: The names of those that were not taken from the file.
        outside: Entries of the file beside the network's, which nothing reads.
        trained_first: Whether `dense.fresh` asks for a dense training that starts from them, be it
            by entries of the file alone.
    """

    file: WeightsFile
    sha256: str
    state: Mapping[str, Tensor]
    fresh: tuple[str, ...]
    outside: tuple[str, ...]
    trained_first: bool

    def zeros(self, weights: Mapping[str, Tensor]) -> Masks:
        """Masks of some of the weights that prune what the file gives as zero."""
        kept = {name: self.state[name] != 0 for name in weights}
        fresh = {name: torch.ones_like(mask) for name, mask in kept.items() if name in self.fresh}
        return Masks({**kept, **fresh})


def given_weights(
    checkpoint: str | None, model: Mapping[str, Any], prefix: str | None = None
) -> tuple[WeightsFile | None, Mapping[str, Any]]:
    """Where a config's given weights are, and its model without `constructor.weights`.

    A network of torchvision would load the weights each time that it is built, and only with its
    own number of classes. Other constructors get `weights` as any other argument.

    Raises:
        InputError: torchvision has no such weights, or both are given.
    """
    file = None
    if checkpoint:
        file = WeightsFile(f"dense.checkpoint={checkpoint}", Path(checkpoint), prefix=prefix)
    constructor = model.get("constructor")
    if not isinstance(constructor, Mapping) or "weights" not in constructor:
        return file, model
    target, name = str(constructor.get("_target_")), constructor["weights"]
    rest = {key: value for key, value in constructor.items() if key != "weights"}
    bare = {**model, "constructor": rest}
    if name is None:
        return file, bare
    if target.partition(".")[0] not in _PACKAGES:
        return file, model
    setting = f"model.constructor.weights={name}"
    if file is not None:
        raise InputError(f"{setting} with {file.setting}: allowed is one of them")
    return _published(setting, target.rpartition(".")[2], str(name)), bare


def _published(setting: str, network: str, name: str) -> WeightsFile:
    """Torchvision's weights of a network, which may be one of ours after one of torchvision's."""
    try:
        published = get_model_weights(network.removesuffix("_cifar"))
    except ValueError as error:
        raise InputError(
            f"{setting}: torchvision has none of {network}; allowed is dense.checkpoint=FILE"
        ) from error
    name = name.removeprefix(f"{published.__name__}.")
    check_choice(setting.partition("=")[0], name, published.__members__)
    url = published[name].url
    file = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
    return WeightsFile(setting, file, url)


def load_pretrained(setup: Setup, file: WeightsFile, fresh: Sequence[str] = ()) -> Pretrained:
    """Reads given weights, fetched if they are not there, and checks that they fit the network.

    Entries that a pattern of `fresh` matches (see `matches`) stay as the network draws them.

    Raises:
        InputError: The file cannot be fetched or read without running code, it does not fit the
            network, or a pattern matches nothing.
    """
    if file.url is not None and not file.path.exists():
        _fetch(file.setting, file.url, file.path)
    drawn = setup.new_network().state_dict()
    given, outside = read_weights_file(
        file.path, drawn.keys(), file.setting, file.prefix, "dense.prefix"
    )
    for pattern in fresh:
        if not any(matches(name, pattern) for name in [*drawn, *given]):
            layers = list(dict.fromkeys(name.rpartition(".")[0] or name for name in drawn))
            raise InputError(
                f"dense.fresh={pattern}: matches nothing in the network or in {file.path}; "
                f"allowed are layers such as {', '.join(layers[-3:])}{nearest(pattern, layers)}"
            )
    given = {n: t for n, t in given.items() if not any(matches(n, p) for p in fresh)}
    anew = tuple(name for name in drawn if any(matches(name, p) for p in fresh))
    expected = {name: value for name, value in drawn.items() if name not in anew}
    # Files of early torch versions lack these, and torch itself reads them so.
    counters = {n: v for n, v in expected.items() if n.endswith(".num_batches_tracked")}
    given = {**counters, **given}
    _check_shapes(file.setting, given, expected)
    for name, value in given.items():
        _check_values(file.setting, name, value, expected[name])
    taken = {name: value.to(expected[name].dtype) for name, value in given.items()}
    state = {name: taken.get(name, value) for name, value in drawn.items()}
    return Pretrained(file, checksum(file.path), state, anew, outside, bool(fresh))


def _fetch(setting: str, url: str, path: Path) -> None:
    prefix = path.stem.rpartition("-")[2]  # As torchvision names its files.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix, progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise InputError(
            f"{setting}: {url} cannot be fetched ({first_line(error)}); allowed is a connection "
            f"to it, or the file as {path}"
        ) from error


def _check_shapes(
    setting: str, given: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> None:
    shapes = ({n: tuple(t.shape) for n, t in side.items()} for side in (given, expected))
    theirs, ours = (dict(side) for side in shapes)
    differing = [n for n in {**expected, **given} if theirs.get(n) != ours.get(n)]
    if not differing:
        return
    name, *others = differing
    near = nearest(name, [n for n in given if n not in expected]) if name not in given else ""
    also = f" (and {first_of(others, 3)})" if others else ""
    layers = list(dict.fromkeys(f"{n.rpartition('.')[0]}.*" for n in differing if "." in n))
    patterns = ",".join(layers) if 0 < len(layers) <= 3 else "PATTERN,..."
    raise InputError(
        f"{setting}: is of another network: {name} is {theirs.get(name, 'missing')} there and "
        f"{ours.get(name, 'missing')} here{also}{near}; allowed are this network's weights, or "
        f"dense.fresh=[{patterns}], which takes none of these from the file, and trains"
    )


def _check_values(setting: str, name: str, actual: Tensor, expected: Tensor) -> None:
    if actual.is_floating_point() != expected.is_floating_point():
        raise InputError(
            f"{setting}: {name} is of {actual.dtype} there and {expected.dtype} here; allowed are "
            "weights of the network's dtype"
        )
    if not actual.to(expected.dtype).isfinite().all():
        raise InputError(
            f"{setting}: {name} holds NaN or infinite weights; allowed are finite ones"
        )
