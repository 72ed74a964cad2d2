"""What packing, pools and gathers copy: plans of single images, offsets of pixels of many."""

from typing import Any

import numpy as np

from lightprune.sparse.codegen.constant_pool import ConstantPool
from lightprune.sparse.codegen.copy_plan import (
    Shuffles,
    channels_in_use,
    copy_plan,
    plan_shuffles,
    single_channel,
)
from lightprune.sparse.codegen.gather_indices import pool_indices, used_planes, used_vectors
from lightprune.sparse.codegen.input_packing import PackedInput
from lightprune.sparse.codegen.memory_plan import Buffer, MemoryPlan
from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.ir.program import GatherStep, PoolStep
from lightprune.sparse.isa.register_blocks import LANES


def packing_operands(pool: ConstantPool, packed: PackedInput, plan: MemoryPlan) -> dict[str, Any]:
    """How a single image's input is packed, as far as some weight reads it."""
    buffer, source = plan.buffers[packed.name], plan.buffers[packed.value]
    _, height, width = buffer.shape
    indices = packed.gather_indices(source.shape, height, width, buffer.channel_size)
    planes = used_planes(packed, plan.readers(packed))
    used = used_vectors(planes, packed.padded_planes, buffer.channel_size)
    channels = np.arange(source.shape[0])
    reads = 4 * (source.view.offset + channels * source.channel_stride)
    stride = packed.padded_planes * buffer.channel_stride
    offsets = channels_in_use(used, reads, 4 * (buffer.view.offset + channels * stride))
    plane, vector = np.divmod(np.arange(used.shape[1]), buffer.vectors)
    places = 4 * (plane * max(buffer.channel_stride, LANES) + vector * LANES)
    runs, starts = copy_plan(pool, plan_shuffles(indices), offsets, places=places)
    operands = {"planes": used.shape[1] // buffer.vectors, "vectors": buffer.vectors}
    return {**operands, "copy_runs": runs, "run_starts": pool.address(starts)}


def pool_operands(pool: ConstantPool, step: PoolStep, shape: Shape, width: int) -> dict[str, Any]:
    """How a single image's windows take the maximum of row maxima; arguments as `pool_indices`."""
    indices = pool_indices(step, shape, width)
    shuffles = plan_shuffles(indices, LANES)
    vectors = indices.shape[1] // LANES
    # One output vector after the other, each from the first kernel column on.
    column, vector = np.divmod(shuffles.vectors, vectors)
    order = np.argsort(vector, kind="stable")
    shuffles = Shuffles(vector[order], shuffles.offsets[order], shuffles.lanes[order])
    runs, starts = copy_plan(pool, shuffles, single_channel(vectors), column[order] > 0)
    return {"copy_runs": runs, "n_copy_runs": starts[-1]}


def gather_operands(pool: ConstantPool, step: GatherStep, read: Buffer) -> dict[str, Any]:
    """The input of a gather, which lies in the buffer `read`, and what each pixel copies."""
    _, rows, columns = read.shape
    plane, pixel = np.divmod(step.indices.reshape(-1).astype(np.int64), rows * columns)
    y, x = np.divmod(pixel, columns)
    offsets = plane * read.channel_stride + y * read.row_stride + x * read.images_per_vector
    offsets[step.indices.reshape(-1) < 0] = -1
    operands = {"input": read.view._replace(channel_stride=step.planes * read.channel_stride)}
    if read.images_per_vector > 1:
        return {**operands, "pixel_offsets": pool.address(offsets)}
    vectors = -(-len(offsets) // LANES)
    padded = np.full(vectors * LANES, -1, np.int32)
    padded[: len(offsets)] = offsets
    runs, starts = copy_plan(pool, plan_shuffles(padded), single_channel(vectors))
    return {**operands, "copy_runs": runs, "n_copy_runs": starts[-1]}
