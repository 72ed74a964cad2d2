"""Signals interrupt the program; no process outlives the one that started it."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from lightprune.errors import Interrupted

# SLURM is usually set up to send SIGUSR1 ahead of a preemption or a time limit.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
# Environment variable: the process id of the program that started this one.
_LAUNCHER_PID = "LIGHTPRUNE_LAUNCHER_PID"
# Seconds.
_TERMINATION_TIMEOUT = 5.0
_EXIT_TIMEOUT = 9.0
_POLL_INTERVAL = 0.5


@contextmanager
def interrupt_on_signals() -> Iterator[None]:
    """Raises Interrupted in the main thread at the first signal; a second one ends the process.

    Every file is replaced in one step, so a training may be interrupted anywhere and continues
    from what it has saved. Signals that are ignored, as under nohup, stay ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    timers: list[threading.Timer] = []

    def stop(number: int, _: FrameType | None) -> None:
        if timers:
            os._exit(128 + number)
        # Python swallows exceptions raised in a finalizer; then the timer ends the process.
        timer = threading.Timer(_EXIT_TIMEOUT, os._exit, (128 + number,))
        timers.append(timer)
        timer.daemon = True
        timer.start()
        raise Interrupted(128 + number)

    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def run_subprocess(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs a command that starts further processes; returns its exit status.

    It runs in a new session, so that Ctrl-C in a terminal reaches it once, through this process.
    Processes that call `exit_with_parent` end with this one, whatever kills it. The environment
    variables are added to those of this process.

    Raises:
        Interrupted: A signal arrived; no process is left.
    """
    variables = {**os.environ, **environment, _LAUNCHER_PID: str(os.getpid())}
    with subprocess.Popen(command, env=variables, start_new_session=True) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            try:
                process.wait(_TERMINATION_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


def exit_with_parent() -> None:
    """Ends this process as soon as its parent, or the program that started that one, is gone."""
    parent, launcher = os.getppid(), int(os.environ.get(_LAUNCHER_PID, 0))

    def watch() -> None:
        while os.getppid() == parent and (not launcher or _is_alive(launcher)):
            time.sleep(_POLL_INTERVAL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
