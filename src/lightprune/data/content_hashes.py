"""SHA-256 of files by their contents; an unchanged file is not read again."""

import hashlib
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from lightprune.errors import InputError
from lightprune.files import checksum, write_text

# Size, time of modification, time of change, inode; and with them the SHA-256. Anybody can set the
# time of modification; the system alone sets that of change.
_Stamp = tuple[int, int, int, int]
_Entry = tuple[int, int, int, int, str]
# The clocks of file systems may stand still for so long: a file that changed so recently may change
# again without another time.
_TICK = 2_000_000_000


def content_hashes(files: Sequence[Path], cache_dir: Path) -> dict[str, str]:
    """The SHA-256 of each file's content, by its name in the folder that they have in common.

    They are in the order of the files, and empty for what cannot be read. `cache_dir` keeps them
    from call to call.
    """
    if not files:
        return {}
    folder = os.path.commonpath(files)
    place = hashlib.sha256(os.fsencode(os.path.abspath(folder))).hexdigest()[:16]
    table = cache_dir / f"hashes-{place}.json"
    known = _read_table(table)
    settled = time.time_ns() - _TICK
    # As text that any encoding takes: names of files may be any bytes.
    names = [os.fsencode(str(file).removeprefix(folder)).decode("latin-1") for file in files]
    stamps = dict(zip(names, map(_stamp, files), strict=True))
    hashes = {
        name: known[name][4]
        for name, stamp in stamps.items()
        if name in known and known[name][:4] == stamp
    }
    changed = {name: file for name, file in zip(names, files, strict=True) if name not in hashes}
    with ThreadPoolExecutor() as pool:
        hashes |= zip(changed, pool.map(_readable_checksum, changed.values()), strict=True)
    kept = {
        name: (*stamp, hashes[name])
        for name, stamp in stamps.items()
        if hashes[name] and stamp[2] < settled
    }
    if kept != known:
        write_text(table, msgspec.json.encode(kept).decode())
    return {name: hashes[name] for name in names}


def _stamp(file: Path) -> _Stamp:
    """What the system says of a file; zeros for a link to nothing."""
    try:
        status = file.stat()
    except OSError:
        return 0, 0, 0, 0
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _readable_checksum(file: Path) -> str:
    try:
        return checksum(file)
    except (OSError, InputError):
        return ""


def _read_table(table: Path) -> dict[str, _Entry]:
    try:
        return msgspec.json.decode(table.read_bytes(), type=dict[str, _Entry])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return {}
