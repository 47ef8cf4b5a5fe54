"""The report of a run: every number against the run's own files, and what may not harm it."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shutil
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Phantoms
from hypothesis import given
from hypothesis import strategies as st
from runs import config, digests, records

from polyp_aug.coco import read_coco, write_coco
from polyp_aug.errors import CocoError, ConfigurationError, PolypAugError, RunFolderDamagedError, StorageError
from polyp_aug.evaluation.report import Table, digest_of, write_report
from polyp_aug.generation.finish import finish_run
from polyp_aug.generation.generate import generate
from polyp_aug.generation.writing import RunLimits
from polyp_aug.images import read_image
from polyp_aug.reporting.charts import DARK, LIGHT, cell_colours
from polyp_aug.reporting.choice import SpreadChoice
from polyp_aug.reporting.distributions import CELLS, Measured
from polyp_aug.reporting.evaluations import markdown_text, read_evaluation, whisker_columns
from polyp_aug.reporting.report import report_run
from polyp_aug.reporting.run_state import expected_samples
from polyp_aug.reporting.svg import ticks

SCRIPT = "<script>alert(1)</script>"
VOID = {"meta", "link", "img", "br", "hr"}


class Page(HTMLParser):
    """Elements of a page, its headings, and its tables by caption."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.html = file.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.headings: list[tuple[int, str]] = []
        self.text = ""
        self._open: list[str] = []
        self._rows: list[list[str]] = []
        self.feed(self.html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self._rows = []
        if tag == "caption":
            self._caption = ""
        if tag == "tr":
            self._rows.append([])
        if tag in ("th", "td"):
            self._rows[-1].append("")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if inside != "style":
            self.text += data
        if inside == "caption":
            self._caption += data
        if inside in ("th", "td"):
            self._rows[-1][-1] += data
        if re.fullmatch("h[1-6]", inside):
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def rows(self, caption: str) -> list[list[str]]:
        """A table without its head."""
        return self.tables[caption][1:]


def written(run: Path, out: Path, **arguments: Any) -> Page:
    report_run(run, out, **arguments)
    return Page(out)


@pytest.fixture(scope="module")
def backgrounds(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames with polyps, from two sources, one of them without licence and patient; one picture is damaged."""
    folder = tmp_path_factory.mktemp("sets") / "frames & <b>more"
    shutil.copytree(phantoms.references, folder)
    document = json.loads((folder / "annotations.json").read_bytes())
    document["licenses"] = [{"id": 1, "name": "CC BY 4.0", "url": "https://creativecommons.org/licenses/by/4.0/"}]
    for number, image in enumerate(document["images"]):
        image |= {"dataset": "first", "split": "test", "group": f"patient {number // 2}", "license": 1}
        if number % 3 == 0:
            image |= {"dataset": "second", "split": "train", "group": "", "license": None}
    (folder / "annotations.json").write_text(json.dumps(document))
    picture = folder / "images" / document["images"][1]["file_name"]
    picture.write_bytes(picture.read_bytes()[:2000])
    return folder


@pytest.fixture(scope="module")
def original(phantoms: Phantoms, backgrounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with objects that were there before, a skipped sample, and a rejection."""
    out = tmp_path_factory.mktemp("runs") / "run"
    generate(config(phantoms, backgrounds=backgrounds, per_image=1, proposer="reference"), out)
    lines = records(out)
    made = next(record for record in lines if record["status"] == "made")
    made["rejections"] = [f"only 3 % of the place changed ({SCRIPT})"]
    (out / "manifest.jsonl").write_text("".join(json.dumps(record) + "\n" for record in lines))
    finish_run(out)
    return out


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(original, tmp_path / "run"))


@pytest.fixture(scope="module")
def page(original: Path, phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Its report, beside a real set."""
    return written(original, tmp_path_factory.mktemp("report") / "report.html", real=phantoms.references, samples=4)


def made_records(run: Path) -> list[dict[str, Any]]:
    return [record for record in records(run) if record["status"] == "made"]


def objects(run: Path, origin: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(record, item) for record in made_records(run) for item in record["objects"] if item["origin"] == origin]


def evaluation(folder: Path, run: Path | None = None, name: str = "mine", notes: str = "**KID.** See there.") -> Path:
    """A report folder with intervals."""
    folder.mkdir()
    digest = digest_of([run / "annotations.json"]) if run else "0" * 64
    content = {"seed": 3, "sets": {name: {"annotations_sha256": digest}}, "versions": {"numpy": "9.8.7"}}
    rows = [("real", "1.50 (-0.25 … 2.50)", "12"), (name, "4.00 (3.00 … 5.00)", "34")]
    write_report(folder, f"Polyps of {name}", content, [Table("Distance", ("set", "KID (95 %)", "n"), rows)], notes)
    return folder


# Every number is the run's


def test_counts_are_those_of_the_manifest(original: Path, page: Page) -> None:
    lines, made = records(original), made_records(original)
    new, old = objects(original, "synthetic"), objects(original, "source")
    assert len(lines) == 10
    assert 5 < len(made) < 10
    assert len(old) > 5
    references = {item["provenance"]["details"]["reference"] for _, item in new}
    assert page.rows("Counts") == [
        ["samples with a record", "10"],
        ["samples that the run was to make", "10"],
        ["frames made", f"{len(made)}"],
        ["new polyps", f"{len(new)}"],
        ["objects that were there before", f"{len(old)}"],
        ["samples skipped", f"{10 - len(made)}"],
        ["polyps rejected", f"{sum(len(record['rejections']) for record in made)}"],
        ["different frames that they were made from", f"{len({record['background']['file'] for record in made})}"],
        [
            "different patients or sequences of these, where named",
            f"{len({record['background']['group'] for record in made if record['background'].get('group')})}",
        ],
        ["different reference polyps", f"{len(references)}"],
        ["bytes of all pictures", f"{sum(path.stat().st_size for path in original.glob('*/*.png')):,}"],
    ]
    annotated = Counter(item["category"] for _, item in new + old)
    assert page.rows("Objects that are annotated") == [[name, str(count)] for name, count in sorted(annotated.items())]


def test_sources_licences_inputs_and_settings_are_the_runs(original: Path, page: Page) -> None:
    run = json.loads((original / "run.json").read_bytes())
    used = Counter(
        (record["background"]["dataset"], record["background"]["split"], record["background"].get("licence", ""))
        for record in made_records(original)
    )
    rows = [row for row in page.rows("Sources and their licences") if row[0] == "background"]
    assert rows == [
        ["background", dataset, split, licence or "not recorded", str(count)]
        for (dataset, split, licence), count in sorted(used.items())
    ]
    assert len(rows) == 2
    assert ["CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"] in page.rows("Licences of the inputs")
    inputs = dict(page.rows("Inputs, as run.json names them"))
    assert inputs == {name: str(value) for name, value in run["inputs"].items()}
    settings = dict(page.rows("Settings"))
    assert settings == {name: str(value) for name, value in run["config"].items()}
    versions = dict(page.rows("Versions"))
    assert {name: versions[name] for name in run["versions"]} == run["versions"]


def test_splits_that_must_not_be_measured_on_are_said(original: Path, page: Page) -> None:
    test = sum(record["background"]["split"] == "test" for record in made_records(original))
    assert f"Backgrounds come from the split “test” ({test} times)." in page.text
    assert "split “train”" not in page.text


def test_failures_have_their_reasons(original: Path, page: Page) -> None:
    skipped = [record for record in records(original) if record["status"] == "skipped"]
    reasons = Counter(reason for record in skipped for reason in record["reasons"])
    rejections = Counter(reason for record in made_records(original) for reason in record["rejections"])
    rows = page.rows("Reasons")
    assert sum(int(row[2]) for row in rows if row[0] == "sample skipped") == reasons.total() > 0
    assert all(row[3] in reasons for row in rows if row[0] == "sample skipped")
    rejected = [row for row in rows if row[0] == "polyp rejected"]
    assert sum(int(row[2]) for row in rejected) == rejections.total()
    assert any(SCRIPT in row[3] for row in rejected)
    for record in skipped:
        assert f"Sample {record['sample']}{''.join(record['reasons'])}" in page.text
    assert len(page.rows("Frames that could not be read")) == 1
    assert f"Rejected: only 3 % of the place changed ({SCRIPT})" in page.text


def test_sizes_places_and_numbers_are_measured(original: Path, page: Page, phantoms: Phantoms) -> None:
    kinds = {"new polyps": "synthetic", "objects that were there before": "source"}
    sizes, thirds, counts = {}, {}, {}
    for name, origin in kinds.items():
        found = objects(original, origin)
        sizes[name] = [100 * math.sqrt(item["area"] / (record["width"] * record["height"])) for record, item in found]
        thirds[name] = [
            (
                int(3 * (item["bbox"][0] + item["bbox"][2] / 2) / record["width"]),
                int(3 * (item["bbox"][1] + item["bbox"][3] / 2) / record["height"]),
            )
            for record, item in found
        ]
        counts[name] = [
            sum(item["origin"] == origin for item in record["objects"]) for record in made_records(original)
        ]
    real = read_coco(phantoms.references)
    sides = {image.id: (image.width, image.height) for image in real.images}
    name = f"real: {phantoms.references.name}"
    sizes[name] = [100 * math.sqrt(item.area / math.prod(sides[item.image_id])) for item in real.annotations]
    thirds[name] = [
        (
            int(3 * (item.bbox[0] + item.bbox[2] / 2) / sides[item.image_id][0]),
            int(3 * (item.bbox[1] + item.bbox[3] / 2) / sides[item.image_id][1]),
        )
        for item in real.annotations
    ]
    counts[name] = [len(items) for items in real.by_image().values()]

    def shares(values: dict[str, list[Any]], wanted: Callable[[Any], bool]) -> list[str]:
        return [f"{100 * sum(map(wanted, found)) / len(found):.1f}" for found in values.values()]

    assert page.rows("Sizes, %") == [
        [
            kind,
            str(len(values)),
            *(
                f"{value:.1f}"
                for value in np.quantile(values, [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1], method="inverted_cdf")
            ),
        ]
        for kind, values in sizes.items()
    ]
    table = page.rows("Share of the objects by size, %")
    assert table
    for row in table:
        low, high = (int(number) for number in re.findall(r"\d+", row[0]))
        assert row[1:] == shares(sizes, lambda value, low=low, high=high: low <= value < high), row[0]
    ninths = {"left": (0, 1), "middle": (1, 1), "right": (2, 1), "upper middle": (1, 0), "lower right": (2, 2)}
    table = page.rows("Share of the centres by ninths of the frame, %")
    checked = [row for row in table if row[0] in ninths]
    assert len(checked) > 1
    for row in checked:
        assert row[1:] == shares(thirds, lambda value, cell=ninths[row[0]]: value == cell), row[0]
    for row in page.rows("Share of the frames by number of objects, %"):
        assert row[1:] == shares(counts, lambda value, number=int(row[0]): value == number), row[0]


def test_bars_are_as_high_as_their_numbers(page: Page) -> None:
    charts = re.findall(r'<svg class="chart".*?</svg>', page.html)
    sizes = next(chart for chart in charts if 'aria-label="Sizes of' in chart)
    heights = [
        [float(height) for height in re.findall(rf'height="([\d.]+)" class="bar s{number}"', sizes)]
        for number in range(3)
    ]
    rows = {row[0]: row[1:] for row in page.rows("Share of the objects by size, %")}
    classes = [rows.get(f"{low}–{low + 5} %", ["0", "0", "0"]) for low in range(0, 5 * len(heights[0]), 5)]
    unit = max(heights[0]) / max(float(row[0]) for row in classes)
    for number in range(3):
        assert heights[number] == pytest.approx([unit * float(row[number]) for row in classes], abs=0.06 * unit + 0.01)


def test_files_are_named_with_their_digests(original: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    measured = evaluation(tmp_path / "kid", original)
    page = written(original, tmp_path / "r.html", evaluations=[measured], real=phantoms.references)
    files = [original / name for name in ("run.json", "manifest.jsonl", "annotations.json")]
    files += [measured / "report.json", measured / "report.md", phantoms.references / "annotations.json"]
    assert page.rows("Files that this report was made from") == [
        [f"{file.parent.name}/{file.name}", f"{file.stat().st_size:,}", hashlib.sha256(file.read_bytes()).hexdigest()]
        for file in files
    ]
    command = f"polyp-aug report run --evaluation kid --real {phantoms.references.name} --samples 12 --seed 0 --out"
    assert command in page.text.replace(" \\\n   ", "")


def test_pictures_are_the_runs(original: Path, page: Page) -> None:
    images = page.named("img")
    shown = [int(number) for number in re.findall(r'alt="Sample (\d+), before"', page.html)]
    by_number = {record["sample"]: record for record in made_records(original)}
    assert shown[:4] == sorted(shown[:4])
    rejected = sum(bool(record["rejections"]) for record in by_number.values())
    assert len(images) == 2 * len(shown) == 2 * (4 + rejected)
    assert rejected in (1, 2, 3, 4)
    for number, before, after in zip(shown, images[::2], images[1::2], strict=True):
        record = by_number[number]
        frame = read_image(original / "images" / record["file_name"])
        assert np.abs(decoded(after["src"]) - frame.astype(int)).mean() < 4
        x, y, w, h = record["before"]["box"]
        crop = read_image(original / "before" / record["file_name"]).astype(int)
        assert np.abs(decoded(before["src"])[y : y + h, x : x + w] - crop).mean() < 6
        count = sum(item["origin"] == "synthetic" for item in record["objects"])
        assert after["alt"] == f"Sample {number}, after, with {count} new polyp{'s' * (count > 1)}"


def decoded(address: str | None) -> np.ndarray[Any, np.dtype[np.int64]]:
    import cv2

    head, _, data = str(address).partition(",")
    assert head == "data:image/jpeg;base64"
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return np.asarray(pixels[:, :, ::-1], dtype=np.int64)


def test_equal_files_give_equal_bytes_and_the_run_stays_as_it_is(original: Path, tmp_path: Path) -> None:
    before = digests(original)
    for name in ("a.html", "b.html"):
        report_run(original, tmp_path / name, samples=3)
    report_run(original, tmp_path / "c.html", samples=3, seed=1)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert (tmp_path / "a.html").read_bytes() != (tmp_path / "c.html").read_bytes()
    assert digests(original) == before


# What is shown of evaluations


def test_tables_charts_and_notes_of_an_evaluation_are_shown(original: Path, tmp_path: Path) -> None:
    page = written(original, tmp_path / "r.html", evaluations=[evaluation(tmp_path / "kid", original)])
    assert page.tables["Distance"] == [
        ["set", "KID (95 %)", "n"],
        ["real", "1.50 (-0.25 … 2.50)", "12"],
        ["mine", "4.00 (3.00 … 5.00)", "34"],
    ]
    assert "It measured a set with this run's annotations, as mine: the digests are equal." in page.text
    assert "<strong>KID.</strong> See there." in page.html
    assert ["numpy", "9.8.7"] in page.rows("Its seed and versions")
    assert ["seed", "3"] in page.rows("Its seed and versions")
    chart = next(chart for chart in re.findall(r'<svg class="chart".*?</svg>', page.html) if "KID" in chart)
    places = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', chart)]
    levels = dict(zip(("-2", "0", "2", "4", "6"), re.findall(r'x1="([\d.]+)" x2="\1"', chart), strict=False))
    unit = (float(levels["4"]) - float(levels["2"])) / 2
    assert places == pytest.approx([float(levels["0"]) + 1.5 * unit, float(levels["0"]) + 4 * unit], abs=0.05)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"sets": {"a": {"annotations_sha256": "0" * 64}}}, "None of the digests that it names is this run's"),
        ({"database": {"sha256": "0" * 64}}, "whether it measured this run can't be told"),
        ({"run": {"manifest_sha256": "own"}}, "It measured this run: the digests of the manifests are equal."),
    ],
)
def test_what_an_evaluation_measured_is_said(
    original: Path, tmp_path: Path, content: dict[str, Any], sentence: str
) -> None:
    text = json.dumps(content).replace('"own"', json.dumps(digest_of([original / "manifest.jsonl"])))
    folder = evaluation(tmp_path / "kid")
    (folder / "report.json").write_text(text)
    page = written(original, tmp_path / "r.html", evaluations=[folder])
    assert sentence in page.text
    assert ("It measured" in page.text) is ("manifest_sha256" in text)


def test_several_evaluations_stand_in_the_order_given(original: Path, tmp_path: Path) -> None:
    folders = [evaluation(tmp_path / name, name=name) for name in ("second", "first")]
    page = written(original, tmp_path / "r.html", evaluations=folders)
    titles = [text for _, text in page.headings]
    assert titles.index("Polyps of second") < titles.index("Polyps of first")
    assert "No evaluation was given" not in page.text


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "report.json").unlink(), r"not the folder of an evaluation \(no report.json\)"),
        (lambda folder: (folder / "report.md").unlink(), r"not the folder of an evaluation \(no report.md\)"),
        (lambda folder: (folder / "report.json").write_text("{"), "can't be read"),
        (lambda folder: (folder / "report.json").write_text("[]"), "report.json: a list, expected an object"),
        (lambda folder: (folder / "report.md").write_bytes(b"\xff\xfe"), "can't be read"),
    ],
)
def test_a_damaged_evaluation_is_named(
    original: Path, tmp_path: Path, break_it: Callable[[Path], object], message: str
) -> None:
    folder = evaluation(tmp_path / "kid")
    break_it(folder)
    with pytest.raises(ConfigurationError, match=f"{folder}.*{message}|{message}"):
        report_run(original, tmp_path / "r.html", evaluations=[folder])
    assert not (tmp_path / "r.html").exists()


def test_a_written_table_is_read_as_it_was(tmp_path: Path) -> None:
    rows = [("a|b", "*x* <i>", "1.5 (1.0 … 2.0)"), ("", "[y](z)", "–")]
    write_report(tmp_path, "T", {}, [Table("A `b` | c", ("x", "y|", "z"), rows), Table("E", ("only",), [])], "")
    first, second = read_evaluation(tmp_path).tables
    assert [list(row) for row in first.rows] == [list(row) for row in rows]
    assert (first.title, list(first.columns)) == ("A `b` | c", ["x", "y|", "z"])
    assert (second.title, list(second.columns), list(second.rows)) == ("E", ["only"], [])


def test_rows_of_a_chart_are_named_by_what_differs() -> None:
    rows = [("kvasir", "A", "1.0 (0.5 … 2)", "-3 (-4 … -2); 5"), ("kvasir", "B", "2.0 (1 … 3)", "4 (3 … 5)")]
    (first, second) = whisker_columns(Table("t", ("set", "detector", "AP", "F1"), rows))
    assert first[0] == "AP"
    assert [(item.name, item.value, item.low, item.high) for item in first[1]] == [("A", 1, 0.5, 2), ("B", 2, 1, 3)]
    assert [item.value for item in second[1]] == [-3, 4]
    assert whisker_columns(Table("t", ("set", "AP"), [("a", "1 (0 … 2)")])) == []
    assert whisker_columns(Table("t", ("set", "AP"), [("a", "1 (0 … 2)")] * 25)) == []


# Nothing in a file does harm


@pytest.fixture
def hostile(run: Path, tmp_path: Path) -> Page:
    """A report in which every text that a file holds tries to break out."""
    text = f'"><img src=x onerror=alert(1)>{SCRIPT}{{{{ 7 * 7 }}}}\u2028\x07'
    lines = records(run)
    for record in lines:
        if record["status"] == "skipped":
            record["reasons"] = [text]
            continue
        record["background"] |= {"file": text, "group": text, "dataset": text, "split": text, "licence": text}
        record["caption"] = text
        record["rejections"] = [text]
        for item in record["objects"]:
            if item["origin"] == "synthetic":
                item["provenance"] |= {"proposer": text, "synthesizer": text, "details": {"reference": text}}
    (run / "manifest.jsonl").write_text("".join(json.dumps(record) + "\n" for record in lines))
    settings = json.loads((run / "run.json").read_bytes())
    settings["config"] |= {"synthesizer": text, text: text}
    settings["inputs"] |= {"backgrounds": text, text: text}
    settings["versions"] |= {text: text}
    settings["licenses"] = [{"id": 1, "name": text, "url": "javascript:alert(1)"}]
    (run / "run.json").write_text(json.dumps(settings))
    finish_run(run)
    notes = (
        f"{text} ![leak](http://127.0.0.1/x.png) [go](javascript:alert(1)) <http://127.0.0.1/>\n\n{text}\n\n## {text}"
    )
    measured = evaluation(tmp_path / "kid", run, name=text, notes=notes)
    (folder := tmp_path / "<script>alert(2)<").mkdir()
    dataset = read_coco(run)
    write_coco(dataset, folder / "annotations.json")
    return written(run, tmp_path / "hostile.html", evaluations=[measured], real=folder)


def test_hostile_texts_stay_texts(hostile: Page) -> None:
    assert SCRIPT in hostile.text
    assert "{{ 7 * 7 }}" in hostile.text
    assert "49" not in re.findall(r"alert\(1\)>(\d+)", hostile.text)
    tags = {tag for tag, _ in hostile.elements}
    assert tags.isdisjoint({"script", "iframe", "object", "embed", "form", "i", "b"})
    assert [name for _, attributes in hostile.elements for name in attributes if name.startswith("on")] == []
    assert {str(image["src"])[:23] for image in hostile.named("img")} == {"data:image/jpeg;base64,"}
    assert all(str(link["href"]).startswith("#") for link in hostile.named("a"))
    assert "\x07" not in hostile.html
    assert "␇" in hostile.html


def test_a_page_asks_for_nothing(page: Page) -> None:
    (policy,) = (meta["content"] for meta in page.named("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    (style,) = re.findall(r"<style>(.*?)</style>", page.html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert "url(" not in page.html
    assert "@import" not in page.html
    for _, attributes in page.elements:
        assert "style" not in attributes
        assert str(attributes.get("src", "data:")).startswith("data:")
        assert str(attributes.get("href", "#")).startswith(("#", "data:,"))


def test_names_that_are_no_text_are_written(run: Path, tmp_path: Path) -> None:
    lines = records(run)
    for record in lines:
        if record["status"] == "made":
            record["background"]["file"] = "\udcff.png"
    (run / "manifest.jsonl").write_text("".join(json.dumps(record) + "\n" for record in lines))
    report_run(run, tmp_path / "r.html")
    assert "&#56575;.png" in (tmp_path / "r.html").read_text("utf-8")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_markdown_never_points_out_of_the_page(text: str) -> None:
    found = markdown_text(f"{text}\n\n![a](http://b/c) <b onclick=x> {text} [d]\n\n[d]: http://e\n\n{SCRIPT}")
    tags = set(re.findall(r"<\s*/?\s*([a-zA-Z0-9]+)", found))
    assert tags <= {"p", "em", "strong", "code", "pre", "ul", "ol", "li", "h4", "blockquote", "hr", "br"}
    assert not re.search(r"<[^>]*(href|src|onclick)\s*=", found)


# Readable for everybody


def test_headings_rise_by_one_and_pictures_and_tables_are_described(
    original: Path, phantoms: Phantoms, tmp_path: Path
) -> None:
    measured = evaluation(tmp_path / "kid", original, notes="Text.\n\n## A heading\n\nText.")
    page = written(original, tmp_path / "r.html", evaluations=[measured], real=phantoms.references)
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    assert all(text.strip() for _, text in page.headings)
    assert all(image["alt"] for image in page.named("img"))
    assert all(head["scope"] in ("col", "row") for head in page.named("th"))
    assert len(page.named("table")) == len(page.named("caption")) == len(page.tables)
    for tag, attributes in page.elements:
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or (attributes["role"], bool(attributes["aria-label"])) == (
                "img",
                True,
            )
    identifiers = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(identifiers) == len(set(identifiers))
    targets = {str(link["href"])[1:] for link in page.named("a")}
    assert targets <= set(identifiers)
    assert page.named("html") == [{"lang": "en"}]


def test_letters_in_maps_stand_out() -> None:
    for share in np.linspace(0, 1, 101):
        colour, ink = cell_colours(float(share))
        assert contrast(colour, ink) >= 4.5, share
    assert cell_colours(0.0)[0] == "#" + bytes(LIGHT).hex()
    assert cell_colours(1.0)[0] == "#" + bytes(DARK).hex()


def contrast(first: str, second: str) -> float:
    """As in WCAG 2.2: (L₁ + 0.05) / (L₂ + 0.05), L the relative luminance."""

    def luminance(colour: str) -> float:
        values = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


# Unfinished and damaged runs


def test_a_run_that_was_stopped_is_marked_unfinished(phantoms: Phantoms, tmp_path: Path) -> None:
    whole = generate(config(phantoms), tmp_path / "whole")
    generate(config(phantoms), tmp_path / "part", limits=RunLimits(bytes=whole.bytes // 2))
    done = len(records(tmp_path / "part"))
    assert 0 < done < 5
    state = report_run(tmp_path / "part", tmp_path / "r.html")
    assert (state.done, state.expected, state.finished) == (done, 5, False)
    page = Page(tmp_path / "r.html")
    assert "This run has not ended." in page.text
    assert f"{done} of 5 samples have a record." in page.text
    assert report_run(tmp_path / "whole", tmp_path / "w.html").finished
    assert "has not ended" not in Page(tmp_path / "w.html").text


def test_a_run_that_was_killed_is_marked_unfinished(run: Path, tmp_path: Path) -> None:
    for name in ("annotations.json", "index.html", "README.md"):
        (run / name).unlink()
    lines = (run / "manifest.jsonl").read_text().splitlines(keepends=True)
    (run / "manifest.jsonl").write_text("".join(lines[:6]) + lines[6][:40])
    state = report_run(run, tmp_path / "r.html")
    assert state.problems == (
        "6 of 10 samples have a record.",
        "The last line of manifest.jsonl is incomplete: a process was killed, or is still writing.",
        "There is no annotations.json, which is written at the end.",
    )
    page = Page(tmp_path / "r.html")
    assert all(problem in page.text for problem in state.problems)
    assert page.headings[0] == (1, "run")


def test_a_run_that_was_continued_is_marked_unfinished(run: Path, tmp_path: Path) -> None:
    dataset = read_coco(run)
    write_coco(
        type(dataset)(
            dataset.image_root,
            dataset.images[:1],
            tuple(dataset.by_image()[dataset.images[0].id]),
            dataset.categories,
            dataset.licenses,
        ),
        run / "annotations.json",
    )
    (problem,) = report_run(run, tmp_path / "r.html").problems
    assert re.match(
        r"annotations\.json has 1 frames and \d objects, the manifest \d and \d+: the run was cont", problem
    )


def test_a_run_with_nothing_yet_has_a_report(run: Path, tmp_path: Path) -> None:
    for path in (*run.glob("*/*.png"), run / "manifest.jsonl", run / "annotations.json"):
        path.unlink()
    page = written(run, tmp_path / "r.html")
    assert "0 of 10 samples have a record." in page.text
    assert "There are no objects." in page.text
    assert page.named("img") == []


def changed_record(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    lines = records(run)
    change(next(record for record in lines if record["status"] == "made"))
    (run / "manifest.jsonl").write_text("".join(json.dumps(record) + "\n" for record in lines))


def doubled(run: Path) -> None:
    file = run / "manifest.jsonl"
    file.write_text(file.read_text() + file.read_text().splitlines()[0] + "\n")


def without(name: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        content = json.loads((run / "run.json").read_bytes())
        del content[name]
        (run / "run.json").write_text(json.dumps(content))

    return change


def fewer_samples(run: Path) -> None:
    content = json.loads((run / "run.json").read_bytes())
    content["inputs"]["background_pictures"] = 4
    (run / "run.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("break_it", "error", "message"),
    [
        (lambda run: (run / "run.json").unlink(), ConfigurationError, "not a run folder"),
        (lambda run: (run / "run.json").write_text("{"), RunFolderDamagedError, r"run\.json: can't be read"),
        (without("config"), RunFolderDamagedError, r"run\.json: 'config' is None"),
        (without("versions"), RunFolderDamagedError, r"run\.json: 'versions' is None"),
        (without("licenses"), RunFolderDamagedError, r"run\.json: 'licenses' is None"),
        (fewer_samples, RunFolderDamagedError, "10 records, but the run has 4 samples"),
        (lambda run: (run / "manifest.jsonl").write_text("{}\n"), RunFolderDamagedError, "line 1 is damaged"),
        (doubled, RunFolderDamagedError, "sample 0 comes after 9, expected rising numbers"),
        (lambda run: (run / "annotations.json").write_text("{"), CocoError, r"annotations\.json"),
        (
            lambda run: (run / "images" / "000000.png").unlink(),
            RunFolderDamagedError,
            r"images/000000\.png: missing or not of \d+ bytes",
        ),
        (
            lambda run: (run / "before" / "000000.png").write_bytes(b"x"),
            RunFolderDamagedError,
            r"before/000000\.png: missing or not of \d+ bytes",
        ),
        (
            lambda run: changed_record(run, lambda record: record.update(file_name="../../etc/passwd")),
            RunFolderDamagedError,
            r"sample 0: file_name '\.\./\.\./etc/passwd' holds '\.\.'",
        ),
        (
            lambda run: changed_record(run, lambda record: record.update(width=record["width"] + 1)),
            RunFolderDamagedError,
            r"000000\.png: 256×216 pixels, the manifest says 257×216",
        ),
        (
            lambda run: changed_record(run, lambda record: record["before"].update(box=[250, 0, 50, 50])),
            RunFolderDamagedError,
            r"sample 0: the box of 'before' is \[250, 0, 50, 50\], outside of 256×216 pixels",
        ),
        (
            lambda run: changed_record(run, lambda record: record["objects"][-1].pop("bbox")),
            RunFolderDamagedError,
            "sample 0: no field 'bbox'",
        ),
        (
            lambda run: changed_record(run, lambda record: record["objects"][-1].update(bbox=[1, 2, math.inf, 4])),
            RunFolderDamagedError,
            "sample 0: the box of an object is",
        ),
        (
            lambda run: changed_record(run, lambda record: record["objects"][-1].pop("area")),
            RunFolderDamagedError,
            "sample 0: no field 'area'",
        ),
    ],
)
def test_a_damaged_run_is_named_and_nothing_is_written(
    run: Path, tmp_path: Path, break_it: Callable[[Path], object], error: type[PolypAugError], message: str
) -> None:
    break_it(run)
    with pytest.raises(error, match=message):
        report_run(run, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("name", ["report", "report.json", "run/index.html"])
def test_a_wrong_name_is_refused(run: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"'out' must be a file ending in \.html"):
        report_run(run, tmp_path / name)


def test_samples_and_folder_are_checked(original: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'samples' must not be negative \(got -1\)"):
        report_run(original, tmp_path / "r.html", samples=-1)
    with pytest.raises(StorageError, match=r"r\.html"):
        report_run(original, tmp_path / "missing" / "r.html")
    assert written(original, tmp_path / "r.html", samples=0).named("img") == []


@pytest.mark.parametrize(
    ("settings", "inputs", "expected"),
    [
        ({"count": 7, "shard": "2/3"}, {}, 2),
        ({"count": 7, "shard": "1/3"}, {}, 3),
        ({"per_image": 2}, {"background_pictures": 5}, 10),
        ({"task": "remove"}, {"background_pictures": 5}, 5),
        ({"task": "frames", "count": 4}, {}, 4),
        ({"task": "frames"}, {}, None),
        ({"task": "frames", "shard": "1/2"}, {"captioned_frames": 5}, 3),
        ({"task": "another", "count": 4}, {}, None),
    ],
)
def test_samples_that_a_run_was_to_make(settings: dict[str, Any], inputs: dict[str, Any], expected: int | None) -> None:
    assert expected_samples({"config": settings, "inputs": inputs}) == expected


def test_a_shard_makes_as_many_samples_as_are_expected(phantoms: Phantoms, tmp_path: Path) -> None:
    generate(config(phantoms, shard=(2, 3)), tmp_path / "shard")
    state = report_run(tmp_path / "shard", tmp_path / "r.html")
    assert (state.done, state.expected, state.finished) == (2, 2, True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": "x"}, "invalid literal"),
        ({"count": 4, "shard": "3/2"}, "shard is '3/2'"),
        ({"per_image": 1}, "no set"),
    ],
)
def test_settings_that_are_no_numbers_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RunFolderDamagedError, match=f"run.json: {message}"):
        expected_samples({"config": settings, "inputs": {}})


# The parts


def test_a_choice_is_spread_over_sources_and_does_not_depend_on_the_order() -> None:
    offered = [("large", {"sample": number}) for number in range(100)]
    offered += [("small", {"sample": number}) for number in (100, 101)]
    found = []
    for order in (offered, offered[::-1]):
        choice = SpreadChoice(6, seed=0, purpose="made")
        for source, record in order:
            choice.offer(source, record)
        found.append([record["sample"] for record in choice.chosen()])
    assert found[0] == found[1] == sorted(found[0])
    assert len(found[0]) == 6
    assert found[0][-2:] == [100, 101]
    other = SpreadChoice(6, seed=1, purpose="made")
    for source, record in offered:
        other.offer(source, record)
    assert [record["sample"] for record in other.chosen()] != found[0]


def test_every_sample_is_chosen_equally_often() -> None:
    counts: Counter[int] = Counter()
    for seed in range(400):
        choice = SpreadChoice(2, seed=seed, purpose="made")
        for number in range(8):
            choice.offer("", {"sample": number})
        counts.update(record["sample"] for record in choice.chosen())
    assert all(60 < counts[number] < 145 for number in range(8))


def test_shares_add_up_and_borders_belong_to_a_class() -> None:
    sizes = np.array([0.0, 5.0, 99.9, 100.0, 130.0])
    centres = np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.0], [1.2, -0.1], [0.999, 0.5]])
    kind = Measured("k", sizes, centres, np.array([0, 1, 9, 5]))
    assert kind.size_shares().tolist() == [20, 20, *[0] * 17, 60]
    places = kind.place_shares()
    assert places.sum() == pytest.approx(100)
    assert [places[0, 0], places[CELLS - 1, CELLS - 1], places[0, CELLS - 1], places[0, CELLS // 2]] == [20] * 4
    assert kind.count_shares().tolist() == [25, 25, 0, 0, 0, 50]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 8))
def test_ticks_hold_the_values_and_are_evenly_spaced(low: float, width: float, most: int) -> None:
    found = ticks(low, low + width, most)
    steps = np.diff(found)
    assert found[0] <= low + 1e-6 * width
    assert found[-1] >= low + width - 1e-6 * width
    assert len(found) <= most + 3
    assert steps == pytest.approx(steps[0], rel=1e-3)
