"""What a run tells on the console: its plan at the start, its result at the end."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path

from rich import get_console
from rich.table import Table
from torch import Tensor

from lightprune.config import Settings
from lightprune.run_folder import Json
from lightprune.training.fit import Lab
from lightprune.training.learning_rate import Cycles
from lightprune.training.ranks import first_process


def show_plan(
    chosen: Settings, weights: Mapping[str, Tensor], zeros: Sequence[int], lab: Lab
) -> None:
    """Prints what will happen: phases, prune events with exact counts, learning-rate cycles."""
    if not first_process():
        return
    total = sum(weight.numel() for weight in weights.values())
    train, validation = lab.source.splits(lab.data)
    table = Table(title=f"plan: prune by {_pruner(chosen)}", title_justify="left")
    for column in ("epochs", "event", "zeros", "sparsity", "learning rate"):
        table.add_column(column, justify="left" if column == "event" else "right")
    dense, finetune = chosen.recipe.dense, chosen.recipe.finetune
    source = chosen.dense.checkpoint or f"train dense, batch {dense.batch_size}"
    rate = dense.learning_rate
    table.add_row(str(dense.epochs), source, "0", "0.00%", f"{rate.shape} to {rate.peak:g}")
    counts = {event.epoch: n for event, n in zip(chosen.plan.events, zeros, strict=True)}
    cycles = Cycles(finetune.learning_rate, chosen.plan, finetune.restart)
    epoch = 0
    while epoch < finetune.epochs:
        here = chosen.plan.cycle_at(epoch)
        restart = cycles.at_epoch(epoch).start == epoch
        count = counts.get(epoch)
        table.add_row(
            f"{here.start + 1}-{here.stop}",
            "fine-tune" if count is None else "prune, fine-tune",
            "" if count is None else f"{count:,}",
            "" if count is None else f"{count / total:.2%}",
            f"{finetune.learning_rate.shape} to {finetune.learning_rate.peak}" if restart else "",
        )
        epoch = here.stop
    out = get_console()
    out.print(table)
    steps = [ceil(len(train) // p.batch_size * p.epochs) for p in (dense, finetune)]
    out.print(
        f"{total:,} prunable weights; {len(train):,} training, {len(validation):,} validation, "
        f"{len(lab.data.test):,} test images; {steps[0]:,} + {steps[1]:,} batches of "
        f"{dense.batch_size} and {finetune.batch_size} over {lab.hardware.processes} process(es)",
        highlight=False,
        soft_wrap=True,
    )


def _pruner(chosen: Settings) -> str:
    pruner = chosen.pruner
    return f"{pruner.scope} {type(pruner.criterion).__name__.lower()}" if pruner else "nothing"


def show_result(record: Json, path: Path) -> None:
    """Prints the prune events and the final table of a complete run."""
    if not first_process():
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
        out.print("validated on the test set: for comparison with the study only")
    out.print(str(path), highlight=False, soft_wrap=True)
