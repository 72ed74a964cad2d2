"""Validation accuracy epoch by epoch, of chosen configurations laid over each other."""

from collections.abc import Iterator

from lightprune.rendering.chart import STYLES, Axis, Mark, Series, number_axis, xy_chart
from lightprune.rendering.document import Block, Figure
from lightprune.rendering.number_format import percent_label
from lightprune.rendering.svg import standalone
from lightprune.report.findings import Findings
from lightprune.report.groups import training_label
from lightprune.report.reported_run import ReportedRun
from lightprune.report.result_table import ResultRow
from lightprune.report.sections.headline import headline

_TITLE = "Training curves"
_CAPTION = (
    "Validation accuracy after each epoch, dense training first where its curve is at hand, then "
    "the fine-tuning with the fall at every prune event; first seed of each configuration. What "
    "lies deeper stands on the lower edge."
)
# How far below the best a curve is followed: falls would press all others together.
_DEPTH = 0.3


def training_curves_section(findings: Findings) -> Iterator[Block]:
    """One figure, the best of each sparsity shown first."""
    rows = [row for row in findings.rows if row.group and _marks(row.first)]
    if not rows:
        return
    telling = rows if len(rows) <= STYLES else _telling(findings, rows) or rows[:STYLES]
    ordered = [*telling, *(row for row in rows if row not in telling)]
    count = len(telling)
    series = [
        Series(row.name, _marks(row.first), n % STYLES, False, f"c{n}", n >= count)
        for n, row in enumerate(ordered)
    ]
    heights = [mark.y for each in series for mark in each.marks]
    floor = max(heights) - _DEPTH
    x = Axis(
        "epochs trained, of all (%)", 0.0, 1.0, tuple((n / 10, f"{10 * n}") for n in range(11))
    )
    y = number_axis("validation accuracy (%)", [max(floor, at) for at in heights], unit=0.01)
    svg = xy_chart(_TITLE, x, y, series)
    caption = _CAPTION
    if len(series) > count:
        caption += " Tick others to lay them over these."
    toggles = tuple((each.key, each.name) for each in series) if len(series) > 1 else ()
    yield Figure("curves", _TITLE, caption, standalone(svg), b"", svg, toggles, count)


def _telling(findings: Findings, rows: list[ResultRow]) -> list[ResultRow]:
    """Those trained as the finding was: the control, and the most accurate of each sparsity."""
    finding = headline(findings) or rows[0]
    best: dict[str, ResultRow] = {}
    for row in sorted(rows, key=lambda row: -row.accuracy.mean):
        same_task = row.task == finding.task
        if same_task and training_label(row.first) == training_label(finding.first):
            best.setdefault(percent_label(row.first.target_sparsity), row)
    return sorted(best.values(), key=lambda row: row.first.target_sparsity)[:STYLES]


def _marks(run: ReportedRun) -> tuple[Mark, ...]:
    """The whole training of a run: falls at the events, and a mark at the end of every epoch."""
    places = [(float(epoch), at) for epoch, at in enumerate(run.dense_curve, 1)]
    start = run.dense.epochs
    for epoch, accuracy in enumerate(run.curve):
        events = [event for event in run.events if event.epoch == epoch]
        for n, event in enumerate(events):
            falls = (event.before, event.after, event.recalibrated)
            places += [(start + epoch + n / len(events), at) for at in falls if at is not None]
        places.append((start + epoch + 1, accuracy))
    return tuple(Mark(epoch / (start + len(run.curve)), at) for epoch, at in places)
