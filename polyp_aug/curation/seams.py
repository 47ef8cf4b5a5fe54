"""Seams: a step of light or colour that follows an outline more sharply than real mucosa and real polyps do."""

from __future__ import annotations

import cv2
import numpy as np

from polyp_aug.curation.polyp_view import Floats, PolypView, signed_distance, smooth
from polyp_aug.images import MaskArray

#: Standard deviations in pixels of the Gaussians before the gradient and before the outline's direction is taken.
FINE, DIRECTION = 0.8, 1.5

#: How far from the outline a seam is looked for in pixels: of a polyp's mask, and of what was painted, whose soft edge
#: lies inside.
MASK_REACH, PAINT_REACH = (-4, 4), (-16, 2)

#: Half width of a seam, and the distances at which its neighbours lie, in pixels.
HALF, NEIGHBOURS = 1.0, (3, 8)

#: Pixels that a curve must have, so that texture cancels out along it, and gradient in CIELAB per pixel that any curve
#: has.
LEAST, FLOOR = 60, 0.15

_FRAME = 8


def rim(polyp: PolypView) -> float | None:
    """How sharply light and colour change along the outline of the polyp's mask; see `sharpest_edge`.

    A pasted polyp has an edge like a sticker; a real one's is broad, or not just where its mask ends.
    """
    return sharpest_edge(polyp, polyp.distance, MASK_REACH)


def seam(polyp: PolypView) -> float | None:
    """The same along the outline of what was painted, soft edge included; None where the frame before isn't known."""
    if polyp.frame.changed is None:
        return None
    _, labels = cv2.connectedComponents(polyp.frame.changed.astype(np.uint8), connectivity=8)
    own = np.unique(labels[polyp.mask & polyp.frame.changed])
    if not own.size:
        return None
    return sharpest_edge(polyp, signed_distance(np.isin(labels, own)), PAINT_REACH)


def sharpest_edge(polyp: PolypView, distance: Floats, reach: tuple[int, int]) -> float | None:
    """The sharpest curve parallel to an outline, against its neighbours.

    Args:
        polyp: whose frame is looked at.
        distance: float32 (h, w), from the outline in pixels, positive outside.
        reach: smallest and largest distance at which an edge is looked for.

    Returns:
        max over d in `reach` of S(d) / (mean of S(d') over `NEIGHBOURS` + FLOOR), where S(d) is the length of the mean
        of the CIELAB gradient across the outline, over the seen pixels at the distance d ± `HALF` from it. Texture has
        no common direction and cancels out. None where no curve is seen.
    """
    steps = range(reach[0] - NEIGHBOURS[1], reach[1] + NEIGHBOURS[1] + 1)
    x, y, width, height = cv2.boundingRect((np.abs(distance) <= max(map(abs, steps)) + HALF).view(np.uint8))
    # The filters look beyond the band a little.
    left, top = max(0, x - _FRAME), max(0, y - _FRAME)
    part = np.s_[top : y + height + _FRAME, left : x + width + _FRAME]
    distance, seen = distance[part], polyp.frame.seen[part]
    gradients = _across(np.ascontiguousarray(polyp.frame.lab[part]), np.ascontiguousarray(distance), seen)
    strengths: dict[int, float] = {}
    for step in steps:
        where = seen & (np.abs(distance - step) < HALF)
        if np.count_nonzero(where) >= LEAST:
            strengths[step] = float(np.linalg.norm(gradients[where].mean(axis=0)))
    found = []
    for step, strength in strengths.items():
        beside = [value for other, value in strengths.items() if NEIGHBOURS[0] <= abs(other - step) <= NEIGHBOURS[1]]
        if reach[0] <= step <= reach[1] and len(beside) >= NEIGHBOURS[1] // 2:
            found.append(strength / (sum(beside) / len(beside) + FLOOR))
    return max(found, default=None)


def _across(lab: Floats, distance: Floats, seen: MaskArray) -> Floats:
    """The gradient of each channel in the direction away from the outline, float32 (h, w, 3), per pixel."""
    rounded = np.asarray(cv2.GaussianBlur(distance, (0, 0), DIRECTION), np.float32)
    direction = [_slope(rounded, axis) for axis in (0, 1)]
    length = np.maximum(np.hypot(*direction), 1e-3)
    channels = (smooth(np.ascontiguousarray(lab[:, :, channel]), seen, FINE) for channel in range(3))
    return np.stack(
        [(_slope(values, 0) * direction[0] + _slope(values, 1) * direction[1]) / length for values in channels], axis=-1
    )


def _slope(values: Floats, axis: int) -> Floats:
    return np.asarray(cv2.Sobel(values, cv2.CV_32F, 1 - axis, axis, scale=1 / 8), np.float32)
