"""Speed-up by sparsity, break-even, and the JSON that `benchmarks/speedup.py` writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from lightprune.bench.machine import Machine
from lightprune.bench.result import Speedup
from lightprune.bench.timing import Timing
from lightprune.errors import InputError

_Measured = TypeVar("_Measured")


@dataclass(frozen=True)
class SparsityLevel:
    """A network pruned to a nominal sparsity, in the sparse runtime.

    Attributes:
        max_logit_difference: Largest absolute difference to eager torch, on random images.
        max_logit: Largest absolute logit of eager torch.
    """

    sparsity: float
    live_sparsity: float
    mac_density: float
    max_logit_difference: float
    max_logit: float
    timings: tuple[Timing, ...]


@dataclass(frozen=True)
class NetworkSweep:
    """A network at several sparsities, ascending, beside the dense backends in the same turns.

    `weights` says where they are from, in words.
    """

    name: str
    weights: str
    levels: tuple[SparsityLevel, ...]
    dense: tuple[Timing, ...]

    @property
    def thread_batches(self) -> tuple[tuple[int, int], ...]:
        """Every (threads, batch) that was measured."""
        return tuple(dict.fromkeys((timing.threads, timing.batch) for timing in self.dense))

    def speedup(self, level: SparsityLevel, threads: int, batch: int) -> Speedup:
        """The sparse runtime at one level beside the dense backends."""
        return Speedup.of((*self.dense, *level.timings), threads, batch)

    def break_even(self, threads: int, batch: int) -> tuple[float, float] | None:
        """Sparsity and MAC density where the sparse runtime equals the fastest dense backend.

        Times are interpolated linearly between neighbouring levels: so they grow with the weights.
        None if no level is fast enough; the first level if that is.
        """
        previous, above = None, 1.0
        for level in self.levels:
            ratio = self.speedup(level, threads, batch).over_dense
            if not ratio:
                return None
            if (relative_time := 1 / ratio) <= 1:
                slower = previous or level
                fraction = (above - 1) / (above - relative_time) if above > relative_time else 1.0
                return (
                    slower.sparsity + fraction * (level.sparsity - slower.sparsity),
                    slower.mac_density + fraction * (level.mac_density - slower.mac_density),
                )
            previous, above = level, relative_time
        return None


@dataclass(frozen=True)
class SparsitySweep:
    """Speed by sparsity of several networks, and where it was measured."""

    command: str
    commit: str
    versions: Mapping[str, str]
    machine: Machine
    networks: tuple[NetworkSweep, ...]

    def to_json(self) -> str:
        """As JSON, times in seconds."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1).decode()


def read_benchmark(file: Path, kind: type[_Measured], script: str) -> _Measured | None:
    """Reads what `benchmarks/SCRIPT --out` wrote; None if there is no file.

    Raises:
        InputError: The file is not the benchmark's.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(
            f"{file}: is damaged ({error}); allowed is what benchmarks/{script} --out writes"
        ) from error
