"""How threads share instructions: whatever they do, each channel is computed once and in order."""

from dataclasses import dataclass
from functools import cache

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import types

from lightprune.sparse.isa.instruction import Opcode, Operands
from lightprune.sparse.isa.records import encode, record_type
from lightprune.sparse.jit.atomics import atomic_load, atomic_store, fetch_add, yield_thread
from lightprune.sparse.jit.pointers import record_at
from lightprune.sparse.runtime.job import JOB
from lightprune.sparse.runtime.thread_pool import wake_workers
from lightprune.sparse.runtime.work_sharing import _chunks_to_take, _taken_chunks, execute
from tests.sparse.runtime.workers import wait_until_asleep

ARENA = 64
SIGNATURE = types.void(*(types.int64,) * 9)


@dataclass(frozen=True, kw_only=True)
class Count(Operands):
    """What the code below finds in an instruction.

    Attributes:
        done: Address of how often each channel was computed.
        threads: Address of the private arenas of the threads that computed each.
        before: Address of how often each channel of the instruction before was computed.
        n_before: How many channels that has.
        early: Address of the number of channels there that were not finished.
        delay: How long a channel takes.
    """

    opcode = Opcode.ADD
    done: int
    threads: int
    before: int
    n_before: int
    early: int
    delay: int


COUNT = record_type(Count)


@numba.njit(nogil=True)
def _look_back(address, count):
    """Counts what the instruction before has not finished: each of its channels `count` times."""
    op = record_at(address, COUNT)
    for channel in range(op.n_before):
        if atomic_load(op.before + 8 * channel) < count:
            fetch_add(op.early, 1)


def _record(address, first, last, arena, private_arena, size, source, target, count):
    """Counts the calls for each channel, and those before the instruction before is finished."""
    op = record_at(address, COUNT)
    _look_back(address, count)
    for channel in range(first, last):
        for _ in range(op.delay * (1 + channel % 3)):
            yield_thread()
        fetch_add(op.done + 8 * channel, 1)


def _record_two(address, first, last, arena, private_arena, size, source, target, count):
    """The same, but waits for another thread, though not forever; the second channel takes long."""
    op = record_at(address, COUNT)
    _look_back(address, count)
    atomic_store(op.threads + 8 * first, private_arena)
    for _ in range(500_000):
        if atomic_load(op.threads + 8 * (1 - first)):
            break
        yield_thread()
    for _ in range(first * op.delay):
        yield_thread()
    fetch_add(op.done + 8 * first, 1)


@cache
def code(function):
    # Not kept on disk: nothing there would notice that a test has changed.
    return numba.cfunc(SIGNATURE, nopython=True)(function)


class Job:
    """Instructions with these bounds of chunks, and how they were executed."""

    def __init__(self, bounds, threads, function=_record, delay=0, declared=None):
        self.bounds = [np.array(limits, np.int64) for limits in bounds]
        self.done = [np.zeros(limits[-1], np.int64) for limits in bounds]
        self.owners = [np.zeros(limits[-1], np.int64) for limits in bounds]
        self.early = np.zeros(1, np.int64)
        self.records = [self._record(number, delay) for number in range(len(bounds))]
        self.heads = np.array([record.ctypes.data for record in self.records], np.int64)
        self.memory = np.zeros((threads + 1) * ARENA, np.float32)
        self.threads = threads
        self.job = np.zeros((), JOB)
        self.job["heads"] = self.heads.ctypes.data
        self.job["n_heads"] = len(bounds)
        self.job["arena"] = self.memory.ctypes.data
        self.job["arena_size"] = 4 * ARENA
        self.job["interpreter"] = code(function).address
        self.job["threads"] = declared or threads

    def _record(self, number, delay):
        return encode(
            Count(
                chunks=len(self.bounds[number]) - 1,
                chunk_bounds=self.bounds[number].ctypes.data,
                done=self.done[number].ctypes.data,
                threads=self.owners[number].ctypes.data,
                before=self.done[number - 1].ctypes.data,
                n_before=len(self.done[number - 1]) if number else 0,
                early=self.early.ctypes.data,
                delay=delay,
            )
        )

    def run(self, times=1):
        self.job["images"] = times
        execute(self.job.ctypes.data, wake_workers(self.threads - 1))


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
def test_every_channel_is_computed_once_after_all_of_the_instruction_before(
    bounds, threads, declared, delay
):
    job = Job(bounds, threads, delay=delay, declared=declared)

    for times in range(1, 4):
        job.run(times)
        assert all((channels == times).all() for channels in job.done)
    assert job.early[0] == 0


@pytest.mark.long
def test_two_threads_work_at_the_same_time_and_wait_for_each_other():
    job = Job([[0, 1, 2]] * 5, 2, _record_two, delay=2000)
    shared = 0

    # A worker that the system lets wait may miss a job, or its start, and beside other tests many.
    for times in range(1, 201):
        for owners in job.owners:
            owners[:] = 0
        job.run(times)
        assert job.early[0] == 0
        shared += sum(first != second for first, second in job.owners)
        if shared:
            break
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
    assert _chunks_to_take(chunks, threads, taken) == share


@given(chunks=st.integers(1, 80), threads=st.integers(1, 9))
def test_shares_leave_single_chunks_for_the_next_free_thread(chunks, threads):
    shares = []
    while sum(shares) < chunks:
        shares.append(_chunks_to_take(chunks, threads, sum(shares)))

    assert sum(shares) == chunks
    assert max(shares) <= max(1, chunks // threads)
    assert shares == sorted(shares, reverse=True)


@given(chunks=st.integers(1, 80), asks=st.lists(st.tuples(st.booleans(), st.integers(1, 9))))
def test_threads_take_every_chunk_once_from_both_ends(chunks, asks):
    taken, ends = [], [0, 0]
    for from_back, count in [*asks, (False, 80)]:
        begin, end = _taken_chunks(chunks, *ends, from_back, count)
        at_its_end = chunks - ends[1] if from_back else ends[0]
        assert begin >= end or at_its_end == (end if from_back else begin)
        taken += range(begin, end)
        ends[from_back] += count

    assert sorted(taken) == list(range(chunks))


def test_a_sleeping_worker_joins():
    job = Job([[0, 1, 2]], 2, _record_two)
    shared = False

    # Beside other tests a worker may come too late many times.
    for times in range(1, 101):
        wait_until_asleep(1)
        job.owners[0][:] = 0
        job.run(times)
        shared = job.owners[0][0] != job.owners[0][1]
        if shared:
            break

    assert shared
    assert job.early[0] == 0
