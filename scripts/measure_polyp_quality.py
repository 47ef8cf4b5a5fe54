"""Measure `polyp_aug/curation/polyp_quality.yaml`: the ranges that real polyps have, and how many others lie outside.

Real frames have no frame before. The background that must not shine through is a polyp-free frame of `--others`, and
the edge of what was painted is the outline of the mask grown by 4 … 20 px at 512 px.

Usage: measure_polyp_quality.py --data KVASIR_TRAIN --check KVASIR_VAL --others NORMAL_TRAIN --source TEXT [--out FILE]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import yaml

from polyp_aug.coco import decode_segmentation, read_coco, resolve_image
from polyp_aug.curation.polyp_quality import FAMILY, WORDS, measure_polyp
from polyp_aug.curation.polyp_view import view_frame, view_polyp
from polyp_aug.curation.seams import PAINT_REACH, sharpest_edge
from polyp_aug.images import read_image
from polyp_aug.keys import Key

#: Share of real polyps that each measure's limits leave out, of measures with two limits half on either side.
LOST = 0.01

#: The outline of what was painted stands so far outside of the mask, in pixels of the reduced frame.
GROWN = (4, 20)

#: Decimals of the limits.
DIGITS = 3


def measure_set(source: Path, others: Path) -> dict[str, npt.NDArray[np.float64]]:
    """Every measure of the polyps of a set, NaN where it can't be taken."""
    dataset, free = read_coco(source), read_coco(others)
    by_image = dataset.by_image()
    rows = []
    for number, image in enumerate(dataset.images):
        polyps = [item for item in by_image[image.id] if item.segmentation is not None and not item.iscrowd]
        masks = [decode_segmentation(item.segmentation, image.width, image.height) for item in polyps]
        if not masks:
            continue
        other = free.images[number % len(free.images)]
        background = read_image(resolve_image(free.image_root, other.file_name))
        before = np.asarray(cv2.resize(background, (image.width, image.height), interpolation=cv2.INTER_AREA), np.uint8)
        picture = read_image(resolve_image(dataset.image_root, image.file_name))
        frame = view_frame(picture, np.logical_or.reduce(masks), before)
        grown = Key(0, image.file_name).generator("grown").uniform(*GROWN, size=len(masks))
        for mask, margin in zip(masks, grown, strict=True):
            polyp = view_polyp(frame, mask)
            edge = sharpest_edge(polyp, np.asarray(polyp.distance - np.float32(margin), np.float32), PAINT_REACH)
            rows.append(measure_polyp(polyp) | {"seam": edge})
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in WORDS}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--data", "--check", "--others"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--source", required=True)
    default = Path(__file__).parents[1] / "polyp_aug" / "curation" / f"{FAMILY}.yaml"
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()
    measured, held_out = measure_set(options.data, options.others), measure_set(options.check, options.others)
    limits, rejected = {}, {}
    outside = np.zeros(len(held_out["glare"]), np.bool_)
    for name, (small, _) in WORDS.items():
        sides = (LOST / 2, 1 - LOST / 2) if small else (0.0, 1 - LOST)
        low, high = (round(float(value), DIGITS) for value in np.nanquantile(measured[name], sides))
        limits[name] = ({"at_least": low} if small else {}) | {"at_most": high}
        beyond = held_out[name] > high
        if small:
            beyond |= held_out[name] < low
        rejected[name] = round(float(beyond.mean()), DIGITS)
        outside |= beyond
    found = {
        "source": options.source,
        "limits": limits,
        "held_out": {
            "polyps": len(outside),
            "rejected": rejected,
            "rejected_by_any": round(float(outside.mean()), DIGITS),
        },
    }
    head = "# Made by scripts/measure_polyp_quality.py; don't edit by hand.\n"
    options.out.write_text(head + yaml.safe_dump(found, sort_keys=False, allow_unicode=True), encoding="utf-8")
    sys.stdout.write(options.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
