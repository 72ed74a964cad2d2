"""The model settings of an experiment: constructor, memory format, live taps, compilation."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lightprune.errors import InputError, check_flag
from lightprune.models.live_tap_conv import use_live_taps


@dataclass(frozen=True)
class Model:
    """How to build a network and to run it.

    Attributes:
        constructor: Called with `num_classes`; anything importable that returns an nn.Module.
        channels_last: Keep images and weights in channels_last memory format: faster.
        live_taps: Compute convolutions on small maps as matrix products that leave padding out,
            and those of one pixel with a stride, too.
    """

    constructor: Callable[..., nn.Module]
    channels_last: bool = True
    live_taps: bool = True
    compile: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.constructor, nn.Module) or not callable(self.constructor):
            is_module = isinstance(self.constructor, nn.Module)
            value = type(self.constructor).__name__ if is_module else self.constructor
            raise InputError(
                f"model.constructor={value}: allowed is what builds a network (_target_ and "
                "_partial_: true)"
            )
        for field in ("channels_last", "live_taps", "compile"):
            check_flag(f"model.{field}", getattr(self, field))

    def build(self, num_classes: int) -> nn.Module:
        """Builds a network with freshly drawn weights.

        Raises:
            InputError: The constructor fails, as one that does not take `num_classes` does.
        """
        try:
            network = self.constructor(num_classes=num_classes)
            if not isinstance(network, nn.Module):
                raise TypeError(f"returns a {type(network).__name__}")
            if any(is_lazy(parameter) for parameter in network.parameters()):
                raise TypeError("has lazy layers, whose weights have no shape yet")
        except InputError as error:  # Raised by this package: it names the argument.
            raise InputError(f"model.constructor.{error}") from error
        except Exception as error:  # The user's own code may raise anything.
            function = getattr(self.constructor, "func", self.constructor)
            raise InputError(
                f"model.constructor={getattr(function, '__name__', function)}: {error}; allowed is "
                "what builds a network for num_classes"
            ) from error
        if self.channels_last:
            to_channels_last(network)
        return use_live_taps(network) if self.live_taps else network

    def to_memory_format(self, images: Tensor) -> Tensor:
        """A batch of images in the memory format of the network."""
        memory_format = torch.channels_last if self.channels_last else torch.contiguous_format
        return images.contiguous(memory_format=memory_format)


def to_channels_last(network: nn.Module) -> nn.Module:
    """Puts a network's four-dimensional weights into channels_last memory format, in place.

    `nn.Module.to` does that to five-dimensional ones too, and fails: they have no such format.
    """
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return network
