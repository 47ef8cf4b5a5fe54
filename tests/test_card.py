from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyp_aug.errors import RunFolderDamagedError, StorageError
from polyp_aug.generation.card import MAX_ROWS, cell, table, write_card
from polyp_aug.generation.facts import MAX_CHARACTERS, MAX_FACTS, flatten, readable
from polyp_aug.generation.tally import MAX_REASONS, OTHER_REASON, CardStatistics, Tally, quantile, reason_of

RUN = {
    "config": {"seed": 7, "size_range": [24, 140], "pattern": "a|b_*<img src=x>"},
    "inputs": {"real.json": {"images": 120}},
    "versions": {"polyp_aug": "0.1.0", "numpy": "2.4.6"},
}


def polyp(area: float = 100.0, **provenance: Any) -> dict[str, Any]:
    made = {"proposer": "random", "synthesizer": "transplant", "details": {}} | provenance
    return {"origin": "synthetic", "category": "polyp", "bbox": [1, 2, 10, 10], "area": area, "provenance": made}


def made(sample: int, *objects: dict[str, Any], **fields: Any) -> dict[str, Any]:
    background = {"file": f"{sample}.jpg", "dataset": "Normal frames", "split": "train", "licence": "CC BY 4.0"}
    record = {"sample": sample, "status": "made", "width": 100, "height": 100, "background": background}
    return record | {"objects": list(objects), "rejections": []} | fields


def skipped(sample: int, *reasons: str) -> dict[str, Any]:
    return {"sample": sample, "status": "skipped", "reasons": list(reasons)}


def counted(*records: dict[str, Any]) -> CardStatistics:
    tally = Tally()
    for record in records:
        tally.add(record)
    return tally.statistics()


def card(folder: Path, statistics: CardStatistics, run: dict[str, Any] = RUN) -> str:
    write_card(folder, run, statistics)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_tally_counts_samples_objects_and_methods() -> None:
    old = {"origin": "source", "category": "polyp", "bbox": [0, 0, 5, 5], "area": 25}
    source = {"file": "r.jpg", "dataset": "Polyps", "licence": "CC0"}
    statistics = counted(
        made(0, old, polyp(reference="shape", details={"reference": "pixels", "reference_source": source})),
        made(1, polyp(reference="shape", proposer="retrieval"), polyp(area=400.0), rejections=["too small"]),
        skipped(2, "2.jpg: truncated", "no place"),
    )
    assert (statistics.made, statistics.skipped, statistics.synthetic, statistics.source) == (2, 1, 3, 1)
    assert statistics.polyps_per_frame == {1: 1, 2: 1}
    assert statistics.categories == {"polyp": 4}
    assert statistics.methods == {("random", "transplant"): 2, ("retrieval", "transplant"): 1}
    assert statistics.references == {"pixels": 1, "shape": 1}
    assert statistics.backgrounds == {("Normal frames", "train", "CC BY 4.0"): 2}
    assert statistics.reference_sources == {("Polyps", "", "CC0"): 1}
    assert statistics.diameters == {11: 2, 23: 1}
    assert statistics.shares == {10: 2, 40: 1}
    assert [failure.reason for failure in statistics.skips] == ["no place", "truncated"]
    assert [failure.count for failure in statistics.rejections] == [1]


def test_through_hands_every_record_on_and_counts_it() -> None:
    records = [made(0, polyp()), skipped(1, "no place")]
    tally = Tally()
    assert list(tally.through(iter(records))) == records
    assert tally.statistics() == counted(*records)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"sample": 4, "status": "lost"}, "sample 4: status is 'lost', expected 'made' or 'skipped'"),
        ({"sample": 4, "status": "skipped"}, "sample 4: no field 'reasons'"),
        ({"status": "made"}, "sample ?: no field 'width'"),
        (made(4, polyp()) | {"width": 0}, "sample 4: the frame is 0×100 pixels, expected at least 1×1"),
        (made(4, polyp(area=-1.0)), "sample 4: the area of an object is -1.0, expected a number from 0 up"),
        (made(4, polyp()) | {"objects": 3}, "sample 4: "),
    ],
)
def test_a_damaged_record_is_named(record: dict[str, Any], message: str) -> None:
    with pytest.raises(RunFolderDamagedError, match=re.escape(message)):
        Tally().add(record)


@given(st.lists(st.integers(0, 50), min_size=1), st.floats(0, 1))
def test_quantile_of_a_histogram_is_that_of_its_values(values: list[int], q: float) -> None:
    assert quantile(Counter(values), q) == np.quantile(values, q, method="inverted_cdf")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("a/c.jpg: damaged or truncated (12 bytes (of 90) missing)", "damaged or truncated"),
        ("no place for 40 px in 1,000 trials", "no place for … px in … trials"),
        ("polyp 3: nothing was painted", "polyp …: nothing was painted"),
        ("", ""),
    ],
)
def test_reason_leaves_out_what_differs_between_samples(message: str, reason: str) -> None:
    assert reason_of(message) == reason


