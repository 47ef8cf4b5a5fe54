from __future__ import annotations

import base64
import hashlib
import json
import re
import tracemalloc
import weakref
from collections import UserDict
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from polyp_aug.errors import ConfigurationError, RunFolderDamagedError, StorageError
from polyp_aug.generation.gallery import MAX_REASONS, MAX_SKIPS, write_gallery
from polyp_aug.generation.outlines import svg_path

HOSTILE = [
    '"><script>alert(1)</script>.png',
    "</script><!--<script>.png",
    "a b#c%d?e&f.png",
    "ポリープ\u2028\u2029.png",
    "{{data}} {{title}}.png",
    "\udcff.png",
    "'`${1}\\\r\n.png",
]


def polyp(segmentation: Any = None, **provenance: Any) -> dict[str, Any]:
    made = {"proposer": "random", "synthesizer": "transplant", "reference": "r.jpg#1", "details": {"steps": 30}}
    polygon = [[10, 10, 30, 10, 30, 30, 10, 30]] if segmentation is None else segmentation
    common = {"category": "polyp", "bbox": [10.0, 10, 20, 20.25], "area": 400, "segmentation": polygon}
    return common | {"origin": "synthetic", "provenance": made | provenance}


def made(sample: int, name: str | None = None, *objects: dict[str, Any]) -> dict[str, Any]:
    file_name = f"{sample:06d}.png" if name is None else name
    return {
        "sample": sample,
        "status": "made",
        "file_name": file_name,
        "width": 64,
        "height": 48,
        "background": {"file": file_name, "dataset": "d", "group": file_name, "licence": "CC BY 4.0"},
        "key": {"seed": 1, "sample": file_name, "epoch": 0, "draw": 0},
        "before": {"file_name": file_name, "box": [8, 8, 24, 24]},
        "objects": list(objects) or [polyp()],
        "rejections": [],
    }


def skipped(sample: int, *reasons: str) -> dict[str, Any]:
    return {"sample": sample, "status": "skipped", "reasons": list(reasons)}


