"""The whole report, on real tiny runs."""

import csv
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from lightprune.cli.main import main
from lightprune.rendering.document import Document, Section, Table, bullets
from lightprune.rendering.html import inline, page
from lightprune.report.build import build_document
from lightprune.report.findings import Findings
from lightprune.report.groups import group_runs
from lightprune.report.result_table import result_rows
from lightprune.report.sections.results import result_columns


@pytest.fixture(scope="module")
def written(finished_sweep):
    arguments = ["report", str(finished_sweep / "sweep")]
    assert main([*arguments, "--dense-dir", str(finished_sweep / "dense")]) == 0
    return finished_sweep / "sweep" / "report"


def records(finished_sweep):
    files = (finished_sweep / "sweep").glob("*/run.json")
    return {file.parent.name: json.loads(file.read_text()) for file in files}


def test_every_kind_of_output_is_there(written):
    names = {"report.md", "report.html", "results.csv", "comparisons.csv", "figures"}
    figures = {file.name for file in (written / "figures").iterdir()}

    assert {file.name for file in written.iterdir()} == names
    expected = ("frontier", "curves", "layers", "events", "classes")
    assert figures == {f"{name}.{suffix}" for name in expected for suffix in ("svg", "png")}


def test_the_numbers_are_those_of_the_runs(finished_sweep, written):
    rows = list(csv.DictReader((written / "results.csv").open()))
    runs = records(finished_sweep)

    assert sorted(row["folder"] for row in rows) == sorted(runs)
    for row in rows:
        run = runs[row["folder"]]
        assert float(row["test_accuracy"]) == run["test"]["accuracy"]
        assert float(row["dense_accuracy"]) == run["dense"]["test_accuracy"]
        assert float(row["sparsity"]) == run["cost"]["sparsity"]
        assert float(row["live_sparsity"]) == run["cost"]["live_sparsity"]
        assert float(row["mac_density"]) == run["cost"]["mac_density"]
        assert row["commit"] == run["commit"]
        assert row["fingerprint"] == run["data"]["fingerprint"]
        assert row["command"] == run["command"]


def test_the_table_shows_them_rounded(finished_sweep, collection):
    table = Table.of(map(result_columns, result_rows(group_runs(collection.runs))))
    shown = {row[0]: row for row in table.rows}
    run = next(
        r for r in records(finished_sweep).values() if r["config"]["pruner"].get("scope") == "local"
    )

    row = shown["local 94.24 % one_shot"]
    points = 100 * (run["test"]["accuracy"] - run["dense"]["test_accuracy"])
    assert row[2] == f"{100 * run['test']['accuracy']:.2f} %"
    assert row[4] == f"{points:+.2f}".replace("-", "−")
    assert row[5:8] == (
        f"{100 * run['cost']['sparsity']:.2f} %",
        f"{100 * run['cost']['live_sparsity']:.2f} %",
        f"{100 * run['cost']['mac_density']:.1f} %",
    )
    assert row[8] == "2 + 4"
    assert "reference" not in table.columns
    assert shown["dense"][2] == f"{100 * run['dense']['test_accuracy']:.2f} %"


def test_markdown_and_page_have_the_same_sections_and_tables(written):
    text, page = (written / "report.md").read_text(), (written / "report.html").read_text()
    titles = re.findall(r"^## (.*)$", text, re.M)

    assert re.findall(r"<h2>\d+\. (.*?)</h2>", page) == titles
    assert titles[:3] == ["Summary", "Results", "Unreachable weights"]
    assert not {"Training compute", "Speed by sparsity", "Tuning runs"} & set(titles)
    assert page.count("<tbody>") == len(re.findall(r"^\| ---", text, re.M))
    for name in ("dense", "control (dense continued)", "global 98 % multi_step"):
        assert name in text
        assert name in page


def test_what_is_not_finished_is_named(written):
    text = (written / "report.md").read_text()

    assert "- `stopped`: is not finished" in text
    assert "4 finished runs; 1 run folder(s) left out" in text


