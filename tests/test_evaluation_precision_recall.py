"""Average precision, F1, FROC, their intervals, and the paired comparison of two detectors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.precision_recall import (
    Curve,
    average_precision_interval,
    compare,
    point_intervals,
)
from polyp_aug.evaluation.recall import FrameMatches


def frame(found: list[float], false: list[float] | None = None) -> FrameMatches:
    return FrameMatches(np.array(found, dtype=np.float64), np.array(false or [], dtype=np.float64))


def curve(*frames: FrameMatches, groups: list[str] | None = None) -> Curve:
    return Curve.of(frames, groups or [f"{number:03d}" for number in range(len(frames))])


def drawn(seed: int, frames: int = 30, skill: float = 0.5) -> list[FrameMatches]:
    """Matched frames of a detector whose hits have scores that are higher by `skill`; all scores differ."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(frames):
        found = generator.random(int(generator.integers(0, 3))) + skill
        found[generator.random(len(found)) < 0.3] = -np.inf
        made.append(FrameMatches(found, generator.random(int(generator.integers(0, 4)))))
    return [*made, frame([0.9 + skill])]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([frame([0.9]), frame([0.8])], 1.0),
        ([frame([0.9]), frame([-np.inf])], 0.5),
        ([frame([-np.inf])], 0.0),
        ([frame([], [0.9]), frame([0.8])], 0.5),
        # Hit, miss, hit: precision 1 up to recall 1/2, then 2/3.
        ([frame([0.9], [0.8]), frame([0.7])], 0.5 + 0.5 * 2 / 3),
        # A later rise of precision lifts what is before it.
        ([frame([0.5, 0.4], [0.9])], 2 / 3),
    ],
)
def test_average_precision_by_hand(frames: list[FrameMatches], expected: float) -> None:
    assert curve(*frames).average_precision()[0] == pytest.approx(expected)


@given(st.integers(0, 10_000))
def test_average_precision_is_that_of_pycocotools_at_many_recalls(seed: int) -> None:
    frames = drawn(seed)
    rows: list[dict[str, object]] = []
    results: list[dict[str, object]] = []
    for image, matched in enumerate(frames, start=1):
        for number, score in enumerate(matched.found):
            box = [40.0 * number, 0.0, 20.0, 20.0]
            rows.append(
                {"id": len(rows) + 1, "image_id": image, "category_id": 1, "bbox": box, "area": 400.0, "iscrowd": 0}
            )
            if np.isfinite(score):
                results.append({"image_id": image, "category_id": 1, "bbox": box, "score": float(score)})
        for number, score in enumerate(matched.false):
            box = [40.0 * number, 60.0, 20.0, 20.0]
            results.append({"image_id": image, "category_id": 1, "bbox": box, "score": float(score)})
    truth = COCO()
    truth.dataset = {
        "images": [{"id": image, "width": 200, "height": 100} for image in range(1, len(frames) + 1)],
        "annotations": rows,
        "categories": [{"id": 1, "name": "polyp"}],
    }
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
    evaluation.params.iouThrs = np.array([0.5])
    evaluation.params.recThrs = np.linspace(0.0, 1.0, 20_001)
    evaluation.evaluate()
    evaluation.accumulate()
    expected = evaluation.eval["precision"][0, :, 0, 0, 2].mean()
    assert curve(*frames).average_precision()[0] == pytest.approx(expected, abs=2e-4)


def test_a_draw_is_a_set_with_frames_repeated() -> None:
    frames = drawn(3, frames=12)
    counts = np.random.default_rng(0).integers(0, 3, (5, len(frames))).astype(np.float64)
    found = curve(*frames).average_precision(counts)
    at = curve(*frames).at(0.6, counts)
    for row, value, *point in zip(counts, found, *at, strict=True):
        repeated = [matched for matched, number in zip(frames, row.astype(int), strict=True) for _ in range(number)]
        again = curve(*repeated)
        # Repeated detections have equal scores, between which no order is right: the best of them is taken here.
        assert value == pytest.approx(again.average_precision()[0], abs=0.02)
        assert point == pytest.approx([float(part[0]) for part in again.at(0.6)])


def test_precision_recall_and_f1_at_a_score() -> None:
    measured = curve(frame([0.9, 0.4], [0.8]), frame([0.6]))
    assert [float(part[0]) for part in measured.at(0.5)] == pytest.approx([2 / 3, 2 / 3, 2 / 3])
    assert [float(part[0]) for part in measured.at(0.95)] == [0.0, 0.0, 0.0]


def test_froc_counts_false_detections_of_all_frames() -> None:
    measured = curve(frame([0.9], [0.8]), frame([], [0.6]), frame([0.7]), frame([0.5, -np.inf], [0.5]))
    assert measured.froc([0.0, 0.25, 0.5, 8.0]).tolist() == [0.25, 0.5, 0.5, 0.75]
    assert curve(frame([-np.inf])).froc([1.0]).tolist() == [0.0]


def test_intervals_hold_their_value_and_follow_the_seed() -> None:
    measured = curve(*drawn(1))
    interval = average_precision_interval(measured, seed=1, name="a")
    assert interval.low <= interval.value <= interval.high
    assert interval.value == float(measured.average_precision()[0])
    assert interval == average_precision_interval(measured, seed=1, name="a")
    assert interval != average_precision_interval(measured, seed=2, name="a")
    points = point_intervals(measured, 0.7, seed=1, name="a")
    assert list(points) == ["precision", "recall", "f1"]
    assert all(part.low <= part.value <= part.high for part in points.values())


def test_groups_are_drawn_whole() -> None:
    frames = drawn(5)
    alone = average_precision_interval(curve(*frames), seed=0, name="a")
    twice = average_precision_interval(
        Curve.of([*frames, *frames], [str(number) for number in range(len(frames))] * 2), seed=0, name="a"
    )
    assert (twice.high - twice.low) == pytest.approx(alone.high - alone.low, abs=0.03)


def test_a_comparison_is_paired() -> None:
    frames = drawn(1, frames=60)
    worse = [FrameMatches(np.where(matched.found > 1.0, -np.inf, matched.found), matched.false) for matched in frames]
    same = compare(curve(*frames), curve(*frames), seed=0, name="same")
    assert (same.difference.value, same.difference.low, same.difference.high, same.p) == (0.0, 0.0, 0.0, 1.0)
    better = compare(curve(*frames), curve(*worse), seed=0, name="better")
    assert better.difference.low > 0
    assert better.p < 0.01
    back = compare(curve(*worse), curve(*frames), seed=0, name="better")
    assert back.difference.value == pytest.approx(-better.difference.value)
    assert back.p == better.p


def test_what_cannot_be_measured_is_told() -> None:
    with pytest.raises(ConfigurationError, match="no object"):
        curve(frame([], [0.5]))
    with pytest.raises(ConfigurationError, match="1 frames and 2 groups"):
        Curve.of([frame([0.5])], ["a", "b"])
    with pytest.raises(ConfigurationError, match="same frames"):
        compare(curve(*drawn(1)), curve(*drawn(2)), seed=0, name="other")
    with pytest.raises(ConfigurationError, match="at least 10"):
        average_precision_interval(curve(frame([0.5])), seed=0, name="few")
