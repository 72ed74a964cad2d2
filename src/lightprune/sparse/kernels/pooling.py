"""Pooling kernels, each on a range of channels."""

import numpy as np

from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.jit.compile import jit_cached, jit_inline
from lightprune.sparse.jit.pointers import float_array
from lightprune.sparse.kernels.copying import run_copy_plan
from lightprune.sparse.kernels.vector_ops import copy_vector, max_of_vectors, max_vector


@jit_inline
def max_pool(op, first, last, arena):
    """The maximum of every window, `LANES` images at once."""
    out, view = op.output, op.input
    width = view.width // LANES
    scratch = np.empty(view.width, np.float32)
    column_maxima = scratch.ctypes.data
    for channel in range(first, last):
        read = arena + 4 * (view.offset + channel * view.channel_stride)
        for y in range(out.height):
            _max_of_rows(op, y, read, column_maxima)
            to = arena + 4 * (out.offset + channel * out.channel_stride + y * out.row_stride)
            for x in range(out.width // LANES):
                left, step = x * op.stride_w - op.pad_left, op.dilation_w
                start, count = _taps_inside(left, op.kernel_w, step, width)
                copy_vector(to + 4 * x * LANES, column_maxima + 4 * LANES * start)
                for column in range(start + step, start + count * step, step):
                    max_vector(to + 4 * x * LANES, column_maxima + 4 * LANES * column)
    # Keeps the array until its address is no longer used.
    scratch[0] = 0.0


@jit_inline
def max_pool_single(op, first, last, arena):
    """The maximum of every window of a single image, whose pixels are the vector lanes."""
    out, view = op.output, op.input
    # A row of column maxima for every output row; the last vector may be partly empty.
    scratch = np.empty(out.height * view.width + LANES, np.float32)
    column_maxima = scratch.ctypes.data
    for channel in range(first, last):
        read = arena + 4 * (view.offset + channel * view.channel_stride)
        for y in range(out.height):
            _max_of_rows(op, y, read, column_maxima + 4 * y * view.width)
        to = arena + 4 * (out.offset + channel * out.channel_stride)
        run_copy_plan(op.copy_runs, op.n_copy_runs, column_maxima, to)
    # Keeps the array until its address is no longer used.
    scratch[0] = 0.0


@jit_inline
def _max_of_rows(op, y, read, to):
    """The maxima of the columns of the windows in row `y` of the output."""
    view = op.input
    top = y * op.stride_h - op.pad_top
    begin, count = _taps_inside(top, op.kernel_h, op.dilation_h, view.height)
    row = 4 * view.row_stride
    _max_of_vectors(to, view.width, read + begin * row, op.dilation_h * row, count)


@jit_inline
def _taps_inside(start, kernel, dilation, extent):
    """The first tap of a window that lies on the map, and how many do."""
    before = max(0, (dilation - 1 - start) // dilation)
    first = start + before * dilation
    return first, min(kernel - before, (extent - 1 - first) // dilation + 1)


@jit_cached
def _max_of_vectors(to, width, read, row, count):
    for i in range(0, 4 * width, 4 * LANES):
        max_of_vectors(to + i, read + i, row, count)


@jit_inline
def avg_pool(op, first, last, arena, images_per_vector):
    """The mean of every window."""
    memory, out, view = float_array(arena), op.output, op.input
    for channel in range(first, last):
        for y in range(out.height):
            top = y * op.stride_h - op.pad_top
            begin, end = max(top, 0), min(top + op.kernel_h, view.height)
            for x in range(out.width // images_per_vector):
                left = x * op.stride_w - op.pad_left
                start = max(left, 0)
                stop = min(left + op.kernel_w, view.width // images_per_vector)
                divisor = (end - begin) * (stop - start)
                if op.count_padding:
                    # What lies beyond the padding never counts.
                    bottom = min(top + op.kernel_h, view.height + op.pad_top)
                    right = min(left + op.kernel_w, view.width // images_per_vector + op.pad_left)
                    divisor = (bottom - top) * (right - left)
                to = out.offset + channel * out.channel_stride
                to += y * out.row_stride + x * images_per_vector
                for i in range(images_per_vector):
                    # In float64: a float32 sum of many pixels is rounded at each of them.
                    total = 0.0
                    for row in range(begin, end):
                        read = view.offset + channel * view.channel_stride
                        read += row * view.row_stride + i
                        for column in range(start, stop):
                            total += memory[read + column * images_per_vector]
                    memory[to + i] = total / divisor
