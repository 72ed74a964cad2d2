"""The rows of the table of operations: what each column of each kind of operation says."""

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.codegen.constant_pool import ConstantPool
from lightprune.sparse.codegen.copy_plan import channels_in_use, copy_plan, single_channel
from lightprune.sparse.codegen.gather_indices import (
    broadcast_bias,
    pool_indices,
    used_planes,
    used_vectors,
)
from lightprune.sparse.codegen.input_packing import PackedInput
from lightprune.sparse.codegen.memory_plan import Buffer, MemoryPlan
from lightprune.sparse.codegen.shuffles import Shuffles, plan_shuffles
from lightprune.sparse.codegen.weight_packing import PackedWeights
from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.program import ConvStep, FlattenStep, PoolStep
from lightprune.sparse.isa import instruction as c
from lightprune.sparse.isa.instruction import Fields, encode
from lightprune.sparse.isa.register_blocks import LANES, REGISTER_BLOCKS
from lightprune.sparse.kernels.convolution import conv_kernel

# In seconds: what is shared at all, and what is worth as many chunks again.
_WORTH_SHARING, _WORTH_CHUNKS = 3e-6, 60e-6
# Two threads take four of ten each, and the last two one by one.
_CHUNKS, _MOST_CHUNKS = 10, 80
# Seconds a float32 value that an operation other than a convolution writes, about.
_EVERY_VALUE = 0.3e-9


