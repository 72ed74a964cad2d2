"""The operations of a traced network, one type each, with shape inference."""

from collections.abc import Sequence
from math import prod
from typing import Annotated

import msgspec

Shape = tuple[int, int, int]
Pair = tuple[int, int]
Padding = tuple[Pair, Pair]
# A larger number in a file is damage, and would ask for more memory than there is.
_LARGEST_WINDOW = 2**12
LARGEST_STRIDE = 2**6


class Op(msgspec.Struct, frozen=True, tag_field="op", tag=True, forbid_unknown_fields=True):
    """One operation, named by the value that it computes; in JSON, "op" holds its type.

    Every value is one map per image, (C, H, W); flat vectors of C features are (C, 1, 1).

    Attributes:
        name: The name of its value, unique in the graph.
        inputs: The names of the values it reads, in order.
    """

    name: str
    inputs: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]

    def shape(self, *shapes: Shape) -> Shape:
        """Infers its value's shape from those of its inputs: here it is that of the only one.

        Raises:
            ValueError: The inputs do not fit; says what of them.
        """
        (shape,) = shapes
        return shape

    def tensors(self) -> dict[str, str]:
        """The names in the state dict of the tensors it uses, by their role: weight, bias, ..."""
        roles = ("weight", "bias", "mean", "variance")
        return {role: name for role in roles if (name := getattr(self, role, None)) is not None}


class Conv(Op, frozen=True):
    """A 2-D convolution with zero padding.

    Attributes:
        weight: Name of the tensor of shape (channels, C / groups, kh, kw) in the state dict.
        bias: Name of the tensor of shape (channels,), or None.
        padding: ((top, bottom), (left, right)); the other pairs are (rows, columns).
    """

    weight: str
    bias: str | None
    channels: int
    kernel: Pair
    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int

    def shape(self, *shapes: Shape) -> Shape:
        """(channels, H', W')."""
        ((c, *size),) = shapes
        if min(self.groups, self.channels) < 1 or c % self.groups or self.channels % self.groups:
            raise ValueError(f"{c} channels to {self.channels} in {self.groups} groups")
        fitting = windows(size, self.kernel, self.stride, self.padding, self.dilation)
        return (self.channels, *fitting)


class ConvTranspose(Op, frozen=True):
    """A transposed convolution: every pixel is multiplied with the kernel, and the products added.

    Attributes:
        weight: Name of the tensor of shape (C, channels / groups, kh, kw) in the state dict.
        bias: Name of the tensor of shape (channels,), or None.
        padding: Rows and columns that are cut off at each side; all pairs are (rows, columns).
        output_padding: Those more at the bottom and right.
    """

    weight: str
    bias: str | None
    channels: int
    kernel: Pair
    stride: Pair
    padding: Pair
    output_padding: Pair
    groups: int

    def shape(self, *shapes: Shape) -> Shape:
        """(channels, H', W')."""
        ((c, *size),) = shapes
        # The convolution whose transpose it is, from the value to the input.
        pads = zip(self.padding, self.output_padding, strict=True)
        pairs = zip(size, self.kernel, self.stride, pads, strict=True)
        rows, columns = (n * s - s - 2 * pad + k + more for n, k, s, (pad, more) in pairs)
        reverse = Conv(
            *(self.name, self.inputs, self.weight, None, c, self.kernel, self.stride),
            padding=((self.padding[0],) * 2, (self.padding[1],) * 2),
            dilation=(1, 1),
            groups=self.groups,
        )
        if reverse.shape((self.channels, rows, columns)) != shapes[0]:
            raise ValueError(f"a map of {size} with output padding {self.output_padding}")
        return (self.channels, rows, columns)


class FullyConnected(Op, frozen=True, tag="Linear"):
    """A fully connected layer on a flat value.

    Attributes:
        weight: Name of the tensor of shape (features, C) in the state dict.
        bias: Name of the tensor of shape (features,), or None.
    """

    weight: str
    bias: str | None
    features: int

    def shape(self, *shapes: Shape) -> Shape:
        """(features, 1, 1)."""
        ((_, *size),) = shapes
        if size != [1, 1] or self.features < 1:
            raise ValueError(f"a map of {size} to {self.features} features")
        return (self.features, 1, 1)


class BatchNorm(Op, frozen=True):
    """Batch norm with running statistics: (x - mean) / sqrt(variance + eps) * weight + bias.

    Attributes:
        weight: Name of the scale in the state dict, shape (C,), or None for 1.
        bias: Name of the shift, shape (C,), or None for 0.
        mean: Name of the running mean, shape (C,), as that of the variance.
    """

    weight: str | None
    bias: str | None
    mean: str
    variance: str
    eps: float

    def shape(self, *shapes: Shape) -> Shape:
        """That of its input."""
        if not 0 <= self.eps < 1e6:
            raise ValueError(f"eps={self.eps}")
        return super().shape(*shapes)


class Flatten(Op, frozen=True):
    """A map as a flat vector, channel by channel."""

    def shape(self, *shapes: Shape) -> Shape:
        """(C * H * W, 1, 1)."""
        (shape,) = shapes
        return (prod(shape), 1, 1)


class Concat(Op, frozen=True):
    """Values of one height and width, concatenated along the channels."""

    def shape(self, *shapes: Shape) -> Shape:
        """(sum of C, H, W)."""
        first, *rest = shapes
        if any(other[1:] != first[1:] for other in rest):
            raise ValueError(f"shapes {shapes} cannot be concatenated along the channels")
        return (sum(shape[0] for shape in shapes), *first[1:])


def windows(
    size: Sequence[int], kernel: Pair, stride: Pair, padding: Sequence[Pair], dilation: Pair
) -> Pair:
    """How many windows fit, by rows and columns; ValueError if none does, or a number is wrong."""
    sizes = (*kernel, *stride, *dilation)
    pads = (*padding[0], *padding[1])
    valid = min(sizes) >= 1 and min(pads) >= 0 and max(*sizes, *pads) <= _LARGEST_WINDOW
    if not valid or max(stride) > LARGEST_STRIDE:
        numbers = f"kernel {kernel}, stride {stride}, padding {padding}, dilation {dilation}"
        raise ValueError(numbers)
    rows, columns = (
        (n + sum(around) - d * (k - 1) - 1) // s + 1
        for n, k, s, around, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    if min(rows, columns) < 1:
        raise ValueError(f"a map of {tuple(size)} is smaller than the kernel {kernel}")
    return rows, columns
