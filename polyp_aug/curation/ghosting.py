"""Ghosting: the background that shines through a painted polyp, and structure that is there twice."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.curation.polyp_view import LEAST, Floats, PolypView, smooth
from polyp_aug.images import MaskArray

#: Standard deviations in pixels of the Gaussians between which structure is looked at, of the background and doubled.
BAND, FINE_BAND = (1.0, 5.0), (0.7, 2.0)

#: Standard deviation of L in each band that noise and compression leave: what is fainter is no structure.
FAINT, FINE_FAINT = 0.3, 0.15

#: Pixels off the outline, inwards, from which on the polyp is measured.
MARGIN = 3.0

#: Least and largest displacement of doubled structure in pixels, the largest also as a share of the polyp's diameter.
DISPLACED, SHARE = (5, 48), 0.4

#: Least share of the polyp's pixels that must have a partner at a displacement.
OVERLAP = 0.35


def see_through(polyp: PolypView) -> float | None:
    """How much of the background's structure is still seen in the polyp: a correlation, −1 … 1.

    ⟨a b⟩ / √((⟨a²⟩ + F²)(⟨b²⟩ + F²)), where a and b are L after and before, both between the scales `BAND`, ⟨⟩ is the
    mean over the polyp's seen pixels, and F = `FAINT`: Pearson's correlation, less where there is no structure. A new
    polyp knows nothing of the mucosa that it hides. None where the frame before isn't known, or too little is seen.
    """
    if polyp.frame.before is None:
        return None
    light = np.ascontiguousarray(polyp.frame.before[:, :, 0])
    where = polyp.frame.seen & (polyp.distance < -MARGIN)
    if np.count_nonzero(where) < LEAST:
        return None
    own = np.ascontiguousarray(polyp.frame.lab[:, :, 0])
    after, before = (_band(values, where, BAND)[where] for values in (own, light))
    energy = (np.mean(after**2) + FAINT**2) * (np.mean(before**2) + FAINT**2)
    return float(np.mean(after * before) / np.sqrt(energy))


def doubling(polyp: PolypView) -> float | None:
    """How much of the polyp's structure is there a second time, displaced: a correlation, 0 … 1.

    Taken from the autocorrelation R of L between the scales `FINE_BAND`, over the polyp's seen pixels, each value
    divided by the energies of the pixels that it compares. A displaced copy is a peak of R that stands apart: the
    measure is the largest R(d) − min of R on the way from 0 to d, over the local maxima d within `DISPLACED`. Long
    folds, whose R falls off without a dip, are none. None where too little is seen.
    """
    where = polyp.frame.seen & (polyp.distance < -MARGIN)
    if np.count_nonzero(where) < LEAST:
        return None
    found = _autocorrelation(polyp, where)
    radius = found.shape[0] // 2
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    length = np.hypot(rows, columns)
    peaks = (found >= cv2.dilate(found, np.ones((3, 3), np.uint8))) & (found > 0)
    peaks &= (length >= DISPLACED[0]) & (length < radius)
    best = 0.0
    for row, column in zip(rows[peaks].tolist(), columns[peaks].tolist(), strict=True):
        way = np.linspace(0.0, 1.0, 2 * radius)
        passed = found[np.rint(radius + way * row).astype(int), np.rint(radius + way * column).astype(int)]
        best = max(best, float(passed[-1] - passed.min()))
    return best


def _autocorrelation(polyp: PolypView, where: MaskArray) -> Floats:
    """Correlations of the polyp's structure with itself, by displacement: float32 (2 r + 1, 2 r + 1), 0 in the middle.

    0 where too few pixels have a partner.
    """
    left, top, width, height = cv2.boundingRect(where.view(np.uint8))
    window = np.s_[top : top + height, left : left + width]
    band = _band(np.ascontiguousarray(polyp.frame.lab[:, :, 0]), where, FINE_BAND)[window]
    weights = where[window].astype(np.float32)
    # A single highlight or rim must not decide.
    limit = 3.0 * float(np.sqrt((band**2).sum() / weights.sum()))
    band = np.clip(band, -limit, limit)
    radius = round(max(DISPLACED[0] + 2, min(DISPLACED[1], SHARE * polyp.diameter)))
    size = tuple(cv2.getOptimalDFTSize(max(side, radius + 1) + radius) for side in (height, width))
    spectra = [np.fft.rfft2(values, size) for values in (band, band * band, weights)]
    pairs, products, first, second = (
        _around_zero(np.fft.irfft2(spectra[one] * np.conj(spectra[other]), size), radius)
        for one, other in ((2, 2), (0, 0), (1, 2), (2, 1))
    )
    energy = np.sqrt(np.maximum(first, 0) * np.maximum(second, 0))
    likeness = products / (energy + FINE_FAINT**2 * np.maximum(pairs, 1.0))
    return np.asarray(np.where(pairs >= OVERLAP * weights.sum(), likeness, 0.0), np.float32)


def _around_zero(values: npt.NDArray[np.float64], radius: int) -> npt.NDArray[np.float64]:
    """A circular correlation around the displacement 0."""
    return np.roll(values, (radius, radius), (0, 1))[: 2 * radius + 1, : 2 * radius + 1]


def _band(light: Floats, where: MaskArray, scales: tuple[float, float]) -> Floats:
    fine, coarse = (smooth(light, where, sigma) for sigma in scales)
    band = np.where(where, fine - coarse, np.float32(0))
    return np.asarray(np.where(where, band - band[where].mean(), np.float32(0)), np.float32)
