"""How threads share operations: whatever they do, each channel is computed once and in order."""

from functools import cache

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import types

from lightprune.sparse import columns as c
from lightprune.sparse import jobs
from lightprune.sparse.atomics import fetch, fetch_add, relax
from lightprune.sparse.columns import row_of
from lightprune.sparse.compiled import address_of
from lightprune.sparse.memory import integers
from lightprune.sparse.threads import woken

# What the recording code below finds in a row.
DONE, BEFORE, NEEDED, EARLY, DELAY = c.OUT, c.IN, c.HEIGHT, c.BIAS, c.WIDTH
ARENA = 64


def _record(row, first, last, arena, own, unit, source, target, count):
    """Counts the calls for each channel, and those before the operation before is finished."""
    op = integers(row)
    for channel in range(op[NEEDED]):
        if fetch(op[BEFORE] + 8 * channel) < count:
            fetch_add(op[EARLY], 1)
    for channel in range(first, last):
        for _ in range(op[DELAY] * (1 + channel % 3)):
            relax()
        fetch_add(op[DONE] + 8 * channel, 1)


@cache
def recorder():
    return address_of(_record, types.void(*(types.int64,) * 9))


def table(operations, delay):
    """Rows of operations of (channels, chunks); how often each channel was computed; mistakes."""
    done = [np.zeros(channels, np.int64) for channels, _ in operations]
    bounds = [
        np.linspace(0, channels, chunks + 1).astype(np.int64) for channels, chunks in operations
    ]
    early = np.zeros(1, np.int64)
    rows = [
        row_of(
            {
                c.CHUNKS: len(bounds[n]) - 1,
                c.BOUNDS: bounds[n].ctypes.data,
                DONE: done[n].ctypes.data,
                BEFORE: done[n - 1].ctypes.data,
                NEEDED: len(done[n - 1]) if n else 0,
                EARLY: early.ctypes.data,
                DELAY: delay,
            }
        )
        for n in range(len(operations))
    ]
    return rows, done, early, bounds


@given(
    operations=st.lists(
        st.integers(1, 80).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))),
        min_size=1,
        max_size=12,
    ),
    threads=st.integers(1, 5),
    delay=st.sampled_from([0, 1, 20]),
)
def test_every_channel_is_computed_once_after_all_of_the_operation_before(
    operations, threads, delay
):
    rows, done, early, _bounds = table(operations, delay)
    heads = np.array([row.ctypes.data for row in rows], np.int64)
    memory = np.zeros((threads + 1) * ARENA, np.float32)
    job = np.zeros(jobs.COLUMNS, np.int64)
    job[jobs.OPERATIONS], job[jobs.HEADS] = len(heads), heads.ctypes.data
    job[jobs.ARENA], job[jobs.ARENA_SIZE] = memory.ctypes.data, 4 * ARENA
    job[jobs.CODE], job[jobs.THREADS] = recorder(), threads

    for times in range(1, 4):
        job[jobs.IMAGES] = times
        jobs.carry_out(job.ctypes.data, woken(threads - 1))
        assert all((channels == times).all() for channels in done)
    assert early[0] == 0
