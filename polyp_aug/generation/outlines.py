"""COCO segmentations as SVG paths, for showing."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.coco.masks import decode_segmentation
from polyp_aug.geometry import mask_box

_Points = npt.NDArray[np.float64]


def svg_path(segmentation: Any, width: int, height: int) -> str:
    """The outline of a segmentation as the data of an SVG path, to be filled by the even-odd rule.

    Corners are simplified by at most 0.75 pixel (more in frames larger than 1,500 pixels) and rounded to 0.1 pixel: for
    showing, not for measuring.

    Args:
        segmentation: polygons (list of flat lists x, y, x, y, … in pixels), RLE (dict with `size` and `counts`,
            compressed or not), or None.
        width: of the frame, in pixels; an RLE must have the same.
        height: of the frame, in pixels; an RLE must have the same.

    Returns:
        One closed subpath per ring, "" where nothing is left or `segmentation` is None.

    Raises:
        ValueError: a polygon has half a point or a number that is not finite, or an RLE can't be decoded.
    """
    if segmentation is None:
        return ""
    rings = _mask_rings(segmentation, width, height) if isinstance(segmentation, dict) else _polygons(segmentation)
    tolerance = max(0.75, max(width, height) / 2000)
    return "".join(_subpath(ring, tolerance) for ring in rings if len(ring))


def _polygons(polygons: Any) -> list[_Points]:
    rings = [np.asarray(polygon, dtype=np.float64).reshape(-1, 2) for polygon in polygons]
    if not all(np.isfinite(ring).all() for ring in rings):
        raise ValueError("a polygon has a coordinate that is not a finite number")
    return rings


def _mask_rings(rle: dict[str, Any], width: int, height: int) -> list[_Points]:
    mask = decode_segmentation(rle, width, height)
    box = mask_box(mask)
    if box is None:
        return []
    x, y, w, h = box
    # Contours run through pixel centres; at twice the size they come within a quarter pixel of the true edge.
    double = mask[y : y + h, x : x + w].repeat(2, axis=0).repeat(2, axis=1).astype(np.uint8)
    contours, _ = cv2.findContours(double, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [(contour[:, 0] + 0.5) / 2 + (x, y) for contour in contours]


def _subpath(ring: _Points, tolerance: float) -> str:
    corners = cv2.approxPolyDP(ring.astype(np.float32)[:, None], tolerance, closed=True)[:, 0]
    return "M" + "L".join(f"{round(x, 1):g} {round(y, 1):g}" for x, y in corners.tolist()) + "Z"
