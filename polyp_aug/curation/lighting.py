"""Over-lighting and over-saturation: how much of a painted polyp is white, and how much has a channel at its end."""

from __future__ import annotations

import numpy as np

from polyp_aug.curation.polyp_view import PolypView
from polyp_aug.images import channel_max, channel_min
from polyp_aug.mucosa import WHITE

#: A channel from here on is at its end.
CLIPPED = 252


def glare(polyp: PolypView) -> float:
    """Share of the polyp's pixels that are white (no channel below `WHITE`), 0 … 1."""
    return float((channel_min(polyp.frame.rgb)[polyp.mask] >= WHITE).mean())


def saturation(polyp: PolypView) -> float:
    """Share of the polyp's pixels that are coloured and have a channel at its end, 0 … 1."""
    ended = (channel_max(polyp.frame.rgb) >= CLIPPED) & (channel_min(polyp.frame.rgb) < WHITE)
    return float(np.asarray(ended)[polyp.mask].mean())
