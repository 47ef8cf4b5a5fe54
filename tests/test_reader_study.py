"""Reader studies: what is drawn and shown, that the page tells nothing, and what is made of answers."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import Phantoms
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from reader_studies import exported, write_answers, write_key
from runs import config
from scipy.stats import binomtest, kstest, mannwhitneyu
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from polyp_aug.captions.dataset import caption_dataset
from polyp_aug.captions.template import TemplateWriter
from polyp_aug.errors import ConfigurationError, ImageError, PolypAugError
from polyp_aug.generation.generate import generate
from polyp_aug.images import write_png
from polyp_aug.keys import Key
from polyp_aug.reader_study.agreement import cohen_kappa, estimate_of, fleiss_kappa, mean_pairwise_kappa
from polyp_aug.reader_study.answers import content_digest, read_answers
from polyp_aug.reader_study.drawing import choose, shuffled
from polyp_aug.reader_study.key import read_key
from polyp_aug.reader_study.make import StudySettings, make_study
from polyp_aug.reader_study.pictures import encode_jpeg, of_equal_length, shown_outline, shown_picture
from polyp_aug.reader_study.questions import ordered_questions
from polyp_aug.reader_study.score import score_study
from polyp_aug.reader_study.shares import binomial_p, blind_accuracy, fisher_p, mean_estimate, share_difference
from polyp_aug.reader_study.sources import Candidate, StudySet, read_set

EVERYTHING = ("origin", "fidelity", "mask", "text")
NAME = "transplanted"


@pytest.fixture(scope="module")
def sets(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> tuple[StudySet, StudySet]:
    """Ten real frames, and a run of six whose backgrounds differ, both with captions."""
    folder = tmp_path_factory.mktemp("reader study")
    generate(config(phantoms, count=6, polyps_per_image=(1, 1)), folder / "run")
    captions = {name: folder / f"{name}.jsonl" for name in ("real", NAME)}
    caption_dataset(phantoms.references, TemplateWriter(), captions["real"])
    caption_dataset(folder / "run", TemplateWriter(), captions[NAME])
    return (
        StudySet("real", phantoms.references, captions["real"]),
        StudySet(NAME, folder / "run", captions[NAME]),
    )


def made(
    sets: tuple[StudySet, StudySet],
    folder: Path,
    settings: StudySettings = StudySettings(),  # noqa: B008
) -> tuple[bytes, dict[str, Any]]:
    """Page and key of a study."""
    folder.mkdir(exist_ok=True)
    make_study(sets[0], sets[1:], folder / "study.html", folder / "key.json", settings)
    return (folder / "study.html").read_bytes(), json.loads((folder / "key.json").read_bytes())


def data_of(page: bytes) -> dict[str, Any]:
    (text,) = re.findall(rb'<script id="data" type="application/json">(.*?)</script>', page)
    return dict(json.loads(text))


def pictures_of(page: bytes) -> list[bytes]:
    return [base64.b64decode(text) for text in re.findall(rb'class="picture">([^<]*)</script>', page)]


def candidates(name: str, groups: list[str], folder: Path) -> list[Candidate]:
    """Frames of a set that only have a few bytes."""
    found = []
    for number, group in enumerate(groups):
        file = folder / f"{name}_{number}.png"
        file.write_bytes(file.name.encode())
        found.append(Candidate(name, file, file.name, group, 64, 64))
    return found


# ---------------------------------------------------------------------------------------------------- what is drawn


def test_equal_arguments_give_equal_bytes_and_another_seed_another_study(
    sets: tuple[StudySet, StudySet], tmp_path: Path
) -> None:
    settings = StudySettings(count=4, questions=EVERYTHING)
    page, key = made(sets, tmp_path / "one", settings)
    assert made(sets, tmp_path / "again", settings) == (page, key)
    other, other_key = made(sets, tmp_path / "other", replace(settings, seed=1))
    assert other_key["study"] != key["study"]
    assert not {item["id"] for item in key["pictures"]} & {item["id"] for item in other_key["pictures"]}
    assert [item["source"] for item in key["pictures"]].count("real") == 4
    assert [item["id"] for item in data_of(page)["pictures"]] == [item["id"] for item in key["pictures"]]
    assert len(pictures_of(other)) == 8


def test_no_patient_and_no_background_is_drawn_twice(tmp_path: Path) -> None:
    shared = [f"patient {number}" for number in range(12)]
    # The real set has few groups, all of which the others have too: drawn one after the other it would come up short.
    sets = {
        "a": candidates("a", [*shared, "only a", "only a"], tmp_path),
        "b": candidates("b", [*shared, "only b"], tmp_path),
        "real": candidates("real", shared[:4] * 2, tmp_path),
    }
    drawn = set()
    for seed in range(20):
        chosen = choose(sets, 4, seed=seed)
        assert [item.source for item in chosen] == ["a"] * 4 + ["b"] * 4 + ["real"] * 4
        assert len({item.group for item in chosen}) == 12
        assert chosen == choose(sets, 4, seed=seed)
        drawn |= {item.file_name for item in chosen}
    # The real set needs its four groups; every other frame comes up in one seed or another.
    assert len(drawn) == sum(map(len, sets.values())) - 4 - 4
    with pytest.raises(ConfigurationError, match=r"only 14 of 15 frames can be drawn without showing a patient or a"):
        choose(sets, 5, seed=0)
    repeated = choose(sets, 5, seed=0, repeats=True)
    assert len({item.file_name for item in repeated}) == 15
    assert len(choose(sets, None, seed=0)) == sum(map(len, sets.values()))
    with pytest.raises(ConfigurationError, match="set 'real': 8 frames can be shown, expected at least 9"):
        choose(sets, 9, seed=0)
    with pytest.raises(ConfigurationError, match=r"must be at least 1 \(got 0\)"):
        choose(sets, 0, seed=0)


def test_order_and_ids_are_independent_of_the_truth(tmp_path: Path) -> None:
    frames = candidates("real", ["g"] * 15, tmp_path) + candidates("made", ["g"] * 25, tmp_path)
    real = np.zeros((2, 200, len(frames)), dtype=np.bool_)
    for seed in range(200):
        drawn = shuffled(frames, seed)
        real[0, seed] = [item.candidate.source == "real" for item in drawn]
        real[1, seed] = [item.candidate.source == "real" for item in sorted(drawn, key=lambda item: item.id)]
    place = np.arange(len(frames))
    for truths in real:
        # The areas of 200 shuffles have a mean of ½ ± 0.0067 (one standard error), and p-values are uniform.
        assert abs(np.mean([roc_auc_score(truth, place) for truth in truths]) - 0.5) < 3 * 0.0067
        p_values = [mannwhitneyu(place[truth], place[~truth]).pvalue for truth in truths]
        assert kstest(p_values, "uniform").pvalue > 0.01
    # Neither the order of the sets nor that of their files matters.
    assert [item.id for item in shuffled(frames[::-1], 0)] == [item.id for item in shuffled(frames, 0)]


def test_the_order_cannot_be_computed_without_the_files(tmp_path: Path) -> None:
    frames = candidates("real", ["g"] * 20, tmp_path)
    before = [item.candidate.file_name for item in shuffled(frames, 0)]
    for item in frames:
        item.file.write_bytes(item.file.read_bytes() + b".")
    assert [item.candidate.file_name for item in shuffled(frames, 0)] != before


def test_frames_without_a_mask_or_a_caption_are_left_out(sets: tuple[StudySet, StudySet], tmp_path: Path) -> None:
    real = sets[0]
    shutil.copytree(real.data, tmp_path / "real")
    file = tmp_path / "real" / "annotations.json"
    document = json.loads(file.read_bytes())
    first, second = document["images"][0]["id"], document["images"][1]["id"]
    document["annotations"] = [row for row in document["annotations"] if row["image_id"] != first]
    next(row for row in document["annotations"] if row["image_id"] == second).pop("segmentation")
    file.write_text(json.dumps(document), encoding="utf-8")
    assert real.captions is not None
    captions = tmp_path / "captions.jsonl"
    captions.write_bytes(b"".join(real.captions.read_bytes().splitlines(keepends=True)[:-1]))
    found = read_set(StudySet("real", tmp_path / "real", captions), EVERYTHING)
    assert found.left_out == {"no mask": 2, "no caption": 1}
    assert len(found.candidates) == len(document["images"]) - 3
    assert len(read_set(StudySet("real", tmp_path / "real"), ("origin",)).candidates) == len(document["images"])
    with pytest.raises(ConfigurationError, match=r"captions\.jsonl: no such file"):
        read_set(StudySet("real", tmp_path / "real", tmp_path / "no" / "captions.jsonl"), EVERYTHING)
    document["annotations"] = []
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"annotations\.json: no frame of 'real' can be shown \(no mask: 10\)"):
        read_set(StudySet("real", tmp_path / "real", captions), EVERYTHING)


def test_captions_of_a_run_come_from_its_manifest(sets: tuple[StudySet, StudySet], tmp_path: Path) -> None:
    shutil.copytree(sets[1].data, tmp_path / "run")
    manifest = tmp_path / "run" / "manifest.jsonl"
    records = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    for record in records[1:]:
        record["caption"] = f"as asked for: {record['sample']}"
    manifest.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    found = read_set(StudySet(NAME, tmp_path / "run"), ("text",))
    assert [item.caption for item in found.candidates] == [f"as asked for: {number}" for number in range(1, 6)]
    assert found.left_out == {"no caption": 1}
    with pytest.raises(ConfigurationError, match=r"image 1 is '.*', expected '000000\.png'"):
        read_set(StudySet(NAME, tmp_path / "run", sets[0].captions), ("text",))


# ---------------------------------------------------------------------------------------------------- what is shown


def test_the_page_holds_nothing_of_where_pictures_come_from(sets: tuple[StudySet, StudySet], tmp_path: Path) -> None:
    page, key = made(sets, tmp_path, StudySettings(questions=EVERYTHING, title="A <study> & more"))
    text = html.unescape(page.decode("utf-8"))
    secrets = {NAME, str(tmp_path), str(sets[0].data), str(sets[1].data)}
    for item in key["pictures"]:
        secrets |= {item["file_name"], item["group"]}
    for digest in (key["record"]["sets"][name]["annotations_sha256"] for name in ("real", NAME)):
        secrets.add(digest)
    assert len(secrets) > 20
    assert [secret for secret in secrets if secret in text] == []
    assert "<title>A <study> & more</title>" in text
    shown = data_of(page)
    assert set(shown) == {"study", "title", "questions", "size", "pictures"}
    assert {tuple(item) for item in shown["pictures"]} == {("id", "outline", "caption")}
    assert all(item["outline"].startswith("M") and item["caption"] for item in shown["pictures"])
    assert not re.findall(r"""(?:src|href|action)=["'](?!data:)""", text)
    assert "http:" not in text
    assert "https:" not in text


