"""The report on detectors: COCO's scores as pycocotools gives them, sets without a detection, and pairs."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from polyp_aug.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, read_coco, write_coco
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.coco_scores import SCORES, coco_scores
from polyp_aug.evaluation.detections import MeasuredDetector, evaluate_detections
from polyp_aug.evaluation.recall import Detections

NOTHING = Detections(np.empty((0, 4)), np.empty(0))


def write_set(folder: Path, seed: int, frames: int = 24) -> Path:
    """A COCO set of frames with one polyp, two, or none; the pictures don't exist."""
    generator = np.random.default_rng(seed)
    images = [CocoImage(number, f"{folder.name}_{number}.png", 300, 300) for number in range(1, frames + 1)]
    annotations: list[CocoAnnotation] = []
    for image in images:
        for _ in range(int(generator.integers(0, 3))):
            side = float(generator.choice([20.0, 60.0, 120.0]))
            x, y = generator.uniform(0, 300 - side, 2).round().tolist()
            annotations.append(CocoAnnotation(len(annotations) + 1, image.id, 1, (x, y, side, side), side * side))
    folder.mkdir()
    write_coco(
        CocoDataset(folder, tuple(images), tuple(annotations), (CocoCategory(1, "polyp"),)), folder / "annotations.json"
    )
    return folder


class Shaky:
    """Finds every object, moved by up to `shift` of its side, with a lower score, and something else in each frame."""

    def __init__(self, folders: Sequence[Path], shift: float) -> None:
        self.boxes: dict[str, list[tuple[float, float, float, float]]] = {}
        for folder in folders:
            dataset = read_coco(folder)
            for image in dataset.images:
                self.boxes[image.file_name] = [item.bbox for item in dataset.by_image()[image.id]]
        self.shift = shift

    def __call__(self, frames: Sequence[Path]) -> list[Detections]:
        return [self.find(frame) for frame in frames]

    def find(self, frame: Path) -> Detections:
        generator = np.random.default_rng(list(frame.name.encode()))
        boxes, scores = [(5.0, 5.0, 30.0, 30.0)], [0.5 * generator.random()]
        for x, y, w, h in self.boxes[frame.name]:
            moved = self.shift * generator.random()
            boxes.append((x + moved * w, y, w, h))
            scores.append(1.0 - moved - 0.01 * generator.random())
        return Detections(np.array(boxes), np.array(scores))


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.9])
def test_scores_are_those_of_pycocotools(tmp_path: Path, shift: float) -> None:
    dataset = read_coco(write_set(tmp_path / "a", 1))
    found = Shaky([tmp_path / "a"], shift)([Path(image.file_name) for image in dataset.images])
    truth = COCO()
    truth.dataset = json.loads((tmp_path / "a" / "annotations.json").read_bytes())
    with redirect_stdout(io.StringIO()):
        truth.createIndex()
        results = [
            {"image_id": image.id, "category_id": 1, "bbox": box.tolist(), "score": float(score)}
            for image, own in zip(dataset.images, found, strict=True)
            for box, score in zip(own.boxes, own.scores, strict=True)
        ]
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    scores = coco_scores(dataset, found)
    assert list(scores) == list(SCORES)
    for name, place in SCORES.items():
        assert scores[name] == pytest.approx(evaluation.stats[place], abs=1e-9)


def test_nothing_detected_scores_zero_and_what_is_not_there_has_no_score(tmp_path: Path) -> None:
    image = CocoImage(1, "a.png", 300, 300)
    large = CocoAnnotation(0, 1, 1, (10.0, 10.0, 200.0, 200.0), 40_000.0)
    dataset = CocoDataset(tmp_path, (image,), (large,), (CocoCategory(1, "polyp"),))
    expected = {"AP": 0.0, "AP50": 0.0, "AP75": 0.0, "AP_small": None, "AP_medium": None, "AP_large": 0.0}
    assert coco_scores(dataset, [NOTHING]) == expected
    perfect = Detections(np.array([large.bbox]), np.array([0.9]))
    # With annotation id 0 pycocotools gives 0 here.
    assert coco_scores(dataset, [perfect]) == {name: 1.0 if value == 0.0 else None for name, value in expected.items()}


