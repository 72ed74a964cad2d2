"""The page in a real browser: from disk, without network, nothing cut off or missing."""

import json
import shutil
import subprocess

import pytest

from lightprune.report.build import write_report
from lightprune.report.findings import Findings

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
# Told by the page itself, in a copy: the report has no script.
PROBE = """
<script>
const said = {
  sections: document.querySelectorAll("section > h2").length,
  figures: [...document.querySelectorAll("figure svg")].map(
    svg => [svg.getBoundingClientRect().width, svg.getBoundingClientRect().height]),
  rows: document.querySelectorAll("tbody tr").length,
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  loaded: performance.getEntriesByType("resource").map(entry => entry.name),
  broken: [...document.querySelectorAll("nav a")].filter(
    a => !document.getElementById(a.getAttribute("href").slice(1))).length,
};
document.title = JSON.stringify(said);
</script>
"""

pytestmark = pytest.mark.skipif(not BROWSER, reason=f"no browser: none of {', '.join(BROWSERS)}")


def browse(page, *options):
    """What the browser printed; every host is out of reach."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", *options]
    command += [
        f"--user-data-dir={page.parent / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ]
    done = subprocess.run(
        [*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def page(collection, tmp_path_factory):
    return write_report(Findings(collection), "a sweep", tmp_path_factory.mktemp("page"))


@pytest.mark.parametrize("width", [1280, 480])
def test_the_page_opens_from_disk_without_network(page, collection, tmp_path, width):
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text().replace("</body>", f"{PROBE}</body>"))
    dom = browse(probed, "--dump-dom", f"--window-size={width},900")
    said = json.loads(dom.partition("<title>")[2].partition("</title>")[0].replace("&amp;", "&"))

    text = page.read_text()
    assert said["sections"] == text.count("<h2>") >= 9
    assert said["rows"] == text.count("<tr>") - text.count("<thead>")
    assert len(said["figures"]) == text.count("<figure") == 5
    assert all(wide > 200 and high > 100 for wide, high in said["figures"])
    assert said["wide"] <= 0, "it scrolls sideways"
    assert said["loaded"] == []
    assert said["broken"] == 0


def test_a_screenshot_shows_more_than_white(page, tmp_path):
    from PIL import Image

    file = tmp_path / "page.png"
    browse(page, f"--screenshot={file}", "--window-size=1280,2000", "--hide-scrollbars")
    with Image.open(file) as shot:
        colours = shot.convert("L").histogram()

    assert sum(colours[:100]) > 5_000  # Type and lines,
    assert sum(colours[230:]) > sum(colours) / 2  # on a light ground.
