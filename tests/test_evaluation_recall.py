"""Recall of detectors, on hand-made frames and beside pycocotools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from polyp_aug.coco import CocoAnnotation, CocoImage
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.detector_recall import evaluate_recall
from polyp_aug.evaluation.recall import Detections, Matches, best_threshold, match, match_frames, recall_ratio
from polyp_aug.geometry import Box

NONE = -np.inf
#: Overlap the box (0, 0, 10, 10) with IoU 1, 0.8, 0.5 and 0.4.
WHOLE, MOST, HALF, LESS = (0, 0, 10, 10), (0, 0, 10, 8), (0, 0, 10, 5), (0, 0, 10, 4)
FAR = (50, 50, 10, 10)


def detections(*found: tuple[Box, float]) -> Detections:
    boxes = np.array([box for box, _ in found], dtype=np.float64).reshape(-1, 4)
    return Detections(boxes, np.array([score for _, score in found], dtype=np.float64))


@pytest.mark.parametrize(
    ("found", "boxes", "crowd", "scores", "false"),
    [
        ((), [WHOLE], [0], [NONE], []),
        (((WHOLE, 0.9),), [], [], [], [0.9]),
        (((WHOLE, 0.9),), [WHOLE], [0], [0.9], []),
        (((HALF, 0.9),), [WHOLE], [0], [0.9], []),
        (((LESS, 0.9),), [WHOLE], [0], [NONE], [0.9]),
        # The higher score chooses first, though the other overlaps more.
        (((WHOLE, 0.2), (MOST, 0.7)), [WHOLE], [0], [0.7], [0.2]),
        # The most overlapping of two objects; the second detection takes what is left.
        (((WHOLE, 0.9), (WHOLE, 0.8)), [MOST, WHOLE], [0, 0], [0.8, 0.9], []),
        # A crowd takes what finds nothing else, any number of times.
        (((WHOLE, 0.9), (MOST, 0.8), (MOST, 0.7), (FAR, 0.6)), [WHOLE, WHOLE], [1, 0], [0.8, 0.9], [0.6]),
        # Of equal objects the last, as pycocotools does.
        (((WHOLE, 0.9),), [WHOLE, WHOLE], [0, 0], [NONE, 0.9], []),
    ],
)
def test_detections_choose_by_score(
    found: tuple[tuple[Box, float], ...], boxes: list[Box], crowd: list[int], scores: list[float], false: list[float]
) -> None:
    objects = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    taken, missed = match(detections(*found), objects, np.array(crowd, dtype=np.bool_))
    assert taken.tolist() == scores
    assert missed.tolist() == false


def test_a_hundred_detections_of_a_frame_count() -> None:
    found, false = match(
        detections(*((FAR, 0.9),) * 100, (WHOLE, 0.1)), np.array([WHOLE], np.float64), np.array([False])
    )
    assert found.tolist() == [NONE]
    assert len(false) == 100


numbers = st.integers(0, 12)
some_boxes = st.lists(st.tuples(numbers, numbers, st.integers(1, 12), st.integers(1, 12)), max_size=6)
some_scores = st.lists(st.integers(1, 5), min_size=6, max_size=6)
frames_of_boxes = st.lists(st.tuples(some_boxes, some_boxes, some_scores), min_size=1, max_size=4)


@given(frames_of_boxes)
def test_matching_equals_pycocotools(frames: list[tuple[list[Box], list[Box], list[int]]]) -> None:
    images = [CocoImage(number, f"{number}.png", 30, 30) for number in range(1, len(frames) + 1)]
    rows, results, found, annotations = [], [], [], {}
    for image, (objects, boxes, scores) in zip(images, frames, strict=True):
        own = []
        for box in objects:
            area = float(box[2] * box[3])
            item = CocoAnnotation(len(rows) + 1, image.id, 1, box, area, iscrowd=int(len(rows) % 5 == 4))
            own.append(item)
            rows.append({"id": item.id, "image_id": image.id, "category_id": 1, "bbox": list(box), "area": area,
                         "iscrowd": item.iscrowd})  # fmt: skip
        annotations[image.id] = own
        scored = list(zip(boxes, (score / 5 for score in scores), strict=False))
        found.append(detections(*scored))
        results += [
            {"image_id": image.id, "category_id": 1, "bbox": list(box), "score": score} for box, score in scored
        ]
    matches = match_frames(images, annotations, found)
    if not results or not len(matches.found):
        assert not np.isfinite(matches.found).any()
        return
    truth = COCO()
    truth.dataset = {
        "images": [{"id": image.id, "width": 30, "height": 30} for image in images],
        "annotations": rows,
        "categories": [{"id": 1, "name": "polyp"}],
    }
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
    evaluation.params.iouThrs = np.array([0.5])
    evaluation.evaluate()
    evaluation.accumulate()
    recall = evaluation.eval["recall"][0, 0, 0, 2]
    assert np.isfinite(matches.found).mean() == pytest.approx(recall, abs=1e-12)
    taken = [item for item in evaluation.evalImgs if item is not None and item["aRng"] == [0, 1e10]]
    false = [
        score
        for item in taken
        for score, object_id, ignored in zip(item["dtScores"], item["dtMatches"][0], item["dtIgnore"][0], strict=True)
        if not object_id and not ignored
    ]
    assert sorted(matches.false) == pytest.approx(sorted(false))


def matches(found: Sequence[float], false: Sequence[float] = (), groups: Sequence[str] | None = None) -> Matches:
    names = tuple(groups or (str(number) for number in range(len(found))))
    return Matches(np.array(found), names, np.array(false), np.array(found))


@pytest.mark.parametrize(
    ("found", "false", "score", "f1"),
    [
        ([0.9, 0.5, NONE], [], 0.5, 0.8),
        ([0.9, 0.5], [0.7, 0.6, 0.6], 0.9, 2 / 3),
        ([0.9, 0.5], [0.4], 0.5, 1.0),
        # 0.9 alone and both together give the same F1: the higher one is taken.
        ([0.9, 0.5], [0.8, 0.7], 0.9, 2 / 3),
        # A false detection of the threshold's own score counts.
        ([0.9], [0.9], 0.9, 2 / 3),
    ],
)
def test_the_threshold_has_the_highest_f1(found: list[float], false: list[float], score: float, f1: float) -> None:
    point = best_threshold(matches(found, false))
    assert (point.score, point.f1) == (score, pytest.approx(f1))
    assert point.f1 == pytest.approx(2 * point.precision * point.recall / (point.precision + point.recall))


def test_without_a_find_there_is_no_threshold() -> None:
    with pytest.raises(ConfigurationError, match="finds no object"):
        best_threshold(matches([NONE, NONE], [0.3]))


def test_a_ratio_has_an_interval_of_groups() -> None:
    real, easy = matches([0.9] * 20 + [NONE] * 20), matches([0.9] * 30 + [NONE] * 10)
    ratio = recall_ratio(easy, real, 0.5, seed=0, name="easy")
    assert ratio is not None
    assert ratio.value == pytest.approx(1.5)
    assert 1.0 < ratio.low < 1.5 < ratio.high
    pairs = [str(number // 4) for number in range(40)]
    grouped = recall_ratio(matches(easy.found.tolist(), groups=pairs), real, 0.5, seed=0, name="easy")
    assert grouped is not None
    assert grouped.high - grouped.low > ratio.high - ratio.low
    assert recall_ratio(easy, matches([NONE] * 12), 0.5, seed=0, name="easy") is None


def coco(folder: Path, objects: Sequence[Sequence[tuple[Box, str]]]) -> Path:
    """A COCO set with an origin for each object; the pictures don't exist."""
    rows = [(image, box, origin) for image, own in enumerate(objects, 1) for box, origin in own]
    document = {
        "images": [
            {"id": number, "file_name": f"{folder.name}_{number}.png", "width": 100, "height": 100}
            for number in range(1, len(objects) + 1)
        ],
        "annotations": [
            {"id": number, "image_id": image, "category_id": 1, "bbox": list(box), "area": box[2] * box[3],
             "iscrowd": 0, "origin": origin}
            for number, (image, box, origin) in enumerate(rows, 1)
        ],
        "categories": [{"id": 1, "name": "polyp"}],
    }  # fmt: skip
    folder.mkdir()
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


