"""Prints a run's plan at its start and its result at its end."""

import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from rich import get_console
from rich.table import Table

from lightprune.distributed import is_rank_zero
from lightprune.experiment.config import Settings
from lightprune.experiment.preflight import CheckedRun
from lightprune.pruning.cost.report import LayerCost
from lightprune.pruning.pruner import Pruner
from lightprune.runs.record import RunRecord
from lightprune.training.lr_schedule import REWIND, LRCycles


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
    if settings.dense.checkpoint:
        given = cost.weights - cost.nnz
        counted = (f"{given:,}", f"{cost.sparsity:.2%}", _compression(cost.weights, cost.nnz))
        table.add_row("", f"dense weights of {settings.dense.checkpoint}", *counted, "")
    else:
        rate = f"{dense.learning_rate.shape} {dense.learning_rate.peak:g}"
        table.add_row(str(dense.epochs), "dense", "0", "0.00%", "1.0x", rate)
        steps = len(train) // dense.batch_size * dense.epochs
        batches = f"{steps:,} batches of {dense.batch_size}, then {batches}"
    counts = {event.epoch: n for event, n in zip(settings.plan.events, checked.zeros, strict=True)}
    cycles = LRCycles(finetune.learning_rate, settings.plan, finetune.restart)
    learning_rate = finetune.learning_rate
    peak = dense.learning_rate.peak if learning_rate.shape == REWIND else learning_rate.peak
    epoch = 0
    while epoch < finetune.epochs:
        cycle = settings.plan.cycle_at(epoch)
        restarts = cycles.cycle_at(epoch).start == epoch
        rate = f"{learning_rate.shape} {peak}"
        zeros = counts.get(epoch)
        event = ("fine-tune", "", "", "")
        if zeros is not None:
            compression = _compression(cost.weights, cost.weights - zeros)
            event = ("prune", f"{zeros:,}", f"{zeros / cost.weights:.2%}", compression)
        table.add_row(f"{cycle.start + 1}-{cycle.stop}", *event, rate if restarts else "")
        epoch = cycle.stop
    out = get_console()
    out.print(table)
    for line in (
        f"{cost.weights:,} prunable weights, {cost.live:,} of them reached by some input; "
        f"{_count(cost.macs)} MACs an image",
        f"{len(train):,} training, {len(validation):,} validation, {len(setup.data.test):,} test "
        f"images; {batches}, over {setup.trainer_config.processes} process(es)",
        *_unknown(checked),
        *_left_dense(checked),
        *_given_zeros(checked),
        *_batches(settings),
        *_pruner_settings(settings.pruner),
        *_after_events(settings),
    ):
        out.print(line, highlight=False, soft_wrap=True)


def _compression(weights: int, kept: int) -> str:
    return f"{weights / kept:.1f}x" if kept else ""


def _given_zeros(checked: CheckedRun) -> list[str]:
    """One line of the zeros in `dense.checkpoint`, and how many of them no event holds."""
    cost, events = checked.cost.total, checked.settings.plan.events
    given = cost.weights - cost.nnz
    if not (checked.settings.dense.checkpoint and given):
        return []
    held = min(given, checked.zeros[0]) if events and events[0].epoch == 0 else 0
    if held:
        number = "all" if held == given else f"{held:,}"
        first = f"the first event, if it ranks by magnitude, holds {number} of them"
    elif events:
        first = f"no event before epoch {events[0].epoch + 1} holds them"
    else:
        first = "no event holds them"
    # Not all of them: a weight that no input reaches has no gradient.
    free = f"; up to {given - held:,} train to other values" if held < given else ""
    return [f"{given:,} prunable weights ({cost.sparsity:.2%}) are given as zero; {first}{free}"]


def _unknown(checked: CheckedRun) -> list[str]:
    """One line of the weights whose MACs are unknown, and one of those that no image reaches."""
    layers = checked.cost.layers
    groups = {
        "MACs unknown (the network reads these weights neither in a layer of torch.nn nor as a "
        "factor of a matrix product or convolution)": [
            n for n, c in layers.items() if c.macs is None
        ],
        "not reached by an image in evaluation mode": [n for n, c in layers.items() if not c.live],
    }
    return [f"{what}: {_names(names)}" for what, names in groups.items() if names]


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def _macs_left(cost: LayerCost) -> str:
    return "unknown" if cost.mac_density is None else f"{cost.macs_live:,} ({cost.mac_density:.1%})"