def test_pictures_are_alike_in_all_but_their_pixels(sets: tuple[StudySet, StudySet], tmp_path: Path) -> None:
    page, key = made(sets, tmp_path)
    files = pictures_of(page)
    assert len(files) == len(key["pictures"]) == 16
    assert len(set(map(len, files))) == 1
    assert len({len(text) for text in re.findall(rb'class="picture">([^<]*)</script>', page)}) == 1
    looks = set()
    for data in files:
        picture = Image.open(io.BytesIO(data))
        assert not picture.getexif()
        header = {name: value for name, value in picture.info.items() if name != "comment"}
        looks.add(
            (picture.format, picture.mode, picture.size, str(header), str(picture.quantization), str(picture.layer))
        )
    assert len(looks) == 1
    assert Image.open(io.BytesIO(files[0])).size == (216, 216)


@given(st.lists(st.integers(0, 200_000), min_size=1, max_size=4))
def test_files_of_equal_length_show_the_same_pixels(missing: list[int]) -> None:
    image = np.arange(64 * 64 * 3, dtype=np.uint32).reshape(64, 64, 3).astype(np.uint8)
    original = encode_jpeg(image, 90)
    # Longer files: the same with text behind their end.
    files = [original + bytes(more) for more in missing]
    padded = of_equal_length(files, [Key(0, str(number)) for number in range(len(files))])
    assert {len(data) for data in padded} == {len(original) + max(missing) + 4}
    expected = np.asarray(Image.open(io.BytesIO(original)))
    for data in padded:
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), expected)
        np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB), expected)


