"""The report in a real browser, where one is installed: from disk, on a phone, in print, in the dark."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import BROWSER, Page, browser
from conftest import Phantoms
from runs import config, records

from polyp_aug.coco import read_coco, write_coco
from polyp_aug.evaluation.report import Table, write_report
from polyp_aug.generation.finish import finish_run
from polyp_aug.generation.generate import generate
from polyp_aug.reporting.report import report_run

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        BROWSER is None, reason="no browser: none of chromium, chromium-browser and google-chrome is installed"
    ),
]

HOSTILE = (
    '"><script>document.title="broken out"</script><img src=http://127.0.0.1:9/a.png onerror=document.title="out">'
)
LONG = "a_very_long_name_of_a_file_without_any_space_in_it_" * 3 + ".png"

#: Width of A4 less the margins of the style sheet, in CSS pixels.
A4 = 687

#: The least contrast of letters, as in WCAG 2.2; those in cells of maps have a test of their own.
CONTRAST = """(() => {
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (c) => 0.2126 * linear(c[0] / 255) + 0.7152 * linear(c[1] / 255) + 0.0722 * linear(c[2] / 255);
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || element.matches(".dark, .pale") || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    let under = element, colour = null;
    while (!colour || colour[3] === 0) {
      colour = parts(getComputedStyle(under).backgroundColor);
      under = under.parentElement;
    }
    const ink = parts(element.closest("svg") ? style.fill : style.color);
    const [a, b] = [light(ink), light(colour)].sort((x, y) => x - y);
    found.push([(b + 0.05) / (a + 0.05), element.outerHTML.slice(0, 120)]);
  }
  found.sort((x, y) => x[0] - y[0]);
  return { least: found[0], count: found.length };
})()"""

#: What stands out to the right, but for what is inside of an area that scrolls by itself.
WIDE = """(() => {
  const free = [...document.querySelectorAll("body *")].filter(
    (element) => !element.closest(".scroll *, .command *, .skip-link, svg *"));
  const wide = free.filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5);
  const names = wide.map((element) => element.outerHTML.slice(0, 120));
  return { page: document.documentElement.scrollWidth, inner: innerWidth, wide: names };
})()"""


@pytest.fixture(scope="module")
def report(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run with hostile and long names, an evaluation with wide tables, and a real set."""
    root = tmp_path_factory.mktemp("report #1 %20 é")
    run = root / "run"
    generate(config(phantoms, backgrounds=phantoms.references, count=4), run)
    lines = records(run)
    made = [record for record in lines if record["status"] == "made"]
    made[0]["background"] |= {"file": HOSTILE, "dataset": HOSTILE}
    made[0]["rejections"] = [HOSTILE]
    made[1]["background"] |= {"file": LONG, "dataset": LONG, "licence": LONG}
    (run / "manifest.jsonl").write_text("".join(json.dumps(record) + "\n" for record in lines))
    finish_run(run)
    columns = ("set", *(f"attribute {number}, % (95 %)" for number in range(9)))
    rows = [(name, *["56.3 (49.2 … 63.4)"] * 9) for name in ("real", HOSTILE, LONG)]
    notes = f"{HOSTILE} ![x](http://127.0.0.1:9/b.png) <http://127.0.0.1:9/c>\n\n    {LONG}\n\n`{LONG}` {LONG}"
    (root / "kid").mkdir()
    write_report(root / "kid", HOSTILE, {"seed": 0}, [Table(LONG, columns, rows)], notes)
    (root / "real").mkdir()
    write_coco(read_coco(phantoms.references), root / "real" / "annotations.json")
    report_run(run, root / "report.html", evaluations=[root / "kid"], real=root / "real")
    return root / "report.html"


@pytest.fixture(scope="module")
def opened(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        page.open(report.as_uri())
        yield page


@pytest.fixture
def page(opened: Page) -> Iterator[Page]:
    """The page at its usual size, on a screen in daylight."""
    yield opened
    media(opened, "", "light")
    opened.resize(1200, 900)


def media(page: Page, kind: str, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.send("Emulation.setEmulatedMedia", media=kind, features=features)


def requests(page: Page) -> list[str]:
    sent = (
        event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
    )
    return [address.partition(",")[0] if address.startswith("data:") else address for address in sent]


def test_it_opens_from_disk_and_asks_for_nothing(page: Page, report: Path) -> None:
    page.open(report.as_uri())
    assert [address for address in requests(page) if not address.startswith("data:")] == [report.as_uri()]
    assert [event for event in page.events if event["method"] == "Log.entryAdded"] == []
    assert page.evaluate("document.title") not in ("broken out", "out")
    assert page.evaluate("document.scripts.length") == 0
    pictures = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
    assert len(pictures) >= 8
    assert min(pictures) > 100
    assert page.evaluate("document.querySelector('nav a[href=\"#limits\"]').click(), location.hash") == "#limits"


def test_a_request_would_be_noticed(page: Page, report: Path, tmp_path: Path) -> None:
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", report.read_text("utf-8"))
    (tmp_path / "r.html").write_text(text.replace("</main>", '<img src="http://127.0.0.1:9/a.png"></main>'), "utf-8")
    page.open((tmp_path / "r.html").as_uri())
    assert "http://127.0.0.1:9/a.png" in requests(page)
    page.open(report.as_uri())


@pytest.mark.parametrize("width", [320, 360, 768, 1400])
def test_nothing_scrolls_sideways(page: Page, width: int) -> None:
    page.resize(width, 800)
    assert page.evaluate(WIDE) == {"page": width, "inner": width, "wide": []}


def test_wide_tables_scroll_by_themselves_and_by_keys(page: Page) -> None:
    page.resize(360, 800)
    script = "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth + 1)"
    assert page.evaluate(f"{script}.length") >= 1
    assert page.evaluate(f"{script}.every((e) => e.tabIndex === 0 && e.getAttribute('aria-label'))")


@pytest.mark.parametrize(("kind", "scheme"), [("", "light"), ("", "dark"), ("print", "dark")])
def test_letters_stand_out(page: Page, kind: str, scheme: str) -> None:
    media(page, kind, scheme)
    found: dict[str, Any] = page.evaluate(CONTRAST)
    assert found["count"] > 100
    assert found["least"][0] >= 4.5, found["least"]


def test_print_is_white_and_whole(page: Page) -> None:
    media(page, "print", "dark")
    page.resize(A4, 900)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('table')).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    right = f"element.getBoundingClientRect().right > {A4 + 1}"
    beyond = f"[...document.querySelectorAll('table, pre, img')].filter((element) => {right})"
    assert page.evaluate(f"{beyond}.map((e) => e.outerHTML.slice(0, 200))") == []


def test_it_prints_to_pdf(page: Page) -> None:
    data = base64.b64decode(page.send("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert data.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", data)) >= 4
