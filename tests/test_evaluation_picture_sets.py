"""Sets of pictures, the cache of features, and the whole report on them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_clip import save_clip
from test_evaluation_polyps import write_set

from polyp_aug.captions.dataset import caption_dataset
from polyp_aug.captions.template import TemplateWriter
from polyp_aug.coco import CocoDataset, read_coco
from polyp_aug.errors import ConfigurationError, ImageError
from polyp_aug.evaluation.crops import crop_square, squeezed
from polyp_aug.evaluation.extractors.registry import load_extractor
from polyp_aug.evaluation.feature_cache import ROWS, FeatureCache
from polyp_aug.evaluation.features import EfficientNetLiteFeatures, Features
from polyp_aug.evaluation.image_measures import measure
from polyp_aug.evaluation.images import SetSource, evaluate_images
from polyp_aug.evaluation.picture_sets import (
    Choice,
    captions_of,
    common_side,
    list_pictures,
    open_set,
    read_pictures,
)
from polyp_aug.evaluation.polyp_tables import REAL, TRAIN
from polyp_aug.images import ImageArray, read_image, write_png


class Thumbnails:
    """Pictures of 4×4 pixels as features: an extractor that needs no network, and that counts what it looks at."""

    name, label, revision = "thumbnails of 4×4", "Thumbnails", "0123456789abcdef"
    size = 32

    def __init__(self) -> None:
        self.seen = 0

    def extract(self, pictures: Iterable[ImageArray]) -> Features:
        """See `FeatureExtractor.extract`."""
        small = [cv2.resize(picture, (4, 4), interpolation=cv2.INTER_AREA) for picture in pictures]
        self.seen += len(small)
        return np.stack(small).reshape(len(small), -1) / 255.0

    def logits(self, features: Features) -> Features:
        """Seven classes."""
        return features[:, :7] * 10.0


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames of 180×140 px: `real`, `train`, `new`, `copies` of `train`; and `small`, `new` at 64×64 px."""
    root = tmp_path_factory.mktemp("sets")
    for name, seed, origin in (
        ("real", 1, None),
        ("train", 2, None),
        ("new", 3, "synthetic"),
        ("copies", 2, "synthetic"),
        ("small", 3, "synthetic"),
    ):
        write_set(root / name, seed, origin)
    document = json.loads((root / "small" / "annotations.json").read_bytes())
    for image in document["images"]:
        file = root / "small" / "images" / image["file_name"]
        write_png(file, squeezed(read_image(file), 64))
        image.update(width=64, height=64)
    for item in document["annotations"]:
        x, y, w, h = item["bbox"]
        item.update(bbox=[x * 64 / 180, y * 64 / 140, w * 64 / 180, h * 64 / 140])
    (root / "small" / "annotations.json").write_text(json.dumps(document))
    return root


def opened(sets: Path, *names: str) -> list[CocoDataset]:
    return [open_set(sets / name) for name in names]


