"""The cache of dense networks: a folder and a lock for each, and its early weights."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout
from safetensors import SafetensorError
from torch import Tensor

from lightprune.errors import first_line
from lightprune.files import check_readable, file_lock, read_weights, write_weights
from lightprune.rendering.console_table import print_line
from lightprune.runs.identity import NO_REALS, config_hash


def dense_key(identity: Mapping[str, Any]) -> str:
    """Returns the name of the cache folder of the dense network with this identity."""
    return config_hash(identity)[:16]


def dense_folder(cache_dir: Path, identity: Mapping[str, Any]) -> Path:
    """Returns the cache folder of a dense network.

    Earlier versions hashed numbers as they were typed: the folder under that hash is taken where
    the training got farther in it.
    """
    folder = cache_dir / dense_key(identity)
    earlier = cache_dir / config_hash(identity, NO_REALS)[:16]
    return earlier if _progress(earlier) > _progress(folder) else folder


def is_complete(folder: Path) -> bool:
    """Whether a cache folder has its network."""
    return (folder / "dense.json").exists()


def _progress(folder: Path) -> tuple[bool, bool]:
    return is_complete(folder), any(folder.glob("checkpoints/*.ckpt"))


@contextmanager
def dense_lock(folder: Path) -> Iterator[None]:
    """Holds the lock of a dense training; it is released when its holder ends, in any way."""
    lock = file_lock(folder / "lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print_line(f"waiting for another job, which trains the same dense network: {folder}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def check_dense_files(folder: Path) -> None:
    """Raises InputError if a file that a cache folder holds may not be read."""
    check_readable(folder)
    for pattern in ("dense.json", "*.safetensors", "checkpoints/*.ckpt"):
        for file in sorted(folder.glob(pattern)):
            check_readable(file)


def rewind_file(folder: Path, epoch: int) -> Path:
    """Returns the file of the weights after `epoch` epochs of the dense training."""
    return folder / f"rewind-{epoch}.safetensors"


def save_rewind_state(folder: Path, epoch: int, state: Mapping[str, Tensor]) -> None:
    """Saves the weights after `epoch` dense epochs, with the SHA-256 of their content."""
    write_weights(rewind_file(folder, epoch), state, {"sha256": _sha256(state)})


def rewind_file_fault(folder: Path, epoch: int) -> str | None:
    """Returns why the weights after `epoch` dense epochs cannot be used; None if they can."""
    file = rewind_file(folder, epoch)
    if not file.exists():
        return "is not there"
    try:
        about, state = read_weights(file)
        if _sha256(state) == about.get("sha256"):
            return None
        reason = "its checksum does not match its content"
    except (OSError, SafetensorError) as error:
        reason = first_line(error)
    return f"is damaged ({reason})"


def _sha256(state: Mapping[str, Tensor]) -> str:
    """Hashes names, dtypes, shapes and bytes, whatever the order and the memory layout."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(repr((name, str(value.dtype), tuple(value.shape))).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
