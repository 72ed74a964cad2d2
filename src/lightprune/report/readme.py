"""README's result table, generated from the committed results."""

from pathlib import Path

from lightprune.errors import InputError
from lightprune.report.cells import cells_of
from lightprune.report.document import Table
from lightprune.report.gather import gather
from lightprune.report.markdown import table
from lightprune.report.results import Row, result_table, rows_of

START = "<!-- results: made by `make results` -->"
END = "<!-- end of results -->"
_NOTHING = "Measured results follow."
# Of the whole table those columns that answer a reader's first questions.
_COLUMNS = (
    "cell",
    "seeds",
    "test accuracy",
    "to its dense (points)",
    "study",
    "live sparsity",
    "MACs left",
    "epochs",
)


def results_block(results: Path) -> str:
    """What stands between the two comments."""
    if not holds_runs(results):
        return _NOTHING
    cells = cells_of(gather(results, results / "dense").runs)
    rows = rows_of(cells)
    shown = [row for row in rows if _shown(row)] or rows
    whole = result_table(shown)
    places = [whole.columns.index(name) for name in _COLUMNS]
    short = Table(_COLUMNS, tuple(tuple(row[place] for place in places) for row in whole.rows))
    data = "; ".join(dict.fromkeys(row.data for row in shown))
    return (
        f"{table(short)}\n\n"
        f"Data: {data}; the study's figures are quoted, of lossless images and 400 epochs. "
        f"All cells, tests and provenance: `{results.name}/report/report.md`."
    )


def holds_runs(results: Path) -> bool:
    """Whether there is anything to tell."""
    return any(results.rglob("run.json"))


def renewed(readme: str, block: str) -> str:
    """README with another block between the comments.

    Raises:
        InputError: The comments are not there, once each and in order.
    """
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end or START in rest or END in after:
        raise InputError(f"README: lacks the lines {START} and {END}; allowed is one of each")
    return f"{before}{START}\n{block}\n{END}{after}"


def _shown(row: Row) -> bool:
    """The study's figures, and the first step beyond them: README stays short."""
    study = row.published is not None and not row.cell.startswith("local 94.24 % multi_step")
    return study or (row.cell.startswith("global 99 % one_shot") and "dead first" not in row.cell)
