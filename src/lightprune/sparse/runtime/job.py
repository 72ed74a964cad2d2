"""The record of a job: what threads need to know to compute the outputs of some images.

Fields are int64; addresses, sizes and strides are bytes:

- ticket: what has been taken and finished; see `work_sharing`
- heads, n_heads: address of the addresses of the instructions that are not fused to another
- arena, arena_size: the first thread's, and from one thread's to the next
- images_per_vector, threads: of the executable; at most so many threads work on the job
- source, source_stride: the images, and from one minibatch to the next
- target, target_stride: the outputs, likewise
- images, minibatches: how many; 0 minibatches: all threads work on the same images
- flags: how many int64 at a private arena's start say which inputs are packed
- interpreter: address of its code
"""

import numpy as np

from lightprune.sparse.isa.register_blocks import CACHE_LINE

_FIELDS = (
    "heads", "n_heads", "arena", "arena_size", "images_per_vector", "threads", "source",
    "source_stride", "target", "target_stride", "images", "minibatches", "flags", "interpreter",
)  # fmt: skip
# The ticket is alone in its cache line: what never changes would leave the core with it whenever
# another one writes to it.
JOB = np.dtype(
    {
        "names": ["ticket", *_FIELDS],
        "formats": [np.int64] * (1 + len(_FIELDS)),
        "offsets": [0, *range(CACHE_LINE, CACHE_LINE + 8 * len(_FIELDS), 8)],
    }
)
