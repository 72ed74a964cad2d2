"""Networks through `sparse.compile`: what `benchmarks/families.py` measured, as a document."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from lightprune.bench.machine import Machine
from lightprune.bench.result import medians_of
from lightprune.bench.timing import Timing
from lightprune.provenance import short_commit
from lightprune.rendering.document import Table
from lightprune.rendering.number_format import milliseconds, percent

_EAGER, _COMPILED = "eager", "sparse"


@dataclass(frozen=True)
class CompiledNetwork:
    """A pruned network as `sparse.compile` makes it, on one thread.

    Differences are the largest of any output, divided by the largest output of eager torch.

    Attributes:
        macs: Multiplications for one input, zero weights included.
        macs_in_runtime: Those of them in layers that the sparse runtime runs.
        left_in_torch: How many calls of each operation torch runs, by its name.
        difference: Between the compiled network and eager torch, over several batch sizes.
        error: Of the compiled network, to float64.
        eager_error: Of eager torch, to float64.
        compile_seconds: Until the first result, kernels being compiled before.
    """

    name: str
    macs: int
    macs_in_runtime: int
    regions: int
    left_in_torch: Mapping[str, int]
    difference: float
    error: float
    eager_error: float
    compile_seconds: float
    timings: tuple[Timing, ...]

    def row(self) -> dict[str, str]:
        """Its cells of the table, by column."""
        cells = {
            "network": self.name,
            "MACs in the runtime": percent(self.macs_in_runtime / self.macs, 1),
            "regions": str(self.regions),
            "Δ to eager": f"{self.difference:.0e}",
            "Δ to float64 (eager's)": f"{self.error:.0e} ({self.eager_error:.0e})",
        }
        for batch in dict.fromkeys(timing.batch for timing in self.timings):
            medians = medians_of(self.timings, 1, batch)
            dense = {name: value for name, value in medians.items() if name != _COMPILED}
            fastest = min(dense, key=dense.__getitem__)
            sparse = medians[_COMPILED]
            cells[f"batch {batch}, ms"] = milliseconds(sparse)
            cells[f"batch {batch}, over eager"] = f"{medians[_EAGER] / sparse:.2f} x"
            cells[f"batch {batch}, over the fastest"] = f"{dense[fastest] / sparse:.2f} x {fastest}"
        return {**cells, "compiles in, s": f"{self.compile_seconds:.0f}"}


@dataclass(frozen=True)
class CompiledNetworks:
    """Several networks, and where they were measured."""

    command: str
    commit: str
    versions: Mapping[str, str]
    machine: Machine
    sparsity: float
    networks: tuple[CompiledNetwork, ...]

    def to_json(self) -> str:
        """As JSON, times in seconds."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1).decode()

    def document(self) -> str:
        """What was measured, how, and a table of the networks, as Markdown."""
        left = [
            f"- {n.name}: {', '.join(f'{count} {name}' for name, count in n.left_in_torch.items())}"
            for n in self.networks
            if n.left_in_torch
        ]
        return "\n".join(
            [
                "# Networks through `sparse.compile`",
                "",
                f"Drawn weights, {percent(self.sparsity, 0)} of each layer's pruned by "
                "torch.nn.utils.prune; one thread, medians of calls in turn in one process. "
                "Differences are relative to the largest output. "
                f"{self.machine.label}, {self.machine.cores} cores; `{self.command}`, commit "
                f"`{short_commit(self.commit)}`.",
                "",
                Table.of((network.row() for network in self.networks), more="").markdown,
                "",
                "Left in torch:",
                "",
                *(left or ["- nothing"]),
                "",
            ]
        )
