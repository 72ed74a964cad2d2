"""How many processor cores this process may use."""

import math
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def available_cores(cgroups: Path = _CGROUPS) -> int:
    """The number of cores that this process may use: its affinity, less a cgroup's quota."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, min(cores, math.ceil(_quota(cgroups) or cores)))


def _quota(cgroups: Path) -> float | None:
    """Returns the processor time a control group may use per unit of time; None without limit."""
    try:
        if (limit := cgroups / "cpu.max").exists():
            quota, period = limit.read_text("utf-8").split()
        else:
            quota, period = (
                (cgroups / "cpu" / f"cpu.cfs_{name}_us").read_text("utf-8")
                for name in ("quota", "period")
            )
        return int(quota) / int(period) if quota != "max" and int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
