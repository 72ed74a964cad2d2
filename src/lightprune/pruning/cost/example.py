"""An example of a module's inputs: a tensor, a tuple of tensors, or tensors by argument name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor, nn

from lightprune.errors import InputError, check_kind, first_line

Example = Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]


@dataclass(frozen=True)
class Inputs:
    """The arguments of a call of a module.

    Attributes:
        args: The positional ones.
        kwargs: The others, by name.
    """

    args: tuple[Tensor, ...]
    kwargs: Mapping[str, Tensor]

    @classmethod
    def of(cls, example: object) -> Self:
        """The inputs that an example stands for.

        Raises:
            InputError: It is none.
        """
        kinds, allowed = Tensor | tuple | Mapping, "a tensor, a tuple of tensors, or a dict of them"
        check_kind("example", example, kinds, f"{allowed} by argument name")
        args = example if isinstance(example, tuple) else ()
        kwargs = example if isinstance(example, Mapping) else {}
        for name, value in (*enumerate(args), *kwargs.items()):
            check_kind(f"example[{name}]", value, Tensor, "a tensor")
        return cls((example,) if isinstance(example, Tensor) else args, kwargs)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All of them."""
        return (*self.args, *self.kwargs.values())

    def map(self, function: Callable[[Tensor], Tensor]) -> "Inputs":
        """The results of a function of each."""
        kwargs = {name: function(value) for name, value in self.kwargs.items()}
        return Inputs(tuple(map(function, self.args)), kwargs)

    def first(self) -> "Inputs":
        """The first of a batch: of all tensors whose first dimension is as long as the first's."""
        batch = next((tensor.shape[:1] for tensor in self.tensors), ())
        return self.map(lambda value: value[:1] if batch and value.shape[:1] == batch else value)

    def call(self, module: nn.Module) -> Any:
        """Calls a module.

        Raises:
            InputError: It takes other arguments.
        """
        try:
            return module(*self.args, **self.kwargs)
        except TypeError as error:
            raise InputError(
                f"example: {first_line(error)}; allowed are arguments that {type(module).__name__} "
                "takes"
            ) from error
