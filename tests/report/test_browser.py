"""The page in a real browser: sort, filter, axes, curves; no network; nothing cut off."""

import json
import shutil
import subprocess
from itertools import pairwise

import pytest

from lightprune.rendering.document import Document, Section, Table
from lightprune.rendering.html import page as html_page
from lightprune.report.build import write_report
from tests.report.run_folders import config, findings_of, make_run

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
# Run within a copy of the page, or of a page that holds it: what it says is the title.
SAY = """
<script>
addEventListener("load", () => {
  const all = (selector, at = document) => [...at.querySelectorAll(selector)];
  const shown = (selector) => all(selector).filter((one) => one.getClientRects().length);
  document.title = JSON.stringify((() => { %s })());
});
</script>
"""
LAYOUT = """
  all("details").forEach((part) => part.open = true);
  return {
    sections: shown("details > summary > h2").length,
    figures: shown("figure svg").map((svg) => [svg.getBoundingClientRect().width,
      svg.getBoundingClientRect().height]),
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    loaded: performance.getEntriesByType("resource").map((entry) => entry.name),
    dark: getComputedStyle(document.body).backgroundColor,
  };
"""
SORT = """
  const column = (n) => all(`tbody td:nth-child(${n})`).map((cell) => cell.textContent);
  const click = (n) => all("th button")[n].click();
  click(1); const down = column(2); click(1); const up = column(2);
  const state = all("th")[1].getAttribute("aria-sort");
  click(0); return {down, up, state, names: column(1)};
"""
FILTER = """
  const field = all("input[type=search]")[0];
  const left = (words) => {
    field.value = words; field.dispatchEvent(new Event("input"));
    return shown("tbody tr").map((row) => row.cells[0].textContent);
  };
  return {fields: all("input[type=search]").length, one: left("1,000 row"), two: left("EVEN 1"),
    none: left("nothing"), all: left("").length};
"""
SWITCH = """
  const seen = () => shown(".choice figure").map((figure) => figure.dataset.figure);
  return all(".choice input").map((radio) => { radio.click(); return seen(); });
"""
CURVES = """
  all("details").forEach((part) => part.open = true);
  const lines = () => shown("figure[data-figure=curves] .line").length;
  const boxes = all("figure[data-figure=curves] input"), counts = [lines()];
  boxes.forEach((box) => { box.click(); counts.push(lines()); });
  return {counts, checked: boxes.map((box) => box.checked),
    styles: boxes.map((box) => box.parentElement.className)};
"""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not BROWSER, reason=f"no browser: none of {', '.join(BROWSERS)}"),
]


