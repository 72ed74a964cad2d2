"""The error that a user's input raises, and the checks that raise it."""

import difflib
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import UnionType

_LARGEST = 2**63 - 1


class InputError(ValueError):
    """Something the user gave cannot be used; the message is one line that says what is allowed.

        try:
            lightprune.Cubic(sparsity=2)
        except lightprune.InputError as error:
            print(error)

    Commands print it as `error: MESSAGE` and end with status 1.
    """


class Interrupted(KeyboardInterrupt):
    """A signal ended the training; what was saved continues; `status` is the exit status."""

    def __init__(self, status: int) -> None:
        super().__init__("interrupted: the same command continues")
        self.status = status


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, or its type's name if it has no message."""
    return str(error).partition("\n")[0] or type(error).__name__


def first_of(items: Sequence[str], count: int = 10) -> str:
    """Returns the first of some items, separated by commas, and how many more there are."""
    more = len(items) - count
    return ", ".join(items[:count]) + (f", and {more} more" if more > 0 else "")


def nearest(value: object, options: Iterable[str]) -> str:
    """Returns `"; did you mean X?"` for the option most like `value`, or nothing if none is."""
    match = difflib.get_close_matches(str(value), list(options), n=1)
    return f"; did you mean {match[0]}?" if match else ""


def check_choice(name: str, value: object, options: Iterable[str]) -> None:
    """Raises InputError unless `value` is one of `options`."""
    options = list(options)
    if value not in options:
        allowed = ", ".join(options)
        raise InputError(f"{name}={value}: allowed are {allowed}{nearest(value, options)}")


def check_kind(name: str, value: object, kind: type | UnionType, allowed: str) -> None:
    """Raises InputError unless `value` is a `kind`, which `allowed` says in words."""
    if not isinstance(value, kind):
        shown = value if isinstance(value, str | int | float | None) else type(value).__name__
        raise InputError(f"{name}={shown}: allowed is {allowed}")


def split_choices(name: str, text: str, options: Iterable[str]) -> tuple[str, ...]:
    """The options that a comma-separated list names, in the order of `options`.

    Raises:
        InputError: One is none of `options`, or named twice.
    """
    options = list(options)
    named = [part.strip() for part in text.split(",")]
    for part in named:
        check_choice(name, part, options)
    if len(set(named)) < len(named):
        raise InputError(f"{name}={text}: names one twice; allowed are {', '.join(options)}")
    return tuple(option for option in options if option in named)


def check_flag(name: str, value: object) -> None:
    """Raises InputError unless `value` is True or False: any word would count as true."""
    if not isinstance(value, bool):
        raise InputError(f"{name}={value}: allowed are true, false")


def check_names(name: str, value: object) -> None:
    """Raises InputError unless `value` is a list or tuple of names, or of patterns of them."""
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise InputError(f"{name}={value}: allowed is a list of names")


def check_path(name: str, value: object) -> None:
    """Raises InputError unless `value` is text that may be a path."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise InputError(f"{name}={value}: allowed is a path (one of digits in quotes)")


def check_folder(name: str, value: object) -> None:
    """Raises InputError unless `value` is the path of a folder that one can write, or make."""
    check_path(name, value)
    place = Path(str(value)).absolute()
    while not os.path.lexists(place):
        place = place.parent
    reason = None
    if not place.is_dir():
        reason = f"{place} is no folder"
    elif not os.access(place, os.W_OK | os.X_OK):
        reason = f"{place} may not be written to"
    if reason:
        raise InputError(f"{name}={value}: {reason}; allowed is a folder one may write, or make")


def check_number(
    name: str,
    value: object,
    low: float,
    high: float = math.inf,
    *,
    whole: bool = False,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """Raises InputError unless `value` is a number (an integer if `whole`) from `low` to `high`."""
    kinds = int if whole else (int, float)
    if (
        not isinstance(value, kinds)
        or isinstance(value, bool)
        or (isinstance(value, int) and abs(value) > _LARGEST)
        or not math.isfinite(value)
        or not (low < value if open_low else low <= value)
        or not (value < high if open_high else value <= high)
    ):
        interval = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
        if high == math.inf:
            interval = f"{'above' if open_low else 'at least'} {low:g}"
            if isinstance(value, int) and value > _LARGEST:
                interval += f", at most {_LARGEST}"
        raise InputError(
            f"{name}={value}: allowed is {'an integer' if whole else 'a number'} "
            f"{'' if high == math.inf else 'in '}{interval}"
        )
