"""The colours in and around a box, from its middle outwards: what tells a polyp's colour from that of its mucosa.

A polyp fills about the ellipse that touches its box's sides. Mean colours are taken on rings of ellipses of that form;
the box is known, the polyp's outline isn't.
"""

from __future__ import annotations

import cv2
import numpy as np

from polyp_aug.captions.measures import view
from polyp_aug.evaluation.features import Features
from polyp_aug.geometry import Box
from polyp_aug.images import ImageArray

#: Radii of the rings, over those of the ellipse that touches the box: two inside, its edge, two around.
RINGS = ((0.0, 0.5), (0.5, 0.85), (0.85, 1.05), (1.05, 1.35), (1.35, 1.8))

#: Points along each side of the grid that colours are taken at.
_GRID = 48

#: Fewer points than this don't tell a colour.
_LEAST = 6

#: Least L and least a / L that are divided by, or whose logarithm is taken.
_DARKEST, _PALEST = 8.0, 0.02


def box_tones(image: ImageArray, box: Box) -> Features:
    """a / L, b / L and L of each ring in CIELAB, and how a / L inside compares with that around, float64 (19,).

    Light changes a and b as it changes L. Highlights and the black border don't count; a ring that shows nothing else
    gets the mean of the others.

    Args:
        image: uint8 RGB (H, W, 3).
        box: xywh in pixels.
    """
    x, y, width, height = box
    reach = RINGS[-1][1]
    steps = ((np.arange(_GRID) + 0.5) / _GRID * 2.0 - 1.0) * reach
    across, down = np.meshgrid(steps, steps)
    columns = (x + width / 2 + across * width / 2 - 0.5).astype(np.float32)
    rows = (y + height / 2 + down * height / 2 - 0.5).astype(np.float32)
    lab = cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    seen = cv2.resize(view(image).seen.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    colours = cv2.remap(lab, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    counted = cv2.remap(seen, columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0) > 0
    radius = np.hypot(across, down)
    found = np.full((len(RINGS), 3), np.nan)
    for number, (inner, outer) in enumerate(RINGS):
        ring = (radius >= inner) & (radius < outer) & counted
        if np.count_nonzero(ring) >= _LEAST:
            found[number] = colours[ring].mean(axis=0)
    missing = np.isnan(found[:, 0])
    found[missing] = found[~missing].mean(axis=0) if not missing.all() else colours.mean(axis=(0, 1))
    ratios = found[:, 1:] / np.maximum(found[:, :1], _DARKEST)
    red = np.log(np.maximum(ratios[:, 0], _PALEST))
    against = red[:2, None] - red[None, 3:]
    return np.concatenate([ratios.ravel(), found[:, 0] / 100.0, against.ravel()])