class Emitter:
    """Writes rows for values that are laid out.

    Attributes:
        pool: Keeps what the addresses in the rows lead to.
    """

    def __init__(self, layout: MemoryPlan) -> None:
        """Begins a table for values that lie as `layout` says."""
        self.layout = layout
        self.pool = ConstantPool()
        self._sorted: dict[str, int] = {}

    def _writes(self, value: Buffer, channels: int) -> Fields:
        """The columns that say what is written, and in which shares."""
        costs = np.full(channels, _EVERY_VALUE * value.plane * (value.shape[0] // channels))
        return {**self._computes(value, channels), **self._shares(costs)}

    def _computes(self, value: Buffer, channels: int) -> Fields:
        """The columns that say what is written."""
        _, height, width = value.shape
        return {
            c.OUT: value.origin,
            c.OUT_PLANE: value.plane,
            c.OUT_ROW: value.row,
            c.HEIGHT: height,
            c.WIDTH: width * self.layout.unit,
            c.BEFORE: value.before,
            c.MARGINS: int(any(value.margin)),
            c.CHANNELS: channels,
            c.ADDED: -1,
            c.IN: -1,
        }

    def _reads(self, value: Buffer) -> Fields:
        _, height, width = value.shape
        return {
            c.IN: value.origin,
            c.IN_PLANE: value.plane,
            c.IN_ROW: value.row,
            c.IN_HEIGHT: height,
            c.IN_WIDTH: width * self.layout.unit,
        }

    def _adds(self, value: Buffer) -> Fields:
        return {c.ADDED: value.origin, c.ADDED_PLANE: value.plane, c.ADDED_ROW: value.row}

    def _shares(self, costs: NDArray[np.float64]) -> Fields:
        """Chunks of channels that take about equally long."""
        total = np.concatenate([[0.0], np.cumsum(costs)])
        chunks = 1
        if total[-1] > _WORTH_SHARING:
            worth = _CHUNKS * max(1, int(total[-1] / _WORTH_CHUNKS))
            chunks = min(len(costs), _MOST_CHUNKS, worth)
        bounds = np.searchsorted(total, np.linspace(0, total[-1], chunks + 1)).astype(np.int64)
        bounds[0], bounds[-1] = 0, len(costs)
        return {c.CHUNKS: chunks, c.BOUNDS: self.pool.address(bounds)}

    def multiplies(
        self, step: ConvStep, found: PackedWeights, bias: NDArray[np.float32], start: int
    ) -> Fields:
        """A convolution, with its bias (O,), from one of the `FROM_...`."""
        cut = found.cut
        out, read = self.layout.values[step.value], self.layout.read_by(step)
        residual = self.layout.values[step.residual] if step.residual else out
        stride = cut.grouping.stride
        blocks = [
            (
                piece.block,
                *(piece.row * v.row + piece.column * stride for v in (out, read, residual)),
                REGISTER_BLOCKS[piece.block].columns,
            )
            for piece in cut.tiles
        ]
        whole = np.zeros(len(cut.order), np.float32)
        whole[: len(bias)] = bias
        return {
            **self._computes(out, out.shape[0]),
            **self._reads(read),
            **self._adds(residual),
            **self._shares(cut.group_seconds),
            c.KIND: c.CONV,
            c.RELU: int(step.relu),
            c.BIAS: self.pool.address(whole[cut.order]),
            c.ORDER: self.pool.address(cut.order),
            c.SEGMENTS: self.pool.address(found.segments),
            c.OFFSETS: self.pool.address(found.offsets),
            c.WEIGHTS: self.pool.address(found.weights),
            c.GROUPS: cut.groups,
            c.GROUP_CHANNELS: cut.grouping.channels,
            c.PASSES: len(cut.counts),
            c.PIECES: self.pool.address(np.array(blocks, np.int64)),
            c.N_PIECES: len(blocks),
            c.START: start,
            c.SORTED: self._sorts(step),
            c.CODE: conv_kernel(),
            c.IN_LANES: int(cut.grouping.in_lanes),
        }

    def _sorts(self, step: ConvStep) -> int:
        """The address of the row that sorts what the step reads, or 0."""
        sorting = self.layout.sortings.get(step.value)
        if sorting is None:
            return 0
        if sorting.name not in self._sorted:
            row = encode(self._sort(sorting) | {c.STAMP: len(self._sorted)})
            self._sorted[sorting.name] = self.pool.address(row)
        return self._sorted[sorting.name]

    def _sort(self, sorting: PackedInput) -> Fields:
        value, read = self.layout.values[sorting.name], self.layout.values[sorting.value]
        _, height, width = value.shape
        columns = {
            **self._computes(value, read.shape[0]),
            **self._reads(read),
            c.STRIDE_H: sorting.stride[0],
            c.STRIDE_W: sorting.stride[1],
            c.ROW_SHIFTS: self.pool.address(np.array(sorting.rows, np.int64)),
            c.N_ROWS: len(sorting.rows),
            c.COLUMN_SHIFTS: self.pool.address(np.array(sorting.columns, np.int64)),
            c.N_COLUMNS: len(sorting.columns),
        }
        if self.layout.unit > 1:
            return columns
        found = plan_shuffles(sorting.indices(read.shape, height, width, value.plane))
        planes = used_planes(sorting, self.layout.readers(sorting))
        needed = used_vectors(planes, sorting.apart, value.plane)
        every = np.arange(read.shape[0])
        reads = 4 * (columns[c.IN] + every * columns[c.IN_PLANE])
        writes = 4 * (value.origin + every * sorting.apart * value.plane)
        listed = channels_in_use(needed, reads, writes)
        return columns | copy_plan(self.pool, found, listed)

    def sums(
        self,
        name: str,
        inputs: tuple[str, ...],
        bias: NDArray[np.floating] | None = None,
        relu: bool = False,
        first: int = 0,
    ) -> Fields:
        """Sums up to two values and a bias, from channel `first` of the value on."""
        value = self.layout.values[name]
        read = [self.layout.values[n] for n in inputs]
        columns = self._writes(value, read[0].shape[0] if read else value.shape[0])
        columns |= {c.KIND: c.SUM, c.RELU: int(relu)}
        columns[c.OUT] += first * value.plane
        if read:
            columns |= self._reads(read[0])
        if len(read) > 1:
            columns |= self._adds(read[1])
        if self.layout.unit == 1:
            # Planes without margins are one row each.
            columns |= {c.HEIGHT: 1, c.WIDTH: value.plane}
        if bias is not None:
            columns |= {c.BIAS_KIND: bias.ndim and min(bias.ndim, 2)}
            columns[c.BIAS] = self.pool.address(
                broadcast_bias(bias, columns[c.WIDTH], self.layout.unit)
            )
        return columns

    def pools(self, step: PoolStep) -> Fields:
        """The largest or the mean of windows."""
        value, read = self.layout.values[step.value], self.layout.values[step.input]
        columns = {
            **self._writes(value, value.shape[0]),
            **self._reads(read),
            c.KIND: c.MAX_POOL if step.kind == "max" else c.AVG_POOL,
            c.KERNEL_H: step.kernel[0],
            c.KERNEL_W: step.kernel[1],
            c.STRIDE_H: step.stride[0],
            c.STRIDE_W: step.stride[1],
            c.TOP: step.padding[0],
            c.LEFT: step.padding[1],
            c.COUNT_PADDING: int(step.count_include_pad),
        }
        if self.layout.unit > 1 or step.kind != "max":
            return columns
        windows = pool_indices(step, value.shape, read.shape[2])
        found = plan_shuffles(windows, LANES)
        vectors = windows.shape[1] // LANES
        column, vector = np.divmod(found.vectors, vectors)
        order = np.argsort(vector, kind="stable")
        moves = Shuffles(vector[order], found.places[order], found.lanes[order])
        return columns | copy_plan(
            self.pool, moves, single_channel(vectors), folded=column[order] > 0
        )

    def flattens(self, step: FlattenStep) -> Fields:
        """Makes every position a channel."""
        value, read = self.layout.values[step.value], self.layout.values[step.input]
        columns = {**self._writes(value, read.shape[0]), **self._reads(read)}
        return {**columns, c.KIND: c.FLATTEN, c.IN_WIDTH: read.shape[2]}

    def packs(self) -> Fields:
        """Copies the images to where the network reads them."""
        value = self.layout.values[INPUT]
        return {**self._writes(value, value.shape[0]), c.KIND: c.PACK}

    def unpacks(self, output: str) -> Fields:
        """Copies the network's output to where the caller wants it."""
        value = self.layout.values[output]
        columns = {**self._writes(value, value.shape[0]), **self._reads(value)}
        return columns | {c.KIND: c.UNPACK, c.MARGINS: 0}