@pytest.mark.parametrize("fit", ["squeeze", "crop"])
def test_the_outline_fits_the_picture(tmp_path: Path, fit: Any) -> None:
    image = np.zeros((150, 240, 3), np.uint8)
    mask = cv2.ellipse(np.zeros((150, 240), np.uint8), (130, 70), (40, 25), 20, 0, 360, 255, cv2.FILLED) > 0
    image[mask] = 255
    write_png(tmp_path / "frame.png", image)
    rle = {"size": [150, 240], "counts": _counts(mask)}
    frame = Candidate("real", tmp_path / "frame.png", "frame.png", "g", 240, 150, (rle,))
    shown = shown_picture(frame, 100, fit)
    points = np.array([float(number) for number in re.findall(r"[\d.]+", shown_outline(frame, 100, fit))]).reshape(
        -1, 2
    )
    rows, columns = np.nonzero(shown[:, :, 0] >= 128)
    found = [*points.min(axis=0), *points.max(axis=0)]
    assert found == pytest.approx([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], abs=1.01)
    side = 240 if fit == "squeeze" else 150
    assert columns.max() + 1 - columns.min() == pytest.approx(np.ptp(np.nonzero(mask)[1]) * 100 / side, abs=1.5)
    # What isn't in the crop has no outline.
    edge = np.zeros_like(mask)
    edge[10:20, 2:8] = True
    outside = replace(frame, segmentations=({"size": [150, 240], "counts": _counts(edge)},))
    assert bool(shown_outline(outside, 100, fit)) == (fit == "squeeze")
    with pytest.raises(ImageError, match=r"frame\.png: 240×150 pixels, expected 200×150"):
        shown_picture(replace(frame, width=200), 100, fit)


