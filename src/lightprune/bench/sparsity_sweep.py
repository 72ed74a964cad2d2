"""How the speed-up grows with sparsity: what `benchmarks/speedup.py` measured, and its JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightprune.bench.machine import Machine
from lightprune.bench.result import Speedup, compare_medians
from lightprune.bench.timing import Timing
from lightprune.errors import InputError


@dataclass(frozen=True)
class SparsityLevel:
    """A network pruned to a sparsity, in the sparse runtime.

    Attributes:
        sparsity: Nominal, of the prunable weights.
        live_sparsity: Among those that some input reaches.
        mac_density: The share of the dense MACs that is left.
        largest_difference: Of any logit to eager torch's, on random images.
        largest_logit: Of eager torch's, without its sign.
        timings: One a number of threads and a batch.
    """

    sparsity: float
    live_sparsity: float
    mac_density: float
    largest_difference: float
    largest_logit: float
    timings: tuple[Timing, ...]


@dataclass(frozen=True)
class NetworkSweep:
    """A network at several sparsities beside the engines that compute it dense.

    Attributes:
        name: Of the network.
        weights: Where they are from, in words.
        levels: In the order of their sparsity.
        dense: Timings of the dense engines, in the same turns as those of the levels.
    """

    name: str
    weights: str
    levels: tuple[SparsityLevel, ...]
    dense: tuple[Timing, ...]

    @property
    def cells(self) -> tuple[tuple[int, int], ...]:
        """Every number of threads and images a batch that was measured."""
        return tuple(dict.fromkeys((timing.threads, timing.batch) for timing in self.dense))

    def compared(self, level: SparsityLevel, threads: int, batch: int) -> Speedup:
        """The sparse runtime at one level beside the dense engines."""
        medians = {
            timing.engine: timing.median
            for timing in (*self.dense, *level.timings)
            if (timing.threads, timing.batch) == (threads, batch)
        }
        return compare_medians(threads, batch, medians)

    def break_even(self, threads: int, batch: int) -> tuple[float, float] | None:
        """Where the sparse runtime becomes as fast as the fastest dense engine.

        Times are interpolated linearly between neighbouring levels: so they grow with the weights.

        Returns:
            Sparsity and MAC density; those of the first level if it is fast enough already; None
            if none is.
        """
        before: tuple[SparsityLevel, float] | None = None
        for level in self.levels:
            ratio = self.compared(level, threads, batch).over_dense
            if not ratio:
                return None
            takes = 1 / ratio
            if takes <= 1:
                return _between(before or (level, takes), (level, takes))
            before = level, takes
        return None


def _between(
    slow: tuple[SparsityLevel, float], fast: tuple[SparsityLevel, float]
) -> tuple[float, float]:
    """Sparsity and MAC density where the time is 1, between two levels and theirs."""
    (a, above), (b, below) = slow, fast
    way = (above - 1) / (above - below) if above > below else 0.0
    return (
        a.sparsity + way * (b.sparsity - a.sparsity),
        a.mac_density + way * (b.mac_density - a.mac_density),
    )


@dataclass(frozen=True)
class SparsitySweep:
    """What the benchmark measured, and its provenance."""

    command: str
    commit: str
    versions: Mapping[str, str]
    machine: Machine
    networks: tuple[NetworkSweep, ...]

    def to_json(self) -> str:
        """As JSON, times in seconds."""
        return json.dumps(asdict(self), indent=1)


def read_sparsity_sweep(file: Path) -> SparsitySweep | None:
    """What the benchmark wrote; None if it wrote nothing.

    Raises:
        InputError: The file is not the benchmark's.
    """
    try:
        found = json.loads(file.read_text())
        networks = tuple(map(_network, found["networks"]))
        machine = Machine(**found["machine"])
        return SparsitySweep(**{**found, "machine": machine, "networks": networks})
    except FileNotFoundError:
        return None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"{file}: is damaged ({reason}); allowed is what benchmarks/speedup.py --out writes"
        ) from error


def _network(found: dict[str, Any]) -> NetworkSweep:
    levels = [
        SparsityLevel(**{**level, "timings": _timings(level["timings"])})
        for level in found["levels"]
    ]
    return NetworkSweep(**{**found, "levels": tuple(levels), "dense": _timings(found["dense"])})


def _timings(found: list[dict[str, Any]]) -> tuple[Timing, ...]:
    return tuple(Timing(**timing) for timing in found)
