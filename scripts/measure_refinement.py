"""Measure `polyp_aug/curation/refinement.yaml`: how well the difference of two frames tells what a polyp's mask is.

Polyps that `polyp-aug remove` repainted: the frame before shows the polyp, the one after mucosa, and the annotation
says which pixels the polyp was. `changed` and `refined` look for it in the whole repainted `place`, `own_mask` looks
inside of its own mask, where nothing should be lost; `refined_overlap` is the 1 % quantile of that.

Usage: measure_refinement.py --run REMOVED [--run …] --source TEXT [--out FILE]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from polyp_aug.coco import decode_segmentation
from polyp_aug.compositing import changed_region
from polyp_aug.curation.refinement import painted_part
from polyp_aug.generation.run_folder import read_records
from polyp_aug.geometry import Region, box_iou
from polyp_aug.images import ImageArray, read_image

#: Quantile of the overlaps inside of real polyps' own masks below which an annotation isn't trusted.
LOST = 0.01


class Removed(NamedTuple):
    """A polyp that was removed: without and with it, where was repainted, and its mask."""

    without: ImageArray
    shown: ImageArray
    place: Region
    mask: Region


def removed_polyps(run: Path) -> Iterator[Removed]:
    """The frames of which one polyp was removed."""
    for record in read_records(run):
        removed = [item for item in record.get("objects", []) if item["origin"] == "removed"]
        if len(removed) != 1 or not removed[0]["segmentation"]:
            continue
        without = read_image(run / "images" / record["file_name"])
        x, y, w, h = record["before"]["box"]
        shown = without.copy()
        shown[y : y + h, x : x + w] = read_image(run / "before" / record["before"]["file_name"])
        mask = Region.from_mask(decode_segmentation(removed[0]["segmentation"], record["width"], record["height"]))
        if mask is not None:
            yield Removed(without, shown, Region(x, y, np.ones((h, w), np.bool_)), mask)


def overlaps(found: Region | None, truth: Region, size: tuple[int, int]) -> tuple[float, float]:
    """Intersection over union of boxes and of masks."""
    if found is None:
        return 0.0, 0.0
    first, second = found.to_mask(*size), truth.to_mask(*size)
    return box_iou(found.box, truth.box), float((first & second).sum() / (first | second).sum())


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, action="append", required=True)
    parser.add_argument("--source", required=True)
    default = Path(__file__).parents[1] / "polyp_aug" / "curation" / "refinement.yaml"
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()
    rows: dict[str, list[tuple[float, float]]] = {"place": [], "changed": [], "refined": [], "own_mask": []}
    for run in options.run:
        for polyp in removed_polyps(run):
            size = polyp.without.shape[:2]
            rows["place"].append(overlaps(polyp.place, polyp.mask, size))
            rows["changed"].append(overlaps(changed_region(polyp.without, polyp.shown, polyp.place), polyp.mask, size))
            rows["refined"].append(overlaps(painted_part(polyp.without, polyp.shown, polyp.place), polyp.mask, size))
            own = painted_part(polyp.without, polyp.shown, polyp.mask)
            rows["own_mask"].append(overlaps(own, polyp.mask, size))
    means = {
        name: dict(zip(("box", "mask"), np.round(np.mean(values, axis=0), 3).tolist(), strict=True))
        for name, values in rows.items()
    }
    least = round(float(np.quantile([mask for _, mask in rows["own_mask"]], LOST)), 3)
    document = {
        "source": options.source,
        "limits": {"refined_overlap": {"at_least": least}},
        "polyps": len(rows["place"]),
        "mean_overlap": means,
    }
    head = "# Made by scripts/measure_refinement.py; don't edit by hand.\n"
    options.out.write_text(head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    sys.stdout.write(options.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
