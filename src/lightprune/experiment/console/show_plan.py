"""Prints a run's plan: phases, prune events with exact counts, learning rates, cost."""

import re

from rich import get_console
from rich.table import Table

from lightprune.distributed import is_rank_zero
from lightprune.experiment.console.plan_notes import plan_notes
from lightprune.experiment.preflight import CheckedRun
from lightprune.pruning.pruner import Pruner
from lightprune.rendering.console_table import print_line
from lightprune.training.lr_schedule import REWIND, LRCycles

# A longer course is cut in the middle.
_MOST_ROWS, _FIRST, _LAST = 24, 12, 6


def show_plan(checked: CheckedRun) -> None:
    """Prints phases, prune events with exact counts, LR cycles and cost of the dense network."""
    if not is_rank_zero():
        return
    settings, setup, cost = checked.settings, checked.setup, checked.cost.total
    train, validation = setup.source.splits(setup.data)
    table = Table(title=f"plan: prune by {_pruner(settings.pruner)}", title_justify="left")
    for column in ("epochs", "event", "zeros", "sparsity", "compression", "LR"):
        table.add_column(column, justify="left" if column == "event" else "right")
    dense, finetune = settings.recipe.dense, settings.recipe.finetune
    steps = len(train) // finetune.batch_size * finetune.epochs
    batches = f"{steps:,} batches of {finetune.batch_size}"
    if checked.pretrained:
        given = _counts(cost.weights, cost.weights - cost.nnz)
        table.add_row("", f"dense weights of {checked.pretrained.file.path}", *given, "")
    if settings.trains_dense or not checked.pretrained:
        rate = f"{dense.learning_rate.shape} {dense.learning_rate.peak:g}"
        held = _counts(cost.weights, checked.masks.pruned if checked.masks else 0)
        table.add_row(str(dense.epochs), "dense", *held, rate)
        steps = len(train) // dense.batch_size * dense.epochs
        batches = f"{steps:,} batches of {dense.batch_size}, then {batches}"
    peak = dense.learning_rate.peak if finetune.learning_rate.shape == REWIND else None
    rate = f"{finetune.learning_rate.shape} {peak or finetune.learning_rate.peak}"
    rows = _course(checked, rate)
    for row in rows if len(rows) <= _MOST_ROWS else [*rows[:_FIRST], None, *rows[-_LAST:]]:
        table.add_row(*(row or ("", f"{len(rows) - _FIRST - _LAST} more", "", "", "", "")))
    get_console().print(table)
    for line in (
        f"{cost.weights:,} prunable weights, {cost.live:,} of them reached by some input; "
        f"{_count(cost.macs)} MACs an image",
        f"{len(train):,} training, {len(validation):,} validation, {len(setup.data.test):,} test "
        f"images; {batches}, over {setup.trainer_config.processes} process(es)",
        *plan_notes(checked),
    ):
        print_line(line)


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