def test_different_reasons_are_bounded() -> None:
    words = ["".join(chr(97 + int(digit)) for digit in str(number)) for number in range(MAX_REASONS + 50)]
    failures = counted(*(skipped(number, word) for number, word in enumerate(words))).skips
    assert len(failures) == MAX_REASONS + 1
    assert (failures[0].reason, failures[0].count) == (OTHER_REASON, 50)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a|b", r"a\|b"),
        ("<script>", r"\<script\>"),
        ("two\nlines", "two␊lines"),
        ("[x](y) `z` *w*", r"\[x\](y) \`z\` \*w\*"),
        ("batch_size _x_", r"batch_size \_x\_"),
        ("\\|", r"\\\|"),
        (3.5, "3.5"),
    ],
)
def test_cell_escapes_markdown(value: object, text: str) -> None:
    assert cell(value) == text


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=4))
def test_no_text_breaks_a_table(rows: list[tuple[str, str]]) -> None:
    lines = table(("a", "b"), rows).split("\n")
    assert len(lines) == len(rows) + 3
    for line in lines[2:-1]:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3


def test_flatten_names_leaves_by_their_path() -> None:
    value = {"a": {"b": 1, "c": [2, "x"]}, "d": None, "e": [], "f": [{"g": True}], "h": ""}
    assert flatten(value) == [("a.b", "1"), ("a.c", "2, x"), ("f.1.g", "true")]


def test_flatten_is_bounded() -> None:
    pairs = flatten({str(number): number for number in range(MAX_FACTS + 5)})
    assert pairs[-1] == ("…", "5 more")
    assert len(readable("x" * 10_000)) == MAX_CHARACTERS


def test_card_has_settings_counts_licences_failures_and_limits(tmp_path: Path) -> None:
    source = {"file": "r.jpg", "dataset": "Polyps", "licence": "CC0"}
    details = {"reference": "r.jpg#1", "reference_source": source}
    text = card(tmp_path, counted(made(0, polyp(details=details)), skipped(1, "a|b.jpg: damaged (x)")))
    for line in (
        "| frames made | 1 |",
        "| new polyps | 1 |",
        "| background | Normal frames | train | CC BY 4.0 | 1 |",
        "| reference polyp | Polyps | unknown | CC0 | 1 |",
        "| random | transplant | 1 |",
        r"| pattern | a\|b\_\*\<img src=x\> |",
        "| size_range | 24, 140 |",
        "| real.json.images | 120 |",
        "| r.jpg#1 | 1 |",
        "| diameter, px | 11 | 11 | 11 | 11 | 11 | 11 | 11 |",
        r"| sample skipped | damaged | 1 | a\|b.jpg: damaged (x) |",
        "Seed 7. Versions: polyp_aug 0.1.0; numpy 2.4.6.",
    ):
        assert line in text.split("\n")
    assert "Not a medical device, not for diagnosis." in text


def test_card_of_an_empty_run_leaves_empty_sections_out(tmp_path: Path) -> None:
    text = card(tmp_path, counted(), {"config": {}, "inputs": {}, "versions": {}})
    assert "| frames made | 0 |" in text
    for title in ("Sizes of the new polyps", "Sources and licences", "What failed"):
        assert title not in text


def test_code_of_the_card_is_python_whatever_the_categories_are_named(tmp_path: Path) -> None:
    hostile = {"origin": "source", "category": "```\n'\"{x}", "area": 1.0}
    blocks = re.findall(r"^```python\n(.*?)^```$", card(tmp_path, counted(made(0, hostile))), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "README.md", "exec")


def test_card_lists_the_references_used_most(tmp_path: Path) -> None:
    polyps = [polyp(reference=f"r{number:02d}") for number in range(MAX_ROWS + 5)]
    text = card(tmp_path, counted(made(0, *polyps, polyp(reference="r24"))))
    used = re.findall(r"^\| (r\d\d) \|", text, re.MULTILINE)
    assert used == ["r24", *(f"r{number:02d}" for number in range(MAX_ROWS - 1))]
    assert "25 reference polyp(s) were used, these most often:" in text


def test_card_is_deterministic_and_does_not_depend_on_the_order_of_samples(tmp_path: Path) -> None:
    records = [made(0, polyp(reference="b")), made(1, polyp(reference="a", proposer="other"))]
    assert card(tmp_path, counted(*records)) == card(tmp_path, counted(*reversed(records)))


def test_card_names_what_run_json_lacks(tmp_path: Path) -> None:
    with pytest.raises(RunFolderDamagedError, match=r"run.json: 'versions' is None, expected an object"):
        write_card(tmp_path, {"config": {}, "inputs": {}}, counted())
    assert list(tmp_path.iterdir()) == []


def test_card_in_a_missing_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"README.md"):
        write_card(tmp_path / "missing", RUN, counted())
