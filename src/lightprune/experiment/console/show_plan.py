"""Prints a run's plan: phases, prune events with exact counts, learning rates, cost."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from rich import get_console
from rich.markup import escape

from lightprune.distributed import is_rank_zero
from lightprune.experiment.console.plan_notes import plan_notes
from lightprune.experiment.console.show_result import short_path
from lightprune.experiment.console.time_estimate import estimated_time
from lightprune.experiment.preflight import CheckedRun
from lightprune.experiment.run_record import hardware_of
from lightprune.pruning.pruner import Pruner
from lightprune.rendering.console_table import console_table, print_line
from lightprune.rendering.number_format import counted
from lightprune.training.lr_schedule import REWIND, LRCycles

# A longer course is cut in the middle.
_MOST_ROWS, _FIRST, _LAST = 24, 12, 6


def show_plan(
    checked: CheckedRun,
    folder: Path,
    image_seconds: Mapping[str, float],
    sweep_job: int | None = None,
) -> None:
    """Prints phases and prune events with exact counts, what they cost, and where they go.

    `folder` is that of the run, `image_seconds` are those of `TrainingCheck`. A `sweep_job` after
    the first prints only the folder, and the notes that no job in this process has printed.
    """
    if not is_rank_zero():
        return
    if sweep_job:
        print_line(f"folder   {escape(short_path(folder))}")
    else:
        _show_table(checked, folder, image_seconds)
    for note in plan_notes(checked):
        (print_line if sweep_job is None else _print_once)(note)


@cache
def _print_once(line: str) -> None:
    print_line(line)


def _show_table(checked: CheckedRun, folder: Path, image_seconds: Mapping[str, float]) -> None:
    settings, setup, cost = checked.settings, checked.setup, checked.cost.total
    train, validation = setup.source.splits(setup.data)
    columns = ("epochs", "event", "zeros", "sparsity", "compression", "LR")
    table = console_table(f"plan: prune by {_pruner(settings.pruner)}", columns, ())
    table.columns[1].justify = table.columns[-1].justify = "left"
    dense, finetune = settings.recipe.dense, settings.recipe.finetune
    steps = setup.batches_per_epoch(finetune) * finetune.epochs
    batches = f"{counted(steps, 'batch')} of {finetune.batch_size}"
    if checked.pretrained:
        given = _counts(cost.weights, cost.weights - cost.nnz)
        table.add_row("", f"dense weights of {checked.pretrained.file.path}", *given, "")
    if settings.trains_dense or not checked.pretrained:
        rate = f"{dense.learning_rate.shape} {dense.learning_rate.peak:g}"
        held = _counts(cost.weights, checked.masks.pruned if checked.masks else 0)
        table.add_row(str(dense.epochs), "dense", *held, rate)
        steps = setup.batches_per_epoch(dense) * dense.epochs
        batches = f"dense {counted(steps, 'batch')} of {dense.batch_size}, fine-tuning {batches}"
    peak = dense.learning_rate.peak if finetune.learning_rate.shape == REWIND else None
    rate = f"{finetune.learning_rate.shape} {peak or finetune.learning_rate.peak}"
    rows = _course(checked, rate)
    for row in rows if len(rows) <= _MOST_ROWS else [*rows[:_FIRST], None, *rows[-_LAST:]]:
        table.add_row(*(row or ("", f"{len(rows) - _FIRST - _LAST} more", "", "", "", "")))
    get_console().print(table)
    facts = {
        "weights": f"{cost.weights:,} prunable, {cost.live:,} of them reached by some input; "
        f"{_count(cost.macs)} MACs an image",
        "images": f"{len(train):,} training, {len(validation):,} validation, "
        f"{len(setup.data.test):,} test; {batches}",
        "device": str(hardware_of(setup)),
        "dense": _dense(checked),
        "time": estimated_time(checked, folder, image_seconds),
        "folder": short_path(folder),
    }
    for name, fact in facts.items():
        if fact:
            print_line(f"{name:<8} {escape(fact)}")


def _dense(checked: CheckedRun) -> str:
    if checked.dense_folder is None or not checked.settings.trains_dense:
        return ""  # A row of the table says it.
    if checked.needs_dense_training:
        return f"not in the cache yet; it will be kept in {short_path(checked.dense_folder)}"
    return f"from the cache: {short_path(checked.dense_folder)}"


def _course(checked: CheckedRun, rate: str) -> list[tuple[str, ...]]:
    """A row for each stretch of fine-tuning between two events."""
    settings, weights = checked.settings, checked.cost.total.weights
    plan, finetune = settings.plan, settings.recipe.finetune
    zeros = {event.position: n for event, n in zip(plan.events, checked.zeros, strict=True)}
    cycles = LRCycles(finetune.learning_rate, plan, finetune.restart)
    unit = "" if plan.steps is None else "step "
    rows, position = [], 0
    while position < plan.length:
        cycle = plan.cycle_at(position)
        restarts = cycles.cycle_at(position).start == position
        event: tuple[str, ...] = ("fine-tune", "", "", "")
        if position in zeros:
            event = ("prune", *_counts(weights, zeros[position]))
        stretch = f"{unit}{cycle.start + 1}-{cycle.stop}"
        rows.append((stretch, *event, rate if restarts else ""))
        position = cycle.stop
    return rows


def _counts(weights: int, zeros: int) -> tuple[str, str, str]:
    return f"{zeros:,}", f"{zeros / weights:.2%}", _compression(weights, weights - zeros)


def _compression(weights: int, kept: int) -> str:
    return f"{weights / kept:.1f}x" if kept else ""


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def _pruner(pruner: Pruner | None) -> str:
    if pruner is None:
        return "nothing"
    criterion = re.sub(r"(?<!^)(?=[A-Z])", "_", type(pruner.criterion).__name__).lower()
    return f"{pruner.scope} {criterion}"