def _left_dense(checked: CheckedRun) -> list[str]:
    """One line of the weights of prunable types that stay dense, and one of types without any."""
    lines = []
    if groups := checked.left_dense:
        weights, layers = sum(g.weights for g in groups), sum(len(g.layers) for g in groups)
        reasons = "; ".join(f"{g.reason}: {_names(g.layers)}" for g in groups)
        lines.append(f"left dense: {weights:,} weights of {layers} layers ({reasons})")
    if missing := checked.missing_types:
        lines.append(f"the network has no {' and no '.join(missing)}")
    return lines


def _names(names: Sequence[str], shown: int = 3) -> str:
    """The first names of many."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _batches(settings: Settings) -> list[str]:
    """Explains batch size and learning rate where a step is not one batch of one process."""
    trainer = settings.trainer_config
    processes, batches = trainer.processes, trainer.accumulate_grad_batches
    if processes == batches == 1:
        return []
    phases = {"dense": settings.recipe.dense, "fine-tune": settings.recipe.finetune}
    if settings.dense.checkpoint or phases["dense"].batch_size == phases["fine-tune"].batch_size:
        phases = {"": settings.recipe.finetune}
    lines = []
    for name, phase in phases.items():
        size, start = phase.batch_size, f"{name}: " if name else ""
        if processes > 1:
            start += f"batch {size} = {processes} processes x {size // processes}; "
        if batches > 1:
            start += f"step {size * batches} = {batches} batches x {size}; "
        whole = "step" if batches > 1 else "batch"
        share = f"{size // processes} images of its process" if processes > 1 else f"{size} images"
        lines.append(f"{start}learning rates are for a whole {whole}; batch norm sees the {share}")
    return lines


def _after_events(settings: Settings) -> list[str]:
    """Says what events do besides pruning."""
    lines = []
    if settings.rewind_epoch is not None:
        lines.append(
            f"every event rewinds the weights to those after {settings.rewind_epoch} dense epochs"
        )
    if count := settings.recipe.finetune.recalibrate:
        lines.append(f"every event recalibrates batch norms on {count} training batches")
    return lines


def _pruner(pruner: Pruner | None) -> str:
    if pruner is None:
        return "nothing"
    criterion = re.sub(r"(?<!^)(?=[A-Z])", "_", type(pruner.criterion).__name__).lower()
    return f"{pruner.scope} {criterion}"


def _pruner_settings(pruner: Pruner | None) -> list[str]:
    """One line of the settings that differ from their defaults, if there are any."""
    if pruner is None:
        return []
    values = {field.name: getattr(pruner, field.name) for field in fields(pruner)}
    defaults = vars(Pruner(pruner.criterion, pruner.scope, seed=pruner.seed))
    changed = [f"{name}={value}" for name, value in values.items() if value != defaults[name]]
    return [f"pruner: {', '.join(changed)}"] if changed else []


def show_result(record: RunRecord, path: Path) -> None:
    """Prints the final table of a complete run."""
    if not is_rank_zero():
        return
    test, dense, cost, seconds = record.test, record.dense, record.cost, record.seconds
    validation = dense.validation_accuracy
    nonzero = cost.weights - dense.zero_weights
    live_nonzero = cost.live - dense.zero_live_weights
    live_sparsity = dense.zero_live_weights / cost.live if cost.live else 0.0
    table = Table(title="result", title_justify="left")
    for column in ("", "dense", "pruned"):
        table.add_column(column, justify="right" if column else "left")
    for row in (
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
    ):
        table.add_row(*row)
    out = get_console()
    out.print(table)
    if record.data.validation_is_test:
        out.print("validated on the test set: for comparison with the reference only")
    out.print(str(path), highlight=False, soft_wrap=True)