def browse(page, *options):
    """What the browser printed; every host is out of reach."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", *options]
    command += [
        f"--user-data-dir={page.parent / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--allow-file-access-from-files",
    ]
    done = subprocess.run(
        [*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def said(text, folder, script, *options, width=None):
    """What a script says within a page; `width` pixels wide, which a window need not allow."""
    probed = folder / "probed.html"
    probed.write_text(text.replace("</body>", f"{SAY % script}</body>"))
    if width:
        frame = folder / "frame.html"
        tell = 'onload="document.title = this.contentDocument.title"'
        frame.write_text(f'<iframe src="probed.html" width="{width}" height="900" {tell}></iframe>')
        probed = frame
    dom = browse(probed, "--dump-dom", *options)
    title = dom.partition("<title>")[2].partition("</title>")[0]
    return json.loads(title.replace("&amp;", "&").replace("&lt;", "<"))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder, dense = tmp_path_factory.mktemp("page"), [True] * 900 + [False] * 100
    runs = ((0.9, 1000, 899), (0.98, 200, 880), (0.99, 100, 700))
    for sparsity, kept, correct in runs:
        right = [True] * correct + [False] * (1000 - correct)
        for scope in ("global", "local"):
            settings = config(scope=scope, sparsity=sparsity)
            place = folder / f"{scope}-{sparsity}"
            make_run(place, right, dense_right=dense, config=settings, live_nnz=kept)
    return write_report(findings_of(folder), "a sweep: 6 runs", folder / "report").read_text()


@pytest.fixture(scope="module")
def table():
    numbers = ["−2.5", "10", "", "9 + 1", "1,000", "<0.1", *map(str, range(20, 40))]
    rows = [
        {"name": f"row {n} {'odd' if n % 2 else 'even'}", "value": value}
        for n, value in enumerate(numbers)
    ]
    return html_page(Document("t", (Table.of(rows),), (Section("s", ("text",)),)))


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_opens_from_disk_without_network(page, tmp_path, width):
    seen = said(page, tmp_path, LAYOUT, width=width)

    assert seen["sections"] == page.count("<h2>") >= 6
    # Of the main figure one axis is shown at a time.
    assert len(seen["figures"]) == page.count("<figure ") - 2 == 6
    assert all(wide > 200 and high > 60 for wide, high in seen["figures"])
    assert seen["wide"] <= 0, "it scrolls sideways"
    assert seen["loaded"] == []
    assert seen["dark"] == "rgb(255, 255, 255)"


def test_a_dark_desk_has_a_dark_page(page, tmp_path):
    dark = "--blink-settings=preferredColorScheme=0"

    assert said(page, tmp_path, LAYOUT, dark)["dark"] == "rgb(22, 24, 27)"


def test_columns_sort_by_number_and_by_word_and_what_is_empty_comes_last(table, tmp_path):
    seen = said(table, tmp_path, SORT)
    numbers = ["1,000", *map(str, range(39, 19, -1)), "10", "9 + 1", "<0.1", "−2.5"]

    assert seen["down"] == [*numbers, ""]
    assert seen["up"] == [*numbers[::-1], ""]
    assert seen["state"] == "ascending"
    assert seen["names"] == sorted(seen["names"], reverse=True)


def test_a_filter_leaves_the_rows_that_have_all_its_words(table, tmp_path):
    seen = said(table, tmp_path, FILTER)

    assert seen["fields"] == 1
    assert seen["one"] == ["row 4 even"]
    assert seen["two"] == [f"row {n} even" for n in (4, 10, 12, 14, 16, 18)]
    assert seen["none"] == []
    assert seen["all"] == 26


def test_the_axis_of_the_main_figure_is_switched(page, tmp_path):
    names = ("frontier", "frontier-sparsity", "frontier-live-sparsity")

    assert said(page, tmp_path, SWITCH) == [[name] for name in names]


def test_curves_are_laid_over_each_other_by_choice(page, tmp_path):
    seen = said(page, tmp_path, CURVES)

    # Every box is ticked or cleared in turn.
    steps = [after - before for before, after in pairwise(seen["counts"])]
    assert steps == [1 if ticked else -1 for ticked in seen["checked"]]
    assert seen["counts"][0] > 1
    assert all(style in {f"s{n}" for n in range(6)} for style in seen["styles"])


def test_in_print_everything_is_open(page, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(page)
    (tmp_path / "open.html").write_text(page.replace("<details>", "<details open>"))
    pages = []
    for name in ("page", "open"):
        pdf = tmp_path / f"{name}.pdf"
        browse(tmp_path / f"{name}.html", f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
        pages.append(pdf.read_bytes().count(b"/Type /Page\n"))

    assert pages[0] == pages[1] > 1


def test_a_screenshot_shows_more_than_white(page, tmp_path):
    from PIL import Image

    (tmp_path / "page.html").write_text(page)
    file = tmp_path / "page.png"
    browse(tmp_path / "page.html", f"--screenshot={file}", "--window-size=1280,2000")
    with Image.open(file) as shot:
        colours = shot.convert("L").histogram()

    assert sum(colours[:100]) > 5_000  # Type and lines,
    assert sum(colours[230:]) > sum(colours) / 2  # on a light ground.
