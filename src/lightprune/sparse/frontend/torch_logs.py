"""Keeps out of the console what torch says of a failure that becomes an error of one line."""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any


@contextmanager
def torch_logs_hidden() -> Iterator[None]:
    """Hides what torch logs, and what is printed to stderr, in this thread until the block ends.

    Many of torch's loggers have handlers of their own, and a filter of a logger does not see what
    the loggers below it log: so handlers are filtered.
    """
    thread = threading.get_ident()

    def is_shown(record: logging.LogRecord) -> bool:
        return record.thread != thread or record.name.partition(".")[0] != "torch"

    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = {
        h for logger in loggers if isinstance(logger, logging.Logger) for h in logger.handlers
    }
    for handler in handlers:
        handler.addFilter(is_shown)
    try:
        with redirect_stderr(_OtherThreads(sys.stderr, thread)):
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(is_shown)


class _OtherThreads:
    """A stream that leaves out what one thread writes: torch.export prints graphs that it lost."""

    def __init__(self, stream: Any, thread: int) -> None:
        self._stream, self._thread = stream, thread

    def write(self, text: str) -> int:
        hidden = threading.get_ident() == self._thread
        return len(text) if hidden else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
