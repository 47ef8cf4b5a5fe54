"""Annotations that are made to fit what was painted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from polyp_aug.coco import encode_region
from polyp_aug.curation.refinement import painted_part
from polyp_aug.curation.runs.measuring import Measured, rounded
from polyp_aug.curation.runs.painted import SYNTHETIC, PaintedFrame, Record, read_painted
from polyp_aug.curation.runs.policy import OVERLAP_OF_REFINED, Refiner
from polyp_aug.geometry import Box, Region, largest_component, outer_box
from polyp_aug.images import ImageArray, MaskArray

#: A mask of SAM is cut off this share of the box's longer side outside of the box.
MARGIN = 0.1

#: Fields of an object that are replaced.
FIELDS = ("bbox", "area", "segmentation")


class Segmenter(Protocol):
    """Segments what a box holds."""

    revision: str

    def segment(self, image: ImageArray, boxes: Sequence[Box]) -> list[MaskArray]:
        """Masks, bool (H, W), of boxes, xywh, in a picture, uint8 RGB (H, W, 3)."""
        ...


class RefinedAnnotations:
    """New boxes and masks, and how far they overlap the old ones.

    Args:
        by: "difference" compares before and after inside of the annotation, "sam" asks a segmenter by its box.
        segmenter: for "sam".
    """

    family = "refinement"
    batch = 8

    def __init__(self, by: Refiner, segmenter: Segmenter | None = None) -> None:
        self._by = by
        self._segmenter = segmenter

    def measure(self, folder: Path, records: Sequence[Record]) -> list[list[Measured]]:
        """See `Scorer.measure`; a polyp of which nothing was found keeps its annotation, at an overlap of 0."""
        found = []
        for record in records:
            painted = read_painted(folder, record, whole=self._by == "sam")
            regions = self._regions(painted)
            found.append([_refined(mask, region) for mask, region in zip(painted.masks, regions, strict=True)])
        return found

    def _regions(self, painted: PaintedFrame) -> list[Region | None]:
        height, width = painted.image.shape[:2]
        if self._segmenter is None:
            assert painted.before is not None
            annotated = [Region.from_mask(mask) for mask in painted.masks]
            return [
                None if region is None else painted_part(painted.before, painted.image, region) for region in annotated
            ]
        boxes = [item["bbox"] for item in painted.objects]
        masks = self._segmenter.segment(painted.image, boxes)
        regions = []
        for (x, y, w, h), mask in zip(boxes, masks, strict=True):
            left, top, columns, rows = outer_box((x, y, w, h), MARGIN * max(w, h), width, height)
            part = largest_component(np.ascontiguousarray(mask[top : top + rows, left : left + columns]))
            regions.append(Region.from_mask(part, left, top))
        return regions


def with_refined(record: Record, measured: Sequence[Measured]) -> dict[str, Any]:
    """A sample with its new annotations; each object that was changed keeps its old one as `annotated`."""
    refined = iter(measured)
    return {
        **record,
        "objects": [
            _replaced(item, next(refined)) if item["origin"] == SYNTHETIC else item for item in record["objects"]
        ],
    }


def _replaced(item: Mapping[str, Any], measured: Measured) -> dict[str, Any]:
    if "bbox" not in measured:
        return dict(item)
    return {**item, **{name: measured[name] for name in FIELDS}}


def _refined(mask: MaskArray, region: Region | None) -> Measured:
    if region is None:
        return {OVERLAP_OF_REFINED: 0.0}
    height, width = mask.shape
    new = region.to_mask(height, width)
    overlap = float(np.count_nonzero(new & mask) / np.count_nonzero(new | mask))
    return {
        OVERLAP_OF_REFINED: rounded(overlap),
        "bbox": list(region.box),
        "area": region.area,
        "segmentation": encode_region(region, width, height),
    }
