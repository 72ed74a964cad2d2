"""Makes a report and writes it: Markdown, CSV, figures, and one page that holds everything."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lightprune.files import write_text
from lightprune.rendering.document import Block, Document, Section
from lightprune.rendering.html import page
from lightprune.report.csv_files import comparisons_csv, results_csv
from lightprune.report.findings import Findings
from lightprune.report.sections.classes import classes_section
from lightprune.report.sections.headline import finding, main_part
from lightprune.report.sections.layers import layers_section
from lightprune.report.sections.methods import methods_section
from lightprune.report.sections.results import results_section
from lightprune.report.sections.run_provenance import provenance_section
from lightprune.report.sections.significance import significance_section
from lightprune.report.sections.speed import speed_section
from lightprune.report.sections.training_curves import training_curves_section
from lightprune.report.sections.unreachable import unreachable_section

# In the order in which one reads them; a section without blocks is left out.
_SECTIONS: dict[str, Callable[[Findings], Iterator[Block]]] = {
    "All runs": results_section,
    "Speed": speed_section,
    "Methods at one sparsity": methods_section,
    "Layers": layers_section,
    "Training curves": training_curves_section,
    "Classes": classes_section,
    "Statistics": significance_section,
    "Unreachable weights": unreachable_section,
    "Provenance": provenance_section,
}


@dataclass(frozen=True)
class Additions:
    """Sections that a caller adds to a report, each after one of these titles."""

    sections: Mapping[str, dict[str, Iterator[Block]]] = field(default_factory=dict)


def build_document(findings: Findings, about: str, additions: Additions = Additions()) -> Document:
    """The report, without the sections on which these runs have nothing to say.

    `about` says in a few words which runs they are.
    """
    blocks: dict[str, Iterator[Block]] = {}
    for heading, blocks_of in _SECTIONS.items():
        blocks[heading] = blocks_of(findings)
        blocks |= additions.sections.get(heading, {})
    sections = (Section(heading, tuple(each)) for heading, each in blocks.items())
    shown = tuple(section for section in sections if section.blocks)
    return Document(finding(findings), tuple(main_part(findings, about)), shown)


def write_report(
    findings: Findings, about: str, folder: Path, additions: Additions = Additions()
) -> Path:
    """Writes the report into a folder, in the place of an earlier one; returns the page."""
    report, figures = build_document(findings, about, additions), folder / "figures"
    names = set()
    for figure in report.figures:
        figure.write(figures)
        names.add(f"{figure.name}.svg")
    for old in (*figures.glob("*.svg"), *figures.glob("*.png")):
        if old.name not in names:
            old.unlink()
    write_text(folder / "results.csv", results_csv(findings.groups))
    comparisons = findings.against_dense + findings.between
    write_text(folder / "comparisons.csv", comparisons_csv(comparisons))
    write_text(folder / "report.md", report.markdown)
    write_text(folder / "report.html", page(report))
    return folder / "report.html"
