"""How long it takes until the sparse runtime answers, each time in a process of its own."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory


@dataclass(frozen=True)
class StartupSeconds:
    """A process that reads a sparse file and computes one image, in seconds.

    Attributes:
        imports: Of Python, torch and the runtime.
        load: Of the file.
        first_call: With one image: what is not on disk yet is compiled, the rest is read.
    """

    imports: float
    load: float
    first_call: float


@dataclass(frozen=True)
class Startup:
    """The first time on a machine, and every later one.

    Attributes:
        cold: With nothing compiled.
        warm: With what the cold process left on disk.
    """

    cold: StartupSeconds
    warm: StartupSeconds


def measure_startup(file: Path) -> Startup:
    """Starts twice with a sparse file; the first time nothing is compiled.

    Raises:
        RuntimeError: A process failed; the message is the last line that it wrote.
        ValueError: It wrote something else than its times.
    """
    with TemporaryDirectory(prefix="lightprune-compiled-") as folder:
        return Startup(*(_started(file, folder) for _ in range(2)))


def _started(file: Path, compiled: str) -> StartupSeconds:
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(file), str(time.time())],
        env={**os.environ, "NUMBA_CACHE_DIR": compiled},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().rpartition("\n")[2] or f"exit {done.returncode}")
    return StartupSeconds(**json.loads(done.stdout))


def _start(file: Path, began: float) -> StartupSeconds:
    """What such a process does; `began` is when it was started, in seconds since 1970."""
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
    print(json.dumps(asdict(_start(Path(sys.argv[1]), float(sys.argv[2])))))
