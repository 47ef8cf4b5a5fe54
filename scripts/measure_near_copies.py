"""Measure `polyp_aug/curation/near_copies.yaml`: how near copies are, and how near different real polyps and frames.

A copy is a frame that was made smaller, compressed as JPEG, and made brighter or darker; half of them are mirrored.
What looks alike lies half-way between the 99 % quantile of copies and the nearest pair of the two real sets, which
share no patient as far as is known, and never above nine tenths of the distance of that pair. Copies that were cut as
well are measured beside; polyps are hashed along their masks, which a cut doesn't touch. `training_hash` is what is
no copy, and `training_distance` is the 1 % quantile of the distances between held-out polyps and the
nearest training polyp, as in `evaluate polyps`.

Usage: measure_near_copies.py --data KVASIR_TRAIN --check KVASIR_VAL --source TEXT [--copies 100] [--out FILE]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import yaml

from polyp_aug.coco import read_coco
from polyp_aug.curation.perceptual_hash import nearest_hash, perceptual_hash
from polyp_aug.curation.runs.cutouts import Polyp, annotated_polyps, cut_out
from polyp_aug.curation.runs.painted import object_mask
from polyp_aug.evaluation.crops import PolypCrop, list_crops, orientations, squeezed
from polyp_aug.evaluation.features import EfficientNetLiteFeatures
from polyp_aug.evaluation.neighbours import CLOSE, CONTEXT, nearest
from polyp_aug.images import ImageArray, read_image
from polyp_aug.keys import Key

#: How a copy differs: size, quality of the JPEG, brightness, and how much is cut off for the second kind.
SMALLER, QUALITY, BRIGHTER, CUT = 0.6, 60, (0.85, 1.15), 0.04

#: Quantile of copies that counts, and the largest share of the nearest pair's distance at which pictures look alike.
COPIES, NEAREST = 0.99, 0.9


class Shown(NamedTuple):
    """A picture as it is hashed, and as features are taken of it."""

    hashed: ImageArray
    square: ImageArray


def items(source: Path, whole: bool) -> list[tuple[PolypCrop, Polyp | None]]:
    """The polyps of a set, or its whole frames, each once."""
    dataset = read_coco(source)
    crops = list_crops(dataset, "real", CONTEXT)
    annotations = {item.id: item for item in dataset.annotations}
    polyps = annotated_polyps(dataset, (annotations[crop.annotation] for crop in crops))
    if not whole:
        return list(zip(crops, polyps, strict=True))
    frames = {crop.frame: replace(crop, square=(0, 0, crop.width, crop.height)) for crop in crops}
    return [(frames[name], None) for name in sorted(frames)]


def shown(crop: PolypCrop, polyp: Polyp | None, image: ImageArray, size: int) -> Shown:
    """A polyp, or a whole frame where there is none, out of its frame or of a copy of it."""
    x, y, w, h = crop.square
    square = squeezed(image[y : y + h, x : x + w], size)
    if polyp is None:
        return Shown(square, square)
    return Shown(cut_out(image, object_mask(polyp.item, crop.width, crop.height), polyp.item["bbox"]), square)


def copied(crop: PolypCrop, number: int) -> ImageArray:
    """A copy of a frame."""
    generator = Key(0, "copy", draw=number).generator("copy")
    small = cv2.resize(read_image(crop.frame), None, fx=SMALLER, fy=SMALLER, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    back = cv2.resize(decoded, (crop.width, crop.height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(back * generator.uniform(*BRIGHTER), 0, 255), np.uint8)


def cut(crop: PolypCrop, number: int) -> PolypCrop:
    """The crop, or frame, less a part of its edge."""
    left, top = Key(0, "cut", draw=number).generator("cut").uniform(0, CUT, size=2)
    x, y, w, h = crop.square
    square = (round(x + left * w), round(y + top * h), round((1 - CUT) * w), round((1 - CUT) * h))
    return replace(crop, square=square)


def mirrored(some: Shown, number: int) -> Shown:
    """Every second picture is mirrored."""
    return Shown(*(np.ascontiguousarray(part[:, ::-1]) for part in some)) if number % 2 else some


def distances(
    queries: Sequence[Shown], references: Sequence[Shown], extractor: EfficientNetLiteFeatures, own: bool
) -> dict[str, npt.NDArray[np.float64]]:
    """Distances of pictures in all orientations to the nearest reference, or to that of the same number."""
    views = [[perceptual_hash(view) for view in orientations(query.hashed)] for query in queries]
    hashes = np.array(views, np.uint8)
    known = np.stack([perceptual_hash(reference.hashed) for reference in references])
    features = extractor.extract(view for query in queries for view in orientations(query.square))
    features = features.reshape(len(queries), 8, -1)
    vectors = extractor.extract(reference.square for reference in references)
    if own:
        bits = [nearest_hash(hashes[i : i + 1], known[i : i + 1])[0][0] for i in range(len(queries))]
        apart = [nearest(features[i : i + 1], vectors[i : i + 1]).distances[0] for i in range(len(queries))]
        return {"hash": np.array(bits, np.float64), "features": np.array(apart)}
    return {"hash": nearest_hash(hashes, known)[0].astype(np.float64), "features": nearest(features, vectors).distances}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--check", type=Path, required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--copies", type=int, default=100)
    default = Path(__file__).parents[1] / "polyp_aug" / "curation" / "near_copies.yaml"
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()
    extractor = EfficientNetLiteFeatures()
    limits: dict[str, dict[str, float]] = {}
    measured: dict[str, dict[str, float]] = {}
    for what, whole in (("polyp", False), ("frame", True)):
        size, pairs = extractor.size, items(options.data, whole)
        known, held_out = (
            [shown(crop, polyp, read_image(crop.frame), size) for crop, polyp in part]
            for part in (pairs, items(options.check, whole))
        )
        chosen = range(0, len(pairs), max(1, len(pairs) // options.copies))
        copies, cut_copies = [], []
        for number in chosen:
            crop, polyp = pairs[number]
            image = copied(crop, number)
            copies.append(mirrored(shown(crop, polyp, image, size), number))
            cut_copies.append(mirrored(shown(cut(crop, number), polyp, image, size), number))
        some = [known[number] for number in chosen]
        found = {
            "different": distances(held_out, known, extractor, False),
            "copies": distances(copies, some, extractor, True),
            "cut_copies": distances(cut_copies, some, extractor, True),
        }
        for level in ("hash", "features"):
            near, different = np.quantile(found["copies"][level], COPIES), found["different"][level].min()
            middle = float(min((near + different) / 2, NEAREST * different))
            limit = float(int(middle)) if level == "hash" else round(middle, 3)
            limits[f"{what}_{level}"] = {"at_most": limit}
            measured[f"{what}_{level}"] = {
                "copies_99": round(float(near), 3),
                "different_least": round(float(different), 3),
                "different_1": round(float(np.quantile(found["different"][level], 0.01)), 3),
                "different_median": round(float(np.median(found["different"][level])), 3),
                "copies_found": round(float((found["copies"][level] <= limit).mean()), 3),
                "cut_copies_found": round(float((found["cut_copies"][level] <= limit).mean()), 3),
            }
        if not whole:
            close = round(float(np.quantile(found["different"]["features"], CLOSE)), 3)
            limits["training_distance"] = {"at_least": close}
            limits["training_hash"] = {"at_least": limits["polyp_hash"]["at_most"] + 1}
    document = {"source": options.source, "extractor": extractor.name, "limits": limits, "measured": measured}
    head = "# Made by scripts/measure_near_copies.py; don't edit by hand.\n"
    options.out.write_text(head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    sys.stdout.write(options.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
