"""A detector's recall over several sets of polyps, and the frames without polyps in which it finds nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyp_aug.coco import CocoAnnotation, CocoDataset, CocoImage, read_coco, resolve_image
from polyp_aug.coco.read import annotations_file
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.crops import Origin
from polyp_aug.evaluation.intervals import CONFIDENCE, DRAWS, wilson_interval
from polyp_aug.evaluation.recall import (
    IOU,
    MOST_DETECTIONS,
    Detections,
    Matches,
    OperatingPoint,
    best_threshold,
    counts,
    match_frames,
    recall_ratio,
)
from polyp_aug.evaluation.report import Table, digest_of, interval_text, make_folder, write_report

Detector = Callable[[Sequence[Path]], Sequence[Detections]]

_NOTES = f"""**Threshold.** The score with the highest F1 on the validation set. Detections are matched to objects one
to one, by falling score, at IoU {IOU:g} or more, at most {MOST_DETECTIONS} of a frame.

**Recall.** Share of a set's objects that are found; {CONFIDENCE:.0%} Wilson intervals, which take objects for
independent. Of sets by a generator only the objects are counted that a run marked as synthetic, unless the report was
asked for every object. **Ratio.** Recall over that of the first set, with a {CONFIDENCE:.0%} bootstrap interval from
drawing whole groups (patients, backgrounds or frames) of both sets, independently, {DRAWS} times.

A ratio near 1 says that the detector finds synthetic polyps as often as real ones, not that they look alike; above 1
they are easier to find than real ones. Sets whose polyps are of other sizes differ by that alone.

