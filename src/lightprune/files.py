"""Files written atomically, never seen in part, and known by their checksum."""

import csv
import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from lightprune.errors import InputError, first_line


class SaveError(RuntimeError):
    """A file could not be written; what it would have replaced is still there."""


def write_text(path: Path, text: str) -> None:
    """Writes a text file."""
    replace_file(path, lambda partial: partial.write_text(text))


def csv_text(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Returns rows as CSV below a header line; lines end in a bare newline."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def read_csv(path: Path) -> list[dict[str, str]]:
    """Returns the rows of a CSV file by the column names of its header line."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_weights(
    path: Path, state: Mapping[str, Tensor], about: dict[str, str] | None = None
) -> None:
    """Writes tensors, row-major, and a description of them as safetensors.

    Tensors that share memory, as tied weights do, are each written whole: what reads the file
    finds every name of the state dict.
    """
    plain: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, value in state.items():
        tensor = value.detach().cpu().contiguous()
        memory = tensor.untyped_storage().data_ptr()
        plain[name] = tensor.clone() if memory in taken else tensor
        taken.add(memory)
    replace_file(path, lambda partial: save_file(plain, partial, metadata=about))


def replace_file(
    path: Path, write: Callable[[Path], object], *, previous: Path | None = None
) -> None:
    """Has `write` fill a file beside `path`, and then puts it in its place.

    At no moment, a power cut included, is there neither the old nor the new file at `path`.

    Args:
        path: The file.
        write: Fills the file whose path it gets.
        previous: Where the old file stays; None deletes it.

    Raises:
        SaveError: The disk is full, or nothing may be written there.
    """
    partial = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            _keep(path, previous)
        partial.replace(path)
        _settle(path.parent)
    except (OSError, RuntimeError, SafetensorError) as error:
        kept = "the old one is kept" if path.exists() else "nothing else is lost"
        reason = first_line(error)
        raise SaveError(
            f"{path}: cannot be written ({reason}); {kept}; allowed is a disk with room for it "
            "that may be written to; then the same command continues"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def check_room(needs: Mapping[Path, int]) -> None:
    """Raises InputError unless every folder's bytes fit, together, on the disks they lie on."""
    disks: dict[int, int] = {}
    for folder, needed in needs.items():
        there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        disk, free = there.stat().st_dev, shutil.disk_usage(there).free
        disks[disk] = disks.get(disk, 0) + max(needed, 0)
        if free < disks[disk]:
            raise InputError(
                f"{folder}: {free / 1e6:.1f} MB are free; allowed are at least "
                f"{disks[disk] / 1e6:.1f} MB, the size of the checkpoints"
            )


def checksum(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def discard_partials(folder: Path) -> None:
    """Deletes what killed processes left half-written; nobody else may write there meanwhile."""
    for partial in folder.glob(".*.partial"):
        partial.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    """A name that no other process takes, on whatever machine."""
    return path.with_name(f".{path.name}.{uuid4().hex}.partial")


def _keep(path: Path, previous: Path) -> None:
    """Gives a file a second name, in one step."""
    second = _beside(previous)
    try:
        os.link(path, second)
    except OSError:  # Some file systems know no second names.
        shutil.copyfile(path, second)
    second.replace(previous)


def _settle(folder: Path) -> None:
    """Makes a folder's new names outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
