"""Kernels that copy tensors from one layout to another."""

import numpy as np

from lightprune.sparse.isa.instruction import PackInput
from lightprune.sparse.isa.records import record_type
from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.isa.tables import CopyMode, CopyRun, table_type
from lightprune.sparse.jit.compile import jit_cached, jit_inline
from lightprune.sparse.jit.pointers import float_array, int_array, record_array, record_at
from lightprune.sparse.kernels.vector_ops import (
    copy_vector,
    fill_vector,
    shuffle_copy,
    shuffle_fill,
    shuffle_max,
    transpose_block,
)

_PACK_INPUT = record_type(PackInput)
_COPY_RUN = table_type(CopyRun)
_RUN_BYTES = _COPY_RUN.itemsize


@jit_cached
def pack_input(instruction, begin, end, arena, private_arena):
    """Packs vectors `begin` to `end` of every plane of a `PackInput`, as far as they are missing.

    Two numbers at the private arena's start say which are there: from the one at a plane's start to
    the one before the end. With another `begin`, planes are packed anew. Of `LANES` images, all is
    packed at once.
    """
    op = record_at(instruction, _PACK_INPUT)
    packed = int_array(private_arena + 16 * op.number)
    if begin != packed[0]:
        packed[0] = packed[1] = begin
    if end <= packed[1]:
        return
    if op.run_starts:
        starts = int_array(op.run_starts)
        for plane in range(0, op.planes * op.vectors, op.vectors):
            first, last = starts[plane + packed[1]], starts[plane + end]
            runs = op.copy_runs + _RUN_BYTES * first
            run_copy_plan(runs, last - first, arena, private_arena - 4 * LANES * begin)
    else:
        _pack_input_batch(op, arena, private_arena)
    packed[1] = end


