"""Files written atomically: readers see the old or the new content, never a part."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def write_text(path: Path, text: str) -> None:
    """Writes a text file."""
    replace_file(path, lambda partial: partial.write_text(text))


def write_weights(
    path: Path, state: Mapping[str, Tensor], about: dict[str, str] | None = None
) -> None:
    """Writes tensors, row-major, and a description of them as safetensors."""
    plain = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    replace_file(path, lambda partial: save_file(plain, partial, metadata=about))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Has `write` fill a file beside `path`, and then puts it in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
