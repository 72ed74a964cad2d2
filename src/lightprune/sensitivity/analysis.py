"""Sensitivity analysis: layer scan, allocation by its curves, accuracy of that allocation."""

from dataclasses import dataclass, replace

from lightprune.errors import InputError, check_number
from lightprune.pruning.allocation import min_kept
from lightprune.sensitivity.accuracy_curve import Curve
from lightprune.sensitivity.loaded_run import LoadedRun
from lightprune.sensitivity.measured_allocation import (
    MeasuredAllocation,
    allocate_total,
    allocate_within,
    check_total,
)
from lightprune.sensitivity.scan import Measurement, Say, Scan, prune_jointly, scan_layers

_USUAL = (0.5, 0.8, 0.9, 0.95, 0.98)
_PP = 100  # Percentage points of an accuracy.


@dataclass(frozen=True)
class AnalysisSettings:
    """What each layer is pruned to, and how much is to be allocated.

    Attributes:
        sparsities: That each layer is pruned to; None chooses some that suit the total.
        target: The sparsity of all layers together; None takes the run's.
        drop: Instead of a total, the accuracy that pruning any one layer may cost, in pp.
    """

    sparsities: tuple[float, ...] | None = None
    target: float | None = None
    drop: float | None = None

    def __post_init__(self) -> None:
        for sparsity in self.sparsities or ():
            check_number("--sparsities", sparsity, 0, 1, open_high=True)
        if self.target is not None:
            check_number("--target", self.target, 0, 1, open_low=True, open_high=True)
        if self.drop is not None:
            check_number("--drop", self.drop, 0, _PP)
            if self.target is not None:
                raise InputError(f"--drop={self.drop:g}: allowed is either this or --target")


@dataclass(frozen=True)
class SensitivityResult:
    """Scan, curves and allocation of a network.

    Attributes:
        sparsities: That each layer was pruned to, ascending.
        curves: The monotone curves through the scan, up to the run's floor.
        joint: What the allocation, and two that need no scan, do before any fine-tuning.
    """

    sparsities: tuple[float, ...]
    scan: Scan
    curves: tuple[Curve, ...]
    allocation: MeasuredAllocation
    joint: dict[str, Measurement]


def parse_sparsities(text: str) -> tuple[float, ...]:
    """The sparsities of a comma-separated list, ascending, each once.

    Raises:
        InputError: It is something else.
    """
    try:
        return tuple(sorted({float(part) for part in text.split(",")}))
    except ValueError as error:
        raise InputError(
            f"--sparsities={text}: allowed are numbers in [0, 1) with commas between them"
        ) from error


def analyze_sensitivity(
    loaded: LoadedRun, settings: AnalysisSettings, say: Say
) -> SensitivityResult:
    """Scans a network and allocates a sparsity to each of its layers.

    Raises:
        InputError: The total cannot be reached within the sparsities; before the scan begins.
    """
    sizes = [weight.numel() for weight in loaded.weights.values()]
    total = sum(sizes)
    zeros = loaded.zeros if settings.target is None else round(settings.target * total)
    if not zeros and settings.drop is None:
        raise InputError(
            "--target: the run pruned nothing that says how much; allowed is a number in (0, 1)"
        )
    sparsities = settings.sparsities or default_sparsities(zeros / total)
    if settings.drop is None:
        starts = [int((weight == 0).sum()) for weight in loaded.weights.values()]
        ends = [min(round(sparsities[-1] * size), _most(loaded, size)) for size in sizes]
        check_total(zeros, sum(starts), sum(map(max, starts, ends)), total)
    scan = scan_layers(loaded, sparsities, say)
    curves = tuple(curve.up_to(_most(loaded, curve.weights)) for curve in scan.curves())
    if settings.drop is None:
        allocation = allocate_total(curves, zeros)
    else:
        allocation = allocate_within(curves, settings.drop / _PP)
    say("all layers at once")
    return SensitivityResult(sparsities, scan, curves, allocation, _joint(loaded, allocation))


def default_sparsities(total: float) -> tuple[float, ...]:
    """The usual sparsities, and higher ones if layers must go beyond them for such a total."""
    density = 1 - total
    more = (round(1 - density / 2, 6), round(1 - density / 5, 6))
    return (*_USUAL, *(sparsity for sparsity in more if sparsity > _USUAL[-1]))


def _most(loaded: LoadedRun, weights: int) -> int:
    return weights - min_kept(loaded.floor, weights)


def _joint(loaded: LoadedRun, allocation: MeasuredAllocation) -> dict[str, Measurement]:
    pairs = tuple((name, float(sparsity)) for name, sparsity in allocation.sparsities.items())
    pruners = {
        "this allocation": replace(loaded.pruner, sparsities=pairs),
        "one ranking of all layers": loaded.pruner,
        "the same sparsity in every layer": replace(loaded.pruner, scope="local"),
    }
    sparsity = float(allocation.sparsity)
    return {label: prune_jointly(loaded, each, sparsity) for label, each in pruners.items()}