@jit_inline
def _pack_input_batch(op, arena, private_arena):
    """Copies the input of a convolution, `LANES` images at once; see `PackInput`."""
    out, view = op.output, op.input
    row_shifts, column_shifts = int_array(op.row_shifts), int_array(op.column_shifts)
    planes = op.n_row_shifts * op.n_column_shifts
    width, columns = out.width // LANES, view.width // LANES
    stride_h, stride_w = op.stride_h, op.stride_w
    for plane in range(planes):
        row_shift = row_shifts[plane // op.n_column_shifts]
        column_shift = column_shifts[plane % op.n_column_shifts]
        # The rows and columns that lie on the input; all others are zero.
        top = min(out.height, max(0, -(row_shift // stride_h)))
        bottom = max(top, min(out.height, (view.height - 1 - row_shift) // stride_h + 1))
        left = min(width, max(0, -(column_shift // stride_w)))
        right = max(left, min(width, (columns - 1 - column_shift) // stride_w + 1))
        for channel in range(op.channels):
            to = private_arena + 4 * (out.offset + (channel * planes + plane) * out.channel_stride)
            read = view.offset + channel * view.channel_stride
            read += row_shift * view.row_stride + column_shift * LANES
            for i in range(0, 4 * out.channel_stride, 4 * LANES):
                fill_vector(to + i, np.float32(0.0))
            for y in range(top, bottom):
                for x in range(left, right):
                    copy_vector(
                        to + 4 * (y * out.row_stride + x * LANES),
                        arena + 4 * (read + y * stride_h * view.row_stride + x * stride_w * LANES),
                    )


@jit_cached
def run_copy_plan(copy_runs, count, read, to):
    """Executes `count` `CopyRun`s from the address `copy_runs` on."""
    runs = record_array(copy_runs, _COPY_RUN)
    for number in range(count):
        run = runs[number]
        vector, offsets = to + run.vector_offset, run.channel_offsets
        if run.mode == CopyMode.COPY:
            shuffle_copy(vector, read, offsets, run.channels, run.shuffles, run.n_shuffles)
        elif run.mode == CopyMode.FILL:
            shuffle_fill(vector, read, offsets, run.channels, run.shuffles, run.n_shuffles)
        else:
            shuffle_max(vector, read, offsets, run.channels, run.shuffles, run.n_shuffles)


@jit_inline
def gather(op, first, last, arena, images_per_vector):
    """Copies pixels of the input, or zeros; see `GatherInstruction`."""
    out, view, pixel_offsets = op.output, op.input, int_array(op.pixel_offsets)
    width = out.width // images_per_vector
    for channel in range(first, last):
        read = arena + 4 * (view.offset + channel * view.channel_stride)
        to = arena + 4 * (out.offset + channel * out.channel_stride)
        if images_per_vector == 1:
            run_copy_plan(op.copy_runs, op.n_copy_runs, read, to)
            continue
        for y in range(out.height):
            for x in range(width):
                offset = pixel_offsets[y * width + x]
                if offset < 0:
                    fill_vector(to + 4 * (y * out.row_stride + x * LANES), np.float32(0.0))
                else:
                    copy_vector(to + 4 * (y * out.row_stride + x * LANES), read + 4 * offset)


@jit_inline
def flatten(out, view, first, last, arena, images_per_vector):
    """Copies every pixel of `view` to a channel of `out`."""
    memory = float_array(arena)
    width = view.width // images_per_vector
    for channel in range(first, last):
        for y in range(view.height):
            for x in range(width):
                to = out.offset + ((channel * view.height + y) * width + x) * out.channel_stride
                read = view.offset + channel * view.channel_stride
                read += y * view.row_stride + x * images_per_vector
                for i in range(images_per_vector):
                    memory[to + i] = memory[read + i]


@jit_inline
def pack(op, first, last, arena, images_per_vector, source, count):
    """Copies the images to the arena; images that are missing to a whole vector are zero."""
    out = op.output
    height, width = out.height, out.width // images_per_vector
    if images_per_vector == 1:
        _pack_single(op, first, last, arena, source)
        return
    size = op.channels * height * width
    if height * width == 1:
        # Channels, one pixel each, are neighbours in the images.
        to, stride = arena + 4 * out.offset, out.channel_stride
        _pack_row(to, stride, source, size, first, last, images_per_vector, count)
        return
    for channel in range(first, last):
        for y in range(height):
            to = arena + 4 * (out.offset + channel * out.channel_stride + y * out.row_stride)
            read = source + 4 * (channel * height + y) * width
            _pack_row(to, images_per_vector, read, size, 0, width, images_per_vector, count)


@jit_cached
def _pack_row(to, stride, read, size, first, last, images, count):
    """Copies numbers `first` to `last` of each image; images lie `size` numbers apart.

    The vectors of neighbouring numbers are `stride` numbers apart, from the address `to` on.
    """
    memory, source, done = float_array(to), float_array(read), first
    if count == images == LANES:
        while done + images <= last:
            transpose_block(to + 4 * done * stride, 4 * stride, read + 4 * done, 4 * size)
            done += images
    for image in range(images):
        for x in range(done, last):
            value = source[image * size + x] if image < count else np.float32(0.0)
            memory[x * stride + image] = value


@jit_inline
def _pack_single(op, first, last, arena, source):
    # In both, rows follow one another without a halo.
    memory, images, out = float_array(arena), float_array(source), op.output
    size = out.height * out.width
    whole = size // LANES * LANES
    for channel in range(first, last):
        to, read = out.offset + channel * out.channel_stride, channel * size
        for i in range(0, whole, LANES):
            copy_vector(arena + 4 * (to + i), source + 4 * (read + i))
        for i in range(whole, size):
            memory[to + i] = images[read + i]


@jit_inline
def unpack(op, first, last, arena, images_per_vector, target, count):
    """Copies the outputs from the arena."""
    view = op.input
    height, width = view.height, view.width // images_per_vector
    size = op.channels * height * width
    if height * width == 1:
        read, stride = arena + 4 * view.offset, view.channel_stride
        _unpack_row(target, size, read, stride, first, last, images_per_vector, count)
        return
    for channel in range(first, last):
        for y in range(height):
            read = arena + 4 * (view.offset + channel * view.channel_stride + y * view.row_stride)
            to = target + 4 * (channel * height + y) * width
            _unpack_row(to, size, read, images_per_vector, 0, width, images_per_vector, count)


@jit_cached
def _unpack_row(to, size, read, stride, first, last, images, count):
    """The reverse of `_pack_row`, for those images that there are."""
    outputs, memory, done = float_array(to), float_array(read), first
    if count == images == LANES:
        while done + images <= last:
            transpose_block(to + 4 * done, 4 * size, read + 4 * done * stride, 4 * stride)
            done += images
    for image in range(count):
        for x in range(done, last):
            outputs[image * size + x] = memory[x * stride + image]