def test_whole_frames_are_squeezed(sets: Path) -> None:
    [dataset] = opened(sets, "real")
    found = list_pictures("a", dataset, "real", Choice(), {"2.png": "pink mucosa"})
    assert len(found.pictures) == 12
    shown = list(read_pictures(found.pictures, 50))
    expected = cv2.resize(read_image(sets / "real" / "images" / "2.png"), (50, 50), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(shown[1], expected)
    enlarged = next(read_pictures(found.pictures, 200))
    first = read_image(sets / "real" / "images" / "1.png")
    np.testing.assert_array_equal(enlarged, cv2.resize(first, (200, 200), interpolation=cv2.INTER_CUBIC))
    assert [picture.caption for picture in found.pictures][:3] == ["", "pink mucosa", ""]
    assert len(set(found.keys)) == 12


def test_larger_frames_are_brought_to_the_size_of_small_synthetic_ones(sets: Path) -> None:
    real, new, small = opened(sets, "real", "new", "small")
    assert common_side([real], [new]) is None
    assert common_side([real, new], [small]) == 64
    assert common_side([small], [real]) is None
    choice = Choice(common=64)
    shown = next(read_pictures(list_pictures("a", real, "real", choice, {}).pictures, 32))
    first = read_image(sets / "real" / "images" / "1.png")
    np.testing.assert_array_equal(shown, squeezed(squeezed(first, 64), 32))
    # Crops are those of the squeezed frames: the same picture, whichever size it was written in.
    for crops in (False, True):
        parts = [
            list(read_pictures(list_pictures("a", part, "synthetic", Choice(crops, common=64), {}).pictures, 32))
            for part in (new, small)
        ]
        np.testing.assert_array_equal(*parts)
    box = real.annotations[0].bbox
    scaled = (box[0] * 64 / 180, box[1] * 64 / 140, box[2] * 64 / 180, box[3] * 64 / 140)
    crop = list_pictures("a", real, "real", Choice(crops=True, common=64), {}).pictures[0]
    assert crop.part == crop_square(scaled, 64, 64)


def test_only_frames_with_polyps_that_count_are_taken_if_asked_for(sets: Path, tmp_path: Path) -> None:
    write_set(tmp_path / "mixed", 4, None)
    file = tmp_path / "mixed" / "annotations.json"
    document = json.loads(file.read_bytes())
    document["annotations"] = [item for item in document["annotations"] if item["image_id"] <= 8]
    for item in document["annotations"]:
        if item["image_id"] > 5:
            item["origin"] = "synthetic"
    file.write_text(json.dumps(document))
    [mixed] = opened(tmp_path, "mixed")
    for origin, with_polyps, count in (
        ("synthetic", False, 12),
        ("synthetic", True, 3),
        ("all", True, 8),
        ("real", True, 8),
    ):
        found = list_pictures("a", mixed, origin, Choice(with_polyps=with_polyps), {})
        assert len(found.pictures) == count
    with pytest.raises(ConfigurationError, match="no frame of 'a' has a polyp that counts"):
        list_pictures("a", opened(sets, "real")[0], "synthetic", Choice(with_polyps=True), {})


def test_a_folder_of_pictures_is_a_set(sets: Path, tmp_path: Path) -> None:
    dataset = open_set(sets / "real" / "images")
    found = list_pictures("a", dataset, "synthetic", Choice(count=5), {})
    whole = list_pictures("a", dataset, "synthetic", Choice(), {})
    assert len(found.pictures) == 5
    assert set(found.keys) < set(whole.keys)
    assert {picture.group for picture in whole.pictures} == {f"{number}.png" for number in range(1, 13)}
    assert whole.keys[0] in list_pictures("b", opened(sets, "real")[0], "real", Choice(), {}).keys
    with pytest.raises(ConfigurationError, match="no pictures"):
        open_set(tmp_path)
    with pytest.raises(ImageError, match="not a folder"):
        open_set(tmp_path / "none")


def test_what_a_set_is_decides_its_digest(sets: Path) -> None:
    real, new = opened(sets, "real", "new")
    found = [
        list_pictures("a", real, "real", Choice(), {}),
        list_pictures("a", real, "real", Choice(), {"1.png": "pink mucosa"}),
        list_pictures("a", real, "real", Choice(common=64), {}),
        list_pictures("a", real, "real", Choice(crops=True), {}),
        list_pictures("a", new, "all", Choice(), {}),
    ]
    assert len({item.digest for item in found}) == 5
    assert list_pictures("another", real, "real", Choice(), {}).digest == found[0].digest


def test_a_frame_of_another_size_is_named(tmp_path: Path) -> None:
    write_set(tmp_path / "real", 1, None)
    write_png(tmp_path / "real" / "images" / "3.png", np.zeros((9, 8, 3), np.uint8))
    pictures = list_pictures("a", opened(tmp_path, "real")[0], "real", Choice(), {}).pictures
    with pytest.raises(ImageError, match=r"3\.png: 8×9 pixels, expected 180×140"):
        list(read_pictures(pictures, 32))


def test_captions_are_those_of_a_run_or_beside_a_set(sets: Path, tmp_path: Path) -> None:
    assert captions_of(sets / "real") == {}
    write_set(tmp_path / "real", 1, None)
    with pytest.raises(ConfigurationError, match=r"none\.jsonl: no file of captions"):
        captions_of(tmp_path / "real", tmp_path / "none.jsonl")
    made = {
        "sample": 0,
        "status": "made",
        "file_name": "0.png",
        "width": 8,
        "height": 8,
        "caption": "pink mucosa",
        **{name: {} for name in ("background", "key", "before", "bytes")},
        **{name: [] for name in ("objects", "rejections", "problems", "unreadable")},
    }
    painted = {**made, "sample": 1, "file_name": "1.png"}
    del painted["caption"]
    skipped = {"sample": 2, "status": "skipped", "reasons": [], "unreadable": []}
    lines = "".join(json.dumps(record) + "\n" for record in (made, painted, skipped))
    (tmp_path / "real" / "manifest.jsonl").write_text(lines)
    assert captions_of(tmp_path / "real") == {"0.png": "pink mucosa"}


def test_each_feature_is_computed_once_and_an_interrupted_computation_goes_on(tmp_path: Path) -> None:
    keys = [f"k{number:03d}" for number in range(3 * ROWS - 10)] + ["k000", "k001"]
    values = np.random.default_rng(0).standard_normal((len(keys), 5))
    values[-2:] = values[:2]
    computed: list[int] = []

    def compute(numbers: Sequence[int]) -> Features:
        if len(computed) >= ROWS and stop:
            raise KeyboardInterrupt
        computed.extend(numbers)
        return values[list(numbers)]

    cache, stop = FeatureCache(tmp_path / "cache"), True
    with pytest.raises(KeyboardInterrupt):
        cache.rows("net 1/2", keys, compute)
    assert computed == list(range(ROWS))
    stop = False
    done: list[int] = []
    found = cache.rows("net 1/2", keys, compute, done.append)
    assert computed == list(range(3 * ROWS - 10))
    assert done == [len(keys) - (2 * ROWS - 10), len(keys) - (ROWS - 10), len(keys)]
    # The same from disk as at once, rounded alike, in any order.
    np.testing.assert_array_equal(found, values.astype(np.float32).astype(np.float64))
    again = FeatureCache(tmp_path / "cache").rows("net 1/2", keys[::-1], compute)
    np.testing.assert_array_equal(again[::-1], found)
    assert len(computed) == 3 * ROWS - 10
    cache.rows("another", keys[:2], compute)
    assert len(computed) == 3 * ROWS - 8


def test_a_damaged_file_of_the_cache_is_named(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.rows("net", ["a"], lambda _: np.ones((1, 3)))
    assert cache.array("net", "b", lambda: np.ones((2, 2))).tolist() == [[1.0, 1.0], [1.0, 1.0]]
    (tmp_path / "net" / "b.npz").unlink()
    [file] = (tmp_path / "net").iterdir()
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ConfigurationError, match=r"\.npz: can't be read as features .*; remove it"):
        cache.rows("net", ["a"], lambda _: np.ones((1, 3)))


def test_the_report_is_whole_repeats_and_computes_nothing_twice(sets: Path, tmp_path: Path) -> None:
    extractor = Thumbnails()
    shown: list[tuple[int, int]] = []
    found = [
        evaluate_images(
            SetSource(sets / "real"),
            {"new": SetSource(sets / "new"), "copies": SetSource(sets / "copies")},
            tmp_path / name,
            extractors=[extractor],
            train=SetSource(sets / "train"),
            choice=Choice(seed=3),
            cache=tmp_path / "cache",
            observer=lambda done, total: shown.append((done, total)),
        )
        for name in ("a", "b")
    ]
    # Copies and training frames are the same files; so twelve of each of three sets.
    assert extractor.seen == 36
    assert shown[-1] == (60, 60)
    assert found[0] == found[1]
    written = sorted(path.name for path in (tmp_path / "a").iterdir())
    sheets = [f"{kind}_{name}.png" for kind in ("neighbours", "sheet") for name in ("copies", "new")]
    assert written == sorted([*sheets, "neighbours_real.png", "report.json", "report.md"])
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in written)
    text = (tmp_path / "a" / "report.json").read_text("utf-8")
    assert str(sets) not in text
    assert str(tmp_path) not in text
    report = json.loads(text)
    assert report == found[0].report
    assert report["protocol"] == {"crops": False, "with_polyps": False, "count": None, "common": None}
    [network] = report["extractors"]
    measures = network["measures"]
    for name in ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"):
        assert list(measures[name]) == [TRAIN, "new", "copies"]
        assert measures[name]["copies"]["value"] == pytest.approx(measures[name][TRAIN]["value"])
        assert all(item["low"] <= item["value"] <= item["high"] for item in measures[name].values())
    assert list(measures["score"]) == [REAL, TRAIN, "new", "copies"]
    assert measures["close"]["copies"]["value"] == 1.0
    assert measures["close"]["new"]["value"] < 0.5
    diversity = report["diversity"]["measures"]
    assert list(diversity) == [REAL, TRAIN, "new", "copies"]
    assert diversity["copies"]["value"] == pytest.approx(diversity[TRAIN]["value"])
    assert report["warnings"][0].startswith(
        "no more pictures than the 48 features of Thumbnails (real 12, real train 12"
    )
    markdown = (tmp_path / "a" / "report.md").read_text("utf-8")
    # Only Inception's may be called FID.
    assert "Fréchet distance (Thumbnails) ↓" in markdown
    assert "| FID" not in markdown
    assert "**Warning.** no more pictures" in markdown
    assert "Whole frames" in markdown


