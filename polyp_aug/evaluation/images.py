"""Sets of pictures beside real ones: how near, how varied, how well they fit captions, and whether they are copies."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.crops import Origin, choose_crops, refuse_shared_groups
from polyp_aug.evaluation.feature_cache import FeatureCache
from polyp_aug.evaluation.features import PictureExtractor
from polyp_aug.evaluation.image_measures import Measured, measure, measure_diversity
from polyp_aug.evaluation.image_tables import image_notes, image_tables
from polyp_aug.evaluation.perceptual import PerceptualNetwork
from polyp_aug.evaluation.picture_sets import (
    Choice,
    PictureSet,
    captions_of,
    common_side,
    list_pictures,
    open_set,
    read_pictures,
)
from polyp_aug.evaluation.polyp_tables import REAL, TRAIN
from polyp_aug.evaluation.report import Table, make_folder, versions, write_report
from polyp_aug.evaluation.sheet import pair_sheet, side_by_side
from polyp_aug.images import write_png

#: Pictures of each set on a sheet, pairs on the sheet of neighbours, and the side that pictures have there.
SHEET_PICTURES = 60
SHEET_PAIRS = 24
SHEET_SIZE = 224

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class ImageEvaluation:
    """A report, in JSON types, and its tables."""

    report: dict[str, Any]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class SetSource:
    """Where a set is.

    Attributes:
        path: a COCO set, a run folder, or a folder of pictures.
        captions: file of captions; None for those of the run, or beside the COCO set, if there are any.
        every_object: of a synthetic set take all objects, not only those that a run marked as new.
    """

    path: Path
    captions: Path | None = None
    every_object: bool = False


def evaluate_images(
    real: SetSource,
    synthetic: Mapping[str, SetSource],
    out: Path,
    *,
    extractors: Sequence[PictureExtractor],
    train: SetSource | None = None,
    choice: Choice | None = None,
    cache: Path | None = None,
    observer: Callable[[int, int], None] | None = None,
) -> ImageEvaluation:
    """Measure sets of synthetic pictures against real ones that no generator has seen.

    Writes `report.json`, `report.md`, `sheet_NAME.png` (the set beside the real pictures) and, with `train`,
    `neighbours_NAME.png`: the closest pairs of a picture and a training picture, by the first extractor. Features are
    kept in `cache`, so that an interrupted evaluation goes on.

    Args:
        real: held-out real frames.
        synthetic: name → set.
        out: folder to write.
        extractors: whose features are compared, one after the other.
        train: real frames that the generators have seen: for the floor (real train against real), and for copies.
        choice: which pictures, and the seed of everything; `Choice.common` follows from the sets' sizes.
        cache: folder for features; `out/cache` for None.
        observer: called with pictures that were looked at, and all of them.

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
    if not extractors or len({item.revision for item in extractors}) < len(extractors):
        raise ConfigurationError(f"expected different extractors (got {[item.label for item in extractors]})")
    choice, sets, seen = list_sets(real, train, synthetic, choice or Choice())
    others = [item for name, item in sets.items() if name != REAL]
    store = FeatureCache(cache or out / "cache")
    total = len(extractors) * sum(len(item.pictures) for item in (*sets.values(), *([] if seen is None else [seen])))
    found: list[Measured] = []
    for number, extractor in enumerate(extractors):
        done = number * total // len(extractors)
        found.append(
            measure(
                sets[REAL],
                others,
                extractor,
                store,
                train=seen,
                seed=choice.seed,
                observer=None if observer is None else partial(_told, observer, done, total),
            )
        )
    network = PerceptualNetwork()
    diversity = measure_diversity(list(sets.values()), network, store, seed=choice.seed)
    report = {
        "seed": choice.seed,
        "protocol": protocol(choice),
        "sets": {name: set_facts(item) for name, item in sets.items()},
        "extractors": [item.report for item in found],
        "diversity": {"name": network.name, "revision": network.revision, "measures": diversity},
        "warnings": list(dict.fromkeys(text for item in found for text in item.report["warnings"])),
        "versions": versions(("torch", "numpy", "scipy", "opencv-python-headless")),
    }
    make_folder(out)
    _write_sheets(sets, list(synthetic), choice.seed, out)
    if seen is not None:
        _write_neighbours(sets, seen, found[0], out)
    tables = image_tables(report)
    write_report(out, "Synthetic pictures beside real ones", report, tables, image_notes(report))
    return ImageEvaluation(report, tables)


