"""Frames that were made from masks and captions, beside real ones: how near, and do they show what was asked for?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from polyp_aug.captions.dataset import read_captions
from polyp_aug.captions.facts import FrameFacts, PolypFacts
from polyp_aug.coco import decode_segmentation, read_coco, resolve_image
from polyp_aug.coco.read import annotations_file
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.attributes import (
    OF_CROP,
    AttributeReader,
    Flags,
    FrameFeatures,
    PictureDetector,
    ShownPolyp,
    chance_rate,
    describe,
    paired_difference,
    reading_rate,
    uniform_rate,
)
from polyp_aug.evaluation.crops import group_of
from polyp_aug.evaluation.features import FeatureExtractor, FeatureSet
from polyp_aug.evaluation.frame_tables import frame_notes, frame_tables
from polyp_aug.evaluation.kernel_distance import kernel_distances
from polyp_aug.evaluation.polyp_tables import REAL, TRAIN
from polyp_aug.evaluation.report import Table, digest_of, make_folder, versions, write_report
from polyp_aug.generation.run_folder import FRAMES, read_records, read_run, task_of
from polyp_aug.images import read_image
from polyp_aug.training.captioned import draw_frame
from polyp_aug.training.frames import Frame


@dataclass(frozen=True)
class CaptionedSet:
    """A COCO set of real frames, and the file of its captions."""

    data: Path
    captions: Path


@dataclass(frozen=True)
class FrameDetector:
    """A detector that reads place and size.

    Attributes:
        detect: gives the boxes of pictures.
        facts: what the report says about it, in JSON types; `config` is its name.
    """

    detect: PictureDetector
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class FrameEvaluation:
    """A report, in JSON types, and its tables."""

    report: dict[str, Any]
    tables: tuple[Table, ...]


@dataclass(frozen=True, eq=False)
class _Shown:
    """Frames with their largest polyp, their groups, and what tells frames of two sets apart."""

    digest: str
    polyps: list[ShownPolyp]
    groups: list[str]
    orders: list[str]


@dataclass(frozen=True, eq=False)
class _Set:
    """Frames with polyps: features, facts of the largest polyp, groups, and what tells frames of two sets apart."""

    digest: str
    features: FrameFeatures
    facts: list[PolypFacts]
    measured: list[PolypFacts]
    groups: list[str]
    orders: list[str]


def evaluate_frames(
    real: CaptionedSet,
    train: CaptionedSet,
    runs: Mapping[str, Path],
    out: Path,
    *,
    extractor: FeatureExtractor,
    detector: FrameDetector | None = None,
    seed: int = 0,
    observer: Callable[[str], None] | None = None,
) -> FrameEvaluation:
    """Measure runs of whole frames against real frames that no generator has seen.

    Writes `report.json` and `report.md`: the kernel distance of whole frames, and how often the attributes that were
    asked for are read by a classifier that learned on `train`, and measured again. Frames without polyps are left out.
    Real frames are squeezed to the runs' size first.

    Args:
        real: held-out real frames.
        train: real frames that the generators have seen: for the floor, and for the classifier to learn on.
        runs: name → run folder of whole frames.
        out: folder to write.
        extractor: whose features are compared and read.
        detector: reads place and size by its boxes; it must have been trained on real frames alone.
        seed: of the bootstrap.
        observer: called with each set's name when it is begun.

    Raises:
        ConfigurationError: a folder is no run of whole frames, frames have several sizes, or a set is too small.
        CocoError: a COCO file breaks the format.
        ImageError: a frame can't be read.
        RunFolderDamagedError: a record can't be trusted.
        StorageError: a file can't be written.
    """
    reserved = {REAL, TRAIN} & set(runs)
    if reserved or not runs:
        raise ConfigurationError(f"a run can't be named {sorted(reserved)[0]!r}" if reserved else "no run to measure")
    sets: dict[str, _Set] = {}
    sources: dict[str, CaptionedSet | Path] = {REAL: real, TRAIN: train, **runs}
    for run in runs.values():
        if task_of(read_run(run)) != FRAMES:
            raise ConfigurationError(f"{run}: expected a run of whole frames, as ccis_diff makes them")
    size = _common_size(runs)
    for name, source in sources.items():
        if observer is not None:
            observer(name)
        shown = _real(source, size) if isinstance(source, CaptionedSet) else _made(source)
        sets[name] = _described(shown, extractor, detector)
    distances = kernel_distances(
        _whole(REAL, sets[REAL]), [_whole(name, item) for name, item in sets.items() if name != REAL], seed=seed
    )
    reader = AttributeReader(sets[TRAIN].features, sets[TRAIN].facts)
    right = {name: reader.read(item.features, item.facts) for name, item in sets.items() if name != TRAIN}
    report = {
        "extractor": extractor.name,
        "detector": None if detector is None else dict(detector.facts),
        "seed": seed,
        "versions": versions(("torch", "numpy", "scikit-learn")),
        "sets": {
            name: {"annotations_sha256": item.digest, "frames": len(item.facts), "groups": len(set(item.groups))}
            for name, item in sets.items()
        },
        "kernel_distance": {name: found.to_dict() for name, found in distances.distances.items()},
        "kernel_distance_differences": [
            {"first": first, "second": second, **found.to_dict()}
            for (first, second), found in distances.differences.items()
        ],
        "size": size,
        "attributes": list(reader.attributes),
        "measuring": {
            name: {
                attribute: reading_rate(flags, seed=seed, name="reading").to_dict()
                for attribute, flags in _measured(item).items()
            }
            for name, item in sets.items()
            if name != TRAIN
        },
        "reading": {
            name: {
                attribute: {
                    **reading_rate(flags, seed=seed, name="reading").to_dict(),
                    "uniform": round(uniform_rate(sets[name].facts, attribute), 6),
                    "chance": round(chance_rate(sets[name].facts, attribute), 6),
                }
                for attribute, flags in found.items()
            }
            for name, found in right.items()
        },
        "reading_differences": [
            {
                "first": first,
                "second": second,
                **{
                    attribute: paired_difference(
                        right[first][attribute], right[second][attribute], seed=seed, name="reading"
                    ).to_dict()
                    for attribute in reader.attributes
                },
            }
            for first, second in combinations(runs, 2)
            if sets[first].orders == sets[second].orders
        ],
    }
    tables = frame_tables(report)
    make_folder(out)
    write_report(
        out,
        "Frames from masks and captions beside real ones",
        report,
        tables,
        frame_notes(extractor.name, None if detector is None else detector.facts["config"]),
    )
    return FrameEvaluation(report, tables)


def _whole(name: str, found: _Set) -> FeatureSet:
    return FeatureSet(name, found.features.whole, found.groups)


def _measured(found: _Set) -> dict[str, Flags]:
    """For each attribute that the picture decides, whether it is measured as it was asked for."""
    return {
        name: np.array(
            [getattr(one, name) == getattr(other, name) for one, other in zip(found.measured, found.facts, strict=True)]
        )
        for name in OF_CROP
    }


def _common_size(runs: Mapping[str, Path]) -> int:
    """The side of the frames of all runs."""
    sizes = {(image.width, image.height) for run in runs.values() for image in read_coco(run).images}
    if len(sizes) != 1 or len(set(next(iter(sizes)))) != 1:
        raise ConfigurationError(f"runs have frames of {sorted(sizes)} pixels, expected squares of one size")
    return next(iter(sizes))[0]


def _real(source: CaptionedSet, size: int) -> _Shown:
    dataset, records = read_coco(source.data), read_captions(source.captions)
    objects = dataset.by_image()
    shown, groups, orders = [], [], []
    for image in dataset.images:
        record = records.get(image.id)
        if record is None or not record.facts.polyps:
            continue
        polyps = {item.id: item for item in objects[image.id]}
        if record.file_name != image.file_name or record.annotation_ids[0] not in polyps:
            raise ConfigurationError(f"{source.captions}: its image {image.id} is not that of {source.data}")
        largest = polyps[record.annotation_ids[0]]
        picture, mask = draw_frame(
            Frame(resolve_image(dataset.image_root, image.file_name), (largest.bbox,), (largest.segmentation,)), size
        )
        if not mask.any():
            continue
        shown.append(ShownPolyp(picture, mask, record.facts.polyps[0]))
        groups.append(group_of(image))
        orders.append(image.file_name)
    if not shown:
        raise ConfigurationError(f"{source.captions}: no frame with polyps has a caption")
    digest = digest_of([annotations_file(source.data), source.captions])
    return _Shown(digest, shown, groups, orders)


def _made(run: Path) -> _Shown:
    shown, groups, orders = [], [], []
    for record in read_records(run):
        if record["status"] != "made":
            continue
        largest = max(record["objects"], key=lambda item: item["area"])
        facts = FrameFacts.from_dict(record["facts"]).polyps[0]
        mask = decode_segmentation(largest["segmentation"], record["width"], record["height"])
        shown.append(ShownPolyp(read_image(run / "images" / record["file_name"]), mask, facts))
        background = record["background"]
        groups.append(str(background.get("group") or background["file"]))
        orders.append(f"{record['key']} {record['caption']}")
    if not shown:
        raise ConfigurationError(f"{run}: no frame was made")
    return _Shown(digest_of([run / "annotations.json"]), shown, groups, orders)


def _described(shown: _Shown, extractor: FeatureExtractor, detector: FrameDetector | None) -> _Set:
    return _Set(
        shown.digest,
        describe(extractor, shown.polyps, None if detector is None else detector.detect),
        [item.facts for item in shown.polyps],
        [item.measured for item in shown.polyps],
        shown.groups,
        shown.orders,
    )
