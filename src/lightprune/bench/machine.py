"""The machine that is measured on, and the versions of the packages."""

import platform
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lightprune.cores import available_cores
from lightprune.provenance import versions

_PACKAGES = ("numpy", "numba", "onnx", "onnxscript", "onnxruntime", "openvino", "MNN")


@dataclass(frozen=True)
class Machine:
    """What decides how fast networks run on a computer.

    Attributes:
        cores: How many this process may use.
        lanes: Float32 values in a vector register of the sparse runtime.
    """

    processor: str
    cores: int
    lanes: int
    system: str

    @property
    def label(self) -> str:
        """The processor and its SIMD extension: processors of one name may differ in it."""
        return f"{self.processor} with {'AVX-512' if self.lanes == 16 else 'AVX2'}"


def this_machine() -> Machine:
    """Describes the machine that this process runs on."""
    from lightprune.sparse.isa.register_blocks import LANES

    return Machine(_processor(), available_cores(), LANES, platform.platform(terse=True))


def all_versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide the speed."""
    installed = versions()
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
