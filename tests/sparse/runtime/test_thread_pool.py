import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from lightprune.sparse.runtime import thread_pool as threads
from tests.sparse.programs import images_for, network_of, residual_program
from tests.sparse.runtime.workers import wait_until_asleep


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

    wait_until_asleep(2)


def test_workers_woken_for_a_job_that_does_not_come_sleep_again_and_take_the_next():
    program = residual_program()
    network, images = network_of(program, 3), images_for(program, 40)
    expected = network_of(program)(images)

    for _ in range(20):
        wait_until_asleep(2)
        threads.wake_workers(2)
        threads.wake_workers(2)
    assert torch.equal(network(images), expected)


def test_workers_that_are_busy_or_do_not_come_are_not_waited_for(many_chunks):
    program = residual_program()
    network, images = network_of(program, 2), images_for(program, 3)
    expected = network(images)
    memory = threads._workers[0]._memory
    memory[threads._SLOT] = -1  # As if it worked on another job.

    outputs = network(images)
    memory[threads._SLOT] = 0

    assert torch.equal(outputs, expected)


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


@pytest.mark.long
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs processes that can be stopped")
def test_a_process_that_is_stopped_and_continued_goes_on():
    script = Path(__file__).parent / "stopped_calls.py"
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        for number in range(20):
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.01)
            process.send_signal(signal.SIGCONT)
            time.sleep(0.001 * number)
        printed, _ = process.communicate(timeout=120)

    assert printed == "True\n"
