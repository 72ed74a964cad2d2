"""The constant pool: weights and tables side by side on few, large pages."""

import mmap
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.isa.register_blocks import CACHE_LINE

# Reserved at once; what is not written to takes no memory.
_CHUNK = 16 * 2**20


class ConstantPool:
    """Stores copies of arrays that never change.

    A large network's weights lie on thousands of pages of the usual size, and to look up where
    each of these is costs more time than to multiply with what is on it.
    """

    def __init__(self) -> None:
        self._chunks: list[NDArray[np.uint8]] = []
        self._used = 0

    def address(self, array: NDArray[np.generic]) -> int:
        """Copies an array in C order to a cache line's start; returns the copy's address."""
        size = -(-array.nbytes // CACHE_LINE) * CACHE_LINE
        if not self._chunks or self._used + size > len(self._chunks[-1]):
            self._chunks.append(_allocate(max(_CHUNK, size)))
            self._used = 0
        copy = self._chunks[-1][self._used : self._used + array.nbytes]
        copy.view(array.dtype)[:] = array.reshape(-1)
        self._used += size
        return copy.ctypes.data

    @property
    def size(self) -> int:
        """Bytes that the copies take."""
        return sum(len(chunk) for chunk in self._chunks[:-1]) + self._used


def _allocate(size: int) -> NDArray[np.uint8]:
    """Memory that starts at a cache line, on large pages where the system gives any."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        memory = np.empty(size + CACHE_LINE, np.uint8)
        return memory[-memory.ctypes.data % CACHE_LINE :][:size]
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # A system that was built without them raises an error.
    with suppress(OSError):
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.uint8)
