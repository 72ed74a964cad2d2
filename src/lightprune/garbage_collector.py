"""Python's garbage collector, kept from the objects that stay to a program's end."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """Collects nothing within; what exists at the end is left out of all later collections.

    For imports that make many objects, all of which stay: those of torch and Lightning are a
    million, and each full collection, as at the end of the process, visits them all for a second.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
