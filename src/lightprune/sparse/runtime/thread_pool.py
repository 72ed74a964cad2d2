"""The worker threads: started once, shared by all networks, asleep when there are no jobs."""

import os
import threading

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.isa.register_blocks import CACHE_LINE
from lightprune.sparse.runtime.work_sharing import worker_loop

# Some tenths of a millisecond: longer than what lies between two calls of a busy caller.
_SPINS_BEFORE_SLEEP = 20_000
_SLOT = CACHE_LINE // 8
"""Index of the slot: a cache line from the memory of others on either side."""


class Worker:
    """A thread that watches a slot for jobs, and sleeps when none has come for a while."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._memory = np.zeros(2 * _SLOT, np.int64)
        self.slot = self._memory[_SLOT:].ctypes.data
        self.asleep = False
        self.announced = False
        self.wake = threading.Event()
        threading.Thread(target=self._run, name=f"sparse-{number}", daemon=True).start()

    def _run(self) -> None:
        while True:
            worker_loop(self.slot, self._number, _SPINS_BEFORE_SLEEP)
            self.asleep = True
            # A caller first announces a job, then looks whether this sleeps: one sees the other.
            if not self.announced:
                self.wake.wait()
            self.announced = False
            self.wake.clear()
            self.asleep = False


_workers: list[Worker] = []
_slots: dict[int, NDArray[np.int64]] = {0: np.zeros(0, np.int64)}
_start_lock = threading.Lock()


def _reset_after_fork() -> None:
    global _start_lock
    _workers.clear()
    _slots.clear()
    _slots[0] = np.zeros(0, np.int64)
    _start_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    # Threads do not survive a fork: the child starts others.
    os.register_at_fork(after_in_child=_reset_after_fork)


def wake_workers(count: int) -> NDArray[np.int64]:
    """Wakes `count` workers, starts those that are missing, and returns their slots."""
    if count not in _slots:
        with _start_lock:
            while len(_workers) < count:
                _workers.append(Worker(len(_workers) + 1))
            _slots[count] = np.array([worker.slot for worker in _workers[:count]], np.int64)
    for worker in _workers[:count]:
        worker.announced = True
        if worker.asleep:
            worker.wake.set()
    return _slots[count]
