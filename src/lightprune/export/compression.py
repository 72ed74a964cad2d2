"""Compresses arrays: positions as gaps, values as byte planes; decoding trusts no byte."""

import zlib

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Positions = NDArray[np.int64]

# A byte of 255 adds as much to a gap and does not end it.
_ESCAPE = 255


def encode_positions(positions: Positions) -> bytes:
    """Encodes positions as the gaps between them, one byte a gap and one every 255.

    They are int64, shape (n,), strictly increasing, none negative.
    """
    gaps = np.diff(positions, prepend=-1) - 1
    escapes = gaps // _ESCAPE
    stream = np.full(len(gaps) + int(escapes.sum()), _ESCAPE, np.uint8)
    stream[np.arange(len(gaps)) + np.cumsum(escapes)] = gaps % _ESCAPE
    return compress(stream.tobytes())


def decode_positions(packed: bytes, count: int, end: int) -> Positions:
    """Decodes `encode_positions`: int64, shape (count,), strictly increasing, all below `end`.

    Raises:
        ValueError: The bytes hold anything else.
    """
    stream = np.frombuffer(decompress(packed, count + end // _ESCAPE), np.uint8)
    ends = stream != _ESCAPE
    if np.count_nonzero(ends) != count or (len(ends) and not ends[-1]):
        raise ValueError(f"there are not {count} positions")
    # Every gap takes its length, and one position for the weight behind it.
    positions: Positions = np.cumsum(stream + ends.astype(np.uint16), dtype=np.int64)[ends] - 1
    if count and positions[-1] >= end:
        raise ValueError(f"position {positions[-1]} lies beyond {end} weights")
    return positions


def encode_values(values: np.ndarray) -> bytes:
    """Encodes values, shape (n,), byte by byte: all first bytes, all second bytes and so on.

    The sign and exponent of weights repeat, their mantissa does not: apart, the former compress.
    Any dtype of fixed size will do.
    """
    return compress(values.view(np.uint8).reshape(-1, values.itemsize).T.tobytes())


def decode_values(packed: bytes, count: int, dtype: np.dtype) -> np.ndarray:
    """Decodes `count` values, shape (count,), from the output of `encode_values`.

    Raises:
        ValueError: The bytes hold more or fewer, or a bool that is neither 0 nor 1.
    """
    size = count * dtype.itemsize
    planes = np.frombuffer(decompress(packed, size), np.uint8)
    if planes.size != size:
        raise ValueError(f"there are not {count} values of {dtype}")
    if dtype.kind == "b" and planes.max(initial=0) > 1:
        raise ValueError("a bool is neither true nor false")
    joined = np.ascontiguousarray(planes.reshape(dtype.itemsize, count).T)
    return joined.reshape(-1).view(dtype)


def compress(plain: bytes) -> bytes:
    """Compresses with zlib: with matches or Huffman codes alone, whichever is smaller."""
    candidates = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY):
        packer = zlib.compressobj(level=9, memLevel=9, strategy=strategy)
        candidates.append(packer.compress(plain) + packer.flush())
    return min(candidates, key=len)


def decompress(packed: bytes, limit: int) -> bytes:
    """Decompresses at most `limit` bytes.

    Raises:
        ValueError: There are more, or the data is damaged.
    """
    reader = zlib.decompressobj()
    try:
        plain = reader.decompress(packed, limit + 1)
    except zlib.error as error:
        raise ValueError(f"zlib: {error}") from error
    if len(plain) > limit or not reader.eof or reader.unused_data:
        raise ValueError(f"it unpacks to something else than at most {limit} bytes")
    return plain
