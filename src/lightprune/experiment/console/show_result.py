"""Prints the result of a finished run."""

from pathlib import Path

from rich import get_console

from lightprune.distributed import is_rank_zero
from lightprune.pruning.cost.cost_report import LayerCost
from lightprune.rendering.console_table import console_table, print_line
from lightprune.runs.record import RunRecord


def show_result(record: RunRecord, path: Path) -> None:
    """Prints the final table of a complete run."""
    if not is_rank_zero():
        return
    test, dense, cost, seconds = record.test, record.dense, record.cost, record.seconds
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
            _percent(dense.validation_accuracy),
            _percent(record.validation_accuracy),
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
    if not record.data.validation_images:
        print_line("all training images trained, nothing validated: the last epoch was tested")
    if (event := record.not_tolerated) is not None:
        print_line(
            f"not part of it, the event to sparsity {event.sparsity:.2%}: the validation accuracy "
            f"recovered to {_percent(event.recovered)}, from {_percent(record.events[0].before)} "
            "before the first event"
        )
    print_line(str(path))


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


def _compression(weights: int, kept: int) -> str:
    return f"{weights / kept:.1f}x" if kept else ""


def _macs_left(cost: LayerCost) -> str:
    return "unknown" if cost.mac_density is None else f"{cost.macs_live:,} ({cost.mac_density:.1%})"
