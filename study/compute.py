"""Training compute against the reference's, both loops measured on one machine."""

from collections.abc import Iterator
from dataclasses import dataclass

from lightprune.provenance import short_commit
from lightprune.rendering.document import Block, bullets
from lightprune.rendering.number_format import duration
from lightprune.report.findings import Findings
from lightprune.report.reported_run import ReportedRun
from lightprune.report.training_time import MEASURED, TrainingTime
from lightprune.runs.record import Json
from study.reference import EPOCHS, comparable
from study.throughput import Loop, Throughput, loop_name

# Forward, and backward, which is two forward passes' worth.
_PASSES = 3
_HOW = (
    "Seconds of an epoch are its training images over the median throughput of the loop, data "
    "loading included, on an otherwise idle machine; tests after epochs are left out on both "
    "sides. Both loops crop and flip; what a recipe adds to the images (cutout, CutMix) is not "
    "timed. The epochs of a network's teacher count too; where a teacher looks at the images of an "
    "epoch, that is a third more, since a step is worth three forward passes. The reference trains "
    "on all training images, this project keeps its validation images, if any, apart. The seconds "
    "in results.csv are those of the runs, whatever else ran beside them."
)


def compute_section(findings: Findings, throughput: Throughput | None) -> Iterator[Block]:
    """One line for each recipe, how it was computed, and where the measurement comes from."""
    lines = _compute_lines(findings, throughput)
    if not throughput:
        yield from lines
        return
    yield bullets(lines)
    yield _HOW
    yield (
        f"Measured on {throughput.machine}, by `{throughput.command}`, commit "
        f"`{short_commit(throughput.commit)}`: "
        + "; ".join(_rate(loop) for loop in throughput.loops)
        + " images a second (median, lowest and highest round)."
    )


def _compute_lines(findings: Findings, throughput: Throughput | None) -> tuple[str, ...]:
    """The reference's compute beside that of each recipe; why not, if they cannot be compared."""
    # What a user's own dense network has cost is not known.
    trained = [group.first for group in findings.groups if group.first.dense.key]
    recipes = {_recipe(run): run for run in trained if comparable(run)}
    if not recipes:
        return ("Training compute: no run here trains the reference's network from the start.",)
    if not throughput:
        return (
            "Training compute against the reference's: not measured (`python -m "
            "benchmarks.throughput --out results/throughput.json` measures both training loops, "
            "on an idle machine).",
        )
    return tuple(_line(run, throughput) for run in recipes.values())


@dataclass(frozen=True)
class _Cost:
    """What a phase costs: epochs, batch size, and what an epoch takes in passes over the images."""

    epochs: int
    batch_size: int
    passes: int = _PASSES


def _recipe(run: ReportedRun) -> tuple[str, tuple[_Cost, ...]]:
    """What a recipe costs, as far as throughput tells: the loop, and its phases."""
    dense, tune = (run.config["recipe"][phase] for phase in ("dense", "finetune"))
    teacher = _Cost(run.dense.teacher_epochs, dense["batch_size"])
    phases = [
        _Cost(epochs, phase["batch_size"], _PASSES + _is_taught(phase))
        for epochs, phase in ((run.dense.epochs, dense), (run.finetune_epochs, tune))
    ]
    return loop_name(run.config["trainer"]["precision"]), (teacher, *phases)


def _is_taught(phase: Json) -> bool:
    return bool(phase.get("distillation", {}).get("weight"))


def training_time(throughput: Throughput | None) -> TrainingTime:
    """Of the reference's network by the measured throughput, or as the runs measured it."""
    if not throughput:
        return MEASURED

    def seconds(run: ReportedRun) -> float | None:
        return _seconds(run, throughput) if comparable(run) else None

    machine = throughput.machine.partition(", torch")[0]
    return TrainingTime(seconds, f"at the throughput of {machine} (see Training compute)")


def _seconds(run: ReportedRun, throughput: Throughput) -> float | None:
    """Of a run's training at the measured throughput; None if its loop was not measured."""
    name, phases = _recipe(run)
    seconds = 0.0
    for cost in phases:
        loop = throughput.loop(name, cost.batch_size)
        if not loop:
            return None
        seconds += cost.epochs * cost.passes / _PASSES * run.data.train_images / loop.rate
    return seconds


def _line(run: ReportedRun, throughput: Throughput) -> str:
    reference, (name, phases) = throughput.loop("reference"), _recipe(run)
    whole = _seconds(run, throughput)
    if not reference or whole is None:
        sizes = " and ".join(str(size) for size in sorted({cost.batch_size for cost in phases}))
        return (
            f"Training compute of {run.epochs} epochs: not measured (it takes the "
            f"reference's loop, and {name} at batch size {sizes})."
        )
    held_out = 0 if run.data.validation_is_test else run.data.validation_images
    theirs = (run.data.train_images + held_out) / reference.rate
    epochs = sum(cost.epochs for cost in phases)
    return (
        f"The reference: {EPOCHS} epochs x {theirs:.0f} s = "
        f"{duration(EPOCHS * theirs)}; {name} {run.epochs} epochs x "
        f"{whole / epochs:.0f} s = {duration(whole)}: {EPOCHS * theirs / whole:.1f} x less."
    )


def _rate(loop: Loop) -> str:
    low, high = min(loop.rates), max(loop.rates)
    return f"{loop.name} at batch size {loop.batch_size}: {loop.rate:.0f} ({low:.0f} to {high:.0f})"
