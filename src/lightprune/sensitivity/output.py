"""Output of a sensitivity analysis: table, lines, CSV, allocation, figure, pruning command."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from rich import get_console
from rich.table import Table

from lightprune.files import csv_text, write_text
from lightprune.rendering.console_table import console_table
from lightprune.rendering.number_format import pp_label
from lightprune.runs.command_line import split_command
from lightprune.sensitivity.accuracy_figure import sensitivity_figure
from lightprune.sensitivity.analysis import SensitivityResult
from lightprune.sensitivity.loaded_run import LoadedRun
from lightprune.sensitivity.measured_allocation import MeasuredAllocation
from lightprune.sensitivity.scan import LayerScan, Measurement

# What names another folder, or what the allocation takes the place of.
_DROPPED_KEYS = ("force", "name", "plan_only", "hydra.run.dir", "pruner.sparsities")
_TOTALS = ("schedule.sparsity", "schedule.amount")


def write_result(result: SensitivityResult, folder: Path) -> None:
    """Writes measurements, allocation and figure into a folder."""
    write_text(folder / "sensitivity.csv", scan_csv(result))
    write_text(folder / "allocation.yaml", allocation_yaml(result.allocation))
    sensitivity_figure(result).write(folder)


def show_analysis(result: SensitivityResult, loaded: LoadedRun, folder: Path) -> None:
    """Prints the analysis, the path of its files, and the command that prunes by its allocation."""
    get_console().print(result_table(result), highlight=False)
    command = pruning_command(loaded, result.allocation)
    for line in (*loaded.notes, *summary_lines(result), command):
        print(line)
    print(folder / "allocation.yaml")


def result_table(result: SensitivityResult) -> Table:
    """A row a layer: what each sparsity costs in pp, and what is allocated."""
    scan = result.scan
    title = (
        f"accuracy in pp, beside {scan.correct / scan.images:.1%} of {scan.images:,} "
        "images, if one layer alone is pruned"
    )

    def row(layer: LayerScan) -> tuple[str, ...]:
        changes = (pp_label(-scan.drop(point.correct), 1) for point in layer.points)
        share = result.allocation.zeros[layer.name] / layer.weights
        return layer.name.removesuffix(".weight"), f"{layer.weights:,}", *changes, f"{share:.2%}"

    sparsities = (f"{100 * sparsity:g} %" for sparsity in result.sparsities)
    columns = ("layer", "weights", *sparsities, "allocated")
    return console_table(title, columns, map(row, scan.layers))


def summary_lines(result: SensitivityResult) -> Iterator[str]:
    """What the allocation is, and what it is worth."""
    allocation, images = result.allocation, result.scan.images
    weights = sum(allocation.weights.values())
    yield (
        f"allocation: {allocation.total:,} of {weights:,} weights pruned "
        f"({allocation.total / weights:.4%}), each layer as far as that costs at most "
        f"{100 * allocation.tolerance:.2f} pp while the others are as they were"
    )
    yield (
        "method: layer by layer as in Li et al. 2017 (section 3.2) and Han et al. 2015 (section "
        "5); curves made monotone by isotonic regression, one tolerance for all layers by bisection"
    )
    accuracies = (f"{label} {at.correct / images:.1%}" for label, at in result.joint.items())
    yield f"all layers at once, before fine-tuning: {', '.join(accuracies)}"


def scan_csv(result: SensitivityResult) -> str:
    """A row a measurement, at full precision; the first of each layer is the network as it is."""
    columns = (
        *("name", "weights", "sparsity", "zeros", "images", "correct", "accuracy", "drop"),
        "monotone_drop",
    )
    scan, rows = result.scan, []
    for layer, curve in zip(scan.layers, scan.curves(), strict=True):
        start = Measurement(layer.start / layer.weights, layer.start, scan.correct)
        monotone = dict(zip(curve.zeros, curve.drops, strict=True))
        for at in (start, *layer.points):
            counts = (layer.name, layer.weights, at.sparsity, at.zeros, scan.images, at.correct)
            drops = (at.correct / scan.images, scan.drop(at.correct), monotone[at.zeros])
            rows.append((*counts, *drops))
    return csv_text(columns, rows)


def allocation_yaml(allocation: MeasuredAllocation) -> str:
    """The pairs that `pruner.sparsities` takes, as YAML."""
    pairs = (f"- [{name}, {sparsity}]\n" for name, sparsity in allocation.sparsities.items())
    return f"# For pruner.sparsities: {allocation.sparsity} in all.\n{''.join(pairs)}"


def pruning_command(loaded: LoadedRun, allocation: MeasuredAllocation) -> str:
    """The command that prunes as the run did, but by an allocation."""
    program, words = split_command(loaded.record.command)
    dropped, more = [*_DROPPED_KEYS], []
    if "_target_" not in loaded.record.config["pruner"]:
        dropped.append("pruner")
        more.append("pruner=global")
    if loaded.record.config["pruner"].get("pattern"):
        # The pattern takes no tensor that has its own sparsity.
        dropped.append("pruner.pattern")
        more.append("pruner.pattern=null")
    if allocation.total != loaded.zeros:
        dropped += _TOTALS
        more.append(f"schedule.sparsity={allocation.sparsity}")
    if words is None or {"-m", "--multirun"} & set(words):
        # One run of a sweep, or of several nodes by their config: neither command holds this run's
        # settings.
        overrides = ["..."]
    else:
        overrides = [word for word in words if word.lstrip("+").partition("=")[0] not in dropped]
    pairs = ",".join(f"[{name},{share}]" for name, share in allocation.sparsities.items())
    return shlex.join([*program, *overrides, *more, f"pruner.sparsities=[{pairs}]"])
