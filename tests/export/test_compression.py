"""Positions and values come back as they were, and nothing else comes back at all."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lightprune.export.compression import (
    decode_positions,
    decode_values,
    decompress,
    encode_positions,
    encode_values,
)

DTYPES = st.sampled_from([np.dtype(c) for c in ("<f2", "<f4", "<f8", "?", "u1", "<i2", "<i8")])


@given(places=st.sets(st.integers(0, 5000)), beyond=st.integers(1, 600))
def test_positions_come_back(places, beyond):
    positions = np.array(sorted(places), np.int64)
    end = max(places, default=0) + beyond

    assert (decode_positions(encode_positions(positions), len(places), end) == positions).all()


@given(dtype=DTYPES, data=st.data())
def test_values_come_back_bit_for_bit(dtype, data):
    values = data.draw(arrays(dtype, st.integers(0, 40)))

    again = decode_values(encode_values(values), len(values), dtype)

    assert again.dtype == dtype
    assert again.tobytes() == values.tobytes()


@given(stream=st.binary(max_size=40), count=st.integers(0, 40), end=st.integers(0, 3000))
def test_positions_are_increasing_and_within_the_end_or_an_error(stream, count, end):
    try:
        places = decode_positions(zlib.compress(stream), count, end)
    except ValueError:
        return

    assert len(places) == count
    assert (np.diff(places, prepend=-1) > 0).all()
    assert (places < end).all()


def test_what_unpacks_to_more_than_allowed_is_not_unpacked():
    bomb = zlib.compress(bytes(10**7))

    with pytest.raises(ValueError, match="at most 1000 bytes"):
        decompress(bomb, 1000)


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"x", lambda b: b"", bytes])
def test_damaged_bytes_are_an_error(change):
    packed = encode_values(np.arange(10, dtype=np.float32))
    damaged = change(packed)

    with pytest.raises(ValueError, match=r"unpacks|zlib|11 values"):
        decode_values(damaged, 11, np.dtype("<f4"))
