"""Random convex polygons in the box of a polyp, and their pixels."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull

from polyp_aug.geometry import IntBox
from polyp_aug.images import MaskArray

#: The corners of the unit square in order.
SQUARE = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])

# Corner number i stands between the sides that touching points i and i + 1 lie on: above, right, below, left.
_CORNERS = np.array([(1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)])


def inscribed_polygon(generator: np.random.Generator, extra: int = 4) -> npt.NDArray[np.float64]:
    """A random convex polygon in the unit square that touches all four of its sides.

    A point is drawn on each side. Between two neighbours P and Q with the square's corner C between them, points are
    drawn on the quarter of an ellipse C + (P − C)(1 − cos t) + (Q − C)(1 − sin t), which bulges towards C. The polygon
    is the convex hull of all: convex and inside of the square whatever is drawn, and it touches every side, since a
    point of the square's border can't be inside of the hull.

    Args:
        generator: the source of randomness.
        extra: how many points are drawn on the arcs.

    Returns:
        float64 (N, 2): x and y of the corners in [0, 1], in order.
    """
    along = generator.uniform(0.15, 0.85, 4)
    touching = np.array([(along[0], 0.0), (1.0, along[1]), (along[2], 1.0), (0.0, along[3])])
    sides = generator.integers(4, size=extra)
    angles = generator.uniform(0.0, np.pi / 2, (extra, 1))
    corner, first, second = _CORNERS[sides], touching[sides], touching[(sides + 1) % 4]
    arcs = corner + (first - corner) * (1.0 - np.cos(angles)) + (second - corner) * (1.0 - np.sin(angles))
    points = np.concatenate([touching, np.clip(arcs, 0.0, 1.0)])
    return np.asarray(points[ConvexHull(points).vertices])


def fill_polygon(corners: npt.NDArray[np.float64], box: IntBox, width: int, height: int) -> MaskArray:
    """The pixels of a frame (width, height) in a polygon that is given in the unit square of a box.

    0 and 1 stand for the centres of the box's first and last pixels, so that what touches a side of the square reaches
    the box's outermost pixels, and nothing lies outside of the box.

    Args:
        corners: float64 (N, 2) in [0, 1].
        box: xywh in pixels, inside of the frame.

    Returns:
        bool (height, width), never empty.
    """
    x, y, w, h = box
    mask = np.zeros((height, width), np.uint8)
    points = np.round((corners * (w - 1, h - 1) + (x, y)) * 256).astype(np.int32)
    cv2.fillPoly(mask, [points], 1, shift=8)
    return mask.view(np.bool_)
