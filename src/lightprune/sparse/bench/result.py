"""What a bench found out, and its JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from lightprune.pruning.cost import LayerCost
from lightprune.sparse.bench.agreement import Agreement
from lightprune.sparse.bench.engines import SPARSE, STRIPPED, Engine
from lightprune.sparse.bench.layers import UnitTimings
from lightprune.sparse.bench.machine import Machine
from lightprune.sparse.bench.timing import Timing

SCHEMA = 1


@dataclass(frozen=True)
class SpeedUp:
    """How much faster the sparse runtime is: ratios of medians of the same turns.

    Attributes:
        threads: How many each may use.
        batch: Images a call.
        fastest_dense: The name of the fastest dense engine.
        over_dense: Its median by the sparse runtime's; None without either.
        over_stripped: The same for the dense network without dead taps.
    """

    threads: int
    batch: int
    fastest_dense: str | None
    over_dense: float | None
    over_stripped: float | None


@dataclass(frozen=True)
class Layers:
    """The sparse runtime's time by operation.

    Attributes:
        peak: Float32 operations a second that one core can do, measured.
        units: One image at a time, then a vector of them.
    """

    peak: float
    units: tuple[UnitTimings, ...]


@dataclass(frozen=True)
class BenchResult:
    """All of it.

    Attributes:
        path: What was measured.
        command: What the user typed.
        commit: Of the code, or `unknown`.
        versions: Of what it ran on.
        machine: Where it ran.
        cost: Weights and MACs of the prunable weights.
        runtime_macs: MACs an image that the sparse runtime executes.
        startup: Seconds to load the sparse file, and of the first call.
        sizes: Bytes of every file.
        examples: The images on which predictions were compared, in words.
        engines: Those that were measured.
        left_out: Why others were not, by name.
        timings: One an engine, number of threads and batch.
        agreements: One an engine.
        layers: If they were asked for.
    """

    path: str
    command: str
    commit: str
    versions: Mapping[str, str]
    machine: Machine
    cost: LayerCost
    runtime_macs: int
    startup: Mapping[str, float]
    sizes: Mapping[str, int]
    examples: str
    engines: tuple[Engine, ...]
    left_out: Mapping[str, str]
    timings: tuple[Timing, ...]
    agreements: tuple[Agreement, ...]
    layers: Layers | None = None
    speedups: tuple[SpeedUp, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Compares the timings."""
        cells = dict.fromkeys((timing.threads, timing.batch) for timing in self.timings)
        object.__setattr__(self, "speedups", tuple(self._speedup(*cell) for cell in cells))

    def _speedup(self, threads: int, batch: int) -> SpeedUp:
        medians = {
            timing.engine: timing.median
            for timing in self.timings
            if (timing.threads, timing.batch) == (threads, batch)
        }
        dense = [engine.name for engine in self.engines if engine.dense and engine.name in medians]
        fastest = min(dense, key=medians.__getitem__, default=None)
        mine = medians.get(SPARSE)

        def ratio(name: str | None) -> float | None:
            return medians[name] / mine if mine and name in medians else None

        return SpeedUp(threads, batch, fastest, ratio(fastest), ratio(STRIPPED))

    def to_json(self) -> str:
        """As JSON: the fields, times in seconds, rates and shares computed."""
        cost = self.cost
        shares = {
            "sparsity": cost.sparsity,
            "live_sparsity": cost.live_sparsity,
            "mac_density": cost.mac_density,
        }
        whole = {
            "schema": SCHEMA,
            **vars(self),
            "machine": asdict(self.machine),
            "cost": {**asdict(cost), **shares},
            "engines": {engine.name: engine.label for engine in self.engines},
            "timings": [asdict(timing) for timing in self.timings],
            "speedups": [asdict(speedup) for speedup in self.speedups],
            "agreements": [{**asdict(a), "accuracy": a.accuracy} for a in self.agreements],
            "layers": None,
        }
        if self.layers:
            units = [
                {
                    **asdict(unit),
                    "operations": [{**asdict(o), "rate": o.rate} for o in unit.operations],
                }
                for unit in self.layers.units
            ]
            whole["layers"] = {"peak": self.layers.peak, "units": units}
        return json.dumps(whole, indent=1)
