"""Accuracies published elsewhere, which a caller can have shown beside the runs of a report."""

from collections.abc import Callable
from dataclasses import dataclass

from lightprune.report.reported_run import ReportedRun


@dataclass(frozen=True)
class PublishedFigure:
    """The published accuracy of one network; fractions are 0..1.

    Attributes:
        label: What was pruned, such as `global 98 %`.
    """

    label: str
    sparsity: float
    accuracy: float


@dataclass(frozen=True)
class Published:
    """Published figures of one source.

    Attributes:
        name: Heading of their column.
        note: Paragraph below the result table: the source and what limits a comparison.
        comparable: Whether a run trained the same network on the same images.
        match: The figure of the same pruning as a run's, if there is one.
    """

    name: str
    note: str
    dense: PublishedFigure
    comparable: Callable[[ReportedRun], bool]
    match: Callable[[ReportedRun], PublishedFigure | None]