**Nothing found.** Share of the frames without annotations in which no detection reaches the threshold.
"""


@dataclass(frozen=True)
class RecallEvaluation:
    """A report, in JSON types, and its tables."""

    report: dict[str, Any]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class _Frames:
    """The frames of a set that are looked at, and which of their objects are measured."""

    file: Path
    dataset: CocoDataset
    images: tuple[CocoImage, ...]
    origin: Origin

    def paths(self) -> list[Path]:
        return [resolve_image(self.dataset.image_root, image.file_name) for image in self.images]

    def facts(self) -> dict[str, Any]:
        return {"annotations_sha256": digest_of([self.file]), "frames": len(self.images)}


def evaluate_recall(
    detect: Detector,
    facts: Mapping[str, Any],
    validation: Path,
    sets: Mapping[str, Path],
    out: Path,
    *,
    empty: Mapping[str, Path] | None = None,
    seed: int = 0,
    every_object: bool = False,
) -> RecallEvaluation:
    """Measure how many polyps of each set a detector finds, and write `report.json` and `report.md`.

    Args:
        detect: gives the detections of each of the pictures; called once, with those of all sets.
        facts: what the report says about the detector, in JSON types; `config` is its name.
        validation: COCO set to choose the threshold on.
        sets: name → COCO set. All objects of the first, the real one, are measured; of the others those that a run
            marked as synthetic. Frames without such objects are left out.
        out: folder to write.
        empty: name → COCO set whose frames without annotations should hold no polyp; the others are left out.
        seed: of the bootstrap.
        every_object: measure all objects of all sets.

    Raises:
        CocoError: a COCO file breaks the format.
        ConfigurationError: a set has no frame to measure, or fewer than ten groups where it is compared; or no object
            of the validation set is found.
        ImageError: a frame can't be read.
        StorageError: a file can't be written.
    """
    if not sets:
        raise ConfigurationError("no set to measure")
    first = next(iter(sets))
    held_out = _choose(validation, "all", lambda _: True, "frame")
    measured = {
        name: _with_objects(path, "all" if every_object or name == first else "synthetic")
        for name, path in sets.items()
    }
    emptied = {
        name: _choose(path, "all", lambda objects: not objects, "frame without annotations")
        for name, path in (empty or {}).items()
    }
    chosen, *others = _detected(detect, [held_out, *measured.values(), *emptied.values()])
    point = best_threshold(chosen)
    matches = dict(zip(measured, others[: len(measured)], strict=True))
    silent = dict(zip(emptied, others[len(measured) :], strict=True))
    report = {
        "detector": dict(facts),
        "threshold": held_out.facts() | {name: float(f"{value:.8g}") for name, value in asdict(point).items()},
        "seed": seed,
        "sets": {
            name: frames.facts() | _recall_facts(matches[name], matches[first], point, seed, name)
            for name, frames in measured.items()
        },
        "empty": {name: frames.facts() | _silence_facts(silent[name], point) for name, frames in emptied.items()},
    }
    result = RecallEvaluation(report, _tables(report, first))
    make_folder(out)
    write_report(out, f"Recall of {facts['config']}", report, result.tables, _NOTES)
    return result


def _with_objects(path: Path, origin: Origin) -> _Frames:
    kind = "polyp" if origin == "all" else "polyp that a run marked as synthetic (take other programs' sets whole)"
    return _choose(path, origin, lambda objects: any(counts(item, origin) for item in objects), f"frame with a {kind}")


def _choose(path: Path, origin: Origin, keep: Callable[[list[CocoAnnotation]], bool], kind: str) -> _Frames:
    dataset = read_coco(path)
    annotations = dataset.by_image()
    images = tuple(image for image in dataset.images if keep(annotations[image.id]))
    if not images:
        raise ConfigurationError(f"{path}: has no {kind}")
    return _Frames(annotations_file(path), dataset, images, origin)


def _detected(detect: Detector, parts: Sequence[_Frames]) -> list[Matches]:
    """The matches of every part, from one call of the detector."""
    detections = detect([path for part in parts for path in part.paths()])
    matches, start = [], 0
    for part in parts:
        own = detections[start : start + len(part.images)]
        matches.append(match_frames(part.images, part.dataset.by_image(), own, part.origin))
        start += len(part.images)
    return matches


def _recall_facts(matches: Matches, first: Matches, point: OperatingPoint, seed: int, name: str) -> dict[str, Any]:
    found = int(np.count_nonzero(matches.found >= point.score))
    ratio = None if matches is first else recall_ratio(matches, first, point.score, seed=seed, name=name)
    return {
        "objects": len(matches.found),
        "groups": len(set(matches.groups)),
        "found": found,
        "recall": wilson_interval(found, len(matches.found)).to_dict(),
        "ratio": None if ratio is None else ratio.to_dict(),
    }


def _silence_facts(matches: Matches, point: OperatingPoint) -> dict[str, Any]:
    silent = int(np.count_nonzero(matches.highest < point.score))
    return {"nothing_found": silent, "share": wilson_interval(silent, len(matches.highest)).to_dict()}


def _tables(report: Mapping[str, Any], first: str) -> tuple[Table, ...]:
    point = report["threshold"]
    rows = [
        (
            name,
            interval_text(item["recall"], 1, 100),
            *(str(item[key]) for key in ("found", "objects", "frames", "groups")),
            "" if name == first else "can't be told" if item["ratio"] is None else interval_text(item["ratio"]),
        )
        for name, item in report["sets"].items()
    ]
    columns = ("set", "recall, % (95 %)", "found", "objects", "frames", "groups", f"ratio to {first} (95 %)")
    tables = [
        Table(f"Recall at IoU {IOU:g}, score {point['score']:.3f} or more", columns, rows),
        Table(
            "The threshold on the validation set",
            ("score", "precision, %", "recall, %", "F1, %", "frames"),
            [
                (
                    f"{point['score']:.3f}",
                    *(f"{100 * point[key]:.1f}" for key in ("precision", "recall", "f1")),
                    str(point["frames"]),
                )
            ],
        ),
    ]
    if report["empty"]:
        silent = [
            (name, interval_text(item["share"], 1, 100), str(item["nothing_found"]), str(item["frames"]))
            for name, item in report["empty"].items()
        ]
        tables.append(Table("Frames without polyps", ("set", "nothing found, % (95 %)", "frames so", "frames"), silent))
    return tuple(tables)
