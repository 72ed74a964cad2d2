"""The whole report, on real tiny runs."""

import csv
import json
import re
from html.parser import HTMLParser

import pytest

from lightprune.cli.main import main
from lightprune.rendering.document import Document, Section, Table, Tiles, bullets
from lightprune.rendering.html import page
from lightprune.report.build import build_document
from lightprune.report.findings import Findings
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
    charts = ("", "-sparsity", "-live-sparsity")
    names = (*(f"frontier{name}" for name in charts), "curves", "layers", "classes", "statistics")
    assert figures - {"unreachable.svg"} == {f"{name}.svg" for name in names}


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
    findings = Findings(collection)
    shown = {row.name: result_columns(findings, row) for row in findings.rows}
    run = next(
        r for r in records(finished_sweep).values() if r["config"]["pruner"].get("scope") == "local"
    )

    row = shown["local 94.24 % one_shot"]
    points = 100 * (run["test"]["accuracy"] - run["dense"]["test_accuracy"])
    assert row["test accuracy"] == f"{100 * run['test']['accuracy']:.2f} %"
    assert row["to its dense (pp)"] == f"{points:+.2f}".replace("-", "−")
    assert (row["sparsity"], row["live sparsity"], row["MACs left"]) == (
        f"{100 * run['cost']['sparsity']:.2f} %",
        f"{100 * run['cost']['live_sparsity']:.2f} %",
        f"{100 * run['cost']['mac_density']:.1f} %",
    )
    assert row["epochs"] == "2 + 4"
    assert "reference" not in row
    assert shown["dense"]["test accuracy"] == f"{100 * run['dense']['test_accuracy']:.2f} %"


def test_markdown_and_page_have_the_same_sections_and_tables(written):
    text, page = (written / "report.md").read_text(), (written / "report.html").read_text()
    titles = re.findall(r"^## (.*)$", text, re.M)

    assert re.findall(r"<h2>(.*?)</h2>", page) == titles
    assert titles[0] == "All runs"
    assert not {"Speed", "Training compute", "Speed by sparsity", "Tuning runs"} & set(titles)
    # The tiles are a table of Markdown alone.
    assert page.count("<tbody>") == len(re.findall(r"^\| ---", text, re.M)) - 1
    for name in ("dense", "control (dense continued)", "global 98 % multi_step"):
        assert name in text
        assert name in page


def test_a_report_keeps_to_its_budget(written):
    page = (written / "report.html").read_text()
    script = page.partition("<script>")[2].partition("</script>")[0]

    assert len((written / "report.md").read_text().splitlines()) < 200
    assert len(page.encode()) < 1_000_000
    assert 0 < len(script.splitlines()) < 150


def test_what_is_not_finished_is_named(written):
    text = (written / "report.md").read_text()

    assert "- `stopped`: is not finished" in text
    assert "sweep: 4 runs. " in text
    assert "1 left out, not finished or damaged: see Provenance." in text


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

    # Links to run folders alone lead away.
    assert {r for r in parser.references if not (written / r / "run.json").exists()} == set()
    assert parser.references
    assert not parser.tags & {"link", "iframe", "object", "embed", "img"}
    assert "@import" not in page
    assert not re.search(r"<script[^>]+>|fetch|XMLHttp|import\(", page)
    assert len(parser.ids) == len(set(parser.ids))


def test_without_script_everything_is_there_and_the_first_figure_is_seen(written):
    page = (written / "report.html").read_text()
    bare = re.sub(r"<script>.*</script>", "", page, flags=re.S)

    assert bare.count("<details>") == bare.count("<h2>") > 5
    assert bare.count('type="radio"') == 3
    assert bare.count('type="radio" name="choice-1" checked') == 1
    assert "hidden" not in re.sub(r"<style>.*</style>", "", bare, flags=re.S)


def test_type_in_figures_is_at_least_eight_points(written):
    for file in (written / "figures").glob("*.svg"):
        # SVG's pixels are 96 an inch.
        sizes = re.findall(r"font(?:-size)?: ?([\d.]+)px", file.read_text())
        assert sizes
        assert min(map(float, sizes)) * 72 / 96 >= 7.8


def test_an_old_reports_figures_do_not_stay(finished_sweep, written):
    old = written / "figures" / "layers-9.svg"
    old.write_text("old")
    main(["report", str(finished_sweep / "sweep"), "--dense-dir", str(finished_sweep / "dense")])

    assert not old.exists()


def test_what_a_run_is_called_is_never_markup():
    table = Table.of([{"name": "<script>|</script>", "value": "<0.1"}, {"name": "", "value": "−2"}])
    blocks = (table, bullets(["`<i>`"]), Tiles((("<u>", "<s>", "`<em>`"),)))
    text = page(Document("a & b", (), (Section("<b>", blocks),)))

    assert '<td class="s">&lt;script&gt;|&lt;/script&gt;</td>' in text
    assert '<td class="n">&lt;0.1</td>' in text
    assert "<h2>&lt;b&gt;</h2>" in text
    assert "<code>&lt;i&gt;</code>" in text
    assert "<p>&lt;u&gt;</p><p><b>&lt;s&gt;</b></p><p><code>&lt;em&gt;</code></p>" in text
    assert "<title>a &amp; b</title>" in text


def test_of_a_long_table_markdown_has_the_beginning_and_says_where_the_rest_is():
    table = Table.of(
        [{"n": str(n), "word": "", "text": "98 %, epochs"} for n in range(40)], "x.csv"
    )
    *rows, _, rest = table.filled.markdown.splitlines()

    assert rows[0] == "| n | text |"
    assert rows[1] == "| ---: | --- |"
    assert len(rows) == 2 + 8
    assert rest == "32 more rows: x.csv."
    assert Table.of([{"n": "1"}] * 12).markdown.count("\n") == 13
    assert Table.of([{"n": "1"}] * 40, more="").markdown.count("\n") == 41
