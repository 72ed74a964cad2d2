"""How threads share operations: whatever they do, each channel is computed once and in order."""

from functools import cache

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import types

from lightprune.sparse.isa import instruction as c
from lightprune.sparse.isa.instruction import encode
from lightprune.sparse.jit.atomics import atomic_load, atomic_store, fetch_add, yield_thread
from lightprune.sparse.jit.pointers import int_array
from lightprune.sparse.runtime import work_sharing as jobs
from lightprune.sparse.runtime.thread_pool import wake_workers

# What the code below finds in a row: how often each channel was computed, and by whom; the same of
# the operation before, and how many channels that has; mistakes; how long a channel takes.
DONE, WHO, BEFORE, NEEDED, EARLY, DELAY = c.OUT, c.ADDED, c.IN, c.HEIGHT, c.BIAS, c.WIDTH
ARENA = 64
SIGNATURE = types.void(*(types.int64,) * 9)


@numba.njit(nogil=True)
def _look_back(op, count):
    """Counts what the operation before has not finished: each of its channels `count` times."""
    for channel in range(op[NEEDED]):
        if atomic_load(op[BEFORE] + 8 * channel) < count:
            fetch_add(op[EARLY], 1)


def _record(row, first, last, arena, own, unit, source, target, count):
    """Counts the calls for each channel, and those before the operation before is finished."""
    op = int_array(row)
    _look_back(op, count)
    for channel in range(first, last):
        for _ in range(op[DELAY] * (1 + channel % 3)):
            yield_thread()
        fetch_add(op[DONE] + 8 * channel, 1)


def _record_two(row, first, last, arena, own, unit, source, target, count):
    """The same, but waits for another thread, though not forever; the second channel takes long."""
    op = int_array(row)
    _look_back(op, count)
    atomic_store(op[WHO] + 8 * first, own)
    for _ in range(500_000):
        if atomic_load(op[WHO] + 8 * (1 - first)):
            break
        yield_thread()
    for _ in range(first * op[DELAY]):
        yield_thread()
    fetch_add(op[DONE] + 8 * first, 1)


@cache
def code(function):
    # Not kept on disk: nothing there would notice that a test has changed.
    return numba.cfunc(SIGNATURE, nopython=True)(function)


class Job:
    """Operations with these bounds of chunks, and what became of them."""

    def __init__(self, bounds, threads, function=_record, delay=0, declared=None):
        self.bounds = [np.array(places, np.int64) for places in bounds]
        self.done = [np.zeros(places[-1], np.int64) for places in bounds]
        self.who = [np.zeros(places[-1], np.int64) for places in bounds]
        self.early = np.zeros(1, np.int64)
        self.rows = [self._row(number, delay) for number in range(len(bounds))]
        self.heads = np.array([row.ctypes.data for row in self.rows], np.int64)
        self.memory = np.zeros((threads + 1) * ARENA, np.float32)
        self.threads = threads
        self.columns = np.zeros(jobs.COLUMNS, np.int64)
        self.columns[jobs.OPERATIONS] = len(bounds)
        self.columns[jobs.HEADS] = self.heads.ctypes.data
        self.columns[jobs.ARENA] = self.memory.ctypes.data
        self.columns[jobs.ARENA_SIZE] = 4 * ARENA
        self.columns[jobs.CODE] = code(function).address
        self.columns[jobs.THREADS] = declared or threads

    def _row(self, number, delay):
        return encode(
            {
                c.CHUNKS: len(self.bounds[number]) - 1,
                c.BOUNDS: self.bounds[number].ctypes.data,
                DONE: self.done[number].ctypes.data,
                WHO: self.who[number].ctypes.data,
                BEFORE: self.done[number - 1].ctypes.data,
                NEEDED: len(self.done[number - 1]) if number else 0,
                EARLY: self.early.ctypes.data,
                DELAY: delay,
            }
        )

    def run(self, times=1):
        self.columns[jobs.IMAGES] = times
        jobs.execute(self.columns.ctypes.data, wake_workers(self.threads - 1))


# Chunks may be empty.
BOUNDS = st.lists(st.integers(0, 3), min_size=1, max_size=80).map(
    lambda sizes: np.cumsum([0, *sizes]).tolist()
)


@given(
    bounds=st.lists(BOUNDS, min_size=1, max_size=12),
    threads=st.integers(1, 5),
    declared=st.sampled_from([None, 1, 256]),
    delay=st.sampled_from([0, 1, 20]),
)
def test_every_channel_is_computed_once_after_all_of_the_operation_before(
    bounds, threads, declared, delay
):
    job = Job(bounds, threads, delay=delay, declared=declared)

    for times in range(1, 4):
        job.run(times)
        assert all((channels == times).all() for channels in job.done)
    assert job.early[0] == 0


def test_two_threads_work_at_the_same_time_and_wait_for_each_other():
    job = Job([[0, 1, 2]] * 5, 2, _record_two, delay=2000)
    shared = 0

    # A helper that the system lets wait may miss a job, or its beginning.
    for times in range(1, 6):
        for who in job.who:
            who[:] = 0
        job.run(times)
        assert job.early[0] == 0
        shared += sum(first != second for first, second in job.who)
    assert shared > 0


@pytest.mark.parametrize(
    ("chunks", "threads", "taken", "share"),
    [
        (10, 2, 0, 4),
        (10, 2, 4, 4),
        (10, 2, 5, 1),
        (10, 2, 8, 1),
        (80, 2, 63, 1),
        (10, 4, 6, 2),
        (3, 8, 0, 1),
        (1, 1, 0, 1),
    ],
)
def test_a_thread_takes_an_equal_share_and_then_single_chunks(chunks, threads, taken, share):
    assert jobs._chunks_to_take(chunks, threads, taken) == share
