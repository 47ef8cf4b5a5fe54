"""How good a frame is as a picture: blur, reflections, displaced colours and interlacing, measured on mucosa alone.

Polyp-Gen (Liu et al., 2025) trained after its authors had taken out "low-quality images with blurry, reflective, and
ghosting effects" by hand. These are measures of the same effects.

**Where.** Only in the *field*: the mucosa of `polyp_aug.mucosa` and the white areas that touch it. Black borders,
burned-in text, position boxes and the dark lumen are not in it. Smoothing is normalised by the field, so that what lies
outside, and the step at its edge, do not count.

**Resolution.** Lengths are in field pixels (fpx): the longer side of the field's bounding box is 512 fpx. Filters have
a constant width in fpx and larger fields are reduced to 512 pixels, so a frame gives nearly the same values at any
resolution above; below, the detail that is lost with the pixels is blur. Interlacing lives on single lines and is
measured on the pixels as they are: a frame that was scaled after it was interlaced shows it weakly or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.geometry import IntBox
from polyp_aug.images import ImageArray, MaskArray, channel_min
from polyp_aug.mucosa import WHITE, WHITE_SHARE, find_burned_in, find_mucosa

Floats = npt.NDArray[np.float32]

#: Longer side of the field in fpx; larger fields are reduced to so many pixels.
FIELD_SIDE = 512

#: Least share of the frame that must be field, and least side of its bounding box in pixels, to measure anything.
LEAST_FIELD, LEAST_SIDE = 0.02, 16

#: Standard deviations of the Gaussians that bound the fine and the coarse scale of `blur`, in fpx.
FINE, COARSE, SHADING = 1.2, 3.6, 10.0

#: Tiles along the longer side of the field, the least share of a tile that must be field, and the share of the tiles
#: that may be sharper than the tile that decides. A bland or defocused part does not make a frame blurred.
TILES, LEAST_TILE, SHARPEST = 8, 0.5, 0.25

#: Gradient energy in squared grey levels per squared fpx below which a tile counts as flat: noise and compression.
FLAT = 0.05

#: Standard deviations of the band that colours are compared in, in fpx.
COLOUR_FINE, COLOUR_COARSE = 0.7, 5.0

#: Energy of single lines, in squared grey levels, that rounding and compression leave in any frame.
LINE_NOISE = 0.1

_NYQUIST = np.array([1, -4, 6, -4, 1], np.float32) / 16
_SMOOTH = np.array([1, 2, 1], np.float32) / 4


@dataclass(frozen=True)
class FrameQuality:
    """The measures of one frame; all but `field` are 0 at best.

    Attributes:
        field: share of the frame that is measured, 0 … 1.
        blur: 0 … 1. Gradient energy of the green channel at the coarse scale over that at the fine scale, in the
            direction in which it is largest (motion blurs one direction only): `max_d Q((E_d(COARSE) + FLAT) /
            (E_d(FINE) + FLAT))`, where `E_d(s) = ⟨(∂_d (G_s − G_SHADING) ∗ I)²⟩` is the mean over a tile, `d` runs over
            0°, 45°, 90° and 135°, and `Q` is the quantile `SHARPEST` over the tiles. 1 where nothing fine is seen.
        reflection: share of the field that is white (no channel below `WHITE`), 0 … 1: highlights and over-exposure.
        largest_reflection: share of the field in the largest connected white area, 0 … `reflection`.
        channel_shift: displacement of the red or the blue picture against the green one, the larger of the two, in
            fpx: cameras that take the colours one after the other show it in motion.
        interlacing: 0 … 1. Excess of detail that alternates from line to line over such that alternates from column to
            column, `max(0, (V − H) / (V + H + LINE_NOISE))`, V and H the mean squares of the green channel under the
            filter (1, −4, 6, −4, 1) / 16 downwards and across, smoothed the other way.
    """

    field: float
    blur: float
    reflection: float
    largest_reflection: float
    channel_shift: float
    interlacing: float


#: What a frame without a field gets: nothing is sharp, and nothing else can be said.
UNSEEN = FrameQuality(0.0, 1.0, 0.0, 0.0, 0.0, 0.0)


def measure_frame(image: ImageArray) -> FrameQuality:
    """Measure a frame, uint8 RGB (H, W, 3). Without mucosa it is `UNSEEN`."""
    field, inner, (x, y, width, height) = _field(image)
    share = float(np.count_nonzero(field)) / field.size
    if share < LEAST_FIELD or not inner.any() or min(width, height) < LEAST_SIDE:
        return UNSEEN
    window = np.s_[y : y + height, x : x + width]
    crop, field, inner = np.ascontiguousarray(image[window]), field[window], inner[window]
    white = np.asarray((channel_min(crop) >= WHITE) & field)
    size = float(np.count_nonzero(field))
    interlacing = _interlacing(crop[:, :, 1], inner)
    crop, inner = _reduced(crop, inner)
    return FrameQuality(
        field=share,
        blur=_blur(crop[:, :, 1], inner),
        reflection=float(np.count_nonzero(white)) / size,
        largest_reflection=_largest(white) / size,
        channel_shift=_channel_shift(crop, inner),
        interlacing=interlacing,
    )


def _field(image: ImageArray) -> tuple[MaskArray, MaskArray, IntBox]:
    """The field, the field without its rim, both (H, W), and the field's bounding box, xywh in pixels."""
    mucosa = find_mucosa(image)
    step = mucosa.step
    rows, columns = mucosa.map.shape
    white = cv2.inRange(channel_min(image), WHITE, 255)
    white[find_burned_in(image)] = 0
    dense = cv2.resize(white[: rows * step, : columns * step], (columns, rows), interpolation=cv2.INTER_AREA)
    count, labels = cv2.connectedComponents((dense > 255 * WHITE_SHARE).astype(np.uint8), connectivity=8)
    touching = np.zeros(count, np.bool_)
    touching[labels[cv2.dilate(mucosa.map.view(np.uint8), np.ones((3, 3), np.uint8)) > 0]] = True
    touching[0] = False
    found = (mucosa.map | touching[labels]).astype(np.uint8)
    rim = cv2.erode(found, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    x, y, width, height = (int(side) * step for side in cv2.boundingRect(found))
    return _enlarged(found, step, image), _enlarged(rim, step, image), (x, y, width, height)


def _enlarged(small: npt.NDArray[Any], step: int, image: ImageArray) -> MaskArray:
    mask = np.zeros(image.shape[:2], np.bool_)
    large = np.repeat(np.repeat(small, step, axis=0), step, axis=1)
    mask[: large.shape[0], : large.shape[1]] = large
    return mask


def _reduced(crop: ImageArray, inner: MaskArray) -> tuple[ImageArray, MaskArray]:
    height, width = inner.shape
    scale = FIELD_SIDE / max(height, width)
    if scale >= 1:
        return crop, inner
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(inner.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8), small.view(np.bool_)


def _largest(mask: MaskArray) -> float:
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    return float(stats[1:, cv2.CC_STAT_AREA].max(initial=0))


def _smooth(values: Floats, weights: Floats, sigma: float) -> Floats:
    """A Gaussian mean of what has weight."""
    total = np.maximum(cv2.GaussianBlur(weights, (0, 0), sigma), 1e-3)
    return np.asarray(cv2.GaussianBlur(values * weights, (0, 0), sigma) / total, np.float32)


def _blur(green: npt.NDArray[np.uint8], inner: MaskArray) -> float:
    unit = max(inner.shape) / FIELD_SIDE
    weights = inner.astype(np.float32)
    values = green.astype(np.float32)
    shading = _smooth(values, weights, SHADING * unit)
    inside = cv2.erode(inner.view(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    if not inside.any():
        return 1.0
    height, width = inner.shape
    tiles = (max(1, round(width * TILES / max(height, width))), max(1, round(height * TILES / max(height, width))))
    share = cv2.resize(inside, tiles, interpolation=cv2.INTER_AREA)
    chosen = np.asarray(share >= min(LEAST_TILE, float(share.max())))
    energies = []
    for sigma in (FINE, COARSE):
        band = _smooth(values, weights, sigma * unit) - shading
        energies.append(
            [
                cv2.resize(slope**2 * inside, tiles, interpolation=cv2.INTER_AREA)[chosen] / share[chosen]
                for slope in _slopes(np.asarray(band * np.float32(unit), np.float32))
            ]
        )
    fine, coarse = np.asarray(energies)
    floor = np.float32(FLAT)
    ratios = (coarse + floor) / (fine + floor)
    return float(min(1.0, np.quantile(ratios, SHARPEST, axis=1).max()))


def _slopes(values: Floats) -> Sequence[Floats]:
    """Slopes at 0°, 45°, 90° and 135°, per pixel."""
    across = np.asarray(cv2.Sobel(values, cv2.CV_32F, 1, 0, scale=1 / 8), np.float32)
    down = np.asarray(cv2.Sobel(values, cv2.CV_32F, 0, 1, scale=1 / 8), np.float32)
    half = np.float32(np.sqrt(0.5))
    return across, half * (across + down), down, half * (across - down)


def _channel_shift(crop: ImageArray, inner: MaskArray) -> float:
    """Phase correlation of the band-passed colours in a Hann window, to fractions of a pixel."""
    unit = max(inner.shape) / FIELD_SIDE
    weights = inner.astype(np.float32)
    soft = cv2.GaussianBlur(weights, (0, 0), COLOUR_COARSE * unit) * weights
    height, width = inner.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    down, across = (2 * cv2.getOptimalDFTSize((side + 1) // 2) - side for side in (height, width))
    bands: list[npt.NDArray[Any]] = []
    for channel in range(3):
        values = crop[:, :, channel].astype(np.float32)
        fine = _smooth(values, weights, COLOUR_FINE * unit)
        band = (fine - _smooth(values, weights, COLOUR_COARSE * unit)) * soft * window
        # OpenCV would pad to a fast size that may be odd, and is half a pixel off for those.
        bands.append(cv2.copyMakeBorder(band, 0, down, 0, across, cv2.BORDER_CONSTANT, value=0))
    shifts = [cv2.phaseCorrelate(bands[channel], bands[1])[0] for channel in (0, 2)]
    return float(max(math.hypot(*shift) for shift in shifts) / unit)


def _interlacing(green: npt.NDArray[np.uint8], inner: MaskArray) -> float:
    values = green.astype(np.float32)
    down = float((cv2.sepFilter2D(values, -1, _SMOOTH, _NYQUIST)[inner] ** 2).mean())
    across = float((cv2.sepFilter2D(values, -1, _NYQUIST, _SMOOTH)[inner] ** 2).mean())
    return max(0.0, (down - across) / (down + across + LINE_NOISE))
