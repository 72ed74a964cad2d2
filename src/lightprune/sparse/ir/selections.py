"""Operations that select channels, rows and columns, or move them."""

from lightprune.sparse.ir.ops import LARGEST_STRIDE, Op, Shape


class SelectChannels(Op, frozen=True):
    """Some channels in some order: a slice, or a shuffle.

    Attributes:
        channels: The input's channel that each of its value's is; -1 for zeros.
    """

    channels: tuple[int, ...]

    def shape(self, *shapes: Shape) -> Shape:
        """(len(channels), H, W)."""
        ((c, h, w),) = shapes
        if not self.channels or min(self.channels) < -1 or max(self.channels) >= c:
            raise ValueError(f"channels {self.channels} of {c}")
        return (len(self.channels), h, w)


class SelectPixels(Op, frozen=True):
    """Some rows and columns in some order: cropped, padded, or enlarged by repeating them.

    Attributes:
        rows: The input's row that each of its value's is; -1 for zeros.
        columns: As rows.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def shape(self, *shapes: Shape) -> Shape:
        """(C, len(rows), len(columns))."""
        ((c, *size),) = shapes
        for numbers, extent in zip((self.rows, self.columns), size, strict=True):
            if not numbers or min(numbers) < -1 or max(numbers) >= extent:
                raise ValueError(f"rows or columns {numbers} of {extent}")
        return (c, len(self.rows), len(self.columns))


class PixelShuffle(Op, frozen=True):
    """Channels as pixels: factor * factor channels become blocks of pixels of one channel."""

    factor: int

    def shape(self, *shapes: Shape) -> Shape:
        """(C / factor^2, H * factor, W * factor)."""
        ((c, h, w),) = shapes
        if not 1 <= self.factor <= LARGEST_STRIDE or c % self.factor**2:
            raise ValueError(f"{c} channels by a factor of {self.factor}")
        return (c // self.factor**2, h * self.factor, w * self.factor)