def test_a_report_on_two_detectors(tmp_path: Path) -> None:
    validation, first, second = (write_set(tmp_path / name, seed) for seed, name in enumerate(("val", "one", "two")))
    folders = (validation, first, second)
    detectors = {
        "good": MeasuredDetector(Shaky(folders, 0.2), {"config": "good"}),
        "bad": MeasuredDetector(Shaky(folders, 0.8), {"config": "bad"}),
    }
    sets = {"one": first, "two": second}
    seen: list[str] = []
    result = evaluate_detections(detectors, sets, tmp_path / "out", validation=validation, seed=4, observer=seen.append)
    report = result.report
    assert seen == ["good", "bad"]
    for name in sets:
        good, bad = (report["detectors"][key]["sets"][name] for key in detectors)
        assert good["ap"]["value"] > 0.9 > bad["ap"]["value"]
        assert good["coco"]["AP50"] == pytest.approx(good["ap"]["value"], abs=0.01)
        assert good["froc"] == sorted(good["froc"])
        assert good["frames"]["sensitivity"]["value"] > 0.8
        assert good["frames"]["specificity"]["value"] > 0.5
        for part in ("ap", "precision", "recall", "f1"):
            assert bad[part]["low"] <= bad[part]["value"] <= bad[part]["high"]
    assert [(item["set"], item["first"], item["second"]) for item in report["comparisons"]] == [
        ("one", "good", "bad"),
        ("two", "good", "bad"),
    ]
    assert all(item["low"] > 0 and item["p"] < 0.01 for item in report["comparisons"])
    assert json.loads((tmp_path / "out" / "report.json").read_bytes()) == report
    text = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert all(table.title in text for table in result.tables)
    again = evaluate_detections(detectors, sets, tmp_path / "again", validation=validation, seed=4)
    assert again.report == report


def test_a_detector_that_finds_nothing_of_a_set(tmp_path: Path) -> None:
    validation, measured = write_set(tmp_path / "val", 0), write_set(tmp_path / "one", 1)
    find = Shaky([validation], 0.1)

    def only_validation(frames: Sequence[Path]) -> list[Detections]:
        return [find.find(frame) if frame.name in find.boxes else NOTHING for frame in frames]

    detectors = {"blind": MeasuredDetector(only_validation, {"config": "blind"})}
    result = evaluate_detections(detectors, {"one": measured}, tmp_path / "out", validation=validation)
    scores = result.report["detectors"]["blind"]["sets"]["one"]
    assert scores["coco"]["AP"] == scores["ap"]["value"] == scores["f1"]["value"] == scores["froc"][-1] == 0.0
    assert scores["frames"]["specificity"]["value"] == 1.0
    assert not result.report["comparisons"]


def test_what_cannot_be_measured_is_told(tmp_path: Path) -> None:
    validation = write_set(tmp_path / "val", 0)
    detectors = {"blind": MeasuredDetector(lambda frames: [NOTHING] * len(frames), {"config": "blind"})}
    with pytest.raises(ConfigurationError, match="nothing to measure"):
        evaluate_detections({}, {"val": validation}, tmp_path / "out", validation=validation)
    with pytest.raises(ConfigurationError, match="no object of the validation set"):
        evaluate_detections(detectors, {"val": validation}, tmp_path / "out", validation=validation)
    empty = CocoDataset(tmp_path, (CocoImage(1, "a.png", 30, 30),), (), (CocoCategory(1, "polyp"),))
    (tmp_path / "none").mkdir()
    write_coco(empty, tmp_path / "none" / "annotations.json")
    with pytest.raises(ConfigurationError, match="none: has no object"):
        evaluate_detections(detectors, {"none": tmp_path / "none"}, tmp_path / "out", validation=validation)