def test_copies_are_looked_for_among_all_training_pictures(sets: Path, tmp_path: Path) -> None:
    found = evaluate_images(
        SetSource(sets / "real"),
        {"copies": SetSource(sets / "copies")},
        tmp_path,
        extractors=[Thumbnails()],
        train=SetSource(sets / "train"),
        choice=Choice(crops=True, count=15, seed=5),
    ).report
    assert found["sets"][TRAIN]["pictures"] == found["sets"]["copies"]["pictures"] == 15
    assert found["extractors"][0]["measures"]["close"]["copies"]["value"] == 1.0
    assert found["protocol"]["crops"]
    assert not [text for text in found["warnings"] if "different numbers" in text]


def test_sets_of_different_numbers_are_warned_of_and_not_judged(sets: Path, tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    for number in range(1, 12):
        (tmp_path / "few" / f"{number}.png").write_bytes((sets / "new" / "images" / f"{number}.png").read_bytes())
    evaluate_images(
        SetSource(sets / "real"),
        {"few": SetSource(tmp_path / "few"), "small": SetSource(sets / "small")},
        tmp_path / "out",
        extractors=[Thumbnails()],
    )
    markdown = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "**Warning.** sets of different numbers (few 11, small 12)" in markdown
    assert "different numbers of pictures |" in markdown
    assert "every frame, real or not, was first squeezed to 64×64 px" in markdown


def test_measures_do_not_depend_on_the_batch_size(sets: Path, tmp_path: Path) -> None:
    real, new = (list_pictures(name, open_set(sets / name), "all", Choice(), {}) for name in ("real", "new"))
    found = [
        measure(real, [new], EfficientNetLiteFeatures(batch_size=size), FeatureCache(tmp_path / str(size))).report[
            "measures"
        ]
        for size in (1, 7)
    ]
    assert found[0].keys() == found[1].keys()
    for name, measures in found[0].items():
        for key, interval in measures.items():
            assert interval == pytest.approx(found[1][name][key], rel=1e-4, abs=1e-6), (name, key)


def test_clip_scores_are_told_of_sets_with_captions(sets: Path, tmp_path: Path) -> None:
    for name in ("real", "new"):
        write_set(tmp_path / name, 1 if name == "real" else 3, "synthetic" if name == "new" else None)
    document = json.loads((tmp_path / "new" / "annotations.json").read_bytes())
    for image in document["images"]:
        image["background"] = f"{13 - int(image['file_name'].removesuffix('.png'))}.png"
    (tmp_path / "new" / "annotations.json").write_text(json.dumps(document))
    for name in ("real", "new"):
        mask_out(tmp_path / name / "annotations.json")
        caption_dataset(tmp_path / name, TemplateWriter())
    lines = (tmp_path / "new" / "captions.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "new" / "some.jsonl").write_text("".join(lines[:11]))
    save_clip(tmp_path / "clip")
    extractor = load_extractor(f"clip={tmp_path / 'clip'}")
    report = evaluate_images(
        SetSource(tmp_path / "real"),
        {"new": SetSource(tmp_path / "new", tmp_path / "new" / "some.jsonl"), "small": SetSource(sets / "small")},
        tmp_path / "out",
        extractors=[extractor],
    ).report
    measures = report["extractors"][0]["measures"]
    assert list(measures["caption_score"]) == [REAL, "new"]
    assert list(measures["set_similarity"]) == ["new", "small"]
    assert list(measures["pair_similarity"]) == ["new"]
    assert "new: 1 pictures have no caption" in report["warnings"]
    assert any(text.endswith("captions are longer than CLIP reads") for text in report["warnings"])
    # By hand, from what the extractor gives.
    unit = {}
    for name in ("real", "new"):
        frames = (read_image(tmp_path / name / "images" / f"{number}.png") for number in range(1, 13))
        vectors = extractor.extract(squeezed(squeezed(frame, 64), 32) for frame in frames)
        unit[name] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [float(unit["new"][k] @ unit["real"][11 - k]) for k in range(12)]
    every = unit["new"] @ unit["real"].T
    assert measures["pair_similarity"]["new"]["value"] == pytest.approx(100 * np.mean(pairs), rel=1e-4)
    assert measures["set_similarity"]["new"]["value"] == pytest.approx(100 * every.mean(), rel=1e-4)
    assert "CLIP score ↑" in (tmp_path / "out" / "report.md").read_text("utf-8")


def mask_out(file: Path) -> None:
    """Give every box of a COCO file an outline: captions are of objects with masks."""
    document = json.loads(file.read_bytes())
    for item in document["annotations"]:
        x, y, w, h = item["bbox"]
        item["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    file.write_text(json.dumps(document))
    assert read_coco(file).annotations


def test_what_cannot_be_evaluated_is_named(sets: Path, tmp_path: Path) -> None:
    real, new = SetSource(sets / "real"), SetSource(sets / "new")
    one = Thumbnails()
    with pytest.raises(ConfigurationError, match="'a/b' can't name a set"):
        evaluate_images(real, {"a/b": new}, tmp_path, extractors=[one])
    with pytest.raises(ConfigurationError, match="no synthetic set"):
        evaluate_images(real, {}, tmp_path, extractors=[one])
    with pytest.raises(ConfigurationError, match=r"different extractors \(got \['Thumbnails', 'Thumbnails'\]"):
        evaluate_images(real, {"a": new}, tmp_path, extractors=[one, Thumbnails()])
    with pytest.raises(ConfigurationError, match="real: 9 frames or patients, expected at least 10"):
        evaluate_images(real, {"a": new}, tmp_path, extractors=[one], choice=Choice(count=9))
    for name, seed in (("r", 1), ("t", 2)):
        groups = {number: f"{name} {number}" for number in range(1, 13)}
        write_set(tmp_path / name, seed, None, groups | {3: "patient 7"})
    with pytest.raises(ConfigurationError, match="share 1 groups of frames, the first 'patient 7'"):
        evaluate_images(
            SetSource(tmp_path / "r"), {"a": new}, tmp_path, extractors=[one], train=SetSource(tmp_path / "t")
        )
