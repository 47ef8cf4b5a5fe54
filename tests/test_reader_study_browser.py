"""The page of a reader study in a real browser, where one is installed: answered with real keys, saved, scored."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import BROWSER, Page, browser
from conftest import Phantoms
from runs import config

from polyp_aug.captions.dataset import caption_dataset
from polyp_aug.captions.template import TemplateWriter
from polyp_aug.generation.generate import generate
from polyp_aug.images import read_image
from polyp_aug.reader_study.answers import read_answers
from polyp_aug.reader_study.key import StudyKey, read_key
from polyp_aug.reader_study.make import StudySettings, make_study
from polyp_aug.reader_study.score import score_study
from polyp_aug.reader_study.sources import StudySet

#: A name with what JSON and file names must take care of.
READER = 'Dr. Žofie "K" \\ 😀'

#: Controls that can be seen: a name for each, and for radio buttons that of their group.
CONTROLS = """
[...document.querySelectorAll("button, input, summary, a[href]")].filter((item) => item.checkVisibility())
  .map((item) => item.type === "radio" ? "radio " + item.name : item.id || item.textContent.trim())
"""

#: What has the focus: its name as above, its outline, and whether nothing covers it.
FOCUS = """
((item) => {
  const box = item.getBoundingClientRect();
  const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  const radio = item.type === "radio", style = getComputedStyle(radio ? item.nextElementSibling : item);
  const name = radio ? "radio " + item.name : item.id || item.textContent.trim();
  return [name, style.outlineStyle + " " + style.outlineWidth, item.contains(top) || top?.contains(item)];
})(document.activeElement)
"""

#: Every text that can be seen: what it says, and its contrast with what is behind it (WCAG 2.2).
CONTRASTS = """
(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = numbers(colour).map((value) => value / 255)
      .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const solid = (element) => {
    for (let item = element; item; item = item.parentElement) {
      const colour = getComputedStyle(item).backgroundColor, alpha = numbers(colour)[3] ?? 1;
      if (alpha === 1) return colour;
      if (alpha !== 0) throw Error(`half transparent: ${colour}`);
    }
    throw Error("no background");
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    if (style.opacity !== "1") throw Error(`opacity of ${text}`);
    found.push([text, ratio(style.color, solid(element))]);
  }
  return found;
})()
"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        BROWSER is None, reason="no browser: none of chromium, chromium-browser and google-chrome is installed"
    ),
]


