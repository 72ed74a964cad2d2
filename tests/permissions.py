"""Gives root's privileges up, as users have none: then permission bits count."""

import ctypes
import os
from contextlib import contextmanager

_HEADER = (0x20080522, 0)  # The version of the call, and this thread.


def obey_permissions():
    """From now on, in this process and what it forks."""
    if os.geteuid() == 0:
        _call("capset", (ctypes.c_uint32 * 6)())


@contextmanager
def obeyed_permissions():
    """Until the block ends, in this thread."""
    if os.geteuid():
        yield
        return
    capabilities = (ctypes.c_uint32 * 6)()  # Effective, permitted, inheritable, each in two words.
    _call("capget", capabilities)
    fewer = (ctypes.c_uint32 * 6)(*capabilities)
    fewer[0] = fewer[3] = 0
    _call("capset", fewer)
    try:
        yield
    finally:
        _call("capset", capabilities)


def _call(name, capabilities):
    header = (ctypes.c_uint32 * 2)(*_HEADER)
    assert getattr(ctypes.CDLL(None), name)(header, capabilities) == 0


def become_nobody():
    """From now on another user, who has neither an account nor a home, and may read everything."""
    keep_capabilities, reads_everything = 8, 1 << 2
    ctypes.CDLL(None).prctl(keep_capabilities, 1, 0, 0, 0)
    os.setuid(54321)
    _call("capset", (ctypes.c_uint32 * 6)(reads_everything, reads_everything))
    os.environ.pop("HOME", None)
