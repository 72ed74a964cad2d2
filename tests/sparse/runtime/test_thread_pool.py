import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lightprune.sparse.runtime import thread_pool as threads
from tests.sparse.programs import images_for, network_of, residual_program


def names():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("sparse-")]


def test_workers_are_started_once_and_shared():
    program = residual_program()
    for _ in range(3):
        network_of(program, 3)(images_for(program, 3))

    assert names().count("sparse-1") == names().count("sparse-2") == 1


def test_every_worker_has_a_separate_slot():
    slots = threads.wake_workers(3)

    assert len(set(slots.tolist())) == 3
    assert (threads.wake_workers(2) == slots[:2]).all()
    assert len(threads.wake_workers(0)) == 0


def test_workers_sleep_when_there_are_no_jobs():
    threads.wake_workers(2)
    until = time.monotonic() + 20
    while not all(worker.asleep for worker in threads._workers) and time.monotonic() < until:
        time.sleep(0.01)

    assert all(worker.asleep for worker in threads._workers)


def test_no_slot_is_taken_after_a_call():
    program = residual_program()
    network = network_of(program, 3)
    for count in (1, 3, 40):
        network(images_for(program, count))

        assert all(worker._memory[threads._SLOT] == 0 for worker in threads._workers)


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_a_forked_process_starts_other_workers():
    script = Path(__file__).parent / "forked_calls.py"
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=True
    )

    assert json.loads(done.stdout) == {"children": [0, 0], "parent": True}
