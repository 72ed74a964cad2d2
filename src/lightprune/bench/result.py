"""The result of a bench, and its JSON."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from lightprune.bench.backends import BACKENDS, SPARSE
from lightprune.bench.machine import Machine
from lightprune.bench.output_check import OutputCheck
from lightprune.bench.startup import Startup
from lightprune.bench.timing import Timing
from lightprune.pruning.cost.cost_report import LayerCost

SCHEMA = 2


@dataclass(frozen=True)
class Speedup:
    """How much faster the sparse runtime is: ratios of medians measured in the same turns.

    Attributes:
        sparse: The sparse runtime's median, in seconds a batch; None if it was not timed.
        fastest_dense: The name of the fastest backend of the dense network in float32.
        over_dense: Its median by the sparse runtime's; None without either.
        over_stripped: The same for the fastest one of the network without unreachable weights.
    """

    threads: int
    batch: int
    sparse: float | None
    fastest_dense: str | None
    over_dense: float | None
    over_stripped: float | None

    @classmethod
    def of(cls, timings: Iterable[Timing], threads: int, batch: int) -> "Speedup":
        """Compares what was timed with so many threads and images a call."""
        medians = medians_of(timings, threads, batch)
        sparse = medians.get(SPARSE)

        def fastest(stripped: bool) -> str | None:
            names = [b.name for b in BACKENDS if b.dense and b.stripped == stripped]
            return min((n for n in names if n in medians), key=medians.__getitem__, default=None)

        def ratio(name: str | None) -> float | None:
            return medians[name] / sparse if sparse and name else None

        dense = fastest(stripped=False)
        return cls(threads, batch, sparse, dense, ratio(dense), ratio(fastest(stripped=True)))


def medians_of(timings: Iterable[Timing], threads: int, batch: int) -> dict[str, float]:
    """Seconds a call of each backend, by its name."""
    return {t.backend: t.median for t in timings if (t.threads, t.batch) == (threads, batch)}


@dataclass(frozen=True)
class OpTiming:
    """One operation of the sparse runtime, and those fused to it, timed alone on one core.

    Attributes:
        value: The name of what it computes.
        layers: The modules it is made of, or the kind of step.
        seconds: For all of the images.
        density: The share of weights that are not zero; None for an operation without weights.
        flops: Two for every non-zero weight and output, for all of the images.
        kernel: Output channels at a time, and how; see `ChannelBlock`.
    """

    value: str
    layers: str
    images: int
    seconds: float
    density: float | None
    flops: int
    kernel: str

    @property
    def rate(self) -> float:
        """Useful float32 operations a second."""
        return self.flops / self.seconds


@dataclass(frozen=True)
class BatchProfile:
    """The sparse runtime with so many images at a time: the whole network, and each operation."""

    images: int
    seconds: float
    operations: tuple[OpTiming, ...]


@dataclass(frozen=True)
class OpProfile:
    """Time by operation: one image at a time, then a vector of them.

    `peak` is the float32 operations a second that one core can do, measured.
    """

    peak: float
    batches: tuple[BatchProfile, ...]


@dataclass(frozen=True)
class BenchResult:
    """What `lightprune bench` measured.

    Attributes:
        path: The network that was measured.
        commit: Of the code, or `unknown`.
        cost: Weights and MACs of the prunable weights.
        runtime_macs: MACs an image that the sparse runtime executes; None if it cannot run.
        startup: How long the first call takes in a new process; None if not measured.
        sizes: Bytes of every file, by its format.
        evaluation_images: The images on which outputs were compared, in words.
        backends: The labels of those that were measured, by name.
        skipped: Why others, and other measurements, were not, by name.
    """

    path: str
    command: str
    commit: str
    versions: Mapping[str, str]
    machine: Machine
    cost: LayerCost
    runtime_macs: int | None
    startup: Startup | None
    sizes: Mapping[str, int]
    evaluation_images: str
    backends: Mapping[str, str]
    skipped: Mapping[str, str]
    timings: tuple[Timing, ...]
    output_checks: tuple[OutputCheck, ...]
    profile: OpProfile | None = None

    @cached_property
    def speedups(self) -> tuple[Speedup, ...]:
        """One for every number of threads and batch that was measured."""
        measured = dict.fromkeys((timing.threads, timing.batch) for timing in self.timings)
        return tuple(Speedup.of(self.timings, *pair) for pair in measured)

    def to_json(self) -> str:
        """The fields as JSON, with speed-ups, rates and shares computed from them."""
        document = {"schema": SCHEMA, **msgspec.to_builtins(self)}
        document["cost"] = _with(self.cost, "sparsity", "live_sparsity", "mac_density")
        document["speedups"] = msgspec.to_builtins(self.speedups)
        document["output_checks"] = [_with(check, "accuracy") for check in self.output_checks]
        if self.profile:
            document["profile"]["batches"] = [
                {**vars(batch), "operations": [_with(op, "rate") for op in batch.operations]}
                for batch in self.profile.batches
            ]
        return msgspec.json.format(msgspec.json.encode(document), indent=1).decode()

    @classmethod
    def from_json(cls, text: str) -> "BenchResult":
        """Reads what `to_json` wrote; ValueError if it is something else, or of another schema."""
        if (schema := msgspec.json.decode(text, type=_Schema).schema) != SCHEMA:
            raise ValueError(f"its schema is {schema}; lightprune bench writes {SCHEMA}")
        return msgspec.json.decode(text, type=cls)


class _Schema(msgspec.Struct):
    schema: int


def _with(value: object, *properties: str) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(value)
    return fields | {name: getattr(value, name) for name in properties}
