"""Which folder a run or a sweep has, by its resolved config."""

import os
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from lightprune.experiment.config import resolved_identity
from lightprune.files import checksum
from lightprune.launch.overrides import swept_values
from lightprune.runs.folder import RunFolder
from lightprune.runs.folder_name import folder_name, run_words
from lightprune.runs.identity import (
    NO_REALS,
    REAL_NUMBERS,
    config_hash,
    identity_of,
    is_result_neutral,
    swept_keys,
)

# Digits of a config's hash in a name; more where another config's run has that name.
_DIGITS = (4, 8, 16)
_SWEEPS = Path("outputs/sweeps")
# Where the sweeps of earlier versions are that nobody named.
_OLD_SWEEP = _SWEEPS / "default"


def run_name(parent: str, root: DictConfig) -> str:
    """The name of a run's folder in `parent` by its composed config, however that was typed.

    It is such as `resnet18_cifar10_global_98_one_shot-s0-3dec`. In a sweep, values that change no
    result are part of it where the jobs differ in them.
    """
    config = _resolved(root)
    if config is None:
        return "refused"  # What is wrong is said once the config is checked; the folder goes then.
    identity = resolved_identity(config)
    digest = config_hash(identity)
    swept = filter(is_result_neutral, swept_keys())
    varied = {key: str(OmegaConf.select(root, key)) for key in swept}
    if not {*varied} - {"dense.checkpoint"} and (old := _old_folder(Path(parent), digest, config)):
        return old
    endings = [f"s{config.get('seed')}", *([config_hash(varied)[-8:]] if varied else [])]
    # Earlier versions hashed numbers as they were typed.
    digests = (digest, config_hash(identity, NO_REALS))
    names, earlier = (
        [folder_name(_words(config), *endings, each[-digits:]) for digits in _DIGITS]
        for each in digests
    )
    for name in dict.fromkeys((*names, *earlier)):
        if digest in saved_hashes(Path(parent, name)):
            return name
    return next((name for name in names if not saved_hashes(Path(parent, name))), names[-1])


def sweep_name(root: DictConfig) -> str:
    """The name of a sweep's folder by its composed config: what its jobs differ in, and a hash.

    Hydra gives the jobs the cache of the sweep's own config, which alone tells the name.
    """
    names = OmegaConf.get_cache(root)["sweep_name"]
    if not names:
        swept = swept_values(root.hydra.overrides.task)
        swept |= dict(OmegaConf.select(root, "hydra.sweeper.params") or {})
        about = {"config": identity_of(_resolved(root) or {}), "swept": swept}
        words = " ".join(key.replace("/", ".").rpartition(".")[2] for key in sorted(swept))
        name, earlier = (
            folder_name(words or "sweep", config_hash(about, reals)[-4:])
            for reals in (REAL_NUMBERS, NO_REALS)
        )
        kept = not (_SWEEPS / name).exists() and (_SWEEPS / earlier).exists()
        names[""] = earlier if kept else name
    return str(names[""])


def without_hydra(config: DictConfig) -> DictConfig:
    """A composed config without Hydra's own settings."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def saved_hashes(folder: Path) -> tuple[str, ...]:
    """The hashes of the configs that make the run in a folder; none if it holds no run.

    These are the config that is saved, and the same with its validation left to the data, which
    then tell the number of images.
    """
    return _saved(folder)[0]


def _resolved(root: DictConfig) -> dict[Any, Any] | None:
    """The config as plain values; None if it has none."""
    try:
        resolved = OmegaConf.to_container(without_hydra(root), resolve=True)
    except OmegaConfBaseException:
        return None
    assert isinstance(resolved, dict)
    return resolved


def _words(config: dict[Any, Any]) -> str:
    try:
        return run_words(config)
    except (KeyError, TypeError, ValueError, AttributeError):  # Wrong, or no part of this package.
        return "run"


def _saved(folder: Path) -> tuple[tuple[str, ...], str | None]:
    """The hashes of a run folder (`saved_hashes`), and that of given weights; None for none."""
    try:
        config = OmegaConf.to_container(OmegaConf.load(RunFolder(folder).config_file))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        return (), None
    if not isinstance(config, dict):
        return (), None
    config.pop("fingerprint", None)
    weights = config.pop("dense_weights", None)
    hashes = [config_hash(identity_of(config))]
    if isinstance(config.get("data"), dict):
        config["data"]["validation"] = None
        hashes.append(config_hash(identity_of(config)))
    return tuple(hashes), weights


def _old_folder(parent: Path, digest: str, config: dict[Any, Any]) -> str | None:
    """The path from `parent` to a run of this config that an earlier version named."""
    checkpoint = (config.get("dense") or {}).get("checkpoint")
    unnamed = parent.parent == _SWEEPS and not config.get("name")
    for place in (parent, _OLD_SWEEP) if unnamed else (parent,):
        for name, (saved, weights) in _old_runs(place.absolute()).items():
            given = "dense.checkpoint=" in name
            same = weights == _checksum(checkpoint) if checkpoint else not given
            if digest in saved and same:
                return os.path.relpath(place / name, parent)
    return None


@cache
def _old_runs(parent: Path) -> dict[str, tuple[tuple[str, ...], str | None]]:
    """The runs in a folder that earlier versions named by overrides, finished ones first."""
    folders = [path for path in parent.glob("*") if "=" in path.name or path.name == "default"]
    folders.sort(key=lambda path: (not RunFolder(path).record_file.exists(), path.name))
    return {path.name: _saved(path) for path in folders}


def _checksum(checkpoint: str) -> str | None:
    try:
        return checksum(Path(checkpoint))
    except (OSError, TypeError, ValueError):
        return None
