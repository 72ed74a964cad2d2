"""Operations that pool: the maximum or the mean of windows."""

from lightprune.sparse.ir.ops import Op, Pair, Shape, windows


class _Pool(Op, frozen=True, omit_defaults=True):
    """Pooling with windows of `kernel` every `stride`; all are (rows, columns)."""

    kernel: Pair
    stride: Pair
    padding: Pair

    def _shape(self, shape: Shape, dilation: Pair, ceil_mode: bool) -> Shape:
        """(C, H', W'); every window has a tap on the map."""
        channels, *size = shape
        if any(2 * p > k for p, k in zip(self.padding, self.kernel, strict=True)):
            raise ValueError(
                f"padding {self.padding} is more than half of the kernel {self.kernel}"
            )
        padding = tuple((pad, pad) for pad in self.padding)
        out = windows(size, self.kernel, self.stride, padding, dilation)
        axes = zip(size, out, self.kernel, self.stride, self.padding, dilation, strict=True)
        counts = []
        for n, count, kernel, stride, pad, step in axes:
            reach = (count - 1) * stride + (kernel - 1) * step + 1
            count += ceil_mode and reach < n + 2 * pad and count * stride < n + pad
            counts.append(count)
            taps = range(-pad, (kernel - 1) * step + 1 - pad, step)
            starts = range(0, count * stride, stride) if step > 1 else ()
            if not all(any(0 <= start + tap < n for tap in taps) for start in starts):
                raise ValueError(f"a map of {tuple(size)} lies between the taps of a window")
        return (channels, counts[0], counts[1])


class MaxPool(_Pool, frozen=True, omit_defaults=True):
    """Max pooling; padding never wins.

    Attributes:
        ceil_mode: Whether a last window may reach beyond the padding, if it begins before that.
        dilation: From one row, or column, of a window to the next.
    """

    ceil_mode: bool = False
    dilation: Pair = (1, 1)

    def shape(self, *shapes: Shape) -> Shape:
        """(C, H', W')."""
        (shape,) = shapes
        return self._shape(shape, self.dilation, self.ceil_mode)


class AvgPool(_Pool, frozen=True, omit_defaults=True):
    """Average pooling.

    Attributes:
        count_include_pad: Whether padding counts in the divisor.
        ceil_mode: As of `MaxPool`; what is beyond the padding never counts.
    """

    count_include_pad: bool
    ceil_mode: bool = False

    def shape(self, *shapes: Shape) -> Shape:
        """(C, H', W')."""
        (shape,) = shapes
        return self._shape(shape, (1, 1), self.ceil_mode)


class AdaptiveAvgPool(Op, frozen=True):
    """Average pooling to a size that does not divide the map's: windows of uneven extent.

    Attributes:
        size: (rows, columns) of the result; row i averages rows floor(i * H / rows) up to
            ceil((i + 1) * H / rows) of the input.
    """

    size: Pair

    def shape(self, *shapes: Shape) -> Shape:
        """(C, rows, columns)."""
        ((c, _, _),) = shapes
        return (c, *self.size)
