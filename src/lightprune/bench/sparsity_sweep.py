"""Speed-up by sparsity, break-even, and the JSON that `benchmarks/speedup.py` writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lightprune.bench.machine import Machine
from lightprune.bench.result import Speedup, compare_medians
from lightprune.bench.timing import Timing
from lightprune.errors import InputError


@dataclass(frozen=True)
class SparsityLevel:
    """A network pruned to a sparsity, in the sparse runtime.

    Attributes:
        sparsity: Nominal, of the prunable weights.
        live_sparsity: Of the prunable weights that some input reaches.
        mac_density: The share of the dense MACs that remain.
        max_logit_difference: Largest absolute difference to eager torch, on random images.
        max_logit: Largest absolute logit of eager torch.
        timings: One a number of threads and a batch.
    """

    sparsity: float
    live_sparsity: float
    mac_density: float
    max_logit_difference: float
    max_logit: float
    timings: tuple[Timing, ...]


@dataclass(frozen=True)
class NetworkSweep:
    """A network at several sparsities beside the dense backends.

    Attributes:
        name: Of the network.
        weights: Where they are from, in words.
        levels: In the order of their sparsity.
        dense: Timings of the dense backends, in the same turns as those of the levels.
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
        medians = {
            timing.backend: timing.median
            for timing in (*self.dense, *level.timings)
            if (timing.threads, timing.batch) == (threads, batch)
        }
        return compare_medians(threads, batch, medians)

    def break_even(self, threads: int, batch: int) -> tuple[float, float] | None:
        """Where the sparse runtime becomes as fast as the fastest dense backend.

        Times are interpolated linearly between neighbouring levels: so they grow with the weights.

        Returns:
            Sparsity and MAC density; those of the first level if it is fast enough already; None
            if none is.
        """
        slower: tuple[SparsityLevel, float] | None = None
        for level in self.levels:
            ratio = self.speedup(level, threads, batch).over_dense
            if not ratio:
                return None
            relative_time = 1 / ratio
            if relative_time <= 1:
                return _interpolate(slower or (level, relative_time), (level, relative_time))
            slower = level, relative_time
        return None


def _interpolate(
    slow: tuple[SparsityLevel, float], fast: tuple[SparsityLevel, float]
) -> tuple[float, float]:
    """Sparsity and MAC density where the relative time is 1, between two levels and theirs."""
    (a, above), (b, below) = slow, fast
    fraction = (above - 1) / (above - below) if above > below else 0.0
    return (
        a.sparsity + fraction * (b.sparsity - a.sparsity),
        a.mac_density + fraction * (b.mac_density - a.mac_density),
    )


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


def read_sparsity_sweep(file: Path) -> SparsitySweep | None:
    """Reads what the benchmark wrote; None if there is no file.

    Raises:
        InputError: The file is not the benchmark's.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=SparsitySweep)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(
            f"{file}: is damaged ({error}); allowed is what benchmarks/speedup.py --out writes"
        ) from error
