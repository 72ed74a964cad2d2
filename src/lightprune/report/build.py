"""Makes a report and writes it: Markdown, CSV, figures, and one page that holds everything."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lightprune.files import write_text
from lightprune.rendering.document import Block, Document, Section
from lightprune.rendering.html import page
from lightprune.report.csv_files import comparisons_csv, results_csv
from lightprune.report.findings import Findings
from lightprune.report.sections.frontier import frontier_section
from lightprune.report.sections.methods import methods_section
from lightprune.report.sections.per_class import per_class_section
from lightprune.report.sections.per_layer import per_layer_section
from lightprune.report.sections.prune_events import prune_events_section
from lightprune.report.sections.results import results_section
from lightprune.report.sections.run_provenance import provenance_section
from lightprune.report.sections.significance import significance_section
from lightprune.report.sections.speed import speed_section
from lightprune.report.sections.summary import summary_section
from lightprune.report.sections.training_curves import training_curves_section
from lightprune.report.sections.unreachable_weights import unreachable_section

# In the order in which one reads them; a section without blocks is left out.
_SECTIONS: dict[str, Callable[[Findings], Iterator[Block]]] = {
    "Results": results_section,
    "Unreachable weights": unreachable_section,
    "Accuracy against sparsity": frontier_section,
    "Methods at one sparsity": methods_section,
    "Speed": speed_section,
    "Training curves": training_curves_section,
    "Sparsity of each layer": per_layer_section,
    "Before, right after, recovered": prune_events_section,
    "Classes": per_class_section,
    "Paired comparisons": significance_section,
    "Provenance": provenance_section,
}


@dataclass(frozen=True)
class Additions:
    """What a caller adds to a report: to its summary, and after the sections of some titles."""

    summary: tuple[str, ...] = ()
    sections: Mapping[str, dict[str, Iterator[Block]]] = field(default_factory=dict)


def build_document(findings: Findings, title: str, additions: Additions = Additions()) -> Document:
    """The report, without the sections on which these runs have nothing to say."""
    blocks = {"Summary": summary_section(findings, additions.summary)}
    for heading, blocks_of in _SECTIONS.items():
        blocks[heading] = blocks_of(findings)
        blocks |= additions.sections.get(heading, {})
    sections = (Section(heading, tuple(each)) for heading, each in blocks.items())
    return Document(title, tuple(section for section in sections if section.blocks))


def write_report(
    findings: Findings, title: str, folder: Path, additions: Additions = Additions()
) -> Path:
    """Writes the report into a folder, in the place of an earlier one; returns the page."""
    report, figures = build_document(findings, title, additions), folder / "figures"
    names = set()
    for figure in report.figures:
        figure.write(figures)
        names |= {f"{figure.name}.svg", f"{figure.name}.png"}
    for old in (*figures.glob("*.svg"), *figures.glob("*.png")):
        if old.name not in names:
            old.unlink()
    write_text(folder / "results.csv", results_csv(findings.groups))
    comparisons = findings.against_dense + findings.between
    write_text(folder / "comparisons.csv", comparisons_csv(comparisons))
    write_text(folder / "report.md", report.markdown)
    write_text(folder / "report.html", page(report))
    return folder / "report.html"