class Page(HTMLParser):
    """Elements and texts of a page, as a browser would split it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = f"after {tag}"

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open, []).append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def data(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.texts["script"][0])
        return content


def written(folder: Path, *records: dict[str, Any], title: str = "A run", limit: int = 2000) -> Page:
    write_gallery(iter(records), folder, title=title, limit=limit)
    return Page(folder / "index.html")


def test_page_asks_for_nothing_outside_of_its_folder(tmp_path: Path) -> None:
    page = written(tmp_path, *(made(number, name) for number, name in enumerate(HOSTILE)))
    links = [value for _, attributes in page.elements for name in ("href", "src") if (value := attributes.get(name))]
    links += [tile[name] for tile in page.data["tiles"] for name in ("after", "before")]
    for link in links:
        address = urlsplit(link)
        assert (address.scheme or "data", address.netloc) == ("data", "")
        assert not address.path.startswith("/")
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\s\"']*", text) == ["http://www.w3.org/2000/svg"]
    assert "url(" not in text
    assert "@import" not in text


def test_policy_allows_the_style_and_the_script_of_the_page_alone(tmp_path: Path) -> None:
    page = written(tmp_path, made(0))
    (policy,) = (meta["content"] for meta in page.named("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "'self' file: data:"
    for kind, text in (("style-src", page.texts["style"][0]), ("script-src", page.texts["script"][1])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[kind] == f"'sha256-{digest}'"
    assert not [
        name for _, attributes in page.elements for name in attributes if name.startswith("on") or name == "style"
    ]


def test_script_builds_no_markup_from_text(tmp_path: Path) -> None:
    script = written(tmp_path, made(0)).texts["script"][1]
    for name in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "fetch("):
        assert name not in script


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(tmp_path: Path, name: str) -> None:
    calm = written(tmp_path, made(0, "calm.png"), title="calm")
    record = made(0, name, polyp(prompt=name, proposer=name, synthesizer=name, details={name: {name: [name]}}))
    hostile = written(tmp_path, record, skipped(1, name), title=name)
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in calm.elements]
    assert hostile.elements[10:] == calm.elements[10:]
    (tile,) = hostile.data["tiles"]
    assert unquote(tile["after"], errors="surrogateescape") == f"images/{name}"
    assert re.fullmatch(r"images(/[\w.~-]|/?%[0-9A-F]{2}|[\w.~-])+", tile["after"])
    raw = (
        (tmp_path / "index.html").read_text(encoding="utf-8").split('type="application/json">')[1].split("</script>")[0]
    )
    assert not re.search("[<>&\u2028\u2029]", raw)


@given(st.text(st.characters(exclude_categories=["Cc"]), max_size=60))
def test_data_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    page = written(tmp_path_factory.mktemp("run"), made(0) | {"background": {"file": text}})
    assert page.data["tiles"][0]["file"] == text


def test_tile_has_what_the_page_shows(tmp_path: Path) -> None:
    old = {"origin": "source", "category": "polyp", "bbox": [1, 2, 3, 4], "area": 9300.25}
    record = made(3, None, old, polyp(details={"reference": "pixels#2", "colour": {"gain": 1.5}}))
    (tile,) = written(tmp_path, record | {"rejections": ["too small"]}).data["tiles"]
    assert (tile["sample"], tile["width"], tile["height"], tile["box"]) == (3, 64, 48, [8, 8, 24, 24])
    assert (tile["after"], tile["before"]) == ("images/000003.png", "before/000003.png")
    assert ["licence", "CC BY 4.0"] in tile["facts"]
    assert ["key.seed", "1"] in tile["facts"]
    assert tile["rejections"] == ["too small"]
    first, second = tile["objects"]
    assert (first["synthetic"], first["path"], first["size"], first["area"]) == (False, "", 2, 9300.2)
    assert (second["synthetic"], second["size"], second["box"]) == (True, 0, [10, 10, 20, 20.2])
    assert (second["proposer"], second["synthesizer"], second["reference"]) == ("random", "transplant", "pixels#2")
    assert ["details.colour.gain", "1.5"] in second["facts"]
    assert second["path"] == "M10 10L30 10L30 30L10 30Z"


def test_page_is_cut_at_the_limit_and_counts_everything(tmp_path: Path) -> None:
    records = [made(0), skipped(1, "no place"), made(2, None, polyp(), polyp()), made(3)]
    data = written(tmp_path, *records, limit=2).data
    assert (data["made"], data["skipped"], data["synthetic"]) == (3, 1, 4)
    assert [tile["sample"] for tile in data["tiles"]] == [0, 2]
    assert data["skips"] == [{"sample": 1, "reasons": ["no place"]}]


def test_skips_and_their_reasons_are_bounded(tmp_path: Path) -> None:
    reasons = [f"reason {number}" for number in range(MAX_REASONS + 3)]
    data = written(tmp_path, *(skipped(number, *reasons) for number in range(MAX_SKIPS + 2))).data
    assert data["skipped"] == MAX_SKIPS + 2
    assert len(data["skips"]) == MAX_SKIPS
    assert data["skips"][0]["reasons"] == [*reasons[:MAX_REASONS], "… and 3 more"]


def test_records_are_streamed(tmp_path: Path) -> None:
    class Record(UserDict[str, Any]):
        """A record that knows how many others are alive."""

    alive: list[weakref.ref[Record]] = []
    most = 0

    def records() -> Iterator[Record]:
        nonlocal most
        for number in range(200):
            record = Record(made(number))
            alive.append(weakref.ref(record))
            most = max(most, sum(reference() is not None for reference in alive))
            yield record

    write_gallery(records(), tmp_path, title="t", limit=10)
    assert most <= 2


def test_memory_does_not_grow_beyond_the_limit(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        write_gallery((made(number) for number in range(count)), tmp_path, title="t", limit=20)
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    peak(20)
    assert peak(3000) < 1.5 * peak(20)


def test_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    pages = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write_gallery([made(0), skipped(1, "x")], folder, title="t")
        pages.append((folder / "index.html").read_bytes())
        assert [path.name for path in folder.iterdir()] == ["index.html"]
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "lost"}, "status is 'lost', expected 'made' or 'skipped'"),
        ({"width": 0}, "the frame is 0×48 pixels, expected at least 1×1"),
        ({"file_name": "../x.png"}, "file name is '../x.png', expected a path inside of the folder images"),
        ({"file_name": "/x.png"}, "file name is '/x.png', expected a path inside of the folder images"),
        ({"before": {"file_name": "x.png", "box": [1, 2, 3]}}, "a box has 3 numbers, expected 4"),
        ({"before": {"file_name": "x.png", "box": [1, 2, 3, float("nan")]}}, "nan is not a finite number"),
        ({"before": {"file_name": "x.png"}}, "no field 'box'"),
        (
            {"objects": [polyp() | {"origin": "dream"}]},
            "origin is 'dream', expected 'source', 'synthetic' or 'removed'",
        ),
        ({"objects": [polyp([[1, 2, 3]])]}, "cannot reshape array of size 3"),
        ({"objects": [polyp([[1, 2, 3, float("inf")]])]}, "a polygon has a coordinate that is not a finite number"),
        ({"objects": [polyp({"size": [9, 9], "counts": [81]})]}, "[48, 64]"),
    ],
)
def test_a_damaged_record_is_named_and_nothing_is_written(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(RunFolderDamagedError, match="sample 5: .*" + re.escape(message)):
        write_gallery([made(5) | change], tmp_path, title="t")
    assert list(tmp_path.iterdir()) == []


def test_limit_and_folder_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="limit of the gallery is 0, expected at least 1"):
        write_gallery([], tmp_path, title="t", limit=0)
    with pytest.raises(StorageError, match=r"index\.html"):
        write_gallery([], tmp_path / "missing", title="t")


def drawn(path: str, height: int, width: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The pixels inside of an SVG path, by the even-odd rule, at eight times the size and sampled at pixel centres."""
    canvas = np.zeros((height * 8, width * 8), dtype=np.uint8)
    for ring in re.findall(r"M([^Z]*)Z", path):
        points = np.array([point.split() for point in ring.split("L")], dtype=np.float64)
        layer = np.zeros_like(canvas)
        cv2.fillPoly(layer, [np.round((points * 8 - 0.5) * 256).astype(np.int32)], 1, shift=8)
        canvas ^= layer
    return canvas[4::8, 4::8] > 0


