"""What a bench found out, and its JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

from lightprune.bench.backends import BACKENDS, SPARSE, STRIPPED, Backend
from lightprune.bench.machine import Machine
from lightprune.bench.output_check import OutputCheck
from lightprune.bench.startup import Startup, StartupSeconds
from lightprune.bench.timing import Timing
from lightprune.pruning.cost import LayerCost

if TYPE_CHECKING:  # The runtime's compiler takes a second to load, and readers do without.
    from lightprune.bench.op_profile import BatchProfile

SCHEMA = 1


@dataclass(frozen=True)
class Speedup:
    """How much faster the sparse runtime is: ratios of medians of the same turns.

    Attributes:
        threads: How many each may use.
        batch: Images a call.
        sparse: The sparse runtime's median, in seconds; None if it was not timed.
        fastest_dense: The name of the fastest dense engine.
        over_dense: Its median by the sparse runtime's; None without either.
        over_stripped: The same for the dense network without dead taps.
    """

    threads: int
    batch: int
    sparse: float | None
    fastest_dense: str | None
    over_dense: float | None
    over_stripped: float | None


def compare_medians(threads: int, batch: int, medians: Mapping[str, float]) -> Speedup:
    """Compares the medians of engines, by their names, in the same turns."""
    dense = [engine.name for engine in BACKENDS if engine.dense and engine.name in medians]
    fastest = min(dense, key=medians.__getitem__, default=None)
    mine = medians.get(SPARSE)

    def ratio(name: str | None) -> float | None:
        return medians[name] / mine if mine and name and name in medians else None

    return Speedup(threads, batch, mine, fastest, ratio(fastest), ratio(STRIPPED))


@dataclass(frozen=True)
class OpProfile:
    """The sparse runtime's time by operation.

    Attributes:
        peak: Float32 operations a second that one core can do, measured.
        units: One image at a time, then a vector of them.
    """

    peak: float
    units: "tuple[BatchProfile, ...]"


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
        startup: Until the sparse runtime has answered; None if not asked for.
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
    startup: Startup | None
    sizes: Mapping[str, int]
    examples: str
    engines: tuple[Backend, ...]
    left_out: Mapping[str, str]
    timings: tuple[Timing, ...]
    agreements: tuple[OutputCheck, ...]
    layers: OpProfile | None = None
    speedups: tuple[Speedup, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Compares the timings."""
        cells = dict.fromkeys((timing.threads, timing.batch) for timing in self.timings)
        speedups = tuple(compare_medians(*cell, self.medians(*cell)) for cell in cells)
        object.__setattr__(self, "speedups", speedups)

    def medians(self, threads: int, batch: int) -> dict[str, float]:
        """Seconds of each engine by its name."""
        return {
            timing.engine: timing.median
            for timing in self.timings
            if (timing.threads, timing.batch) == (threads, batch)
        }

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
            "startup": self.startup and asdict(self.startup),
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

    @classmethod
    def from_json(cls, text: str) -> "BenchResult":
        """Reads what `to_json` wrote, but for the times of single operations.

        Raises:
            ValueError: It is something else.
        """
        try:
            found = json.loads(text)
            if found.pop("schema") != SCHEMA:
                raise ValueError(f"its schema is not {SCHEMA}")
            names, start, cost = found.pop("engines"), found["startup"], found["cost"]
            for agreement in found["agreements"]:
                del agreement["accuracy"]
            del found["speedups"]
            parts = {
                "machine": Machine(**found["machine"]),
                "cost": LayerCost(**{count.name: cost[count.name] for count in fields(LayerCost)}),
                "startup": start
                and Startup(**{key: StartupSeconds(**start[key]) for key in start}),
                "engines": tuple(engine for engine in BACKENDS if engine.name in names),
                "timings": tuple(Timing(**timing) for timing in found["timings"]),
                "agreements": tuple(OutputCheck(**one) for one in found["agreements"]),
                "layers": None,
            }
            return cls(**{**found, **parts})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
