"""What a network is besides its weights: its constructor, its input, its classes."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# What an argument of a constructor may be: nothing that would have to be imported or called.
Plain = None | bool | int | float | str
# Settings of a constructor that say how it is called, and those that fetch other weights.
_NO_ARGUMENTS = ("_target_", "_partial_", "_convert_", "_recursive_", "num_classes", "weights")
# CIFAR-10 has one size, which no config states.
_CIFAR10_SIZE = 32
_LARGEST_SIZE = 2**16


@dataclass(frozen=True)
class ModelSpec:
    """How a network is built, and what it is fed.

    Attributes:
        constructor: The dotted name of what builds it, called with `num_classes`.
        arguments: Its other arguments: plain values, or lists of them.
        input_shape: (C, H, W) of an image.
        mean: Subtracted from pixels scaled to 0..1, one a channel.
        std: Divided by after that, one a channel.
        classes: The names of the classes, in the order of the logits.
    """

    constructor: str
    arguments: Mapping[str, Plain | list[Plain]]
    input_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises ValueError for anything that is not what the fields say."""
        _check("constructor", isinstance(self.constructor, str))
        _check("arguments", isinstance(self.arguments, Mapping))
        for name, value in self.arguments.items():
            values = value if isinstance(value, list) else [value]
            plain = all(isinstance(v, Plain) for v in values)
            _check(f"arguments.{name}", plain and name not in _NO_ARGUMENTS)
        sizes = all(type(n) is int and 0 < n <= _LARGEST_SIZE for n in self.input_shape)
        _check("input_shape", sizes and len(self.input_shape) == 3)
        for field in ("mean", "std"):
            values = getattr(self, field)
            numbers = all(type(v) in (int, float) and abs(v) < _LARGEST_SIZE for v in values)
            _check(field, numbers and len(values) == self.input_shape[0])
        _check("std", min(self.std) > 0)
        _check("classes", all(isinstance(name, str) for name in self.classes))

    @classmethod
    def of_run(cls, record: Mapping[str, Any]) -> "ModelSpec":
        """Reads it from the record of a finished run.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: The record does not hold it.
        """
        config = record["config"]
        built, data = config["model"]["constructor"], config["data"]
        size = data.get("size", _CIFAR10_SIZE)
        return cls(
            constructor=built["_target_"],
            arguments={name: v for name, v in built.items() if name not in _NO_ARGUMENTS},
            input_shape=(len(data["mean"]), size, size),
            mean=tuple(data["mean"]),
            std=tuple(data["std"]),
            classes=tuple(record["data"]["classes"]),
        )

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ModelSpec":
        """Reads what `to_json` wrote.

        Raises:
            ValueError: The text is something else.
        """
        try:
            found: Any = json.loads(text)
            tuples = {
                name: tuple(found[name]) for name in ("input_shape", "mean", "std", "classes")
            }
            return cls(**{**found, **tuples})
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"its description is none: {type(error).__name__} {error}") from error


def _check(field: str, right: bool) -> None:
    if not right:
        raise ValueError(f"{field} of its description is not what it should be")
