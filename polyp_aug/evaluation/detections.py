"""Detectors on real frames: COCO's scores, the paper's AP, precision, recall and F1, per frame, FROC, and pairs.

Every detector's threshold is the score with the highest F1 on a validation set, so that no set that is reported on has
chosen it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from polyp_aug.coco import CocoDataset, read_coco, resolve_image
from polyp_aug.coco.read import annotations_file
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.coco_scores import coco_scores
from polyp_aug.evaluation.crops import group_of
from polyp_aug.evaluation.detection_tables import DETECTION_NOTES, detection_tables
from polyp_aug.evaluation.intervals import Interval, wilson_interval
from polyp_aug.evaluation.precision_recall import (
    FROC_POINTS,
    Curve,
    average_precision_interval,
    compare,
    point_intervals,
)
from polyp_aug.evaluation.recall import (
    IOU,
    MOST_DETECTIONS,
    Detections,
    OperatingPoint,
    best_threshold,
    match_each,
    match_frames,
)
from polyp_aug.evaluation.report import Table, digest_of, make_folder, write_report

#: Gives the detections of each picture.
Detector = Callable[[Sequence[Path]], Sequence[Detections]]


@dataclass(frozen=True)
class MeasuredDetector:
    """A detector to measure.

    Attributes:
        detect: gives its detections; called once.
        facts: what the report says about it, in JSON types.
    """

    detect: Detector
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class DetectionEvaluation:
    """A report, in JSON types, and its tables."""

    report: dict[str, Any]
    tables: tuple[Table, ...]


def evaluate_detections(
    detectors: Mapping[str, MeasuredDetector],
    sets: Mapping[str, Path],
    out: Path,
    *,
    validation: Path,
    seed: int = 0,
    observer: Callable[[str], None] | None = None,
) -> DetectionEvaluation:
    """Measure detectors on sets of real frames, and compare each two of them in pairs.

    Writes `report.json` and `report.md`.

    Args:
        detectors: name → detector.
        sets: name → COCO set; frames without objects count too, for what is found there wrongly.
        out: folder to write.
        validation: COCO set of other frames, to choose thresholds on.
        seed: of the bootstrap.
        observer: called with each detector's name when it is begun.

    Raises:
        CocoError: a COCO file breaks the format.
        ConfigurationError: there is nothing to measure, a set has no object or fewer than ten groups of frames, or a
            detector finds no object of the validation set.
        ImageError: a frame can't be read.
        MissingDependencyError: faster-coco-eval is not installed.
        StorageError: a file can't be written.
    """
    if not detectors or not sets:
        raise ConfigurationError(f"nothing to measure ({len(detectors)} detectors, {len(sets)} sets)")
    held_out = read_coco(validation)
    datasets = {name: read_coco(path) for name, path in sets.items()}
    for name, dataset in datasets.items():
        if not any(not item.iscrowd for item in dataset.annotations):
            raise ConfigurationError(f"{sets[name]}: has no object to find")
    curves: dict[str, dict[str, Curve]] = {name: {} for name in sets}
    found: dict[str, dict[str, Any]] = {}
    for name, detector in detectors.items():
        if observer is not None:
            observer(name)
        parts = _detected(detector.detect, [held_out, *datasets.values()])
        point = best_threshold(match_frames(held_out.images, held_out.by_image(), parts[0]))
        found[name] = {"detector": dict(detector.facts), "threshold": _rounded(asdict(point)), "sets": {}}
        for (key, dataset), detections in zip(datasets.items(), parts[1:], strict=True):
            groups = [group_of(image) for image in dataset.images]
            curves[key][name] = Curve.of(match_each(dataset.images, dataset.by_image(), detections), groups)
            found[name]["sets"][key] = _scores(dataset, detections, curves[key][name], point, seed, key)
    report = {
        "iou": IOU,
        "most_detections": MOST_DETECTIONS,
        "froc_points": list(FROC_POINTS),
        "seed": seed,
        "validation": _facts(validation, held_out),
        "sets": {name: _facts(sets[name], dataset) for name, dataset in datasets.items()},
        "detectors": found,
        "comparisons": [
            {"set": key, "first": first, "second": second, **_compared(own[first], own[second], seed, key)}
            for key, own in curves.items()
            for first, second in combinations(detectors, 2)
        ],
    }
    result = DetectionEvaluation(report, detection_tables(report))
    make_folder(out)
    write_report(out, "Detectors on real frames", report, result.tables, DETECTION_NOTES)
    return result


def _detected(detect: Detector, datasets: Sequence[CocoDataset]) -> list[Sequence[Detections]]:
    """The detections of each set, from one call."""
    paths = [[resolve_image(dataset.image_root, image.file_name) for image in dataset.images] for dataset in datasets]
    detections = detect([path for part in paths for path in part])
    ends = np.cumsum([len(part) for part in paths])
    return [detections[end - len(part) : end] for part, end in zip(paths, ends.tolist(), strict=True)]


def _scores(
    dataset: CocoDataset,
    detections: Sequence[Detections],
    curve: Curve,
    point: OperatingPoint,
    seed: int,
    name: str,
) -> dict[str, Any]:
    points = point_intervals(curve, point.score, seed=seed, name=name)
    return {
        "coco": coco_scores(dataset, detections),
        "ap": average_precision_interval(curve, seed=seed, name=name).to_dict(),
        **{key: interval.to_dict() for key, interval in points.items()},
        "froc": [float(f"{value:.8g}") for value in curve.froc()],
        "frames": {key: _share(value) for key, value in _per_frame(dataset, detections, point.score).items()},
    }


def _per_frame(dataset: CocoDataset, detections: Sequence[Detections], score: float) -> dict[str, Interval | None]:
    """Shares of frames with an object in which something is found, and of frames without in which nothing is."""
    annotations = dataset.by_image()
    holds = np.array([any(not item.iscrowd for item in annotations[image.id]) for image in dataset.images])
    flagged = np.array([own.scores.max(initial=-np.inf) >= score for own in detections])
    return {
        "sensitivity": wilson_interval(int((holds & flagged).sum()), int(holds.sum())),
        "specificity": wilson_interval(int((~holds & ~flagged).sum()), int((~holds).sum()))
        if not holds.all()
        else None,
    }


def _compared(first: Curve, second: Curve, seed: int, name: str) -> dict[str, Any]:
    comparison = compare(first, second, seed=seed, name=name)
    return {**comparison.difference.to_dict(), "p": float(f"{comparison.p:.4g}")}


def _facts(path: Path, dataset: CocoDataset) -> dict[str, Any]:
    return {
        "annotations_sha256": digest_of([annotations_file(path)]),
        "frames": len(dataset.images),
        "objects": sum(not item.iscrowd for item in dataset.annotations),
        "groups": len({group_of(image) for image in dataset.images}),
    }


def _share(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else interval.to_dict()


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.8g}") for name, value in values.items()}