def test_provenance_says_where_numbers_come_from(finished_sweep, written):
    text = (written / "report.md").read_text().partition("## Provenance")[2]
    run = next(iter(records(finished_sweep).values()))

    assert run["command"] in text
    assert run["commit"][:12] in text
    assert run["data"]["fingerprint"] in text
    assert "source Digits, 10 classes, 1,200 training, 200 validation, 397 test images" in text


def test_the_same_runs_give_the_same_bytes(collection, written):
    again = build_document(Findings(collection), "again").figures

    assert {f.name for f in again} == {f.stem for f in (written / "figures").iterdir()}
    for figure in again:
        assert figure.svg == (written / "figures" / f"{figure.name}.svg").read_text()
        assert figure.png == (written / "figures" / f"{figure.name}.png").read_bytes()


class References(HTMLParser):
    """Collects what a page would load or leave for, and its ids."""

    def __init__(self):
        super().__init__()
        self.references, self.ids, self.tags = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "href", "xlink:href", "data", "action", "poster"):
                self.references.append(value)
            if name == "id":
                self.ids.append(value)
            self.references += re.findall(r"url\(([^)]*)\)", value or "")


def test_the_page_stands_alone(written):
    page = (written / "report.html").read_text()
    parser = References()
    parser.feed(page)

    outside = [reference for reference in parser.references if not reference.startswith("#")]
    assert [r for r in outside if not r.startswith("data:image/png;base64,")] == []
    assert not parser.tags & {"script", "link", "iframe", "object", "embed", "img"}
    assert "@import" not in page
    assert len(parser.ids) == len(set(parser.ids))
    assert {r[1:] for r in parser.references if r.startswith("#")} <= set(parser.ids)


def drawn(svg):
    """Every element that is drawn: its name, its style, and those of the groups it is in."""
    svg = re.sub(r"\bxlink:", "", svg)
    rules = dict(re.findall(r"\.([\w-]+) \{(.*?)\}", svg))
    elements = []

    def look(element, around):
        name = element.tag.rpartition("}")[2]
        style = element.get("style") or rules.get(element.get("class"), "")
        if name == "g":
            around = (*around, style, element.get("transform"), element.get("clip-path"))
            around = tuple(filter(None, around))
        elif name not in ("svg", "defs", "style"):
            elements.append((name, style, around))
        for child in element:
            look(child, around)

    look(ElementTree.fromstring(svg), ())
    return elements


def numberless(elements):
    """The same, but for hundredths of a point and the names of what is referred to."""
    return re.sub(r"\d+(\.\d+)?|#[\w-]+", "n", repr(elements))


def test_a_figure_within_the_page_is_drawn_as_the_one_beside_it_in_far_fewer_bytes(collection):
    for figure in build_document(Findings(collection), "again").figures:
        within = inline(figure)

        beside = figure.svg[figure.svg.index("<svg") :]
        assert numberless(drawn(within)) == numberless(drawn(beside))
        assert len(within) < 0.7 * len(beside)


def test_type_in_figures_is_at_least_eight_points(written):
    for file in (written / "figures").glob("*.svg"):
        # SVG's pixels are points here: 72 an inch.
        sizes = re.findall(r"font(?:-size)?: ?([\d.]+)px", file.read_text())
        assert sizes
        assert min(map(float, sizes)) >= 8


def test_an_old_reports_figures_do_not_stay(finished_sweep, written):
    old = written / "figures" / "layers-9.svg"
    old.write_text("old")
    main(["report", str(finished_sweep / "sweep"), "--dense-dir", str(finished_sweep / "dense")])

    assert not old.exists()


def test_what_a_run_is_called_is_never_markup():
    table = Table.of([{"name": "<script>|</script>", "value": "<0.1"}, {"name": "", "value": "−2"}])
    text = page(Document("a & b", (Section("<b>", (table, bullets(["`<i>`"]))),)))

    assert "<td>&lt;script&gt;|&lt;/script&gt;</td>" in text
    assert '<td class="n">&lt;0.1</td>' in text
    assert "<h2>1. &lt;b&gt;</h2>" in text
    assert "<code>&lt;i&gt;</code>" in text
    assert "<title>a &amp; b</title>" in text
