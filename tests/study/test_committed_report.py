"""The committed report is the one that results/ gives, and keeps to its budget."""

from pathlib import Path

import pytest

from lightprune.rendering.html import page
from lightprune.report.build import build_document
from study.report import reference_report

RESULTS = Path("results")
REPORT = RESULTS / "report"

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def document():
    files = RESULTS / "throughput.json", RESULTS / "speedup.json"
    return build_document(*reference_report(RESULTS, RESULTS / "dense", *files))


def test_the_report_is_in_step_with_the_results(document):
    made = {f"figures/{figure.name}.svg": figure.svg for figure in document.figures}
    made |= {"report.md": document.markdown, "report.html": page(document)}
    files = {f.relative_to(REPORT).as_posix() for f in REPORT.rglob("*") if f.is_file()}

    assert files == {*made, "results.csv", "comparisons.csv"}, "make results renews it"
    for name, text in made.items():
        assert (REPORT / name).read_text() == text, "make results renews it"


def test_the_report_keeps_to_its_budget(document):
    assert len(document.markdown.splitlines()) < 220
    assert len(page(document).encode()) < 1_000_000
