"""Slots: in one a caller offers a job to a worker, which watches it and sleeps when none comes.

A slot is two int64. The first is 0 when the worker looks for a job, the address of the job that it
is offered, less than 0 while it works, or `ASLEEP` while it waits for the lock whose address is the
second. Whoever changes it from `ASLEEP` releases that lock, once.
"""

from lightprune.sparse.jit.atomics import (
    atomic_load,
    atomic_store,
    call_lock,
    compare_exchange,
    cpu_pause,
)
from lightprune.sparse.jit.compile import jit_cached
from lightprune.sparse.jit.pointers import int_array
from lightprune.sparse.runtime.work_sharing import run_job, spin

ASLEEP = 1
LOCK = 1
# Some tenths of a millisecond: longer than what lies between two calls of a busy caller.
_SPINS_BEFORE_SLEEP = 20_000


@jit_cached
def wake(slots, release):
    """Wakes the workers that watch the slots, ahead of a job; `release` as in `execute`."""
    for slot in slots:
        if compare_exchange(slot, ASLEEP, 0):
            call_lock(release, int_array(slot)[LOCK], 0)


@jit_cached
def execute(job, slots, release):
    """Executes the `JOB` at the address, with the workers that watch the slots and are free.

    `release` is the address of `PyThread_release_lock`, which wakes the owner of a lock.
    """
    atomic_store(job, 0)
    for slot in slots:
        # A worker that is busy with another job is not waited for.
        if not compare_exchange(slot, 0, job) and compare_exchange(slot, ASLEEP, job):
            call_lock(release, int_array(slot)[LOCK], 0)
    run_job(job, 0)
    for slot in slots:
        # A worker that took the job returns only when nothing is left to start, and its part is
        # finished.
        if not compare_exchange(slot, job, 0):
            spins = 0
            while atomic_load(slot) == -job:
                spins = spin(spins)


@jit_cached
def work(slot, thread, acquire):
    """Runs the jobs offered in the slot, for ever; sleeps when none has come for a while.

    `acquire` is the address of `PyThread_acquire_lock`. It needs no GIL: a worker that is woken
    begins at once, whatever Python does.
    """
    waited = 0
    while waited >= 0:
        job = atomic_load(slot)
        if job > ASLEEP and compare_exchange(slot, job, -job):
            run_job(job, thread)
            atomic_store(slot, 0)
            waited = 0
        elif waited < _SPINS_BEFORE_SLEEP:
            cpu_pause()
            waited += 1
        elif compare_exchange(slot, 0, ASLEEP):
            call_lock(acquire, int_array(slot)[LOCK], 1)
            waited = 0
