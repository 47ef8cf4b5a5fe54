"""Tight masks: which part of an annotated place was really painted, from a comparison of before and after.

A diffusion model changes every pixel of a place a little, also where it paints mucosa around its polyp. The annotation
is what changed visibly; here it is what changed as much as the polyp itself.
"""

from __future__ import annotations

import cv2
import numpy as np

from polyp_aug.compositing import CHANGE_THRESHOLD
from polyp_aug.geometry import Region, intersection, largest_component
from polyp_aug.images import ImageArray

#: Share of the polyp's own change that a pixel must have changed by, if not said otherwise, and the quantile of the
#: changes inside of the annotation that counts as the polyp's own.
SHARE, OWN = 0.3, 0.9

#: Standard deviation of the Gaussian over the changes, as a share of the annotation's diameter, at least one pixel.
SMOOTHING = 0.03


def painted_part(before: ImageArray, after: ImageArray, annotated: Region, share: float = SHARE) -> Region | None:
    """The part of an annotated region that shows what was painted.

    The largest connected area, holes filled, where the smoothed change c ≥ max(CHANGE_THRESHOLD, `share` · q), c the
    distance of the colours in RGB over √3, in grey levels, q the quantile `OWN` of c in the region.

    Args:
        before: uint8 RGB (H, W, 3).
        after: uint8 RGB of the same size.
        annotated: the annotation; the result lies inside of it.
        share: in (0, 1); the larger, the tighter.

    Returns:
        The region, or None where nothing changed visibly.
    """
    x, y, width, height = intersection(annotated.box, (0, 0, before.shape[1], before.shape[0]))
    if width == 0 or height == 0:
        return None
    area = np.s_[y : y + height, x : x + width]
    difference = after[area].astype(np.float32) - before[area].astype(np.float32)
    change = np.sqrt((difference * difference).mean(axis=2))
    smooth = cv2.GaussianBlur(change, (0, 0), max(1.0, SMOOTHING * annotated.equivalent_diameter))
    inside = annotated.within((x, y, width, height))
    if not inside.any():
        return None
    level = max(CHANGE_THRESHOLD, share * float(np.quantile(smooth[inside], OWN)))
    return Region.from_mask(largest_component((smooth >= level) & inside), x, y)
