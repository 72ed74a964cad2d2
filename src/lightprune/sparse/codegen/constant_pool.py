"""Memory for what the kernels stream past once a call: side by side, on few and large pages."""

import mmap
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

_CACHE_LINE = 64
# Reserved at once; what is not written to takes no memory.
_CHUNK = 16 * 2**20


class ConstantPool:
    """Keeps copies of arrays that never change.

    A large network's weights lie on thousands of pages of the usual size, and to look up where
    each of these is costs more time than to multiply with what is on it.
    """

    def __init__(self) -> None:
        """Begins without memory."""
        self._chunks: list[NDArray[np.uint8]] = []
        self._free = 0

    def address(self, array: NDArray[np.generic]) -> int:
        """Copies an array, as it lies in memory in C order; returns the copy's address."""
        size = -(-array.nbytes // _CACHE_LINE) * _CACHE_LINE
        if not self._chunks or self._free + size > len(self._chunks[-1]):
            self._chunks.append(_allocate(max(_CHUNK, size)))
            self._free = 0
        place = self._chunks[-1][self._free : self._free + array.nbytes]
        place.view(array.dtype)[:] = array.reshape(-1)
        self._free += size
        return place.ctypes.data


def _allocate(size: int) -> NDArray[np.uint8]:
    """Memory that begins at a cache line, on large pages where the system gives any."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        memory = np.empty(size + _CACHE_LINE, np.uint8)
        return memory[-memory.ctypes.data % _CACHE_LINE :][:size]
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # A system that was built without them says so by an error.
    with suppress(OSError):
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.uint8)
