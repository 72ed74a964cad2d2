"""The worker threads: started once, shared by all networks, asleep when there are no jobs."""

import ctypes
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from lightprune.sparse.isa.register_blocks import CACHE_LINE
from lightprune.sparse.runtime.slots import LOCK, execute, wake, work

_LINE = CACHE_LINE // 8

# Python's own locks: compiled code waits for them, and releases them, without the GIL.
_allocate_lock = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThread_allocate_lock", ctypes.pythonapi))
_acquire_lock = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(
    ("PyThread_acquire_lock", ctypes.pythonapi)
)


def _address(function: Any) -> int:
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


RELEASE = _address(ctypes.pythonapi.PyThread_release_lock)


class Worker:
    """A thread that watches a slot for jobs, and sleeps when none has come for a while."""

    def __init__(self, number: int) -> None:
        self._number = number
        # The slot lies a cache line from the memory of others on either side.
        self._memory = np.zeros(2 * _LINE, np.int64)
        self.slot = self._memory[_LINE:]
        self.slot[LOCK] = lock = _allocate_lock()
        _acquire_lock(lock, 1)
        threading.Thread(target=self._run, name=f"sparse-{number}", daemon=True).start()

    def _run(self) -> None:
        # As a method, so that the slot lives as long as the thread, even while Python ends.
        work(self.slot.ctypes.data, self._number, _address(_acquire_lock))


class Team:
    """Workers that share in a call."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.slots = np.array([worker.slot.ctypes.data for worker in workers], np.int64)

    def wake(self) -> None:
        """Wakes them, if they sleep, for a job that comes soon."""
        wake(self.slots, RELEASE)

    def execute(self, job: int) -> None:
        """Executes the `JOB` at the address, in this thread and those that are free."""
        execute(job, self.slots, RELEASE)


_workers: list[Worker] = []
_teams = {0: Team(())}
_start_lock = threading.Lock()


def _reset_after_fork() -> None:
    global _start_lock
    _workers.clear()
    _teams.clear()
    _teams[0] = Team(())
    _start_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    # Threads do not survive a fork: the child starts others.
    os.register_at_fork(after_in_child=_reset_after_fork)


def team_of(count: int) -> Team:
    """The first `count` workers; starts those that are missing."""
    if count not in _teams:
        with _start_lock:
            while len(_workers) < count:
                _workers.append(Worker(len(_workers) + 1))
            _teams[count] = Team(_workers[:count])
    return _teams[count]
