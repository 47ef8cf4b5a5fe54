"""Laying what was painted over the frame, and finding out what was painted."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.geometry import Box, IntBox, Region, intersection, largest_component, outer_box
from polyp_aug.images import ImageArray

#: Mean absolute change of the three channels, in grey levels after smoothing, that counts as painted.
CHANGE_THRESHOLD = 6.0


def feather_alpha(region: Region, feather: int, box: IntBox) -> npt.NDArray[np.float32]:
    """Opacity of a region with a soft outer edge, inside `box`.

    1 on the region; outside it falls with the distance d to the region as cos²(π d / (2 (feather + 1))) and is exactly
    0 from feather + 1 px on.

    Args:
        feather: width of the soft edge in pixels; 0 gives a hard edge.
        box: xywh, the part of the frame to compute.

    Returns:
        float32 (box height, box width) in [0, 1].
    """
    inside = region.within(box)
    if feather <= 0:
        return inside.astype(np.float32)
    distance = cv2.distanceTransform((~inside).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    reach = float(feather + 1)
    alpha = np.square(np.cos(np.minimum(distance, reach) * np.float32(np.pi / (2.0 * reach))))
    alpha[distance >= reach] = 0.0
    return np.asarray(alpha, dtype=np.float32)


def feather_width(region: Region, share: float) -> int:
    """Width of the soft edge in pixels: `share` of the equivalent diameter, between 1 and 24; 0 for share 0."""
    return min(24, max(1, round(share * region.equivalent_diameter))) if share > 0 else 0


def touched_box(region: Region, feather: int, width: int, height: int) -> IntBox:
    """The box, xywh, outside of which composition changes nothing."""
    return outer_box(region.box, feather + 1, width, height)


def composite(canvas: ImageArray, painted: ImageArray, region: Region, feather: int) -> IntBox:
    """Lay the painted region with its soft edge over `canvas`, in place: C ← C + α (P − C).

    Pixels where α is 0 keep their value exactly.

    Args:
        canvas: uint8 RGB (H, W, 3), written.
        painted: uint8 RGB of the same size.

    Returns:
        The box, xywh, outside of which nothing was written.
    """
    height, width = canvas.shape[:2]
    box = touched_box(region, feather, width, height)
    x, y, w, h = box
    alpha = feather_alpha(region, feather, box)[:, :, None]
    below = canvas[y : y + h, x : x + w]
    above = painted[y : y + h, x : x + w]
    # Exact in float32 where α is 0 (gives C) and where it is 1 (gives P).
    below[...] = below + (above.astype(np.float32) - below) * alpha + 0.5
    return box


def changed_region(before: ImageArray, after: ImageArray, asked: Region) -> Region | None:
    """What was painted inside of `asked`, from a comparison of the frame before and after.

    The largest connected area whose smoothed colour change reaches `CHANGE_THRESHOLD`, holes filled.

    Args:
        before: uint8 RGB (H, W, 3).
        after: uint8 RGB of the same size.

    Returns:
        The region, a part of `asked`, or None where nothing changed visibly.
    """
    x, y, w, h = intersection(asked.box, (0, 0, before.shape[1], before.shape[0]))
    if w == 0 or h == 0:
        return None
    area = np.s_[y : y + h, x : x + w]
    difference = cv2.absdiff(before[area], after[area]).astype(np.float32).mean(axis=2)
    smooth = cv2.GaussianBlur(difference, (0, 0), sigmaX=max(1.0, 0.01 * asked.equivalent_diameter))
    changed = (smooth >= CHANGE_THRESHOLD) & asked.within((x, y, w, h))
    return Region.from_mask(largest_component(changed), x, y)


def mean_change(before: ImageArray, after: ImageArray, region: Region, box: Box) -> float:
    """Mean absolute change in grey levels of the region's pixels inside `box`."""
    x, y, w, h = (int(value) for value in box)
    area = np.s_[y : y + h, x : x + w]
    inside = region.within((x, y, w, h)).view(np.uint8)
    return float(np.mean(cv2.mean(cv2.absdiff(before[area], after[area]), inside)[:3]))
