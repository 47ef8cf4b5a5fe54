"""The gallery in a real browser, where one is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from polyp_aug.generation.gallery import write_gallery
from polyp_aug.images import read_image, write_png

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTH, HEIGHT = 64, 48
NAMES = ["0.png", '"><img src=x onerror=document.title="broken out">.png', "</script><script>alert(1)</script>.png"]
NAMES += ["a b#c%20d?e.png", "ポリープ {{data}}.png", "'`${1}\\&amp;.png"]
MISSING = "missing.png"

#: Print the page as it is after five seconds of the browser's own, faster clock.
DUMP = ("--dump-dom", "--virtual-time-budget=5000")

#: Does what a reader does, and notes what the page shows then.
READER = """
const root = document.documentElement, at = (id) => document.getElementById(id), seen = [];
const press = (key) => at("detail").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const choose = (id, value) => { at(id).value = value; at(id).dispatchEvent(new Event("input")); };
const samples = () => [...document.querySelectorAll(".tile")].map((tile) => tile.dataset.sample).join("");
document.querySelector("[data-sample='2'] .open").click(); seen.push(root.dataset.open);
press("ArrowRight"); seen.push(root.dataset.open);
press("ArrowLeft"); press("ArrowLeft"); press("ArrowLeft"); press("ArrowLeft"); seen.push(root.dataset.open);
at("next").click(); seen.push(root.dataset.open, location.hash);
at("close").click(); seen.push(at("detail").open);
choose("search", "POLYPS missing"); seen.push(samples());
choose("search", ""); choose("sort", "largest"); seen.push(samples());
choose("size", "1"); seen.push(samples());
choose("size", "2"); seen.push(samples(), at("empty").hidden);
at("reset").click(); choose("proposer", "0.png"); seen.push(samples());
at("reset").click();
const hold = document.querySelector(".hold"), before = document.querySelector(".before");
const look = () => getComputedStyle(before).visibility;
seen.push(look()); hold.dispatchEvent(new Event("pointerdown")); seen.push(look());
hold.dispatchEvent(new Event("pointerup")); seen.push(look());
root.setAttribute("data-seen", JSON.stringify(seen));
"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        BROWSER is None, reason="no browser: none of chromium, chromium-browser and google-chrome is installed"
    ),
]


