"""Memory at an address as arrays and records, for compiled code."""

import numba
import numpy as np

from lightprune.sparse.jit.atomics import as_pointer
from lightprune.sparse.jit.compile import jit_cached, jit_inline

# The arrays' lengths are unknown here: the kernels keep to their own bounds.
_UNBOUNDED = 1 << 40


@jit_cached
def float_array(address):
    """Float32 values from the address on."""
    return numba.carray(as_pointer(address), _UNBOUNDED, np.float32)


@jit_cached
def int_array(address):
    """Int64 values from the address on."""
    return numba.carray(as_pointer(address), _UNBOUNDED, np.int64)


@jit_inline
def record_array(address, dtype):
    """Records of a structured type from the address on."""
    return numba.carray(as_pointer(address), _UNBOUNDED, dtype)


@jit_inline
def record_at(address, dtype):
    """The record of a structured type at the address."""
    return record_array(address, dtype)[0]
