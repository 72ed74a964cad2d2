"""The interpreter: runs one instruction, and those fused to it, on a range of channels.

A tensor lies in the arena as channels of rows of pixels; a pixel is one float32 (a single image) or
`LANES` of them (that many images). Tensors of single images have no halo, so that a channel is one
long row; others may have a halo of zeros around the map.
"""

from functools import cache

import numpy as np
from numba import types

from lightprune.sparse.isa import instruction as isa
from lightprune.sparse.isa.instruction import BiasKind, Opcode
from lightprune.sparse.isa.records import record_type
from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.jit.atomics import call_conv_kernel
from lightprune.sparse.jit.compile import compile_to_address, jit_inline
from lightprune.sparse.jit.pointers import float_array, record_at
from lightprune.sparse.kernels.activations import apply_to_vectors
from lightprune.sparse.kernels.copying import flatten, gather, pack, unpack
from lightprune.sparse.kernels.pooling import avg_pool, max_pool, max_pool_single
from lightprune.sparse.kernels.vector_ops import (
    add_vector,
    clamp_vector,
    copy_vector,
    fill_vector,
    multiply_vector,
)

_ANY = record_type(isa.ChannelOperands)
_CONV, _ADD = record_type(isa.ConvInstruction), record_type(isa.AddInstruction)
_MAX_POOL, _AVG_POOL = record_type(isa.MaxPoolInstruction), record_type(isa.AvgPoolInstruction)
_ACTIVATE, _MULTIPLY = map(record_type, (isa.ActivateInstruction, isa.MultiplyInstruction))
_GATHER = record_type(isa.GatherInstruction)
_FLATTEN, _PACK, _UNPACK = map(record_type, (isa.FlattenInstruction, isa.Pack, isa.Unpack))


@cache
def interpreter() -> int:
    """The address of the compiled interpreter; see `_interpret`."""
    return compile_to_address(_interpret, types.void(*(types.int64,) * 9))


def _interpret(
    instruction, first, last, arena, private_arena, images_per_vector, source, target, count
):
    """Runs an instruction, and those that are fused to it, on some channels.

    `first` and `last` are channels, or groups or bands of a convolution; this thread packs inputs
    into the private arena. `source` and `target` are the addresses of `count` images to pack and
    of their outputs, (n, C, H, W) contiguous.
    """
    while instruction:
        op = record_at(instruction, _ANY)
        opcode = op.opcode
        if opcode == Opcode.CONV:
            conv = record_at(instruction, _CONV)
            call_conv_kernel(conv.code, instruction, first, last, arena, private_arena)
            first *= conv.group_channels
            last = min(last * conv.group_channels, conv.channels)
        elif opcode == Opcode.ADD:
            _add(record_at(instruction, _ADD), first, last, arena)
        elif opcode == Opcode.ACTIVATE:
            _activate(record_at(instruction, _ACTIVATE), first, last, arena)
        elif opcode == Opcode.MULTIPLY:
            _multiply(record_at(instruction, _MULTIPLY), first, last, arena, images_per_vector)
        elif opcode == Opcode.FLATTEN:
            view = record_at(instruction, _FLATTEN).input
            flatten(op.output, view, first, last, arena, images_per_vector)
            first *= view.height * (view.width // images_per_vector)
            last *= view.height * (view.width // images_per_vector)
        elif opcode == Opcode.GATHER:
            gather(record_at(instruction, _GATHER), first, last, arena, images_per_vector)
        elif opcode == Opcode.PACK:
            packing = record_at(instruction, _PACK)
            pack(packing, first, last, arena, images_per_vector, source, count)
        elif opcode == Opcode.UNPACK:
            unpacking = record_at(instruction, _UNPACK)
            unpack(unpacking, first, last, arena, images_per_vector, target, count)
        elif opcode == Opcode.MAX_POOL:
            if images_per_vector == 1:
                max_pool_single(record_at(instruction, _MAX_POOL), first, last, arena)
            else:
                max_pool(record_at(instruction, _MAX_POOL), first, last, arena)
        elif opcode == Opcode.AVG_POOL:
            avg_pool(record_at(instruction, _AVG_POOL), first, last, arena, images_per_vector)
        if op.clear_halo:
            _clear_halo(op, first, last, arena)
        instruction = op.next


@jit_inline
def _clear_halo(op, first, last, arena):
    """Zeroes what surrounds the map: convolutions leave anything there."""
    memory, out = float_array(arena), op.output
    for channel in range(first, last):
        pixels = out.offset + channel * out.channel_stride
        for i in range(pixels - op.halo_offset, pixels):
            memory[i] = 0.0
        for y in range(out.height - 1):
            row = pixels + y * out.row_stride
            for i in range(row + out.width, row + out.row_stride):
                memory[i] = 0.0
        end = pixels + (out.height - 1) * out.row_stride + out.width
        for i in range(end, pixels - op.halo_offset + out.channel_stride):
            memory[i] = 0.0


@jit_inline
def _add(op, first, last, arena):
    out, read, more, biases = op.output, op.input, op.addend, float_array(op.bias)
    for channel in range(first, last):
        for y in range(out.height):
            to = arena + 4 * (out.offset + channel * out.channel_stride + y * out.row_stride)
            bias = op.bias + 4 * (channel * out.height + y) * out.width
            value = arena + 4 * (read.offset + channel * read.channel_stride + y * read.row_stride)
            addend = arena + 4 * (more.offset + channel * more.channel_stride + y * more.row_stride)
            for i in range(0, 4 * out.width, 4 * LANES):
                if op.bias_kind == BiasKind.PER_PIXEL:
                    copy_vector(to + i, bias + i)
                else:
                    fill_vector(to + i, biases[channel] if op.bias_kind else np.float32(0.0))
                if read.offset >= 0:
                    add_vector(to + i, value + i)
                if more.offset >= 0:
                    add_vector(to + i, addend + i)
                if op.relu:
                    clamp_vector(to + i, np.float32(0.0))


@jit_inline
def _activate(op, first, last, arena):
    out, read, parameters = op.output, op.input, float_array(op.parameters)
    for channel in range(first, last):
        for y in range(out.height):
            to = arena + 4 * (out.offset + channel * out.channel_stride + y * out.row_stride)
            value = arena + 4 * (read.offset + channel * read.channel_stride + y * read.row_stride)
            for i in range(0, 4 * out.width, 4 * LANES):
                copy_vector(to + i, value + i)
            vectors = (out.width + LANES - 1) // LANES
            apply_to_vectors(op.activation, to, vectors, parameters[0], parameters[1])


@jit_inline
def _multiply(op, first, last, arena, images_per_vector):
    memory, out, read, factor = float_array(arena), op.output, op.input, op.factor
    by_channel, single = op.by_channel, images_per_vector == 1
    scalars = np.empty(LANES, np.float32)
    broadcast = scalars.ctypes.data
    for channel in range(first, last):
        by = factor.offset + channel * factor.channel_stride
        if by_channel and single:
            fill_vector(broadcast, memory[by])
        for y in range(out.height):
            to = arena + 4 * (out.offset + channel * out.channel_stride + y * out.row_stride)
            value = arena + 4 * (read.offset + channel * read.channel_stride + y * read.row_stride)
            factors = arena + 4 * (by + y * factor.row_stride)
            for i in range(0, 4 * out.width, 4 * LANES):
                copy_vector(to + i, value + i)
                if not by_channel:
                    multiply_vector(to + i, factors + i)
                else:
                    multiply_vector(to + i, broadcast if single else arena + 4 * by)
    # Keeps the array until its address is no longer used.
    scalars[0] = 0.0
