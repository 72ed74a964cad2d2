"""The worker threads, as tests look at them."""

import time

from lightprune.sparse.runtime import thread_pool
from lightprune.sparse.runtime.slots import ASLEEP


def states(count):
    """What is in the slots of the first `count` workers."""
    return [int(worker.slot[0]) for worker in thread_pool._workers[:count]]


def wait_until_asleep(count):
    """Waits for the first `count` workers, though not forever."""
    until = time.monotonic() + 20
    while set(states(count)) != {ASLEEP} and time.monotonic() < until:
        time.sleep(0.001)
    assert states(count) == [ASLEEP] * count