def test_a_report_on_hand_made_sets(tmp_path: Path) -> None:
    def find(frames: Sequence[Path]) -> list[Detections]:
        """Finds `WHOLE` in all frames but every third of the real set, and is unsure in the empty set."""
        found = []
        for frame in frames:
            kind, number = frame.stem.split("_")
            score = 0.3 if kind == "empty" and number != "1" else 0.8
            found.append(detections() if kind == "real" and int(number) % 3 == 0 else detections((WHOLE, score)))
        return found

    validation = coco(tmp_path / "val", [[(WHOLE, "real")]] * 4)
    real = coco(tmp_path / "real", [[(WHOLE, "real")]] * 12 + [[]])
    painted = coco(tmp_path / "painted", [[(WHOLE, "synthetic"), (FAR, "real")]] * 12 + [[(FAR, "real")]])
    empty = coco(tmp_path / "empty", [[], [], [], [(WHOLE, "real")]])
    sets = {"real": real, "painted": painted}
    arguments = (find, {"config": "hand made"}, validation, sets)
    report = evaluate_recall(*arguments, tmp_path / "out", empty={"removed": empty}).report
    assert report["threshold"]["score"] == 0.8
    first, second = report["sets"]["real"], report["sets"]["painted"]
    assert (first["frames"], first["objects"], first["found"], first["ratio"]) == (12, 12, 8, None)
    assert first["recall"]["value"] == pytest.approx(2 / 3)
    assert first["recall"]["low"] < 2 / 3 < first["recall"]["high"]
    assert (second["frames"], second["objects"], second["found"]) == (12, 12, 12)
    assert second["ratio"]["value"] == pytest.approx(1.5)
    assert (report["empty"]["removed"]["frames"], report["empty"]["removed"]["nothing_found"]) == (3, 2)
    text = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "| real | 66.7 (" in text
    assert "| removed | 66.7 (" in text
    assert json.loads((tmp_path / "out" / "report.json").read_bytes()) == report
    again = evaluate_recall(*arguments, tmp_path / "again", empty={"removed": empty})
    assert again.report == report
    whole = evaluate_recall(*arguments, tmp_path / "whole", every_object=True).report
    assert (whole["sets"]["painted"]["objects"], whole["sets"]["painted"]["found"]) == (25, 12)
    with pytest.raises(ConfigurationError, match="marked as synthetic"):
        evaluate_recall(find, {"config": ""}, validation, {"real": real, "other": real}, tmp_path / "no")
    with pytest.raises(ConfigurationError, match="has no frame without annotations"):
        evaluate_recall(*arguments, tmp_path / "no", empty={"removed": validation})