def _counts(mask: Any) -> list[int]:
    flat = np.concatenate([[0], mask.T.ravel(), [0]]).astype(np.int64)
    edges = np.flatnonzero(np.diff(flat))
    return [int(number) for number in np.diff([0, *edges, mask.size])]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (StudySettings(size=220), "set 'real': no frame has sides of 220 pixels or more"),
        (StudySettings(size=20), "pictures of 20 pixels, expected at least 64"),
        (StudySettings(quality=0), r"'quality' must be from 1 to 100 \(got 0\)"),
        (StudySettings(count=7), f"set '{NAME}': 6 frames can be shown, expected at least 7"),
        (
            StudySettings(questions=("origin", "beauty")),
            "questions: got 'beauty', expected origin, fidelity, mask, text",
        ),
        (StudySettings(questions=()), "questions: got none"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    sets: tuple[StudySet, StudySet], tmp_path: Path, settings: StudySettings, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        made(sets, tmp_path, settings)
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_never_replaced_by_that_of_another_study(sets: tuple[StudySet, StudySet], tmp_path: Path) -> None:
    page, key = made(sets, tmp_path)
    with pytest.raises(ConfigurationError, match=rf"key\.json: is the key of another study \({key['study']}\)"):
        made(sets, tmp_path, StudySettings(seed=1))
    assert (tmp_path / "study.html").read_bytes() == page
    assert made(sets, tmp_path) == (page, key)
    with pytest.raises(ConfigurationError, match="page and key are the same file"):
        make_study(sets[0], sets[1:], tmp_path / "x", tmp_path / "x", StudySettings())
    with pytest.raises(ConfigurationError, match=r"sets are named \['real', 'real'\], expected 'real' and one or more"):
        make_study(sets[0], [sets[0]], tmp_path / "x", tmp_path / "y", StudySettings())


# ------------------------------------------------------------------------------------------------- what is made of it


def seen(hits: dict[str, int]) -> Callable[[str, int], dict[str, Any]]:
    """A reader who calls the first so many pictures of each set real."""
    return lambda name, number: {"origin": "real" if number < hits[name] else "synthetic"}


def test_the_table_of_polyp_gen(tmp_path: Path) -> None:
    counts = {"real": 100, "ControlPolypNet": 100, "Polyp-Gen": 100}
    key = write_key(tmp_path / "key.json", counts, ("origin",))
    # Table IV of the paper.
    readers = {
        "G1": {"real": 92, "ControlPolypNet": 82, "Polyp-Gen": 90},
        "G2": {"real": 89, "ControlPolypNet": 67, "Polyp-Gen": 82},
    }
    files = [write_answers(tmp_path / f"{name}.json", key, name, seen(hits)) for name, hits in readers.items()]
    report = score_study(tmp_path / "key.json", files, tmp_path / "out").report
    for name, hits in readers.items():
        shares = report["called_real"]["readers"][name]["shares"]
        for source, share in shares.items():
            interval = binomtest(hits[source], 100).proportion_ci(method="wilson")
            assert share == pytest.approx({"value": hits[source] / 100, "low": interval.low, "high": interval.high})
    pooled = report["called_real"]["pooled"]
    assert pooled["shares"]["Polyp-Gen"]["value"] == pytest.approx(0.86)
    assert pooled["shares"]["Polyp-Gen"]["low"] < 0.86 < pooled["shares"]["Polyp-Gen"]["high"]
    assert pooled["real_minus"]["ControlPolypNet"]["value"] == pytest.approx(0.16)
    assert pooled["real_minus"]["ControlPolypNet"]["low"] > 0
    # G1 takes nearly everything for real, and so tells little apart: accuracy (92 + 18 + 10) / 300.
    apart = report["telling_apart"]["readers"]["G1"]
    assert apart["accuracy"]["value"] == pytest.approx(0.4)
    assert apart["sensitivity"]["value"] == pytest.approx(0.14)
    assert apart["specificity"]["value"] == pytest.approx(0.92)
    assert apart["balanced"] == pytest.approx(0.53)
    assert apart["blind"] == pytest.approx(0.88 / 3 + 0.12 * 2 / 3)
    assert 0.2 < apart["p"] < 1
    assert report["telling_apart"]["pooled"]["balanced"]["value"] == pytest.approx((0.53 + (0.89 + 0.255) / 2) / 2)
    assert report["readers"][0]["median_seconds"] == 2.5
    # The readers' answers are nested, so both agree but for those that G2 doubts.
    expected = cohen_kappa_score(*(np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], [36, 0, 26, 238], axis=0).T))
    (pair,) = report["agreement"]["origin"]["pairs"]
    assert pair["kappa"]["value"] == pytest.approx(expected, abs=1e-7)
    first = report["pictures"][0]
    assert first == {"id": key.pictures[0].id, "set": "real", "file_name": "real_0.png", "called_real": 2}
    text = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "| G1 | 92.0 (85.0 … 95.9) | 82.0 (73.3 … 88.3) | 90.0 (82.6 … 94.5) |" in text
    assert json.loads((tmp_path / "out" / "report.json").read_bytes()) == report


