"""Which polyps a detector finds: boxes matched as in COCO's evaluation, recall at one threshold.

In each frame the 100 highest detections choose in the order of their scores, each the free object that it overlaps
most, at IoU 0.5 or more; a crowd takes any number and counts neither way. A detection's object therefore never depends
on lower detections, so one matching serves every threshold. Categories are not told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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


class FrameMatches(NamedTuple):
    """Detections of one frame, matched to its objects.

    Attributes:
        found: float64 (M,): score of the detection that found each object, −inf where none did.
        false: float64 (K,): scores of the detections that found nothing.
    """

    found: Floats
    false: Floats


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


def match(detections: Detections, boxes: Floats, crowd: Flags, iou: float = IOU) -> FrameMatches:
    """Match the detections of a frame to its objects, one to one.

    Args:
        detections: of the frame.
        boxes: of its objects, float64 (M, 4), xywh in pixels.
        crowd: bool (M,): objects that take any number of detections.
        iou: overlap from which on a detection finds an object.
    """
    order = np.argsort(-detections.scores, kind="stable")[:MOST_DETECTIONS]
    found = np.full(len(boxes), -np.inf)
    if not len(order) or not len(boxes):
        return FrameMatches(found, detections.scores[order])
    overlaps = np.asarray(coco_mask.iou(detections.boxes[order], boxes, crowd.astype(np.uint8).tolist()))
    false = []
    for score, overlap in zip(detections.scores[order], overlaps, strict=True):
        meets = overlap >= iou
        free = meets & ~crowd & np.isneginf(found)
        candidates = np.flatnonzero(free if free.any() else meets & crowd)
        if len(candidates):
            # Of equal overlaps pycocotools takes the last.
            best = candidates[::-1][np.argmax(overlap[candidates[::-1]])]
            found[best] = max(found[best], score)
        else:
            false.append(score)
    return FrameMatches(found, np.array(false, dtype=np.float64))


def match_each(
    images: Sequence[CocoImage],
    annotations: Mapping[int, Sequence[CocoAnnotation]],
    detections: Sequence[Detections],
    origin: Origin = "all",
    iou: float = IOU,
) -> list[FrameMatches]:
    """Match the detections of frames to their objects, frame by frame.

    Args:
        images: the frames.
        annotations: image id → its objects.
        detections: of each frame.
        origin: which objects `found` tells about; the others, crowds among them, take part in the matching.
        iou: overlap from which on a detection finds an object.

    Raises:
        ConfigurationError: frames and detections differ in number.
    """
    if len(images) != len(detections):
        raise ConfigurationError(f"detections of {len(detections)} frames, expected {len(images)}")
    frames = []
    for image, own in zip(images, detections, strict=True):
        objects = annotations[image.id]
        boxes = np.array([item.bbox for item in objects], dtype=np.float64).reshape(-1, 4)
        matched = match(own, boxes, np.array([item.iscrowd for item in objects], dtype=np.bool_), iou)
        counted = np.array([counts(item, origin) for item in objects], dtype=np.bool_)
        frames.append(FrameMatches(matched.found[counted], matched.false))
    return frames


def match_frames(
    images: Sequence[CocoImage],
    annotations: Mapping[int, Sequence[CocoAnnotation]],
    detections: Sequence[Detections],
    origin: Origin = "all",
) -> Matches:
    """The detections of frames, matched to their objects, together; see `match_each`.

    Raises:
        ConfigurationError: frames and detections differ in number.
    """
    frames = match_each(images, annotations, detections, origin)
    groups = [group_of(image) for image, frame in zip(images, frames, strict=True) for _ in frame.found]
    found, false = (
        np.concatenate([np.empty(0), *parts]) for parts in (zip(*frames, strict=True) if frames else ([], []))
    )
    highest = [own.scores.max(initial=-np.inf) for own in detections]
    return Matches(found, tuple(groups), false, np.array(highest))


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
