"""The worker threads, as tests look at them."""

import time

from lightprune.sparse.runtime import thread_pool


def wait_until_asleep(count):
    """Waits for the first `count` workers, though not forever."""
    workers = thread_pool._workers[:count]
    until = time.monotonic() + 20
    while not all(worker.asleep for worker in workers) and time.monotonic() < until:
        time.sleep(0.001)
    assert [worker.asleep for worker in workers] == [True] * count