def test_the_table_of_ccis_diff(tmp_path: Path) -> None:
    key = write_key(tmp_path / "key.json", {"real": 12, "a": 12, "b": 12}, ("fidelity", "mask", "text"))
    levels = {"real": 5, "a": 2, "b": 4}

    def rates(shift: int) -> Callable[[str, int], dict[str, Any]]:
        return lambda name, number: {
            "fidelity": max(1, levels[name] - shift),
            "mask": levels[name],
            "text": 1 + number % 5,
        }

    files = [write_answers(tmp_path / f"{shift}.json", key, f"reader {shift}", rates(shift)) for shift in range(3)]
    result = score_study(tmp_path / "key.json", files, tmp_path / "out")
    ratings = result.report["ratings"]
    assert ratings["fidelity"]["b"]["pooled"] == {"value": 3.0, "low": 3.0, "high": 3.0}
    assert ratings["fidelity"]["b"]["readers"] == {"reader 0": 4.0, "reader 1": 3.0, "reader 2": 2.0}
    text = ratings["text"]["a"]["pooled"]
    assert text["value"] == pytest.approx((1 + 2 + 3 + 4 + 5) * 2 / 12 + 3 / 12)
    assert 1 < text["low"] < text["value"] < text["high"] < 5
    assert result.report["agreement"]["mask"]["all"]["value"] == pytest.approx(1.0)
    assert 0 < result.report["agreement"]["fidelity"]["all"]["value"] < 1
    assert "called_real" not in result.report
    assert [table.title for table in result.tables] == [
        "Readers",
        "Ratings, 1 to 5 (95 %)",
        "Ratings of each reader",
        "Agreement, κ (95 %)",
    ]
    assert "| b | 3.00 (3.00 … 3.00) | 4.00 (4.00 … 4.00) | " in (tmp_path / "out" / "report.md").read_text("utf-8")