def ring_mask() -> np.ndarray[Any, np.dtype[np.uint8]]:
    y, x = np.mgrid[:48, :64]
    distance = np.hypot(x - 30, y - 22)
    mask: np.ndarray[Any, np.dtype[np.uint8]] = ((distance < 18) & (distance > 8)).astype(np.uint8)
    mask[44:46, 2:12] = 1
    return mask


@pytest.mark.parametrize("form", ["compressed", "uncompressed", "polygons"])
def test_outline_of_every_form_covers_the_mask(form: str) -> None:
    mask = ring_mask()
    if form == "polygons":
        contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        segmentation: Any = [contour.ravel().tolist() for contour in contours]
    elif form == "compressed":
        segmentation = coco_mask.encode(np.asfortranarray(mask))
        segmentation["counts"] = segmentation["counts"].decode()
    else:
        flat = mask.ravel(order="F")
        edges = np.flatnonzero(np.diff(flat)) + 1
        segmentation = {"size": [48, 64], "counts": np.diff([0, *edges, flat.size]).tolist()}
    painted = drawn(svg_path(segmentation, 64, 48), 48, 64)
    common, union = np.sum(painted & (mask > 0)), np.sum(painted | (mask > 0))
    assert common / union > (0.85 if form == "polygons" else 0.94)


@pytest.mark.parametrize("segmentation", [None, [], [[]], {"size": [48, 64], "counts": [48 * 64]}])
def test_outline_of_nothing_is_empty(segmentation: Any) -> None:
    assert svg_path(segmentation, 64, 48) == ""
