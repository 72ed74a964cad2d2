"""The memory that images take, compared with what this process may still use."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightprune.errors import InputError, first_line

_CGROUPS = Path("/sys/fs/cgroup")
# Linux's control groups: the folder of the memory controller, its files in each group, and what the
# names in `memory.stat` begin with.
_VERSION_1 = ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
_VERSION_2 = ("", "memory.max", "memory.current", "")
_ALLOWED = "allowed are smaller or fewer images, or more memory"


def available_memory() -> int | None:
    """Bytes that this process may still allocate; None where the system does not say.

    The least of what the machine has left, what the process's control groups allow (as those of
    containers and SLURM jobs), and `ulimit -v`.
    """
    try:
        machine = _fields(Path("/proc/meminfo"))["MemAvailable"] * 1024
        mapped = _fields(Path("/proc/self/status"))["VmSize"] * 1024
        groups = Path("/proc/self/cgroup").read_text("utf-8")
    except (OSError, KeyError):
        return None
    limits = [machine, *left_in_control_groups(groups)]
    address_space = resource.getrlimit(resource.RLIMIT_AS)[0]
    if address_space != resource.RLIM_INFINITY:
        limits.append(address_space - mapped)
    return max(min(limits), 0)


@contextmanager
def enough_memory(setting: str, required: int = 0) -> Iterator[None]:
    """Checks for memory before a block, and names the setting if memory runs out within it.

    Raises:
        InputError: Less than the `required` bytes are available, or an allocation fails.
    """
    available = available_memory()
    if available is not None and required > available:
        raise InputError(
            f"{setting}: the images take {required / 1e9:.1f} GB of memory, "
            f"{available / 1e9:.1f} GB are available; {_ALLOWED}"
        )
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch has no type of its own for this.
        if not isinstance(error, MemoryError) and "can't allocate memory" not in str(error):
            raise
        reason = first_line(error).rpartition("DefaultCPUAllocator: ")[2]
        raise InputError(
            f"{setting}: memory runs out while the images are loaded ({reason}); {_ALLOWED}"
        ) from error


def _fields(file: Path) -> dict[str, int]:
    """The numbers in a file of lines `name: number unit` or `name number`, by their names."""
    lines = (line.replace(":", " ").split() for line in file.read_text("utf-8").splitlines())
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}


def left_in_control_groups(membership: str, root: Path = _CGROUPS) -> Iterator[int]:
    """What each group around a process has left of memory.

    `membership` is what /proc/PID/cgroup lists, a line `ID:CONTROLLERS:PATH` each.
    """
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        folder, limit_file, usage_file, prefix = _VERSION_1 if controllers else _VERSION_2
        top = root / folder
        innermost = top / path.strip("/")
        for group in (innermost, *innermost.parents):
            if not group.is_relative_to(top):
                break
            try:
                limit = int((group / limit_file).read_text("utf-8"))
                used = int((group / usage_file).read_text("utf-8"))
                # Cached files count as used, but are given up for the asking.
                fields = _fields(group / "memory.stat")
            except (OSError, ValueError):  # No limit reads "max".
                continue
            cached = (fields.get(f"{prefix}{kind}active_file", 0) for kind in ("in", ""))
            yield limit - used + sum(cached)
