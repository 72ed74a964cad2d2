"""One line for every error: what is wrong, its value, what is allowed, and where it was raised."""

import re
import shlex
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb
from typing import Any

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError

from lightprune.errors import InputError, first_line, nearest
from lightprune.experiment.renamed_settings import RENAMED_KEYS, renamed_option
from lightprune.launch.overrides import is_group, quoted_override

_PATH_ERRORS = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
# What other programs call a setting that has another name here.
_SYNONYMS = {"lr": "peak", "learning_rate": "peak", "amp": "precision", "gpus": "devices"}
# Group -> an option that its plugin adds, and how to get it.
_PLUGINS = {
    "hydra/launcher": ("joblib", "pip install '.[sweeps]' joblib and slurm"),
    "hydra/sweeper": ("optuna", "pip install '.[search]' optuna and search"),
}
# Code that is not the user's own: Python's and this package, and what is installed anywhere.
_NOT_THE_USERS = (
    *(Path(sysconfig.get_paths()[kind]).resolve() for kind in ("stdlib", "platstdlib")),
    Path(__file__).resolve().parents[1],
)
_INSTALLED = {"site-packages", "dist-packages"}


def describe_error(error: BaseException) -> str:
    """Returns one line that names what is wrong, its value and what is allowed.

    An error that the user's own code has raised is followed by its place.
    """
    place = _raised_at(error)
    hint = f" (raised at {place}; HYDRA_FULL_ERROR=1 shows the traceback)" if place else ""
    return _message(error) + hint


def _raised_at(error: BaseException) -> str | None:
    """File and line of the innermost code of the user's own that raised an error, or caused it."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, InputError):
        return None
    for frame, line in reversed(list(walk_tb(error.__traceback__))):
        file = Path(frame.f_code.co_filename)
        other = any(map(file.resolve().is_relative_to, _NOT_THE_USERS))
        other |= not _INSTALLED.isdisjoint(file.parts)
        if file.is_file() and not other and frame.f_globals.get("__name__") != "__main__":
            return f"{file}:{line}"
    return None


def _message(error: BaseException) -> str:
    if isinstance(error, MissingConfigException):
        return _unknown_option(error)
    if isinstance(error, OverrideParseException):
        return _no_override(error)
    cause = error.__cause__ if isinstance(error, HydraException) else error
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return _unknown_key(cause)
    if isinstance(cause, OmegaConfBaseException):
        reason = first_line(cause)
        return f"{cause.full_key}: {reason}" if cause.full_key else reason
    message = re.sub(r"\s*\n\s*", " ", str(error)).strip() or type(error).__name__
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        return f"{error.problem_mark.name}: is damaged ({message}); allowed is intact YAML"
    if isinstance(error, _PATH_ERRORS) and error.filename:
        return f"{error.filename}: {error.strerror}; allowed is a path one may read and write"
    if message.startswith(("provider=", "Additional config directory")):
        return f"{message}; allowed is a folder (hydra.searchpath=[file://DIR], --config-dir=DIR)"
    if isinstance(error, ConfigCompositionException):
        for word in sys.argv[1:]:
            plain = word.lstrip("+")
            if word != plain and is_group(plain.partition("=")[0]):
                return f"{word}: adds to a group, which takes one option; allowed is {plain}"
    if message.startswith("Config group override must be"):  # Hydra does not say which one.
        return (
            f"{message}, in {' '.join(sys.argv[1:])}; allowed is the name of an option (none is "
            "one of callbacks, logger and pruner)"
        )
    return message


def _no_override(error: OverrideParseException) -> str:
    override = error.override
    if "=" not in override:
        return f"{override}: is no override; allowed is KEY=VALUE, such as schedule.sparsity=0.98"
    reason = first_line(error)
    if override in reason:  # Hydra repeats it where it cannot say more.
        reason = "no rule of Hydra's grammar fits"
    quoted = quoted_override(override)
    remedy = f"; allowed is a value in quotes: {shlex.quote(quoted)}" if quoted else ""
    return f"{override}: cannot be read ({reason}){remedy}"


def _unknown_option(error: MissingConfigException) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if not group:
        return first_line(error)
    if new := renamed_option(group, option):
        return f"{group}={option}: has been renamed; allowed is {group}={new}"
    options = [str(o) for o in error.options or ()]
    plugin, more = _PLUGINS.get(group, ("", ""))
    if plugin and plugin not in options:
        return f"{group}={option}: is not installed; allowed are basic, and after {more}"
    return f"{group}={option}: allowed are {', '.join(options)}{nearest(option, options)}"


def _unknown_key(error: OmegaConfBaseException) -> str:
    key = str(error.full_key or error.key)
    if key in RENAMED_KEYS:
        return f"{key}: has been renamed; allowed is {RENAMED_KEYS[key]}"
    parent = error.parent_node
    options = [str(option) for option in parent or () if option != "hydra"]
    name = key.rpartition(".")[2]
    # One point is the parent itself, and each further one leads a level up: to the whole config.
    whole = OmegaConf.select(parent, "." * (key.count(".") + 1))
    by_name: dict[str, list[str]] = {}
    for full_key in _full_keys(whole):
        by_name.setdefault(re.split(r"[./]", full_key)[-1], []).append(full_key)
    for similar in (name, _SYNONYMS.get(name)):
        if similar in by_name:
            return f"{key}: no such key; did you mean {' or '.join(by_name[similar])}?"
    listed = f"are {', '.join(options)}" if options else "is none"
    allowed = f"{key}: no such key; allowed {listed}"
    if near := nearest(name, options):
        return allowed + near
    elsewhere = nearest(name, by_name)
    for similar, full_keys in by_name.items():
        elsewhere = elsewhere.replace(f" {similar}?", f" {' or '.join(full_keys)}?")
    return allowed + elsewhere


def _full_keys(node: Any, parent: str = "") -> Iterator[str]:
    """All keys of a config that one may set, those of groups with `/`."""
    for key in map(str, node) if isinstance(node, DictConfig) else ():
        full_key = f"{parent}.{key}" if parent else key
        # The schedule sets the learning rate that an optimizer is built with.
        if key == "hydra" or key.startswith("_") or full_key.endswith("optimizer.lr"):
            continue
        yield full_key.replace(".", "/") if is_group(full_key) else full_key
        if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
            yield from _full_keys(node[key], full_key)
