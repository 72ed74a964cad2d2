"""All of the memory from an address on, as an array, for compiled code."""

import numba
import numpy as np

from lightprune.sparse.jit.atomics import as_pointer
from lightprune.sparse.jit.compile import jit_cached

# No array ends before what it is made for does: the kernels keep to their own bounds.
_UNBOUNDED = 1 << 40


@jit_cached
def float_array(address):
    """Float32 values from the address on."""
    return numba.carray(as_pointer(address), _UNBOUNDED, np.float32)


@jit_cached
def int_array(address):
    """Int64 values from the address on."""
    return numba.carray(as_pointer(address), _UNBOUNDED, np.int64)
