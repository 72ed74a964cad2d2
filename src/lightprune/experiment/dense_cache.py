"""The cache of dense networks: one folder a network, one process at a time, early weights."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from rich import get_console
from rich.markup import escape
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from lightprune.errors import first_line
from lightprune.files import write_weights
from lightprune.runs.identity import config_hash


def digest(asked: Mapping[str, Any]) -> str:
    """The name under which the network that `asked` describes is cached."""
    return config_hash(asked)[:16]


@contextmanager
def dense_lock(folder: Path) -> Iterator[None]:
    """Holds the lock of a dense training; it is free again if its holder ends, in any way."""
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        line = f"waiting for another job, which trains the same dense network: {folder}"
        get_console().print(line, highlight=False, soft_wrap=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def warn_unusable(file: Path, reason: str, consequence: str) -> None:
    """Prints one line about a file of the cache that cannot be used."""
    line = f"[yellow]warning[/]: {escape(str(file))}: {escape(reason)}; {consequence}"
    get_console().print(line, highlight=False, soft_wrap=True)


def rewind_file(folder: Path, epoch: int) -> Path:
    """Where the weights after so many epochs of the dense training lie."""
    return folder / f"rewind-{epoch}.safetensors"


def save_rewind_state(folder: Path, epoch: int, state: Mapping[str, Tensor]) -> None:
    """Keeps the weights after so many epochs, with the SHA-256 of their content."""
    write_weights(rewind_file(folder, epoch), state, {"sha256": _content(state)})


def rewind_file_fault(folder: Path, epoch: int) -> str | None:
    """Why the weights after so many epochs cannot be used; None if they can."""
    file = rewind_file(folder, epoch)
    if not file.exists():
        return "is not there"
    try:
        with safe_open(file, "pt") as opened:
            told = (opened.metadata() or {}).get("sha256")
        if _content(load_file(file)) == told:
            return None
        reason = "its checksum does not match its content"
    except (OSError, SafetensorError) as error:
        reason = first_line(error)
    return f"is damaged ({reason})"


def _content(state: Mapping[str, Tensor]) -> str:
    """A SHA-256 over names, types, shapes and bytes, whatever the order and the layout."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(repr((name, str(value.dtype), tuple(value.shape))).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