def record(sample: int, name: str) -> dict[str, Any]:
    polygon = [20, 10, 44, 10, 44, 34, 20, 34]
    provenance = {"proposer": name, "synthesizer": name, "prompt": name, "details": {name: name}}
    area = 576 + 200 * sample
    polyp = {"origin": "synthetic", "category": name, "bbox": [20, 10, 24, 24], "area": area, "segmentation": [polygon]}
    return {
        "sample": sample,
        "status": "made",
        "file_name": name.replace("/", "_"),
        "width": WIDTH,
        "height": HEIGHT,
        "background": {"file": name, "group": f"Pólyps {sample}"},
        "before": {"file_name": name.replace("/", "_"), "box": [20, 10, 24, 24]},
        "objects": [polyp | {"provenance": provenance}],
        "rejections": [name],
    }


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with hostile names: blue frames with a red polyp; their backgrounds had a green patch there."""
    folder = tmp_path_factory.mktemp("run #1 %20 é")
    for name in ("images", "before"):
        (folder / name).mkdir()
    after = np.full((HEIGHT, WIDTH, 3), (0, 0, 255), dtype=np.uint8)
    cv2.rectangle(after, (20, 10), (43, 33), (255, 0, 0), cv2.FILLED)
    before = np.full((24, 24, 3), (0, 255, 0), dtype=np.uint8)
    records = [record(number, name) for number, name in enumerate([*NAMES, MISSING])]
    for made in records[:-1]:
        write_png(folder / "images" / made["file_name"], after)
        write_png(folder / "before" / made["file_name"], before)
    records += [{"sample": len(records), "status": "skipped", "reasons": NAMES}]
    write_gallery(records, folder, title=NAMES[1])
    return folder


def browse(page: str, profile: Path, *arguments: str) -> str:
    """Standard output of the browser after it has opened a page."""
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"]
    command += [f"--user-data-dir={profile}", "--window-size=1400,900", *arguments, page]
    finished = subprocess.run(command, capture_output=True, timeout=60, check=True)
    return finished.stdout.decode("utf-8")


def parsed(dom: str) -> list[tuple[str, dict[str, str]]]:
    """The elements of a page: tag and attributes."""
    elements: list[tuple[str, dict[str, str]]] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            elements.append((tag, {name: value or "" for name, value in attrs}))

    Parser().feed(dom)
    return elements


def colour_shares(picture: Path) -> dict[str, float]:
    """Share of a screenshot's pixels that have one of the test's pure colours."""
    pixels = read_image(picture)
    colours = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
    return {name: float(np.all(pixels == colour, axis=2).mean()) for name, colour in colours.items()}


def test_tiles_are_shown_and_hostile_names_stay_text(run_folder: Path, tmp_path: Path) -> None:
    dom = browse((run_folder / "index.html").as_uri(), tmp_path, *DUMP)
    elements = parsed(dom)
    state = {name: value for name, value in elements[0][1].items() if name.startswith("data-")}
    # Two pictures a sample: the frame and the crop of the original. Those of the last sample are missing.
    pictures = {"data-loaded": str(2 * len(NAMES)), "data-broken": "2"}
    assert state == {"data-state": "ready", "data-tiles": str(len(NAMES) + 1)} | pictures
    assert sum(attributes.get("class") == "tile" for _, attributes in elements) == len(NAMES) + 1
    assert sum(tag == "script" for tag, _ in elements) == 2
    assert [name for _, attributes in elements for name in attributes if name.startswith("on")] == []
    assert {attributes["src"].split("/")[0] for tag, attributes in elements if tag == "img"} == {"images", "before"}
    assert "<title>broken out</title>" not in dom
    assert "Picture not found: images/missing.png" in dom


def test_detail_view_opens_from_the_address(run_folder: Path, tmp_path: Path) -> None:
    page = (run_folder / "index.html").as_uri() + "#sample-1"
    dom = browse(page, tmp_path, *DUMP)
    assert 'data-open="1"' in dom
    (detail,) = re.findall(r"<dialog.*?</dialog>", dom, re.DOTALL)
    assert re.findall(r'data-show="(\w+)"', detail) == ["before", "mask", "after"]
    assert 'd="M20 10L44 10L44 34L20 34Z"' in detail
    assert "<h3>New polyp 1</h3>" in detail


def test_keys_filters_order_and_hold_button_work(run_folder: Path, tmp_path: Path) -> None:
    page = (run_folder / "index.html").read_text(encoding="utf-8")
    # Only without its policy does the page let the reader's script in.
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    read = run_folder / "read.html"
    read.write_text(page.replace("</body>", f"<script>{READER}</script></body>"), encoding="utf-8")
    elements = parsed(browse(read.as_uri(), tmp_path, *DUMP))
    seen = json.loads(elements[0][1]["data-seen"])
    assert seen[:6] == ["2", "3", "0", "1", "#sample-1", False]
    assert seen[6:12] == ["6", "6543210", "6543", "", False, "0"]
    assert seen[12:] == ["hidden", "visible", "hidden"]


def test_before_covers_the_polyp_exactly_and_after_shows_it(run_folder: Path, tmp_path: Path) -> None:
    shares = {}
    page = (run_folder / "index.html").read_text(encoding="utf-8")
    for view in ("after", "before"):
        chosen = page.replace('value="after" checked', 'value="after"').replace(
            f'value="{view}"', f'value="{view}" checked'
        )
        (run_folder / f"{view}.html").write_text(chosen, encoding="utf-8")
        picture = tmp_path / f"{view}.png"
        address = (run_folder / f"{view}.html").as_uri()
        browse(address, tmp_path / view, f"--screenshot={picture}", "--timeout=5000")
        shares[view] = colour_shares(picture)
    assert shares["after"]["red"] > 0.03
    assert shares["after"]["green"] == 0
    assert shares["before"]["red"] == 0
    # Where the frame is enlarged, the polyp's edge is a mixture of red and blue; the crop's edge is sharp.
    assert shares["before"]["green"] == pytest.approx(shares["after"]["red"], rel=0.15)
    assert shares["before"]["blue"] == pytest.approx(shares["after"]["blue"], rel=0.01)
