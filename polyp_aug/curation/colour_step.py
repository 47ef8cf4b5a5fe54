"""Colour: how a polyp's light and colour differ from those of the mucosa around it."""

from __future__ import annotations

import numpy as np

from polyp_aug.curation.polyp_view import LEAST, PolypView


def colour_step(polyp: PolypView) -> tuple[float, float, float] | None:
    """Mean CIELAB of the polyp's seen pixels less that of the mucosa around it: steps of L, a and b.

    None where too little of either is seen.
    """
    inside = polyp.mask & polyp.frame.seen
    if min(np.count_nonzero(inside), np.count_nonzero(polyp.around)) < LEAST:
        return None
    step = polyp.frame.lab[inside].mean(axis=0) - polyp.frame.lab[polyp.around].mean(axis=0)
    return float(step[0]), float(step[1]), float(step[2])