def test_few_patients_have_no_interval_and_one_answer_no_kappa(tmp_path: Path) -> None:
    key = write_key(tmp_path / "key.json", {"real": 8, "a": 24}, ("origin",), per_group=8)
    files = [write_answers(tmp_path / f"{name}.json", key, name, seen({"real": 0, "a": 0})) for name in ("one", "two")]
    result = score_study(tmp_path / "key.json", files, tmp_path / "out")
    pooled = result.report["called_real"]["pooled"]["shares"]
    assert pooled == {name: {"value": 0.0, "low": None, "high": None} for name in ("real", "a")}
    assert result.report["agreement"]["origin"]["all"] is None
    # Three quarters right without looking: no better than chance.
    apart = result.report["telling_apart"]["readers"]["one"]
    assert (apart["accuracy"]["value"], apart["blind"], apart["p"]) == (0.75, 0.75, 1.0)
    assert result.tables[-1].rows[-1] == ("all readers", "–")
    alone = score_study(tmp_path / "key.json", files[:1], tmp_path / "alone").report
    assert "agreement" not in alone


def test_intervals_draw_whole_patients() -> None:
    values = np.repeat([0.0, 1.0], 100)
    apart = mean_estimate(values, [str(number) for number in range(200)], seed=0, name="x").to_dict()
    together = mean_estimate(values, [str(number // 10) for number in range(200)], seed=0, name="x").to_dict()
    assert apart["low"] is not None
    assert apart["high"] is not None
    assert together["low"] is not None
    assert together["high"] is not None
    assert apart["high"] - apart["low"] == pytest.approx(2 * 1.96 * 0.5 / 200**0.5, rel=0.1)
    assert together["high"] - together["low"] == pytest.approx(2 * 1.96 * 0.5 / 20**0.5, rel=0.1)


def test_published_examples_of_shares() -> None:
    # Newcombe (1998), table II, method 10: 56/70 − 48/80.
    assert share_difference((56, 70), (48, 80)) == pytest.approx(
        {"value": 0.2, "low": 0.0524, "high": 0.3339}, abs=1e-4
    )
    # Fisher's tea-tasting lady with one mistake: p = 0.4857.
    assert fisher_p((3, 4), (1, 4)) == pytest.approx(0.4857, abs=1e-4)
    assert blind_accuracy(0.5, 0.9) == pytest.approx(0.5)
    assert binomial_p(60, 100, 0.5) == pytest.approx(0.05689, abs=1e-5)


def test_fleiss_example() -> None:
    # Fourteen raters, ten subjects, five categories: κ = 0.210 (P̄ = 0.378, P̄ₑ = 0.213).
    table = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]]
    table += [[7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]
    answers = np.array([np.repeat(np.arange(5), row) for row in table]).T
    assert fleiss_kappa(answers, 5, np.ones((1, 10)))[0] == pytest.approx(0.210, abs=5e-4)
    # A picture that counts twice is a picture that stands there twice.
    counts = np.array([[1, 2, 0, 1, 1, 1, 3, 1, 1, 1]], dtype=np.float64)
    repeated = np.repeat(answers, counts[0].astype(int), axis=1)
    once = np.ones((1, repeated.shape[1]))
    assert fleiss_kappa(answers, 5, counts)[0] == pytest.approx(fleiss_kappa(repeated, 5, once)[0])


@pytest.mark.parametrize("quadratic", [False, True])
def test_cohens_kappa_is_that_of_scikit_learn(quadratic: bool) -> None:
    generator = np.random.default_rng(0)
    first = generator.integers(0, 5, 60)
    second = np.clip(first + generator.integers(-1, 2, 60), 0, 4)
    counts = np.vstack([np.ones(60), generator.integers(0, 4, (20, 60))]).astype(np.float64)
    found = cohen_kappa(first, second, 5, counts, quadratic=quadratic)
    weights = "quadratic" if quadratic else None
    expected = [cohen_kappa_score(first, second, weights=weights, sample_weight=row) for row in counts]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    three = np.array([first, second, first])
    pairs = [
        cohen_kappa(*pair, 5, counts, quadratic=True) for pair in ((first, second), (first, first), (second, first))
    ]
    np.testing.assert_allclose(mean_pairwise_kappa(three, 5, counts), np.mean(pairs, axis=0))
    assert estimate_of(cohen_kappa(first * 0, first * 0, 5, counts)) is None


def test_questions_are_asked_in_one_order() -> None:
    assert ordered_questions(("text", "origin", "text")) == ("origin", "text")


# ------------------------------------------------------------------------------------------------ what is not trusted


def changed(name: str, value: Any, *, sign: bool = True) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """An export with another value, signed again or not."""

    def change(row: dict[str, Any]) -> dict[str, Any]:
        row = {**row, name: value(row[name]) if callable(value) else value}
        content = {key: item for key, item in row.items() if key != "digest"}
        return {**row, "digest": content_digest(content)} if sign else row

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed("study", "another"), "is of study 'another', expected '00112233aabbccdd'"),
        (changed("reader", "someone else", sign=False), "digest is '.*', its content has .*: it was changed"),
        (changed("reader", " "), "reader is ' ', expected a text"),
        (changed("signed", ""), "signed is '', expected a text"),
        (changed("format", 2), "format is 2 with"),
        (
            changed("answers", lambda rows: rows[:-2]),
            "2 of 6 pictures are not answered, the first is '0000000000000004'",
        ),
        (changed("answers", lambda rows: [*rows, rows[0]]), "answers picture '0000000000000000' twice"),
        (changed("answers", lambda rows: [{**rows[0], "id": "strange"}]), "answers picture 'strange', which is not in"),
        (changed("answers", lambda rows: [{**rows[0], "origin": "fake"}]), "origin is 'fake', expected 'real' or"),
        (changed("answers", lambda rows: [{**rows[0], "fidelity": 6}]), "fidelity is 6, expected 1 to 5"),
        (changed("answers", lambda rows: [{**rows[0], "fidelity": True}]), "fidelity is True, expected 1 to 5"),
        (changed("answers", lambda rows: [{**rows[0], "milliseconds": -1}]), "'milliseconds': -1"),
        (changed("answers", lambda rows: [{**rows[0], "mask": 3}]), "'mask': 3"),
        (changed("answers", "none"), "answers are 'none', expected a list"),
    ],
)
def test_answers_that_cannot_be_trusted_are_refused(
    change: Callable[[dict[str, Any]], dict[str, Any]], message: str, tmp_path: Path
) -> None:
    key = write_key(tmp_path / "key.json", {"real": 3, "a": 3}, ("origin", "fidelity"))
    row = exported(key, "KM", lambda _name, _number: {"origin": "real", "fidelity": 3})
    file = tmp_path / "km.json"
    file.write_text(json.dumps(row), encoding="utf-8")
    assert read_answers([file], key)[0].answers["fidelity"] == (3,) * 6
    file.write_text(json.dumps(change(row)), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message) as error:
        score_study(tmp_path / "key.json", [file], tmp_path / "out")
    assert str(error.value).startswith(f"{file}: ")
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_answers_are_refused(tmp_path: Path) -> None:
    key = write_key(tmp_path / "key.json", {"real": 3, "a": 3}, ("origin",))
    first = write_answers(tmp_path / "first.json", key, "KM", seen({"real": 1, "a": 1}))
    second = write_answers(tmp_path / "second.json", key, "km", seen({"real": 2, "a": 1}))
    (tmp_path / "cut.json").write_bytes(first.read_bytes()[:100])
    (tmp_path / "list.json").write_text("[]")
    for files, message in (
        ([first, second], r"second\.json: reader 'km' has also answered in .*first\.json"),
        ([tmp_path / "cut.json"], r"cut\.json: not JSON"),
        ([tmp_path / "list.json"], r"list\.json: a list, expected an object"),
        ([tmp_path / "none.json"], r"none\.json: can't be read"),
        ([tmp_path / "key.json"], r"key\.json: format is 1 with"),
        ([], "no file of answers"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            read_answers(files, key)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 7}, "format is 7, expected 1"),
        ({"questions": ["beauty"]}, "questions: got 'beauty'"),
        ({"pictures": [3]}, "a picture is 3, expected an object"),
        ({"pictures": []}, r"pictures are of the sets \[\], expected"),
        ({"study": 5}, "study is 5, expected a text"),
        ({"record": {}}, "no field 'sets'"),
    ],
)
def test_a_key_that_cannot_be_trusted_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    key = write_key(file, {"real": 3, "a": 3}, ("origin",))
    assert read_key(file) == key
    file.write_text(json.dumps(json.loads(file.read_bytes()) | change), encoding="utf-8")
    with pytest.raises(PolypAugError, match=message):
        read_key(file)
