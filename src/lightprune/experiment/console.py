"""What a run tells on the console: its plan at the start, its result at the end."""

import re
from dataclasses import fields
from pathlib import Path

from rich import get_console
from rich.table import Table

from lightprune.distributed import is_rank_zero
from lightprune.experiment.config import Settings
from lightprune.experiment.preflight import CheckedRun
from lightprune.pruning.pruner import Pruner
from lightprune.runs.folder import Json
from lightprune.training.lr_schedule import REWIND, LRCycles


def show_plan(prepared: CheckedRun) -> None:
    """Prints what will happen: phases, prune events with exact counts, LR cycles, cost."""
    if not is_rank_zero():
        return
    chosen, lab, cost = prepared.settings, prepared.lab, prepared.cost.total
    train, validation = lab.source.splits(lab.data)
    table = Table(title=f"plan: prune by {_pruner(chosen.pruner)}", title_justify="left")
    for column in ("epochs", "event", "zeros", "sparsity", "compression", "LR"):
        table.add_column(column, justify="left" if column == "event" else "right")
    dense, finetune = chosen.recipe.dense, chosen.recipe.finetune
    steps = len(train) // finetune.batch_size * finetune.epochs
    batches = f"{steps:,} batches of {finetune.batch_size}"
    if chosen.dense.checkpoint:
        table.add_row("", f"dense weights of {chosen.dense.checkpoint}", "0", "0.00%", "1.0x", "")
    else:
        rate = f"{dense.learning_rate.shape} {dense.learning_rate.peak:g}"
        table.add_row(str(dense.epochs), "dense", "0", "0.00%", "1.0x", rate)
        steps = len(train) // dense.batch_size * dense.epochs
        batches = f"{steps:,} batches of {dense.batch_size}, then {batches}"
    counts = {event.epoch: n for event, n in zip(chosen.plan.events, prepared.zeros, strict=True)}
    cycles = LRCycles(finetune.learning_rate, chosen.plan, finetune.restart)
    tuned = finetune.learning_rate
    peak = dense.learning_rate.peak if tuned.shape == REWIND else tuned.peak
    epoch = 0
    while epoch < finetune.epochs:
        here = chosen.plan.cycle_at(epoch)
        restarts = cycles.cycle_at(epoch).start == epoch
        rate = f"{tuned.shape} {peak}"
        zeros = counts.get(epoch)
        event = ("fine-tune", "", "", "")
        if zeros is not None:
            left = f"{cost.weights / (cost.weights - zeros):.1f}x" if zeros < cost.weights else ""
            event = ("prune", f"{zeros:,}", f"{zeros / cost.weights:.2%}", left)
        table.add_row(f"{here.start + 1}-{here.stop}", *event, rate if restarts else "")
        epoch = here.stop
    out = get_console()
    out.print(table)
    for line in (
        f"{cost.weights:,} prunable weights, {cost.live:,} of them reached by some input; "
        f"{cost.macs:,} MACs an image",
        f"{len(train):,} training, {len(validation):,} validation, {len(lab.data.test):,} test "
        f"images; {batches}, over {lab.trainer_config.processes} process(es)",
        *_steps(chosen),
        *_settings(chosen.pruner),
        *_after_events(chosen),
    ):
        out.print(line, highlight=False, soft_wrap=True)


def _steps(chosen: Settings) -> list[str]:
    """What a batch size and a learning rate mean where a step is not one batch of one process."""
    processes, batches = (
        chosen.trainer_config.processes,
        chosen.trainer_config.accumulate_grad_batches,
    )
    if processes == batches == 1:
        return []
    phases = {"dense": chosen.recipe.dense, "fine-tune": chosen.recipe.finetune}
    if chosen.dense.checkpoint or phases["dense"].batch_size == phases["fine-tune"].batch_size:
        phases = {"": chosen.recipe.finetune}
    lines = []
    for name, phase in phases.items():
        size, start = phase.batch_size, f"{name}: " if name else ""
        if processes > 1:
            start += f"batch {size} = {processes} processes x {size // processes}; "
        if batches > 1:
            start += f"step {size * batches} = {batches} batches x {size}; "
        whole = "step" if batches > 1 else "batch"
        seen = f"{size // processes} images of its process" if processes > 1 else f"{size} images"
        lines.append(f"{start}learning rates are for the whole {whole}; batch norm sees the {seen}")
    return lines


def _after_events(chosen: Settings) -> list[str]:
    """What events do besides pruning."""
    lines = []
    if chosen.rewinds_to is not None:
        lines.append(
            f"every event takes the weights back to those after {chosen.rewinds_to} dense epochs"
        )
    if count := chosen.recipe.finetune.recalibrate:
        lines.append(f"every event recalibrates batch norms on {count} training batches")
    return lines


def _pruner(pruner: Pruner | None) -> str:
    """Scope and criterion."""
    if pruner is None:
        return "nothing"
    criterion = re.sub(r"(?<!^)(?=[A-Z])", "_", type(pruner.criterion).__name__).lower()
    return f"{pruner.scope} {criterion}"


def _settings(pruner: Pruner | None) -> list[str]:
    """A line of what else the pruner was told, if it was told anything."""
    if pruner is None:
        return []
    told = {field.name: getattr(pruner, field.name) for field in fields(pruner)}
    usual = vars(Pruner(pruner.criterion, pruner.scope, seed=pruner.seed))
    own = [f"{name}={value}" for name, value in told.items() if value != usual[name]]
    return [f"pruner: {', '.join(own)}"] if own else []


def show_result(record: Json, path: Path) -> None:
    """Prints the prune events and the final table of a complete run."""
    if not is_rank_zero():
        return
    test, dense, cost = record["test"], record["dense"], record["cost"]
    table = Table(title="result", title_justify="left")
    for column in ("", "dense", "pruned"):
        table.add_column(column, justify="right" if column else "left")
    rows = [
        ("test accuracy", f"{dense['test_accuracy']:.2%}", f"{test['accuracy']:.2%}"),
        (
            "test images right",
            f"{dense['test_correct']:,} of {dense['test_images']:,}",
            f"{test['correct']:,} of {test['images']:,}",
        ),
        (
            "validation accuracy",
            "" if dense["validation"] is None else f"{dense['validation']:.2%}",
            f"{record['validation_accuracy']:.2%}",
        ),
        ("prunable weights", f"{cost['weights']:,}", f"{cost['nnz']:,}"),
        ("  that an input reaches", f"{cost['live']:,}", f"{cost['live_nnz']:,}"),
        ("sparsity, nominal", "0.00%", f"{cost['sparsity']:.2%}"),
        ("sparsity, live", "0.00%", f"{cost['live_sparsity']:.2%}"),
        ("MACs", f"{cost['macs']:,}", f"{cost['macs_live']:,} ({cost['mac_density']:.1%})"),
        ("compression, prunable weights", "1.0x", f"{cost['compression_prunable']:.1f}x"),
        ("compression, all parameters", "1.0x", f"{cost['compression_parameters']:.1f}x"),
        ("seconds", f"{record['seconds']['dense']:.0f}", f"{record['seconds']['finetune']:.0f}"),
    ]
    for row in rows:
        table.add_row(*row)
    out = get_console()
    out.print(table)
    if record["data"]["validation_is_test"]:
        out.print("validated on the test set: for comparison with the reference only")
    out.print(str(path), highlight=False, soft_wrap=True)
