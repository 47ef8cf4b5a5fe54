"""Synthetic polyps beside real ones: kernel distance, its floor, memorisation, and sheets to look at."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from polyp_aug.coco import CocoDataset, read_coco
from polyp_aug.coco.read import annotations_file
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation import neighbours
from polyp_aug.evaluation.crops import (
    CONTEXT,
    SMALLEST,
    Origin,
    PolypCrop,
    choose_crops,
    list_crops,
    orientations,
    read_crops,
    refuse_shared_groups,
)
from polyp_aug.evaluation.features import FeatureExtractor, FeatureSet
from polyp_aug.evaluation.kernel_distance import KernelDistances, kernel_distances
from polyp_aug.evaluation.neighbours import Memorisation, Neighbours, memorisation, nearest
from polyp_aug.evaluation.polyp_tables import REAL, TRAIN, polyp_notes, polyp_tables
from polyp_aug.evaluation.report import Table, digest_of, make_folder, versions, write_report
from polyp_aug.evaluation.sheet import pair_sheet, side_by_side
from polyp_aug.images import write_png

#: Crops of each set on a sheet, and pairs on the sheet of neighbours.
SHEET_CROPS = 100
SHEET_PAIRS = 24

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class PolypEvaluation:
    """A report, in JSON types, and its tables."""

    report: dict[str, Any]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class _Set:
    """Polyps of one data set: their crops, those of the polyps alone in the same order, and features of the former."""

    digest: str
    crops: list[PolypCrop]
    tight: list[PolypCrop]
    features: FeatureSet

    def facts(self) -> dict[str, Any]:
        """What the report says about the set."""
        return {
            "annotations_sha256": self.digest,
            "crops": len(self.crops),
            "frames": len({crop.frame for crop in self.crops}),
            "groups": len(set(self.features.groups)),
            "median_side": median(crop.square[2] for crop in self.crops),
        }


def evaluate_polyps(
    real: Path,
    synthetic: Mapping[str, Path],
    out: Path,
    *,
    extractor: FeatureExtractor,
    train: Path | None = None,
    count: int | None = None,
    seed: int = 0,
    every_object: bool = False,
    observer: Callable[[str], None] | None = None,
) -> PolypEvaluation:
    """Measure sets of synthetic polyps against real ones that no generator has seen.

    Writes `report.json`, `report.md`, `sheet_NAME.png` (the set beside the real polyps) and, with `train`,
    `neighbours_NAME.png`: the closest pairs of a polyp of the set and a training polyp, also for the real ones.

    Args:
        real: COCO set of held-out real polyps.
        synthetic: name → COCO set.
        out: folder to write.
        extractor: whose features are compared.
        train: COCO set of the real polyps that the generators have seen; for the floor (real train against real) and
            for the memorisation check.
        count: at most so many polyps of each set, drawn by the seed; all for None.
        seed: the only source of randomness.
        every_object: take all objects of the synthetic sets, not only those that a run marked as synthetic.
        observer: called with each set's name when it is begun.

    Raises:
        ConfigurationError: a name can't be a file's name, a set is too small, or the real sets share patients.
        CocoError: a COCO file breaks the format.
        ImageError: a frame can't be read.
        StorageError: a file can't be written.
    """
    for name in synthetic:
        if not _NAME.fullmatch(name) or name == REAL:
            raise ConfigurationError(f"{name!r} can't name a set: letters, digits, '_', '-' and '.', and not {REAL!r}")
    if not synthetic:
        raise ConfigurationError("no synthetic set to measure")
    origins: dict[str, tuple[Path, Origin]] = {REAL: (real, "real")}
    if train is not None:
        origins[TRAIN] = (train, "real")
    origins |= {name: (path, "all" if every_object else "synthetic") for name, path in synthetic.items()}
    datasets = {name: read_coco(path) for name, (path, _) in origins.items()}
    if train is not None:
        refuse_shared_groups(datasets[REAL], datasets[TRAIN])
    sets = {}
    for name, (path, origin) in origins.items():
        if observer is not None:
            observer(name)
        sets[name] = _read_set(name, path, datasets[name], origin, extractor, count, seed)
    others = [item.features for name, item in sets.items() if name != REAL]
    distances = kernel_distances(sets[REAL].features, others, seed=seed)
    if observer is not None and TRAIN in sets:
        observer("copies")
    found = _neighbours(sets, extractor)
    copies = {name: memorisation(found[name], found[REAL]) for name in synthetic if found}
    make_folder(out)
    for name in synthetic:
        _write_sheet(sets, name, extractor.size, seed, out)
    for name, pairs in found.items():
        _write_pairs(sets, name, pairs, extractor.size, out)
    report = _report(sets, distances, copies, extractor, count, seed)
    tables = polyp_tables(report)
    write_report(out, "Synthetic polyps beside real ones", report, tables, polyp_notes(extractor.name, extractor.size))
    return PolypEvaluation(report, tables)


def _read_set(
    name: str,
    path: Path,
    dataset: CocoDataset,
    origin: Origin,
    extractor: FeatureExtractor,
    count: int | None,
    seed: int,
) -> _Set:
    # The same numbers are drawn twice: both lists have the same polyps in the same order.
    crops, tight = (
        choose_crops(list_crops(dataset, origin, context), count, seed, name)
        for context in (CONTEXT, neighbours.CONTEXT)
    )
    features = extractor.extract(read_crops(crops, extractor.size))
    groups = [crop.group for crop in crops]
    return _Set(digest_of([annotations_file(path)]), crops, tight, FeatureSet(name, features, groups))


def _neighbours(sets: Mapping[str, _Set], extractor: FeatureExtractor) -> dict[str, Neighbours]:
    """The nearest training polyp of each polyp of the other sets; none where there is no training set."""
    if TRAIN not in sets:
        return {}
    train = extractor.extract(read_crops(sets[TRAIN].tight, extractor.size))
    found = {}
    for name, item in sets.items():
        if name != TRAIN:
            views = (view for picture in read_crops(item.tight, extractor.size) for view in orientations(picture))
            features = extractor.extract(views)
            found[name] = nearest(features.reshape(len(item.tight), -1, features.shape[1]), train)
    return found


def _write_sheet(sets: Mapping[str, _Set], name: str, size: int, seed: int, out: Path) -> None:
    shown = {
        key: list(read_crops(choose_crops(sets[key].crops, SHEET_CROPS, seed, f"sheet of {key}"), size))
        for key in (name, REAL)
    }
    write_png(out / f"sheet_{name}.png", side_by_side(shown))


def _write_pairs(sets: Mapping[str, _Set], name: str, found: Neighbours, size: int, out: Path) -> None:
    closest = found.closest(SHEET_PAIRS)
    queries = read_crops([sets[name].tight[number] for number in closest], size)
    references = read_crops([sets[TRAIN].tight[found.numbers[number]] for number in closest], size)
    captions = [f"{found.distances[number]:.3f}: {name} | {TRAIN}" for number in closest]
    write_png(out / f"neighbours_{name}.png", pair_sheet(list(zip(queries, references, strict=True)), captions))


def _report(
    sets: Mapping[str, _Set],
    distances: KernelDistances,
    copies: Mapping[str, Memorisation],
    extractor: FeatureExtractor,
    count: int | None,
    seed: int,
) -> dict[str, Any]:
    return {
        "extractor": extractor.name,
        "crops": {
            "context": CONTEXT,
            "context_of_copies": neighbours.CONTEXT,
            "smallest": SMALLEST,
            "size": extractor.size,
            "count": count,
        },
        "seed": seed,
        "sets": {name: item.facts() for name, item in sets.items()},
        "kernel_distance": {name: interval.to_dict() for name, interval in distances.distances.items()},
        "kernel_distance_differences": [
            {"first": first, "second": second, **interval.to_dict()}
            for (first, second), interval in distances.differences.items()
        ],
        "memorisation": {name: found.to_dict() for name, found in copies.items()},
        "versions": versions(("torch", "numpy", "opencv-python-headless")),
    }
