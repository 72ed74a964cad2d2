"""What pools and gathers copy: copy plans of single images, offsets of pixels of many."""

from typing import Any

import numpy as np

from lightprune.sparse.codegen.constant_pool import ConstantPool
from lightprune.sparse.codegen.copy_plan import Shuffles, copy_plan, plan_shuffles, single_channel
from lightprune.sparse.codegen.gather_indices import pool_indices
from lightprune.sparse.codegen.memory_plan import Buffer
from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.ir.program import GatherStep, PoolStep
from lightprune.sparse.isa.register_blocks import LANES


def pool_operands(pool: ConstantPool, step: PoolStep, shape: Shape, width: int) -> dict[str, Any]:
    """How a single image's windows take the maximum of row maxima; arguments as `pool_indices`."""
    indices = pool_indices(step, shape, width)
    shuffles = plan_shuffles(indices, LANES)
    vectors = indices.shape[1] // LANES
    # One output vector after the other, each from the first kernel column on.
    column, vector = np.divmod(shuffles.vectors, vectors)
    order = np.argsort(vector, kind="stable")
    shuffles = Shuffles(vector[order], shuffles.offsets[order], shuffles.lanes[order])
    runs, n_runs = copy_plan(pool, shuffles, single_channel(vectors), column[order] > 0)
    return {"copy_runs": runs, "n_copy_runs": n_runs}


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
    runs, n_runs = copy_plan(pool, plan_shuffles(padded), single_channel(vectors))
    return {**operands, "copy_runs": runs, "n_copy_runs": n_runs}
