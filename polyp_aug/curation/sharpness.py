"""Blur: how sharp a painted polyp is beside its own frame."""

from __future__ import annotations

import cv2
import numpy as np

from polyp_aug.curation.polyp_view import LEAST, Floats, PolypView, smooth
from polyp_aug.images import MaskArray

#: Standard deviations in pixels of the Gaussians that bound the fine and the coarse scale, and of the shading that is
#: taken away first.
FINE, COARSE, SHADING = 1.0, 3.0, 8.0

#: Pixels off the outline from which on the polyp and its surroundings are measured: the outline itself is an edge.
MARGIN = 4.0

#: Gradient energy in squared units of L per squared pixel that noise and compression leave.
FLOOR = 0.002


def sharpness(polyp: PolypView) -> float | None:
    """Sharpness of a polyp less that of the mucosa around it, in octaves; negative where the polyp is more blurred.

    log2((E_p(FINE) + F) / (E_p(COARSE) + F)) − log2((E_m(FINE) + F) / (E_m(COARSE) + F)), where E(s) is the mean over
    the polyp's (p) or the mucosa's (m) seen pixels of |∇ (G_s − G_SHADING) ∗ L|², G_s a Gaussian of s pixels, and F is
    `FLOOR`. Light changes both energies of a place alike, so it is detail and not contrast. None where too little is
    seen.
    """
    inside = polyp.frame.seen & (polyp.distance < -MARGIN)
    outside = polyp.around & (polyp.distance > MARGIN)
    if min(np.count_nonzero(inside), np.count_nonzero(outside)) < LEAST:
        return None
    light = np.ascontiguousarray(polyp.frame.lab[:, :, 0])
    shading = smooth(light, polyp.frame.seen, SHADING)
    fine, coarse = (_slopes(smooth(light, polyp.frame.seen, sigma) - shading) for sigma in (FINE, COARSE))
    return _octaves(fine, coarse, inside) - _octaves(fine, coarse, outside)


def _octaves(fine: Floats, coarse: Floats, where: MaskArray) -> float:
    return float(np.log2((fine[where].mean() + FLOOR) / (coarse[where].mean() + FLOOR)))


def _slopes(values: Floats) -> Floats:
    """Squared gradients per pixel."""
    across = cv2.Sobel(values, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(values, cv2.CV_32F, 0, 1, scale=1 / 8)
    return np.asarray(across * across + down * down, np.float32)
