"""Prints the result of a finished run: its rows, and the commands that one wants next."""

import shlex
from pathlib import Path

from rich import get_console
from rich.markup import escape

from lightprune.distributed import is_rank_zero
from lightprune.rendering.console_table import console_table, print_line
from lightprune.rendering.number_format import counted
from lightprune.runs.find_folder import LAST, is_last
from lightprune.runs.finished_run import paired_with_dense
from lightprune.runs.paired_counts import PairedCounts
from lightprune.runs.record import RunRecord

# All batch sizes and backends take an hour on a slow machine.
_SHORT_BENCH = "--batches 1,64 --backends eager,onnx,sparse"


def show_result(record: RunRecord, path: Path, sweep_job: int | None = None) -> None:
    """Prints what a complete run has reached, beside its dense network.

    The job of a sweep has a row of a table instead, once all have finished.
    """
    if not is_rank_zero() or sweep_job is not None:
        return
    paired = paired_with_dense(record, path)
    table = console_table(
        "result", ("", "dense", "pruned", "change (95 % interval)"), _rows(record, paired)
    )
    table.columns[-1].justify = "left"
    get_console().print(table)
    if record.data.validation_is_test:
        print_line("validated on the test set: for comparison with the reference only")
    if not record.data.validation_images:
        print_line("all training images trained, nothing validated: the last epoch was tested")
    if (event := record.not_tolerated) is not None:
        print_line(
            f"not part of it, the event to sparsity {event.sparsity:.2%}: the validation accuracy "
            f"recovered to {_percent(event.recovered)}, from {_percent(record.events[0].before)} "
            "before the first event"
        )
    run = LAST if is_last(path) else escape(shlex.quote(short_path(path)))
    print_line(f"next: lightprune export {run}\n      lightprune bench {run} {_SHORT_BENCH}")


def show_finished(record: RunRecord, path: Path, sweep_job: int | None = None) -> None:
    """Prints the result of a run that had been finished before the command was given."""
    if is_rank_zero():
        print_line(f"finished before, nothing is trained: {escape(short_path(path))}")
    show_result(record, path, sweep_job)


def result_cells(record: RunRecord) -> tuple[str, ...]:
    """A run in the table of its sweep."""
    cost = record.cost
    return (
        _percent(record.validation_accuracy),
        f"{record.test.accuracy:.2%}",
        accuracy_change(record, None),
        f"{cost.sparsity:.2%}",
        f"{cost.live_sparsity:.2%}",
        "unknown" if cost.mac_density is None else f"{cost.mac_density:.1%}",
    )


def short_path(path: Path) -> str:
    """A path as one types it: from the working directory, if it lies below that."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def accuracy_change(record: RunRecord, paired: PairedCounts | None) -> str:
    """Test accuracy less that of the dense network, with its 95 % interval where that is known."""
    change = f"{100 * record.accuracy_change:+.2f} pp"
    return f"{change} ({difference_interval(paired)})" if paired else change


def difference_interval(paired: PairedCounts | None) -> str:
    """The 95 % interval of a difference of accuracies, in pp; empty if it is unknown."""
    return " to ".join(f"{100 * end:+.2f}" for end in paired.interval) if paired else ""


def _rows(record: RunRecord, paired: PairedCounts | None) -> tuple[tuple[str, ...], ...]:
    test, dense, cost = record.test, record.dense, record.cost
    before, after = dense.validation_accuracy, record.validation_accuracy
    live_sparsity = dense.zero_live_weights / cost.live if cost.live else 0.0
    nonzero = cost.weights - dense.zero_weights
    return (
        (
            "test accuracy",
            f"{dense.test_accuracy:.2%}",
            f"{test.accuracy:.2%}",
            accuracy_change(record, paired) + _more_training(record),
        ),
        (
            "validation",
            _percent(before),
            _percent(after),
            "" if before is None or after is None else f"{100 * (after - before):+.2f} pp",
        ),
        (
            "prunable weights",
            f"{nonzero:,}",
            f"{cost.nnz:,}",
            f"{nonzero / cost.nnz:.1f}x fewer" if 0 < cost.nnz < nonzero else "",
        ),
        (
            "sparsity (live)",
            f"{dense.zero_weights / cost.weights:.2%} ({live_sparsity:.2%})",
            f"{cost.sparsity:.2%} ({cost.live_sparsity:.2%})",
            "",
        ),
        (
            "MACs an image",
            "unknown" if cost.macs is None else f"{cost.macs:,}",
            "unknown" if cost.mac_density is None else f"{cost.macs_live:,}",
            "" if cost.mac_density is None else f"{cost.mac_density:.1%} left",
        ),
        ("training", f"{record.seconds.dense:.0f} s", f"{record.seconds.finetune:.0f} s", ""),
    )


def _more_training(record: RunRecord) -> str:
    """So that a gain is not taken for the pruning's: a run knows no control."""
    trained = record.epochs_trained or record.config["recipe"]["finetune"]["epochs"]
    epochs = trained if record.events else 0
    return f"\n{counted(epochs, 'more epoch')}; no control" if epochs else ""


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"
