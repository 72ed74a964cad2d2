"""How long it takes until the sparse runtime answers, each time in a process of its own."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec


@dataclass(frozen=True)
class StartupSeconds:
    """Seconds until a new process has read a sparse file and computed one image.

    Attributes:
        imports: Until Python has imported torch and the runtime.
        load: Reading the file.
        first_call: With one image; kernels that are not in the cache are compiled.
    """

    imports: float
    load: float
    first_call: float


@dataclass(frozen=True)
class Startup:
    """With an empty cache of compiled kernels, and with the cache that this process wrote."""

    cold: StartupSeconds
    warm: StartupSeconds


def measure_startup(file: Path) -> Startup:
    """Starts two processes with a sparse file, the first with an empty cache.

    Raises:
        RuntimeError: A process failed; the message is its last line.
        ValueError: It printed something else than its times.
    """
    with TemporaryDirectory(prefix="lightprune-compiled-") as folder:
        return Startup(*(_start_process(file, folder) for _ in range(2)))


def _start_process(file: Path, cache: str) -> StartupSeconds:
    process = subprocess.run(
        [sys.executable, "-m", __name__, str(file), str(time.time())],
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise RuntimeError(
            process.stderr.strip().rpartition("\n")[2] or f"exit {process.returncode}"
        )
    return msgspec.json.decode(process.stdout, type=StartupSeconds)


def _start(file: Path, began: float) -> StartupSeconds:
    """Runs in the new process; `began` is when it was started, in seconds since 1970."""
    import torch

    from lightprune.export.load import load
    from lightprune.sparse.ir.graph import INPUT
    from lightprune.sparse.runtime.network import SparseNetwork

    imported = time.time()
    network = load(file)
    loaded = time.time()
    assert isinstance(network, SparseNetwork)
    network(torch.zeros(1, *network.program.shapes[INPUT]))
    return StartupSeconds(imported - began, loaded - imported, time.time() - loaded)


if __name__ == "__main__":
    print(msgspec.json.encode(_start(Path(sys.argv[1]), float(sys.argv[2]))).decode())
