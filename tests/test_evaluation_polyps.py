"""The whole report on synthetic polyps, with features that cost nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from polyp_aug.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, read_coco, write_coco
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.features import Features
from polyp_aug.evaluation.polyps import evaluate_polyps
from polyp_aug.images import ImageArray, read_image, write_png


class Thumbnails:
    """Pictures of 4×4 pixels as features: an extractor that needs no network."""

    name = "thumbnails of 4×4"
    size = 32

    def extract(self, pictures: Iterable[ImageArray]) -> Features:
        """See `FeatureExtractor.extract`."""
        small = [cv2.resize(picture, (4, 4), interpolation=cv2.INTER_AREA) for picture in pictures]
        return np.stack(small).reshape(len(small), -1) / 255.0


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve small frames with one or two objects each: `real`, `train`, `new`, and `copies` of `train`."""
    root = tmp_path_factory.mktemp("sets")
    for name, seed, origin in (
        ("real", 1, None),
        ("train", 2, None),
        ("new", 3, "synthetic"),
        ("copies", 2, "synthetic"),
    ):
        write_set(root / name, seed, origin)
    return root


def write_set(folder: Path, seed: int, origin: str | None, groups: Mapping[int, str] | None = None) -> None:
    """Write frames of coloured clouds with boxes; the same seed gives the same frames and boxes."""
    generator = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(1, 13):
        clouds = generator.integers(0, 256, (7, 9, 3)).astype(np.uint8)
        write_png(folder / "images" / f"{number}.png", cv2.resize(clouds, (180, 140), interpolation=cv2.INTER_CUBIC))
        images.append(CocoImage(number, f"{number}.png", 180, 140, extra=group_of(groups, number)))
        for _ in range(1 + number % 2):
            x, y = generator.integers(0, 90, 2).tolist()
            box = (float(x), float(y), 40.0, 50.0)
            extra = {"origin": origin} if origin else {}
            annotations.append(CocoAnnotation(len(annotations) + 1, number, 1, box, 2000.0, extra=extra))
    categories = (CocoCategory(1, "polyp"),)
    dataset = CocoDataset(folder / "images", tuple(images), tuple(annotations), categories)
    write_coco(dataset, folder / "annotations.json")


def group_of(groups: Mapping[int, str] | None, number: int) -> dict[str, str]:
    return {"group": groups.get(number, f"of {number}")} if groups is not None else {}


def test_the_report_is_whole_and_repeats(sets: Path, tmp_path: Path) -> None:
    names: list[str] = []
    found = [
        evaluate_polyps(
            sets / "real",
            {"new": sets / "new", "copies": sets / "copies"},
            tmp_path / name,
            extractor=Thumbnails(),
            train=sets / "train",
            seed=3,
            observer=names.append,
        )
        for name in ("a", "b")
    ]
    assert names[:5] == ["real", "real train", "new", "copies", "copies"]
    assert found[0] == found[1]
    written = sorted(path.name for path in (tmp_path / "a").iterdir())
    sheets = [f"{kind}_{name}.png" for kind in ("neighbours", "sheet") for name in ("copies", "new")]
    assert written == sorted([*sheets, "neighbours_real.png", "report.json", "report.md"])
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in written)
    text = (tmp_path / "a" / "report.json").read_text("utf-8")
    assert str(sets) not in text
    report = json.loads(text)
    assert report == found[0].report
    assert report["extractor"] == "thumbnails of 4×4"
    counts = {name: len(read_coco(sets / name).annotations) for name in ("real", "train", "new", "copies")}
    assert [report["sets"][name]["crops"] for name in ("real", "real train", "new", "copies")] == list(counts.values())
    # The copies' crops are those of the training set: same distance, and nothing is nearer than 0.
    distances = report["kernel_distance"]
    assert distances["copies"]["value"] == pytest.approx(distances["real train"]["value"])
    assert report["memorisation"]["copies"]["close"]["value"] == 1.0
    assert report["memorisation"]["copies"]["synthetic_quantiles"]["0.95"] == pytest.approx(0.0, abs=1e-9)
    assert report["memorisation"]["new"]["close"]["value"] < 0.3
    pairs = [(row["first"], row["second"]) for row in report["kernel_distance_differences"]]
    assert pairs == [("real train", "new"), ("real train", "copies"), ("new", "copies")]
    markdown = (tmp_path / "a" / "report.md").read_text("utf-8")
    assert "real train (floor)" in markdown
    assert "thumbnails of 4×4" in markdown
    assert read_image(tmp_path / "a" / "sheet_new.png").shape[1] > 2 * 128


def test_without_a_training_set_there_is_no_floor_and_no_check(sets: Path, tmp_path: Path) -> None:
    found = evaluate_polyps(
        sets / "real", {"new": sets / "new"}, tmp_path, extractor=Thumbnails(), count=17, seed=1
    ).report
    assert list(found["kernel_distance"]) == ["new"]
    assert found["kernel_distance_differences"] == []
    assert found["memorisation"] == {}
    assert found["sets"]["new"]["crops"] == found["sets"]["real"]["crops"] == 17
    assert not list(tmp_path.glob("neighbours_*"))


def test_only_marked_objects_are_taken_unless_all_are_asked_for(sets: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"marked as synthetic.*taken whole"):
        evaluate_polyps(sets / "real", {"new": sets / "train"}, tmp_path / "out", extractor=Thumbnails())
    assert not (tmp_path / "out").exists()
    found = evaluate_polyps(
        sets / "real", {"new": sets / "train"}, tmp_path, extractor=Thumbnails(), every_object=True
    ).report
    assert found["sets"]["new"]["crops"] == len(read_coco(sets / "train").annotations)
    with pytest.raises(ConfigurationError, match="no real polyp"):
        evaluate_polyps(sets / "copies", {"new": sets / "new"}, tmp_path, extractor=Thumbnails())


@pytest.mark.parametrize("name", ["real", "", "a/b", "real train", ".hidden"])
def test_names_must_fit_files(name: str, sets: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't name a set"):
        evaluate_polyps(sets / "real", {name: sets / "new"}, tmp_path, extractor=Thumbnails())


def test_no_set_is_an_error(sets: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no synthetic set"):
        evaluate_polyps(sets / "real", {}, tmp_path, extractor=Thumbnails())


def test_real_and_training_polyps_of_one_patient_are_refused(sets: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(("real", "train")):
        write_set(
            tmp_path / name, seed, None, {number: f"{name} {number}" for number in range(2, 13)} | {1: "patient 7"}
        )
    with pytest.raises(ConfigurationError, match="share 1 groups of frames, the first 'patient 7'"):
        evaluate_polyps(
            tmp_path / "real",
            {"new": sets / "new"},
            tmp_path / "out",
            extractor=Thumbnails(),
            train=tmp_path / "train",
        )
