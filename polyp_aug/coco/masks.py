"""COCO segmentations: polygons, compressed and uncompressed run-length encoding (RLE).

COCO coordinates count from the top left corner of the top left pixel, and pycocotools paints the pixels whose centre a
polygon holds. OpenCV's contours run through the pixel centres instead, and lose half a pixel on every side: a disc of
20 pixels comes back at IoU 0.88. Polygons are therefore traced on the region at twice its size, a quarter of a pixel
outside of the centres, and thinned out as far as `ROUND_TRIP_IOU` allows.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from polyp_aug.errors import CocoError
from polyp_aug.geometry import Region
from polyp_aug.images import MaskArray

#: A region is written as polygons where they come back with at least this intersection over union.
ROUND_TRIP_IOU = 0.98

# How far, in pixels of the doubled region, a polygon may leave the traced outline: the first gives a quarter of the
# corners, the second hardly ever moves a line across a pixel's centre.
_TOLERANCES = (1.5, 0.6)


def encode_region(region: Region, width: int, height: int) -> list[list[float]] | dict[str, Any]:
    """The part of a region inside of a frame, as a COCO segmentation in plain JSON types.

    Args:
        region: the pixels.
        width: of the frame, in pixels.
        height: of the frame, in pixels.

    Returns:
        Polygons (flat lists x, y, x, y, … in pixels) where pycocotools decodes them with an IoU of at least
        `ROUND_TRIP_IOU`, else a compressed RLE.

    Raises:
        CocoError: no pixel of the region is inside of the frame.
    """
    region = _inside(region, width, height)
    doubled = cv2.resize(region.crop.view(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    offset = np.array((region.x, region.y), dtype=np.float64)
    for tolerance in _TOLERANCES:
        corners = [cv2.approxPolyDP(contour, tolerance, True).reshape(-1, 2) / 2 + 0.25 for contour in contours]
        if min(map(len, corners)) >= 3 and _round_trip_iou(corners, region.crop) >= ROUND_TRIP_IOU:
            return [(points + offset).ravel().tolist() for points in corners]
    return encode_rle(region, width, height)


def encode_rle(region: Region, width: int, height: int) -> dict[str, Any]:
    """The part of a region inside of a frame (width, height), as a compressed RLE in plain JSON types.

    Returns:
        `{"size": [height, width], "counts": text}`, equal to pycocotools' encoding of the frame's mask.

    Raises:
        CocoError: no pixel of the region is inside of the frame.
    """
    region = _inside(region, width, height)
    # Pixels are numbered down the columns. An edge is where a run of the crop's own columns starts or ends.
    columns = np.pad(region.crop.T, ((0, 0), (1, 1))).view(np.int8)
    column, row = np.nonzero(np.diff(columns, axis=1))
    edges = (region.x + column) * height + region.y + row
    # A run that reaches the frame's lower border goes on in the next column where that one starts at the upper border.
    joined = np.flatnonzero(edges[1:] == edges[:-1])
    edges = np.delete(edges, np.concatenate((joined, joined + 1)))
    ends = [0, *edges.tolist(), width * height]
    counts = np.diff(ends if ends[-1] != ends[-2] else ends[:-1]).tolist()
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}


def decode_segmentation(segmentation: Any, width: int, height: int) -> MaskArray:
    """The mask of a COCO segmentation.

    Args:
        segmentation: polygons, or an RLE whose counts are a list (uncompressed) or text or bytes (compressed).
        width: of the image, in pixels.
        height: of the image, in pixels.

    Returns:
        bool of shape (height, width). Parts of polygons outside of the image are cut off.

    Raises:
        CocoError: the segmentation is malformed, or an RLE is not of the image's size.
    """
    problem = segmentation_problem(segmentation, width, height)
    if problem:
        raise CocoError(f"segmentation {problem}")
    return _painted(_runs(segmentation, width, height), width, height)


def segmentation_area(segmentation: Any, width: int, height: int) -> int:
    """Number of pixels of a segmentation that `segmentation_problem` finds nothing wrong with."""
    return int(_runs(segmentation, width, height)[1::2].sum())


def segmentation_problem(segmentation: Any, width: int, height: int) -> str | None:
    """What is wrong with a segmentation of an image of this size, as the end of a sentence, or None."""
    if isinstance(segmentation, dict):
        return _rle_problem(segmentation, width, height)
    if not isinstance(segmentation, list) or not segmentation:
        return f"is {_short(segmentation)}, expected polygons or an RLE"
    for number, polygon in enumerate(segmentation):
        if not isinstance(polygon, list):
            return f"has {_short(polygon)} as polygon {number}, expected a list of numbers"
        if len(polygon) < 6 or len(polygon) % 2:
            return f"has a polygon ({number}) of {len(polygon)} numbers, expected an even number from 6 on"
        if set(map(type, polygon)) - {int, float}:
            return f"has a polygon ({number}) with values that are not numbers"
        # pycocotools paints on a grid of 32-bit integers, in steps of a fifth of a pixel.
        low, high = min(polygon), max(polygon)
        if not (math.isfinite(sum(polygon)) and low > -1e5 and high < 1e5):
            return f"has a polygon ({number}) with coordinates from {low} to {high}, expected pixels of the image"
    return None


def rle_counts(counts: bytes) -> npt.NDArray[np.int64]:
    """The run lengths of a compressed RLE, alternately outside and inside, beginning outside.

    The text holds 5 bits a character, from "0" on, the sixth bit says that more follow, and from the fourth run on each
    is stored as the difference from the run two before it.

    Raises:
        CocoError: the text is no RLE.
    """
    values = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    if values.size == 0 or values.min() < 0 or values.max() > 63 or values[-1] & 32:
        raise CocoError("counts are not a compressed RLE")
    last = np.flatnonzero(values & 32 == 0)
    first = np.concatenate(([0], last[:-1] + 1))
    if int((last - first).max()) > 6:
        raise CocoError("counts are not a compressed RLE")
    place = np.arange(values.size) - np.repeat(first, last - first + 1)
    runs = np.add.reduceat((values & 31) << (5 * place), first)
    negative = (values[last] & 16).astype(bool)
    runs[negative] -= np.int64(1) << (5 * (last - first + 1))[negative]
    if runs.size > 1:
        runs[1::2] = np.cumsum(runs[1::2])
        runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _rle_problem(rle: dict[str, Any], width: int, height: int) -> str | None:
    counts = rle.get("counts")
    if rle.get("size") != [height, width]:
        return f"has the RLE size {_short(rle.get('size'))}, expected [{height}, {width}]"
    if isinstance(counts, list):
        if set(map(type, counts)) - {int}:
            return "has RLE counts that are not integers"
        runs = counts
    elif isinstance(counts, (str, bytes)):
        try:
            runs = rle_counts(counts.encode("ascii") if isinstance(counts, str) else counts).tolist()
        except (CocoError, UnicodeEncodeError):
            return "has RLE counts that can't be decoded"
    else:
        return f"has {_short(counts)} as RLE counts, expected text or a list of integers"
    if min(runs, default=0) < 0:
        return "has negative RLE counts"
    if sum(runs) != width * height:
        return f"has RLE counts that add up to {sum(runs)}, expected {width} × {height} = {width * height}"
    return None


def _runs(segmentation: Any, width: int, height: int) -> npt.NDArray[np.int64]:
    if isinstance(segmentation, list):
        return rle_counts(coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))["counts"])
    counts = segmentation["counts"]
    if isinstance(counts, list):
        return np.array(counts, dtype=np.int64)
    return rle_counts(counts.encode("ascii") if isinstance(counts, str) else counts)


def _painted(runs: npt.NDArray[np.int64], width: int, height: int) -> MaskArray:
    # Not pycocotools' decode, which warns with every call under NumPy 2.
    inside = np.arange(runs.size) % 2 == 1
    return np.ascontiguousarray(np.repeat(inside, runs).reshape(width, height).T)


def _inside(region: Region, width: int, height: int) -> Region:
    inside = region.clipped(width, height)
    if inside is None:
        raise CocoError(f"region with box {region.box} has no pixel inside of a frame of {width}×{height}")
    return inside


def _round_trip_iou(polygons: list[npt.NDArray[np.float64]], crop: MaskArray) -> float:
    height, width = crop.shape
    decoded = _painted(_runs([points.ravel().tolist() for points in polygons], width, height), width, height)
    return float(np.count_nonzero(decoded & crop) / np.count_nonzero(decoded | crop))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
