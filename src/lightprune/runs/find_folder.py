"""Folders of runs and sweeps by what one types for them: a path, `last`, how a name begins."""

from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from lightprune.errors import InputError, first_of, nearest

_OUTPUTS = Path("outputs")
# A link beside the folders of runs and sweeps.
LAST = "last"


def is_last(folder: Path) -> bool:
    """Whether `last` stands for this folder."""
    return Path(_OUTPUTS, LAST).resolve() == folder.resolve()


def mark_last(folder: Path) -> None:
    """Points outputs/last to a run's folder in outputs/runs, or to its sweep in outputs/sweeps.

    A run elsewhere leaves it as it is, and so does a file system without symbolic links.
    """
    folder = folder.absolute()
    for parent in folder.parents:
        if parent.parent.name == _OUTPUTS.name and parent.name in ("runs", "sweeps"):
            newest = folder if parent.name == "runs" else folder.parent
            link = parent.with_name(f".{LAST}-{uuid4().hex}")
            with suppress(OSError):
                link.symlink_to(newest.relative_to(parent.parent))
                link.replace(parent.with_name(LAST))
            with suppress(OSError):
                link.unlink(missing_ok=True)


def find_folder(path: Path) -> Path:
    """What a command's path stands for: itself, the newest run or sweep, or one by its beginning.

    `last` is what outputs/last points to; a name is that of a folder in outputs/runs or
    outputs/sweeps, or of a run of a sweep. A path of several parts that is not there is returned
    as it is: the command says what it allows.

    Raises:
        InputError: A name begins like none, or like several.
    """
    text, link = path.as_posix(), _OUTPUTS / LAST
    if path.exists():
        return path
    if text == LAST and link.exists():
        return _OUTPUTS / link.readlink()
    names = _names(in_sweeps="/" in text)
    alike = [(name, folder) for folder, name in names.items() if name.startswith(text)]
    folders = [folder for name, folder in alike if name == text] or [folder for _, folder in alike]
    if len(folders) == 1:
        return folders[0]
    if folders:
        raise InputError(
            f"{text}: so begin {len(folders)} names; allowed is one of "
            f"{first_of([str(folder) for folder in folders])}"
        )
    if "/" in text:
        return path
    known = first_of(sorted(set(names.values()))) or "none is there yet"
    raise InputError(
        f"{text}: is no path, and no name of a run or a sweep begins so; allowed are a path, "
        f"{LAST}, or how one of these begins: {known}{nearest(text, names.values())}"
    )


def find_run(path: Path) -> Path:
    """The same, for a command that takes one run.

    Raises:
        InputError: A name begins like none, or like several, or is that of a sweep.
    """
    folder = find_folder(path)
    runs = sorted(str(file.parent) for file in folder.glob("*/config.yaml"))
    if runs and not (folder / "config.yaml").exists():
        raise InputError(f"{path}: is no run but holds some; allowed is one of {first_of(runs)}")
    return folder


def _names(*, in_sweeps: bool) -> dict[Path, str]:
    """The folders of runs and sweeps; with `in_sweeps`, those of a sweep's runs as SWEEP/RUN."""
    folders = [*_OUTPUTS.glob("runs/*"), *_OUTPUTS.glob("sweeps/*")]
    names = {folder: folder.name for folder in folders if folder.is_dir()}
    for file in _OUTPUTS.glob("sweeps/*/*/config.yaml"):
        run = file.parent
        names[run] = f"{run.parent.name}/{run.name}" if in_sweeps else run.name
    return dict(sorted(names.items()))
