"""What was measured on, and with which versions."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lightprune.provenance import versions

_PACKAGES = ("numpy", "numba", "onnxruntime")


@dataclass(frozen=True)
class Machine:
    """A computer as far as it decides how fast networks run.

    Attributes:
        processor: Its name.
        cores: How many this process may use.
        lanes: Float32 values in a vector of the sparse runtime.
        system: The operating system.
    """

    processor: str
    cores: int
    lanes: int
    system: str

    @property
    def label(self) -> str:
        """The processor, and the vectors: processors of one name may differ in them."""
        return f"{self.processor} with vectors of {self.lanes}"


def this_machine() -> Machine:
    """Looks around."""
    from lightprune.sparse.isa.register_blocks import LANES

    return Machine(_processor(), available_cores(), LANES, platform.platform(terse=True))


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def all_versions() -> dict[str, str]:
    """Of Python and of the packages that decide what is measured."""
    found = versions()
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
