"""Makes a report and writes it: Markdown, CSV, figures, and one page that holds everything."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lightprune.files import replace_file, write_text
from lightprune.report.cells import cells_of
from lightprune.report.comparisons import against_dense, between_runs
from lightprune.report.dead import dead_weights
from lightprune.report.document import Bullets, Document, Section, Text
from lightprune.report.gather import Study
from lightprune.report.markdown import markdown
from lightprune.report.page import page
from lightprune.report.paired import paired_csv, paired_section
from lightprune.report.results import results_csv, rows_of
from lightprune.report.sections import by_class, provenance, pruning, results
from lightprune.report.short import in_short


@dataclass(frozen=True)
class Report:
    """A report before it is written."""

    document: Document
    results: str
    comparisons: str


def report_on(study: Study, title: str) -> Report:
    """Makes the report on a study's finished runs."""
    cells = cells_of(study.runs)
    rows = rows_of(cells)
    dense, between = against_dense(cells), between_runs(cells)
    dead = Section("Dead weights", tuple(dead_weights(cells, between)))
    left_out = tuple(f"`{gone.folder}`: {gone.reason}" for gone in study.left_out)
    short = in_short(cells, rows, between)
    if left_out:
        count = f"{len(study.runs)} finished runs; {len(left_out)} run folder(s) left out, which "
        noted = Text(f"{count}are named under Provenance.")
        short = Section(short.title, (noted, *short.blocks))
    sections = (
        short,
        results(cells, rows),
        dead,
        *pruning(cells, rows),
        by_class(cells),
        paired_section(dense, between),
        provenance(cells, Bullets(left_out) if left_out else None),
    )
    return Report(Document(title, sections), results_csv(cells), paired_csv(dense + between))


def write_report(report: Report, folder: Path) -> Path:
    """Writes a report into a folder, in the place of an earlier one.

    Returns:
        The page.
    """
    figures = folder / "figures"
    names = set()
    for figure in report.document.figures:
        write_text(figures / f"{figure.name}.svg", figure.svg)
        replace_file(figures / f"{figure.name}.png", partial(_fill, figure.png))
        names |= {f"{figure.name}.svg", f"{figure.name}.png"}
    for old in (*figures.glob("*.svg"), *figures.glob("*.png")):
        if old.name not in names:
            old.unlink()
    write_text(folder / "results.csv", report.results)
    write_text(folder / "comparisons.csv", report.comparisons)
    write_text(folder / "report.md", markdown(report.document))
    write_text(folder / "report.html", page(report.document))
    return folder / "report.html"


def _fill(content: bytes, file: Path) -> None:
    file.write_bytes(content)
