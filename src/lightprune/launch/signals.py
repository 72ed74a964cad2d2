"""Being told to stop: a signal ends the program at once, and no process outlives its starter."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from lightprune.errors import Interrupted

# SIGUSR1 is what SLURM is usually asked to send ahead of a preemption or a time limit.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
_STARTER = "LIGHTPRUNE_STARTER"
_PATIENCE = 5.0
_AT_MOST = 9.0
_LOOK_EVERY = 0.5


@contextmanager
def interrupt_on_signals() -> Iterator[None]:
    """Raises Interrupted in the main thread at the first signal; a second one ends the process.

    Every file is replaced in one step, so a training may be left anywhere: what it had saved
    continues. Signals that are ignored, as under nohup, stay so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    told: list[int] = []
    timers: list[threading.Timer] = []

    def stop(number: int, _: FrameType | None) -> None:
        if told:
            os._exit(128 + number)
        told.append(number)
        # Python swallows what is raised while it collects garbage.
        last = threading.Timer(_AT_MOST, os._exit, (128 + number,))
        last.daemon = True
        last.start()
        timers.append(last)
        raise Interrupted(128 + number)

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def run_subprocess(command: Sequence[str], told: Mapping[str, str]) -> int:
    """Runs a command that starts further processes; returns its exit status.

    It gets a session of its own, so that Ctrl-C in a terminal reaches it once, through here.
    Processes that call `exit_with_parent` end with this one, whatever kills it.

    Args:
        command: Program and arguments.
        told: Environment variables besides this process's own.

    Raises:
        Interrupted: A signal arrived; no process is left.
    """
    environment = {**os.environ, **told, _STARTER: str(os.getpid())}
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


def exit_with_parent() -> None:
    """Ends this process as soon as its parent, or the program that started that one, is gone."""
    parent, starter = os.getppid(), int(os.environ.get(_STARTER, 0))

    def watch() -> None:
        while os.getppid() == parent and (not starter or _alive(starter)):
            time.sleep(_LOOK_EVERY)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
