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

_HOW = (
    "Seconds of an epoch are its training images over the median throughput of the loop, data "
    "loading included, on an otherwise idle machine; tests after epochs are left out on both "
    "sides. Both loops crop and flip; what a recipe adds to the images (rotation, zoom, colours, "
    "cutout, CutMix) is not timed. The epochs of a network's teacher count too; those that have a "
    "teacher look at their images, too, go by the throughput of such a loop. The reference trains "
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
    recipes = {_costs(run): run for run in trained if comparable(run)}
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
    """What a phase costs: its epochs, by a loop at a batch size."""

    epochs: int
    loop: str
    batch_size: int


def _costs(run: ReportedRun) -> tuple[_Cost, ...]:
    """What a run's training costs: its teacher's, its dense network's and its fine-tuning's."""
    dense, tune = (run.config["recipe"][phase] for phase in ("dense", "finetune"))
    teacher = _Cost(run.dense.teacher_epochs, loop_name(_precision(run)), dense["batch_size"])
    phases = (
        _Cost(epochs, loop_name(_precision(run), _is_taught(phase)), phase["batch_size"])
        for epochs, phase in ((run.dense.epochs, dense), (run.finetune_epochs, tune))
    )
    return tuple(cost for cost in (teacher, *phases) if cost.epochs)


def _precision(run: ReportedRun) -> str:
    return str(run.config["trainer"]["precision"])


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
    """Of a run's training at the measured throughput; None if a loop of its was not measured."""
    seconds = 0.0
    for cost in _costs(run):
        loop = throughput.loop(cost.loop, cost.batch_size)
        if not loop:
            return None
        seconds += cost.epochs * run.data.train_images / loop.rate
    return seconds


def _line(run: ReportedRun, throughput: Throughput) -> str:
    reference, costs = throughput.loop("reference"), _costs(run)
    whole = _seconds(run, throughput)
    if not reference or whole is None:
        loops = sorted({f"{cost.loop} at batch size {cost.batch_size}" for cost in costs})
        return (
            f"Training compute of {run.epochs} epochs: not measured (it takes the "
            f"reference's loop, and {' and '.join(loops)})."
        )
    held_out = 0 if run.data.validation_is_test else run.data.validation_images
    theirs = (run.data.train_images + held_out) / reference.rate
    epochs = sum(cost.epochs for cost in costs)
    return (
        f"The reference: {EPOCHS} epochs x {theirs:.0f} s = "
        f"{duration(EPOCHS * theirs)}; {loop_name(_precision(run))} {run.epochs} epochs x "
        f"{whole / epochs:.0f} s = {duration(whole)}: {EPOCHS * theirs / whole:.1f} x less."
    )


def _rate(loop: Loop) -> str:
    low, high = min(loop.rates), max(loop.rates)
    return f"{loop.name} at batch size {loop.batch_size}: {loop.rate:.0f} ({low:.0f} to {high:.0f})"
