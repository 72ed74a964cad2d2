"""The threads that help: started once, shared by all networks, asleep when nothing is asked."""

import os
import threading

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.runtime.work_sharing import worker_loop

# Some tenths of a millisecond: longer than what lies between two calls of a busy caller.
_SPINS_BEFORE_SLEEP = 20_000
_CACHE_LINE = 8


class Worker:
    """A thread that watches a slot for offers, and sleeps when none has come for a while."""

    def __init__(self, number: int) -> None:
        """Starts the thread with that number."""
        self._number = number
        self._slot = np.zeros(2 * _CACHE_LINE, np.int64)
        self.slot = self._slot[_CACHE_LINE:].ctypes.data
        self.asleep = False
        self.announced = False
        self.woken = threading.Event()
        threading.Thread(target=self._run, name=f"sparse-{number}", daemon=True).start()

    def _run(self) -> None:
        while True:
            worker_loop(self.slot, self._number, _SPINS_BEFORE_SLEEP)
            self.asleep = True
            # Who announces an offer looks after that whether this sleeps: one sees the other.
            if not self.announced:
                self.woken.wait()
            self.announced = False
            self.woken.clear()
            self.asleep = False


_workers: list[Worker] = []
_slots: dict[int, NDArray[np.int64]] = {0: np.zeros(0, np.int64)}
_start_lock = threading.Lock()


def _reset_after_fork() -> None:
    global _growing
    _workers.clear()
    _slots.clear()
    _slots[0] = np.zeros(0, np.int64)
    _start_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    # Threads do not survive a fork: the child starts its own.
    os.register_at_fork(after_in_child=_reset_after_fork)


def wake_workers(count: int) -> NDArray[np.int64]:
    """Wakes `count` helping threads, starts what is missing, and returns their slots."""
    if count not in _slots:
        with _start_lock:
            while len(_workers) < count:
                _workers.append(Worker(len(_workers) + 1))
            _slots[count] = np.array([helper.slot for helper in _workers[:count]], np.int64)
    for helper in _workers[:count]:
        helper.announced = True
        if helper.asleep:
            helper.woken.set()
    return _slots[count]
