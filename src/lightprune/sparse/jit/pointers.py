"""All of the memory from an address on, as an array, for compiled code."""

import numba
import numpy as np

from lightprune.sparse.jit.atomics import at_address
from lightprune.sparse.jit.compile import compiled

# No array ends before what it is made for does: the kernels keep to their own bounds.
_EVERYTHING = 1 << 40


@compiled
def floats(address):
    """Float32 values from the address on."""
    return numba.carray(at_address(address), _EVERYTHING, np.float32)


@compiled
def integers(address):
    """Int64 values from the address on."""
    return numba.carray(at_address(address), _EVERYTHING, np.int64)
