"""Prints a run's plan at its start and its result at its end."""

import re
from pathlib import Path

from rich import get_console
from rich.table import Table

from lightprune.distributed import is_rank_zero
from lightprune.experiment.plan_notes import plan_notes
from lightprune.experiment.preflight import CheckedRun
from lightprune.pruning.cost.cost_report import LayerCost
from lightprune.pruning.pruner import Pruner
from lightprune.rendering.console_table import console_table, print_line
from lightprune.runs.record import RunRecord
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


def _macs_left(cost: LayerCost) -> str:
    return "unknown" if cost.mac_density is None else f"{cost.macs_live:,} ({cost.mac_density:.1%})"


def _pruner(pruner: Pruner | None) -> str:
    if pruner is None:
        return "nothing"
    criterion = re.sub(r"(?<!^)(?=[A-Z])", "_", type(pruner.criterion).__name__).lower()
    return f"{pruner.scope} {criterion}"


def show_result(record: RunRecord, path: Path) -> None:
    """Prints the final table of a complete run."""
    if not is_rank_zero():
        return
    test, dense, cost, seconds = record.test, record.dense, record.cost, record.seconds
    validation = dense.validation_accuracy
    nonzero = cost.weights - dense.zero_weights
    live_nonzero = cost.live - dense.zero_live_weights
    live_sparsity = dense.zero_live_weights / cost.live if cost.live else 0.0
    rows = (
        ("test accuracy", f"{dense.test_accuracy:.2%}", f"{test.accuracy:.2%}"),
        (
            "test images right",
            f"{dense.test_correct:,} of {dense.test_images:,}",
            f"{test.correct:,} of {test.images:,}",
        ),
        (
            "validation accuracy",
            "" if validation is None else f"{validation:.2%}",
            f"{record.validation_accuracy:.2%}",
        ),
        ("prunable weights", f"{nonzero:,}", f"{cost.nnz:,}"),
        ("  that an input reaches", f"{live_nonzero:,}", f"{cost.live_nnz:,}"),
        ("sparsity, nominal", f"{1 - nonzero / cost.weights:.2%}", f"{cost.sparsity:.2%}"),
        ("sparsity, live", f"{live_sparsity:.2%}", f"{cost.live_sparsity:.2%}"),
        ("MACs", _count(cost.macs), _macs_left(cost)),
        (
            "compression, prunable weights",
            _compression(cost.weights, nonzero),
            f"{record.compression_prunable:.1f}x",
        ),
        (
            "compression, all parameters",
            _compression(record.parameters, record.parameters - dense.zero_weights),
            f"{record.compression_parameters:.1f}x",
        ),
        ("seconds", f"{seconds.dense:.0f}", f"{seconds.finetune:.0f}"),
    )
    get_console().print(console_table("result", ("", "dense", "pruned"), rows))
    if record.data.validation_is_test:
        print_line("validated on the test set: for comparison with the reference only")
    print_line(str(path))
