"""The polyps of a published frame: from its mask or its boxes to boxes, areas and segmentations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from polyp_aug.coco.masks import encode_region, segmentation_area
from polyp_aug.datasets.base import BoxXYXY, Frame, Shape
from polyp_aug.errors import DatasetLayoutError, ImageError
from polyp_aug.geometry import Box, Region
from polyp_aug.images import MaskArray, read_mask

#: A mask component of fewer pixels is no polyp, in a frame whose longer side is `REFERENCE_SIDE` pixels.
MIN_COMPONENT_PIXELS = 32
REFERENCE_SIDE = 512

#: Decimals of a pixel to which shares of a side are taken: whole pixels come back whole.
_PIXEL_DECIMALS = 8


@dataclass(frozen=True)
class Polyp:
    """A polyp, in COCO terms.

    Attributes:
        bbox: xywh in pixels.
        area: of the mask, or of the box where there is no mask.
        segmentation: polygons or RLE, None where only the box is known.
        category: COCO id of its category.
    """

    bbox: Box
    area: float
    segmentation: Any = None
    category: int = 1


def frame_polyps(frame: Frame, width: int, height: int, max_pixels: int) -> list[Polyp]:
    """The polyps of a frame (width, height) in pixels; none where the frame is published, or masked, as polyp-free.

    Raises:
        ImageError: the mask can't be read, is of another size than the frame, or holds nothing but specks.
        DatasetLayoutError: a box has no area in the frame, or a frame published as a polyp holds none.
    """
    if frame.kind == "normal":
        return []
    if frame.shapes is not None:
        return [_shape_polyp(shape, width, height) for shape in frame.shapes]
    if frame.mask is None and frame.boxes_xyxy is None:
        raise DatasetLayoutError("published as a polyp, with neither mask nor boxes")
    if frame.mask is None:
        polyps = [_box_polyp(box, width, height) for box in frame.boxes_xyxy or ()]
    else:
        polyps = _mask_polyps(frame.mask, width, height, max_pixels)
    if frame.kind == "polyp" and not polyps:
        raise DatasetLayoutError("published as a polyp, but its annotation is empty")
    return polyps


def _mask_polyps(path: Path, width: int, height: int, max_pixels: int) -> list[Polyp]:
    mask = read_mask(path, max_pixels=max_pixels)
    if mask.shape != (height, width):
        raise ImageError(f"{path}: mask of {mask.shape[1]}×{mask.shape[0]}, expected the picture's {width}×{height}")
    smallest = min_component_pixels(width, height)
    regions = mask_components(mask, smallest)
    if not regions and mask.any():
        raise ImageError(f"{path}: {np.count_nonzero(mask)} mask pixels, but no component of {smallest} or more")
    return [Polyp(region.box, float(region.area), encode_region(region, width, height)) for region in regions]


def _box_polyp(box: BoxXYXY, width: int, height: int) -> Polyp:
    x_min, y_min, x_max, y_max = box
    if not all(math.isfinite(value) for value in box):
        raise DatasetLayoutError(f"box {box}, expected finite numbers")
    left, right = max(0.0, x_min), min(float(width), x_max)
    top, bottom = max(0.0, y_min), min(float(height), y_max)
    if right <= left or bottom <= top:
        raise DatasetLayoutError(f"box {box} (xmin, ymin, xmax, ymax) has no area in a frame of {width}×{height}")
    return Polyp((left, top, right - left, bottom - top), (right - left) * (bottom - top))


def _shape_polyp(shape: Shape, width: int, height: int) -> Polyp:
    left, top, right, bottom = _pixels(shape.box_xyxy, width, height)
    w, h = round(right - left, _PIXEL_DECIMALS), round(bottom - top, _PIXEL_DECIMALS)
    if w <= 0 or h <= 0:
        raise DatasetLayoutError(f"box {shape.box_xyxy} (shares) has no area in a frame of {width}×{height}")
    segmentation = [_pixels(shape.polygon, width, height)] if shape.polygon else None
    area = segmentation_area(segmentation, width, height) if segmentation else 0
    return Polyp((left, top, w, h), area or w * h, segmentation, shape.category + 1)


def _pixels(shares: Sequence[float], width: int, height: int) -> list[float]:
    """Shares x, y, x, y, … of a frame's sides in pixels."""
    return [round(share * (height if number % 2 else width), _PIXEL_DECIMALS) for number, share in enumerate(shares)]


def min_component_pixels(width: int, height: int) -> int:
    """The smallest mask component that counts as a polyp, in pixels.

    `MIN_COMPONENT_PIXELS` where the longer side is `REFERENCE_SIDE`; it grows and shrinks with the square of the longer
    side, so that scaling a frame doesn't change what is in it.
    """
    return max(1, round(MIN_COMPONENT_PIXELS * (max(width, height) / REFERENCE_SIDE) ** 2))


def mask_components(mask: MaskArray, min_pixels: int) -> list[Region]:
    """The 8-connected components of a bool mask (H, W) with at least `min_pixels` pixels, from top to bottom."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    regions = []
    for label, (x, y, width, height, area) in enumerate(statistics.tolist()):
        if label > 0 and area >= min_pixels:
            regions.append(Region(x, y, labels[y : y + height, x : x + width] == label))
    return sorted(regions, key=lambda region: (region.y, region.x, region.box))
