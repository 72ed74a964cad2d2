"""What a network is besides its weights: its constructor, its input, its classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

# What an argument of a constructor may be: nothing that would have to be imported or called.
Plain = None | bool | int | float | str
# Keys of a constructor's config that are no arguments, and those that fetch other weights.
NO_ARGUMENTS = ("_target_", "_partial_", "_convert_", "_recursive_", "num_classes", "weights")
_LARGEST_SIZE = 2**16


@dataclass(frozen=True)
class ModelSpec:
    """How a network is built, and what it is fed.

    Attributes:
        constructor: The dotted name of what builds it, called with `num_classes` if the classes
            are known.
        arguments: Its other arguments: plain values, or lists and mappings of them.
        input_shape: (C, H, W) of an image.
        mean: Subtracted from pixels scaled to 0..1, one a channel; then `std` divides. Both are
            empty if they are unknown.
        classes: Their names, in the order of the logits; empty if they are unknown.

    Raises:
        ValueError: A value is not allowed; the message names the field.
    """

    constructor: str
    arguments: Mapping[str, Any]
    input_shape: tuple[int, int, int]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in self.arguments.items():
            plain = _is_plain(value)
            size = name == "num_classes" and not self.classes
            _check(f"arguments.{name}", plain and (size or name not in NO_ARGUMENTS))
        _check("input_shape", all(0 < n <= _LARGEST_SIZE for n in self.input_shape))
        for field, values in (("mean", self.mean), ("std", self.std)):
            finite = all(abs(v) < _LARGEST_SIZE for v in values)
            channels = self.input_shape[0] if self.classes else 0
            _check(field, finite and len(values) == channels)
        _check("std", min(self.std, default=1) > 0)

    def to_json(self) -> str:
        """One line of JSON."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> "ModelSpec":
        """Reads what `to_json` wrote.

        Raises:
            ValueError: The text is something else; the message names the field.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError) as error:
            raise ValueError(f"its description: {error}") from error


def _is_plain(value: Any) -> bool:
    """Whether nothing in it would have to be imported or called."""
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        names = (isinstance(key, str) and key not in NO_ARGUMENTS for key in value)
        return all(names) and all(map(_is_plain, value.values()))
    return isinstance(value, Plain)


def _check(field: str, allowed: bool) -> None:
    if not allowed:
        raise ValueError(f"{field} of the description is not allowed")