def _told(observer: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    observer(before + done, total)


def list_sets(
    real: SetSource, train: SetSource | None, synthetic: Mapping[str, SetSource], choice: Choice
) -> tuple[Choice, dict[str, PictureSet], PictureSet | None]:
    """The pictures that are compared.

    Returns:
        The choice with the common side that follows from the sets; the sets by name, `REAL` first, then `TRAIN`; and
        all training pictures, whatever `Choice.count` says, among which copies are looked for.

    Raises:
        ConfigurationError: a set is empty, or the real sets share patients.
        CocoError: a COCO file breaks the format.
        ImageError: a picture's header can't be read.
    """
    sources = {REAL: real} | ({} if train is None else {TRAIN: train}) | dict(synthetic)
    opened = {name: open_set(source.path) for name, source in sources.items()}
    if train is not None:
        refuse_shared_groups(opened[REAL], opened[TRAIN])
    choice = replace(
        choice,
        common=common_side(
            [item for name, item in opened.items() if name not in synthetic], [opened[name] for name in synthetic]
        ),
    )
    origins: dict[str, Origin] = {
        name: "real" if name not in synthetic else "all" if source.every_object else "synthetic"
        for name, source in sources.items()
    }
    captions = {name: captions_of(source.path, source.captions) for name, source in sources.items()}
    listed = {name: list_pictures(name, opened[name], origins[name], choice, captions[name]) for name in sources}
    if train is None or choice.count is None:
        return choice, listed, listed.get(TRAIN)
    return choice, listed, list_pictures(TRAIN, opened[TRAIN], "real", replace(choice, count=None), captions[TRAIN])


def protocol(choice: Choice) -> dict[str, Any]:
    """What a report says of the choice of pictures."""
    return {
        "crops": choice.crops,
        "with_polyps": choice.with_polyps,
        "count": choice.count,
        "common": choice.common,
    }


def set_facts(item: PictureSet) -> dict[str, Any]:
    """What a report says of a set."""
    return {
        "pictures": len(item.pictures),
        "frames": len({picture.file for picture in item.pictures}),
        "groups": len(set(item.groups)),
        "captions": sum(bool(picture.caption) for picture in item.pictures),
        "pictures_sha256": item.digest,
    }


def _write_sheets(sets: Mapping[str, PictureSet], synthetic: Sequence[str], seed: int, out: Path) -> None:
    for name in synthetic:
        shown = {
            key: list(
                read_pictures(choose_crops(sets[key].pictures, SHEET_PICTURES, seed, f"sheet of {key}"), SHEET_SIZE)
            )
            for key in (name, REAL)
        }
        write_png(out / f"sheet_{name}.png", side_by_side(shown))


def _write_neighbours(sets: Mapping[str, PictureSet], seen: PictureSet, found: Measured, out: Path) -> None:
    for name, near in found.neighbours.items():
        closest = near.closest(SHEET_PAIRS)
        queries = read_pictures([sets[name].pictures[number] for number in closest], SHEET_SIZE)
        references = read_pictures([seen.pictures[near.numbers[number]] for number in closest], SHEET_SIZE)
        captions = [f"{near.distances[number]:.3f}: {name} | {TRAIN}" for number in closest]
        write_png(out / f"neighbours_{name}.png", pair_sheet(list(zip(queries, references, strict=True)), captions))
