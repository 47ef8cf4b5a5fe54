"""Which polyps a detector finds: boxes matched as in COCO's evaluation, recall at one threshold.

In each frame the 100 highest detections choose in the order of their scores, each the free object that it overlaps
most, at IoU 0.5 or more; a crowd takes any number and counts neither way. A detection's object therefore never depends
on lower detections, so one matching serves every threshold. Categories are not told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from polyp_aug.coco import CocoAnnotation, CocoImage
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.crops import Origin, group_of
from polyp_aug.evaluation.intervals import Interval, group_numbers, percentile_interval, resampled_counts

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: Overlap from which on a detection finds an object.
IOU = 0.5

#: Detections of a frame that are taken, the highest.
MOST_DETECTIONS = 100


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector found in a picture.

    Attributes:
        boxes: float64 (N, 4), xywh in pixels of the picture.
        scores: float64 (N,), in any order.
    """

    boxes: Floats
    scores: Floats


@dataclass(frozen=True, eq=False)
class Matches:
    """Detections of a set's frames, matched to its objects.

    Attributes:
        found: float64 (M,): score of the detection that found each object, −inf where none did.
        groups: patient, background or frame of each object.
        false: float64 (K,): scores of the detections that found nothing.
        highest: float64 (F,): highest score in each frame, −inf where nothing was detected.
    """

    found: Floats
    groups: tuple[str, ...]
    false: Floats
    highest: Floats


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold, and what it gives on the frames that it was chosen on.

    Attributes:
        score: detections with this score or a higher one count.
        precision: share of them that found an object.
        recall: share of the objects that are found.
        f1: harmonic mean of both.
    """

    score: float
    precision: float
    recall: float
    f1: float


def counts(annotation: CocoAnnotation, origin: Origin) -> bool:
    """Whether an object is one of those measured: no crowd, and of that origin."""
    synthetic = annotation.extra.get("origin") == "synthetic"
    return not annotation.iscrowd and (origin == "all" or synthetic == (origin == "synthetic"))


def match(detections: Detections, boxes: Floats, crowd: Flags) -> tuple[Floats, Floats]:
    """Match the detections of a frame to its objects, one to one.

    Args:
        detections: of the frame.
        boxes: of its objects, float64 (M, 4), xywh in pixels.
        crowd: bool (M,): objects that take any number of detections.

    Returns:
        The score of the detection that found each object, float64 (M,), −inf where none did; and the scores of the
        detections that found none, float64 (K,).
    """
    order = np.argsort(-detections.scores, kind="stable")[:MOST_DETECTIONS]
    found = np.full(len(boxes), -np.inf)
    if not len(order) or not len(boxes):
        return found, detections.scores[order]
    overlaps = np.asarray(coco_mask.iou(detections.boxes[order], boxes, crowd.astype(np.uint8).tolist()))
    false = []
    for score, overlap in zip(detections.scores[order], overlaps, strict=True):
        meets = overlap >= IOU
        free = meets & ~crowd & np.isneginf(found)
        candidates = np.flatnonzero(free if free.any() else meets & crowd)
        if len(candidates):
            # Of equal overlaps pycocotools takes the last.
            best = candidates[::-1][np.argmax(overlap[candidates[::-1]])]
            found[best] = max(found[best], score)
        else:
            false.append(score)
    return found, np.array(false, dtype=np.float64)


def match_frames(
    images: Sequence[CocoImage],
    annotations: Mapping[int, Sequence[CocoAnnotation]],
    detections: Sequence[Detections],
    origin: Origin = "all",
) -> Matches:
    """Match the detections of frames to their objects.

    Args:
        images: the frames.
        annotations: image id → its objects.
        detections: of each frame.
        origin: which objects `found` tells about; the others take part in the matching.

    Raises:
        ConfigurationError: frames and detections differ in number.
    """
    if len(images) != len(detections):
        raise ConfigurationError(f"detections of {len(detections)} frames, expected {len(images)}")
    found: list[float] = []
    false: list[float] = []
    groups: list[str] = []
    for image, own in zip(images, detections, strict=True):
        objects = annotations[image.id]
        boxes = np.array([item.bbox for item in objects], dtype=np.float64).reshape(-1, 4)
        scores, missed = match(own, boxes, np.array([item.iscrowd for item in objects], dtype=np.bool_))
        counted = [score for item, score in zip(objects, scores.tolist(), strict=True) if counts(item, origin)]
        found += counted
        false += missed.tolist()
        groups += [group_of(image)] * len(counted)
    highest = [own.scores.max(initial=-np.inf) for own in detections]
    return Matches(np.array(found), tuple(groups), np.array(false), np.array(highest))


def best_threshold(matches: Matches) -> OperatingPoint:
    """The score with the highest F1 = 2 TP / (2 TP + FP + FN); of equal ones the highest score.

    Args:
        matches: of a whole set, frames without objects included.

    Raises:
        ConfigurationError: no object is found at any threshold.
    """
    hits, false = np.sort(matches.found[np.isfinite(matches.found)]), np.sort(matches.false)
    if not len(hits):
        raise ConfigurationError("the detector finds no object of the validation set: no threshold can be chosen")
    scores = np.unique(hits)[::-1]
    found = len(hits) - np.searchsorted(hits, scores)
    detected = found + len(false) - np.searchsorted(false, scores)
    f1 = 2 * found / (detected + len(matches.found))
    best = int(np.argmax(f1))
    return OperatingPoint(
        score=float(scores[best]),
        precision=float(found[best] / detected[best]),
        recall=float(found[best] / len(matches.found)),
        f1=float(f1[best]),
    )


def recall_ratio(matches: Matches, first: Matches, threshold: float, *, seed: int, name: str) -> Interval | None:
    """Recall over the recall of another set, with an interval from drawing the groups of both, independently.

    Args:
        matches: of the set.
        first: of the set that it is compared with.
        threshold: detections with this score or a higher one count.
        seed: the only source of randomness.
        name: of the set.

    Returns:
        None where the recall of `first` is 0, measured or in a draw.

    Raises:
        ConfigurationError: a set has fewer than ten groups.
    """
    value, draws = _recall(matches, threshold, seed, f"recall of {name}")
    reference, reference_draws = _recall(first, threshold, seed, "recall of the first set")
    if not reference_draws.all():
        return None
    return percentile_interval(value / reference, draws / reference_draws)


def _recall(matches: Matches, threshold: float, seed: int, name: str) -> tuple[float, Floats]:
    """Recall, and its bootstrap draws."""
    numbers = group_numbers(matches.groups)
    hits, sizes = np.bincount(numbers, weights=matches.found >= threshold), np.bincount(numbers)
    drawn = resampled_counts(len(sizes), seed=seed, name=name)
    return float(hits.sum() / sizes.sum()), (drawn @ hits) / (drawn @ sizes)
