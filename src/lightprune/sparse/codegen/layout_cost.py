"""Layout cost: how long an executable takes, by its kernels' costs and what leaves the caches."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lightprune.sparse.codegen.cost_model import SECONDS_PER_VALUE
from lightprune.sparse.codegen.executable import Executable, Instruction

# Seconds for a byte that an instruction reads or writes. Images in lanes are visited in runs of a
# few vectors, too short to be prefetched: a byte takes the longer the farther the cache that holds
# all that the instruction touches. A single image's channels are read from end to end.
_SECONDS_PER_BYTE = 0.05e-9
_FROM_LAST_CACHE, _FROM_MEMORY = 0.1e-9, 0.2e-9
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True)
class CacheSizes:
    """Bytes: of a core's second cache, and of its share of the last one."""

    second: int = 2**20
    last_share: int = 4 * 2**20


@cache
def cache_sizes(folder: Path = _CACHES) -> CacheSizes:
    """Those that Linux tells of; usual ones where it does not."""
    shares = {}
    for index in sorted(folder.glob("index*")):
        try:
            level, size, shared = (
                (index / name).read_text("utf-8").strip()
                for name in ("level", "size", "shared_cpu_map")
            )
            cores = int(shared.replace(",", ""), 16).bit_count()
            shares[int(level)] = int(size.removesuffix("K")) * 1024 // cores
        except (OSError, ValueError, ZeroDivisionError):
            continue
    usual = CacheSizes()
    second = shares.get(2, usual.second)
    return CacheSizes(second, max(second, shares.get(max(shares, default=0), usual.last_share)))


def estimated_seconds(executable: Executable, caches: CacheSizes) -> float:
    """What one core takes for `images_per_vector` images."""
    return sum(_seconds(op, executable, caches) for op in executable.instructions)


def _seconds(operation: Instruction, executable: Executable, caches: CacheSizes) -> float:
    names = [name for name in (operation.task.value, *operation.task.reads) if name]
    sizes = [executable.memory.buffers[name].size for name in names]
    touched = 4 * sum(sizes)
    per_byte = _SECONDS_PER_BYTE
    if executable.images_per_vector > 1 and touched > caches.second:
        per_byte = _FROM_LAST_CACHE if touched <= caches.last_share else _FROM_MEMORY
    seconds = SECONDS_PER_VALUE * sizes[0]
    if operation.weights:
        seconds = float(operation.weights.choice.group_seconds.sum())
    return seconds + per_byte * touched
