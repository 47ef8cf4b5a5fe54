"""Boxes, polygons and mask regions: pure functions on plain numbers and arrays.

Conventions: image coordinates in pixels, x to the right, y down, the origin at the top left corner of the top left
pixel. A box is `(x, y, width, height)` ("xywh", the COCO form) unless a name says otherwise. A box of integers covers
the pixels x … x + width − 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

MaskArray = npt.NDArray[np.bool_]

#: (x, y, width, height) in pixels.
Box = tuple[float, float, float, float]
IntBox = tuple[int, int, int, int]

#: Polygons are filled at so many times the frame's resolution.
_FINER = 4
_COVERED = 255 * (0.5 + 0.5 / _FINER)


@dataclass(frozen=True, eq=False)
class Region:
    """A set of pixels of a frame, stored as its tight box: small polyps in large frames stay small.

    Attributes:
        x: column of the crop's left edge in the frame.
        y: row of the crop's top edge in the frame.
        crop: bool (h, w); True belongs to the region. Its first and last row and column are not empty.
    """

    x: int
    y: int
    crop: MaskArray

    @classmethod
    def from_mask(cls, mask: MaskArray, x: int = 0, y: int = 0) -> Region | None:
        """The region of a bool mask (H, W) whose top left pixel stands at (x, y); None where the mask is empty."""
        box = mask_box(mask)
        if box is None:
            return None
        left, top, width, height = box
        crop = np.ascontiguousarray(mask[top : top + height, left : left + width])
        crop.setflags(write=False)
        return cls(x + left, y + top, crop)

    @property
    def box(self) -> IntBox:
        """The tight box, xywh."""
        height, width = self.crop.shape
        return self.x, self.y, width, height

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.crop))

    @property
    def equivalent_diameter(self) -> float:
        """Diameter in pixels of the disc of the same area."""
        return math.sqrt(4.0 * self.area / math.pi)

    def to_mask(self, height: int, width: int) -> MaskArray:
        """The region as a bool mask (height, width); what lies outside of the frame is cut off."""
        mask = np.zeros((height, width), dtype=np.bool_)
        x, y, w, h = intersection(self.box, (0, 0, width, height))
        if w > 0 and h > 0:
            mask[y : y + h, x : x + w] = self.crop[y - self.y : y - self.y + h, x - self.x : x - self.x + w]
        return mask

    def within(self, box: IntBox) -> MaskArray:
        """The region's pixels inside `box`, as a bool mask of the box's size."""
        x, y, width, height = box
        return Region(self.x - x, self.y - y, self.crop).to_mask(height, width)

    def clipped(self, width: int, height: int) -> Region | None:
        """The part inside of a frame of this size, or None."""
        if self.x >= 0 and self.y >= 0 and self.x + self.box[2] <= width and self.y + self.box[3] <= height:
            return self
        return Region.from_mask(self.to_mask(height, width))

    def grown(self, pixels: int) -> Region:
        """The pixels at most so far away from the region, its own included; they may lie outside of the frame."""
        if pixels <= 0:
            return self
        padded = np.pad(~self.crop, pixels, constant_values=True).view(np.uint8)
        near = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= pixels
        near.setflags(write=False)
        return Region(self.x - pixels, self.y - pixels, near)

    def shifted(self, dx: int, dy: int) -> Region:
        """The same pixels, moved."""
        return Region(self.x + dx, self.y + dy, self.crop)


def squeezed_mask(mask: MaskArray, size: int) -> MaskArray:
    """A mask, bool (H, W), at `size` × `size` pixels whatever its shape; a pixel is set where half of it is covered."""
    share = cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(share >= 0.5)


def mask_box(mask: MaskArray) -> IntBox | None:
    """Tight box, xywh, of the True pixels of a bool mask (H, W), or None where there are none."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8) if mask.flags.c_contiguous else mask.astype(np.uint8))
    return (x, y, width, height) if width > 0 and height > 0 else None


def intersection(first: IntBox, second: IntBox) -> IntBox:
    """Common part of two integer boxes, xywh; width or height is 0 where they don't meet."""
    x, y = max(first[0], second[0]), max(first[1], second[1])
    right = min(first[0] + first[2], second[0] + second[2])
    bottom = min(first[1] + first[3], second[1] + second[3])
    return x, y, max(0, right - x), max(0, bottom - y)


def boxes_meet(first: Box, second: Box) -> bool:
    """Whether two boxes, xywh, share any area."""
    return (
        first[0] < second[0] + second[2]
        and second[0] < first[0] + first[2]
        and first[1] < second[1] + second[3]
        and second[1] < first[1] + first[3]
    )


def box_iou(first: Box, second: Box) -> float:
    """Intersection over union of two boxes, xywh, in [0, 1]; 0 where both are empty."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    common = max(0.0, width) * max(0.0, height)
    union = first[2] * first[3] + second[2] * second[3] - common
    return common / union if union > 0 else 0.0


def outer_box(box: Box, margin: float, width: int, height: int) -> IntBox:
    """The integer box that holds `box` and `margin` pixels on every side, cut at the frame's border."""
    left = max(0, math.floor(box[0] - margin))
    top = max(0, math.floor(box[1] - margin))
    right = min(width, math.ceil(box[0] + box[2] + margin))
    bottom = min(height, math.ceil(box[1] + box[3] + margin))
    return left, top, max(0, right - left), max(0, bottom - top)


def enclosing_box(boxes: Iterable[Box]) -> Box:
    """Smallest box, xywh, that holds all of `boxes`, of which there must be one at least."""
    rows = list(boxes)
    left, top = min(box[0] for box in rows), min(box[1] for box in rows)
    right, bottom = max(box[0] + box[2] for box in rows), max(box[1] + box[3] for box in rows)
    return left, top, right - left, bottom - top


def polygon_region(points: npt.NDArray[np.float64], width: int, height: int) -> Region | None:
    """The pixels of a frame (width, height) of which at least half lies inside of a polygon.

    Args:
        points: float (N, 2), x and y of the corners.

    Returns:
        The region, cut at the frame's border, or None where nothing is left.
    """
    left, top = np.floor(points.min(axis=0)).astype(int)
    right, bottom = np.ceil(points.max(axis=0)).astype(int)
    columns, rows = max(1, right - left), max(1, bottom - top)
    fine = np.zeros((rows * _FINER, columns * _FINER), dtype=np.uint8)
    # fillPoly takes pixel centres, which stand half a pixel from the corners that coordinates count from. It paints
    # the pixels on the outline too, half a fine pixel too much on every side: that much more must be covered.
    corners = np.round(((points - (left, top)) * _FINER - 0.5) * 256).astype(np.int32)
    cv2.fillPoly(fine, [corners], 255, shift=8)
    covered = np.asarray(cv2.resize(fine, (int(columns), int(rows)), interpolation=cv2.INTER_AREA) >= _COVERED)
    region = Region.from_mask(covered, int(left), int(top))
    return region.clipped(width, height) if region else None


def largest_component(mask: MaskArray) -> MaskArray:
    """The largest 8-connected component of a bool mask (H, W), with its holes filled; empty where the mask is."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    filled = np.zeros(mask.shape, dtype=np.uint8)
    if len(stats) > 1:
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        component = (labels == largest).astype(np.uint8)
        contours, _ = cv2.findContours(component, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(filled, contours, -1, 1, cv2.FILLED)
    return filled.view(np.bool_)