@pytest.fixture(scope="module")
def study(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Page and key of a study of eight pictures that asks everything, in a folder with a strange name."""
    folder = tmp_path_factory.mktemp("study #1 %20 é")
    generate(config(phantoms, count=4, polyps_per_image=(1, 1)), folder / "run")
    caption_dataset(phantoms.references, TemplateWriter(), folder / "real.jsonl")
    caption_dataset(folder / "run", TemplateWriter(), folder / "run.jsonl")
    make_study(
        StudySet("real", phantoms.references, folder / "real.jsonl"),
        [StudySet("mine", folder / "run", folder / "run.jsonl")],
        folder / "study.html",
        folder / "key.json",
        StudySettings(
            count=4, repeats=True, questions=("origin", "fidelity", "mask", "text"), title="Study of <phantoms>"
        ),
    )
    return folder / "study.html", folder / "key.json"


@pytest.fixture
def page(study: tuple[Path, Path], tmp_path: Path) -> Iterator[Page]:
    """The study's page, just opened in a browser that has never seen it."""
    with browser(tmp_path / "profile") as tab:
        tab.resize(1400, 900)
        tab.downloads(tmp_path)
        tab.open(study[0].as_uri())
        yield tab
        # The policy stops nothing that the page needs, and no script fails.
        assert [event for event in tab.events if event["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")] == []


def begin(page: Page, reader: str = READER) -> None:
    """Enter a name with the keyboard."""
    page.press("Tab")
    assert page.evaluate("document.activeElement.id") == "name"
    page.type(reader)
    page.press("Enter")


def text(page: Page, element: str) -> str:
    return str(page.evaluate(f"document.getElementById('{element}').textContent"))


def answers_of(key: StudyKey, number: int) -> dict[str, Any]:
    """What the test's reader answers: mistaken about the first picture, else right."""
    real = key.pictures[number].real != (number == 0)
    ratings = {"fidelity": 1 + number % 5, "mask": 5 - number % 5, "text": 3}
    return {"origin": "real" if real else "synthetic", **ratings}


def answer(page: Page, key: StudyKey, number: int) -> None:
    """Answer the picture that is shown by keys."""
    assert text(page, "place") == f"Picture {number + 1} of {len(key.pictures)}"
    given = answers_of(key, number)
    page.press(given["origin"][0], *(str(given[question]) for question in ("fidelity", "mask", "text")))


def saved(folder: Path) -> Path:
    """The file that the browser saves."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        files = [file for file in folder.glob("answers_*") if file.suffix == ".json"]
        if files:
            return files[0]
        time.sleep(0.05)
    raise AssertionError(f"nothing was saved: {sorted(folder.iterdir())}")


def test_a_study_is_answered_by_keys_reloaded_saved_and_scored(
    page: Page, study: tuple[Path, Path], tmp_path: Path
) -> None:
    key = read_key(study[1])
    begin(page)
    for number in range(5):
        answer(page, key, number)
        page.press("ArrowRight")
    # An answer is changed, and the picture after the next one is skipped to.
    page.press("ArrowLeft", "ArrowLeft", "f", "2", "f", str(answers_of(key, 3)["fidelity"]), "ArrowRight", "ArrowRight")
    assert text(page, "place") == "Picture 6 of 8"
    assert text(page, "answered") == "5 of 8 answered"
    page.reload()
    assert text(page, "place") == "Picture 6 of 8"
    assert text(page, "answered") == "5 of 8 answered"
    assert text(page, "reader-shown") == READER
    page.press("e")
    assert text(page, "missing") == "3 pictures of 8 are not answered yet."
    assert page.evaluate("document.getElementById('sign').checkVisibility()") is False
    # The focus is on the heading; the first button after it leads to the first open picture.
    page.press("Tab", "Enter")
    for number in range(5, 8):
        answer(page, key, number)
        page.press("ArrowRight")
    assert text(page, "finish-title") == "Finish"
    page.press("Tab", " ", "Tab", "Enter")
    file = saved(tmp_path)
    assert file.name == f"answers_{key.study}_Dr-Zofie-K.json"
    assert text(page, "file-name") == file.name
    (reading,) = read_answers([file], key)
    assert (reading.reader, reading.digest) == (READER, text(page, "digest"))
    for question, given in reading.answers.items():
        assert given == tuple(answers_of(key, number)[question] for number in range(8)), question
    assert all(0 < seconds < 60 for seconds in reading.seconds)
    assert reading.started < reading.signed
    report = score_study(study[1], [file], tmp_path / "out").report
    assert report["telling_apart"]["readers"][READER]["accuracy"]["value"] == pytest.approx(7 / 8)
    # What is signed stays: keys change nothing, and the same file can be saved again after another reload.
    page.reload()
    assert text(page, "digest") == reading.digest
    page.evaluate("document.getElementById('back').click()")
    page.press("r", "s", "1", "5", "ArrowLeft", "r", "s", "1", "e")
    assert text(page, "digest") == reading.digest
    content = file.read_bytes()
    file.unlink()
    page.evaluate("document.getElementById('save').click()")
    assert saved(tmp_path).read_bytes() == content


def test_readers_of_one_computer_do_not_see_each_others_answers(page: Page, study: tuple[Path, Path]) -> None:
    key = read_key(study[1])
    begin(page, "one")
    answer(page, key, 0)
    page.evaluate("document.getElementById('change').click()")
    page.reload()
    assert page.evaluate("document.getElementById('start').checkVisibility()")
    begin(page, "two")
    assert text(page, "answered") == "0 of 8 answered"
    assert page.evaluate("document.querySelectorAll('input:checked:not([type=checkbox])').length") == 0
    page.evaluate("document.getElementById('change').click()")
    page.type("  ONE ")
    page.press("Enter")
    assert text(page, "answered") == "1 of 8 answered"
    assert text(page, "reader-shown") == "one"


def test_nothing_is_asked_of_the_network_and_the_digest_is_sha256(page: Page, study: tuple[Path, Path]) -> None:
    begin(page)
    page.press(*["ArrowRight"] * 5)
    page.evaluate("new Promise((done) => setTimeout(done, 300))")
    asked = [
        event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert asked[0] == study[0].as_uri()
    assert {address.partition(":")[0] for address in asked[1:]} <= {"data"}
    for length in (0, 1, 55, 56, 63, 64, 119, 120, 1000):
        message = ("abcé€😀" * 200)[:length]
        assert page.evaluate(f"sha256({json.dumps(message)})") == hashlib.sha256(message.encode()).hexdigest()


def test_the_outline_is_shown_and_hidden_by_its_key(page: Page, tmp_path: Path) -> None:
    begin(page)
    shares = []
    for keys in ((), ("m",), ("m",), ("m", "ArrowRight"), ()):
        page.press(*keys)
        page.evaluate("document.getElementById('picture').decode()")
        page.screenshot(tmp_path / "seen.png")
        near = np.abs(read_image(tmp_path / "seen.png").astype(int) - (53, 240, 208)).max(axis=2) < 40
        shares.append(bool(near[:, :900].sum() > 100))
    # Each new picture is first seen without it.
    assert shares == [False, True, False, False, False]


def test_a_browser_that_keeps_nothing_is_told_and_still_saves(
    page: Page, study: tuple[Path, Path], tmp_path: Path
) -> None:
    key = read_key(study[1])
    closed = "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('closed'); } })"
    assert not page.evaluate("document.getElementById('unkept').checkVisibility()")
    page.send("Page.addScriptToEvaluateOnNewDocument", source=closed)
    page.open(study[0].as_uri())
    assert page.evaluate("document.getElementById('unkept').checkVisibility()")
    begin(page)
    for number in range(8):
        answer(page, key, number)
        page.press("ArrowRight")
    page.press("Tab", " ", "Tab", "Enter")
    assert len(read_answers([saved(tmp_path)], key)) == 1


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (390, 844), (844, 390), (320, 568)])
def test_the_page_is_accessible(page: Page, study: tuple[Path, Path], width: int, height: int) -> None:
    page.resize(width, height)
    key = read_key(study[1])
    seen = [check_view(page, "start")]
    begin(page)
    page.evaluate("document.querySelector('details').open = true")
    seen.append(check_view(page, "reading"))
    # Radio buttons go on with the arrows up and down; those to the sides show other pictures.
    page.evaluate("document.querySelector('[name=fidelity]').focus()")
    page.press("ArrowDown", "ArrowDown")
    assert page.evaluate("document.querySelector('[name=fidelity]:checked').value") == "3"
    page.press("ArrowRight")
    assert text(page, "place") == "Picture 2 of 8"
    assert page.evaluate("document.querySelectorAll('input:checked:not([type=checkbox])').length") == 0
    page.press("e")
    seen.append(check_view(page, "finish"))
    page.press("Tab", "Enter")
    for number in range(8):
        answer(page, key, number)
        page.press("ArrowRight")
    seen.append(check_view(page, "finish"))
    page.press("Tab", " ", "Tab", "Enter")
    seen.append(check_view(page, "finish"))
    assert [len(controls) for controls in seen] == [2, 12, 3, 4, 3]


def check_view(page: Page, view: str) -> list[str]:
    """Names, reach by keyboard, contrast and width of what is seen; the names of its controls."""
    assert page.evaluate("document.documentElement.dataset.view") == view
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    kept = {
        "button",
        "radio",
        "checkbox",
        "textbox",
        "image",
        "progressbar",
        "group",
        "radiogroup",
        "DisclosureTriangle",
    }
    named = [node for node in nodes if not node["ignored"] and node["role"]["value"] in kept]
    assert [node["role"]["value"] for node in named if not node.get("name", {}).get("value", "").strip()] in (
        [],
        ["group"],
    )
    controls = sorted(set(page.evaluate(CONTROLS)))
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(3 * len(controls)):
        page.press("Tab")
        name, outline, uncovered = page.evaluate(FOCUS)
        reached.add(name)
        if name in controls:
            assert outline == "solid 3px", name
            assert uncovered, name
    assert set(controls) <= reached
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 5
    assert [(words, ratio) for words, ratio in contrasts if ratio < 4.5] == []
    page.evaluate("document.querySelector('main > section:not([hidden]) h2').focus()")
    return controls
