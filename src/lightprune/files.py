"""Files written atomically, never seen in part, and known by their checksum."""

import csv
import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from filelock import FileLock
from safetensors import SafetensorError, safe_open

from lightprune.errors import InputError, first_line

if TYPE_CHECKING:
    from torch import Tensor


class SaveError(RuntimeError):
    """A file could not be written; what it would have replaced is still there."""


def write_text(path: Path, text: str) -> None:
    """Writes a text file, in UTF-8 whatever the locale.

    Names of files that the locale cannot decode keep their bytes.
    """
    content = text.encode("utf-8", "surrogateescape")
    replace_file(path, lambda partial: partial.write_bytes(content))


def csv_text(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Returns rows as CSV below a header line; lines end in a bare newline."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def read_csv(path: Path) -> list[dict[str, str]]:
    """Returns the rows of a CSV file in UTF-8 by the column names of its header line."""
    check_readable(path)
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
        return [dict(zip(header, row, strict=True)) for row in rows if row]


def write_weights(
    path: Path, state: "Mapping[str, Tensor]", about: dict[str, str] | None = None
) -> None:
    """Writes tensors, row-major, and a description of them as safetensors.

    Tensors that share memory, as tied weights do, are each written whole: what reads the file
    finds every name of the state dict.
    """
    # Imports torch, which the commands are checked without.
    from safetensors.torch import save_file

    plain: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, value in state.items():
        tensor = value.detach().cpu().contiguous()
        memory = tensor.untyped_storage().data_ptr()
        plain[name] = tensor.clone() if memory in taken else tensor
        taken.add(memory)
    replace_file(path, lambda partial: save_file(plain, partial, metadata=about))


def read_weights(path: Path) -> "tuple[dict[str, str], dict[str, Tensor]]":
    """The metadata of a safetensors file, and its tensors by name.

    Raises:
        InputError: The file may not be read.
        OSError, SafetensorError: It is not there, or damaged.
    """
    check_readable(path)
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def check_readable(path: Path, name: str | None = None) -> None:
    """Raises InputError if there is a file or folder that may not be read, named as `name`.

    Readers of some formats take such a file for one that is missing or damaged.
    """
    try:
        if path.is_dir():
            os.listdir(path)
        else:
            path.open("rb").close()
    except PermissionError as error:
        kind = "folder" if os.path.isdir(path) else "file"
        raise InputError(
            f"{name or path}: may not be read ({error.strerror}); allowed is a {kind} that you "
            "may read"
        ) from error
    except OSError:  # Whatever else is wrong, the reader says better.
        return


def replace_file(
    path: Path, write: Callable[[Path], object], *, previous: Path | None = None
) -> None:
    """Has `write` fill a file beside `path`, and then puts it in its place.

    At no moment, a power cut included, is there neither the old nor the new file at `path`. Who may
    read it is up to the umask, however `write` makes its files. The old file stays as `previous`.

    Raises:
        SaveError: The disk is full, or nothing may be written there.
    """
    partial = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        mode = partial.stat().st_mode
        write(partial)
        partial.chmod(mode)
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


def file_lock(path: Path) -> FileLock:
    """A lock among processes, for all whom the umask lets write its file; not yet acquired."""
    with suppress(OSError):  # `FileLock` reports it, and makes files that only their owner writes.
        os.close(os.open(path, os.O_CREAT, 0o666))
    return FileLock(path)


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
    """The SHA-256 of a file, in hexadecimal; InputError if it may not be read."""
    check_readable(file)
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
