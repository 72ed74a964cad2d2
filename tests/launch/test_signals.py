"""Signals, in processes of their own that are really told to stop."""

import os
import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import os, signal, subprocess, sys, time
from lightprune.launch import signals
from lightprune.errors import Interrupted

def ready():
    print("ready", os.getpid(), flush=True)

try:
    with signals.interrupt_on_signals():
        {body}
except Interrupted as stop:
    sys.exit(stop.status)
"""
WINDS_DOWN = """
        try:
            ready()
            time.sleep(60)
        except Interrupted:
            ready()
            time.sleep(60)
"""
SWALLOWS = """
        signals._EXIT_TIMEOUT = 0.5
        class Last:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGTERM)
        last = Last()
        ready()
        del last
        time.sleep(60)
"""


def program(body, **settings):
    code = PROGRAM.format(body=body)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code], **pipes, **settings)
    assert process.stdout.readline().startswith("ready")
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_ends_the_program_with_a_status_that_tells_it(number):
    process = program("ready(); time.sleep(60)")
    process.send_signal(number)

    assert process.wait(5) == 128 + number


def test_a_second_signal_ends_at_once():
    process = program(WINDS_DOWN)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline().startswith("ready")
    process.send_signal(signal.SIGINT)

    assert process.wait(5) == 130


def test_a_signal_that_python_swallows_ends_the_program_all_the_same():
    process = program(SWALLOWS)

    assert process.wait(5) == 143
    assert "Exception ignored" in process.stderr.read()


def test_a_signal_that_is_ignored_stays_so():
    process = program(
        "ready(); time.sleep(0.5)", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    process.send_signal(signal.SIGHUP)

    assert process.wait(5) == 0


def test_a_process_ends_with_the_program_that_started_it():
    child = "from lightprune.launch import signals; signals.exit_with_parent(); "
    child += "import os, time; print('ready', os.getpid(), flush=True); time.sleep(60)"
    body = f"signals.run_subprocess([sys.executable, '-c', {child!r}], {{}})"
    code = PROGRAM.format(body=body)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    started = int(process.stdout.readline().split()[1])
    process.kill()
    process.wait()

    for _ in range(50):
        if not alive(started):
            break
        time.sleep(0.1)
    assert not alive(started)


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
