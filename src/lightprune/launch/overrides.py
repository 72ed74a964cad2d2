"""Overrides as they are typed: home folders, quotes, options of groups, what a sweep varies."""

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException

from lightprune.errors import InputError
from lightprune.runs.identity import SWEPT

CONFIGS = Path(__file__).parents[1] / "configs"
# A home folder where a value, or an alternative of a sweep, begins; up to the next comma.
_HOME = re.compile(r"""(?<=[=,])(?P<quote>["']?)~(?=[/,"']|$)(?P<rest>[^,"']*)(?P=quote)""")


def expand_home(word: str) -> str:
    """Replaces `~` where a value of an override, or of an option, begins with it.

    No shell does that behind `=`, and Hydra's grammar has no `~`.
    """
    key, equal, value = word.partition("=")
    if key.startswith("-"):
        return f"{key}{equal}{os.path.expanduser(value)}"

    def path(match: re.Match[str]) -> str:
        home = os.path.expanduser("~") + match["rest"]
        return home if not match["quote"] and parse(f"{key}={home}") else _quoted(home)

    return _HOME.sub(path, word) if equal else word


def parse(override: str) -> Override | None:
    """Parses an override by Hydra's grammar; None if it does not fit."""
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:
        return None


def quoted_override(override: str) -> str | None:
    """The override with its value in the quotes it lacks; None if that is not what is wrong."""
    key, _, value = override.partition("=")
    if not value or value[0] in "\"'[{" or "${" in value:
        return None
    quoted = f"{key}={_quoted(value)}"
    return quoted if parse(quoted) else None


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '\\"') + '"'


def is_group(key: str) -> bool:
    """Whether a key, with `/` or `.` between its parts, is that of a group of options."""
    return (CONFIGS / key.replace(".", "/")).is_dir()


def check_group_options(overrides: Sequence[str]) -> None:
    """Raises InputError for `pruner.criterion=taylor`: a value where an option was meant."""
    for text in overrides:
        key, _, value = text.lstrip("+").partition("=")
        named = all(name.isidentifier() for name in value.split(",")) and value.lower() != "null"
        if "." in key and is_group(key) and named:
            group = key.replace(".", "/")
            raise InputError(f"{key}={value}: names an option; allowed is {group}={value}")


def swept_values(overrides: Iterable[str]) -> dict[str, list[str]]:
    """What a command sweeps over: the values of each key, sorted, or the range they come from."""
    values = {}
    for override in map(parse, overrides):
        # Hydra reports what cannot be parsed.
        if override and override.is_sweep_override():
            listed = override.is_discrete_sweep() and not isinstance(override.value(), Glob)
            key = override.get_key_element().lstrip("+")
            values[key] = (
                sorted(override.sweep_string_iterator())
                if listed
                else [override.get_value_string()]
            )
    return values


def note_swept_keys(overrides: Sequence[str], *, multirun: bool) -> None:
    """Tells this process and the jobs that it starts which keys are swept over, if any are."""
    os.environ[SWEPT] = json.dumps(list(swept_values(overrides if multirun else ())))
