"""The numbers that captions are made of: how a polyp and its mucosa look, measured on image and mask.

Lengths are relative to the frame, and colours are measured on a picture whose longer side is `SIDE` pixels, so a frame
gives nearly the same numbers at any resolution above. Colours are CIELAB: lightness L 0 … 100, redness a, yellowness b.
Specular highlights and the black border count nowhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.errors import ConfigurationError
from polyp_aug.images import ImageArray, MaskArray, channel_max, channel_min
from polyp_aug.mucosa import find_burned_in, find_mucosa

Floats = npt.NDArray[np.float32]

#: Longer side, in pixels, of the picture that is measured; smaller frames are measured as they are.
SIDE = 256

#: A highlight is where no channel is darker; this much around it, in pixels of the picture, is left out with it.
HIGHLIGHT, HALO = 190, 2

#: No channel of the border is brighter, and it reaches the frame's edge.
BORDER = 24

#: The dark lumen has a smaller L than this share of the mucosa's mean, after smoothing.
LUMEN = 0.6

#: Distance from the mask at which the mucosa around a polyp begins and ends, in equivalent diameters of the mask.
RING = (0.05, 0.35)

#: Standard deviations, in pixels of the picture, that bound the scale of `roughness`.
FINE, COARSE = 1.5, 5.0

#: Standard deviation, in pixels of the picture, over which lightness is averaged on both sides of the rim.
RIM = 3.0

#: Fewer pixels than this don't tell a colour.
LEAST = 12


@dataclass(frozen=True, eq=False)
class View:
    """A frame made ready for measuring.

    Attributes:
        lab: float32 (h, w, 3), CIELAB.
        seen: bool (h, w); False on highlights and on the black border.
        mucosa: bool (h, w); the mucosa that is seen, polyps included.
        field: bool (h, w); all but the black border.
        white: bool (h, w); highlights, without burned-in text.
    """

    lab: Floats
    seen: MaskArray
    mucosa: MaskArray
    field: MaskArray
    white: MaskArray

    @property
    def unit(self) -> float:
        """Pixels of the picture in a length of 1 at the longer side `SIDE`."""
        return float(max(self.seen.shape)) / SIDE

    def fit(self, mask: MaskArray) -> MaskArray:
        """A mask of the frame at the picture's size; at least one pixel of a mask that is not empty stays."""
        height, width = self.seen.shape
        if mask.shape == self.seen.shape:
            return mask
        share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(share >= min(0.5, float(share.max()) or 0.5))


def view(image: ImageArray) -> View:
    """Make a frame, uint8 RGB (H, W, 3), ready for measuring."""
    height, width = image.shape[:2]
    white = channel_min(image) >= HIGHLIGHT
    mucosa = find_mucosa(image)
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8) if scale < 1 else image
    glaring = _reduced(white, size)
    halo = 2 * round(HALO * max(size) / SIDE) + 1
    around = cv2.dilate(glaring.astype(np.uint8), np.ones((halo, halo), np.uint8)).view(np.bool_)
    field = ~_border(small)
    tissue = cv2.resize(mucosa.map.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).view(np.bool_)
    lab = np.asarray(cv2.cvtColor(small.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB), np.float32)
    seen = field & ~around
    return View(lab, seen, tissue & seen, field, _reduced(white & ~find_burned_in(image), size) & field)


def mask_numbers(mask: MaskArray) -> dict[str, float]:
    """What a mask, bool (H, W), tells alone.

    Returns:
        `x` and `y`: its centre, 0 … 1 of the frame's width and height. `share`: of the frame's area. `elongation`: the
        shorter axis of the ellipse of equal second moments over the longer one, 0 … 1. `solidity`: its area over
        that of its convex hull, 0 … 1.

    Raises:
        ConfigurationError: the mask is empty or no bool array of two dimensions.
    """
    if mask.dtype != np.bool_ or mask.ndim != 2:
        raise ConfigurationError(f"a mask must be a bool array (H, W) (got {mask.dtype} of shape {mask.shape})")
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        raise ConfigurationError(f"a mask of shape {mask.shape} has no pixel, expected a polyp")
    height, width = mask.shape
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    # A pixel is a square, not a point: its own second moment is 1/12.
    spread = np.atleast_2d(np.cov(points.T, bias=True)) + np.eye(2) / 12
    shorter, longer = np.sqrt(np.linalg.eigvalsh(spread))
    return {
        "x": float((columns.mean() + 0.5) / width),
        "y": float((rows.mean() + 0.5) / height),
        "share": rows.size / mask.size,
        "elongation": float(shorter / longer),
        "solidity": _solidity(mask, rows.size),
    }


def look_numbers(
    frame: View, mask: MaskArray, polyps: MaskArray, typical: tuple[float, float, float]
) -> dict[str, float]:
    """How a polyp looks.

    Args:
        frame: the frame.
        mask: bool (H, W), the polyp.
        polyps: bool (H, W), all polyps of the frame.
        typical: CIELAB of mucosa, for frames that show none.

    Returns:
        `redness`: a / L of the polyp's mean colour over a / L of the mucosa around it, less 1; light changes a and L
        alike, so it is colour and not light. `lightness`: mean L less that of the mucosa around it. `roughness`:
        standard deviation of L between the scales `FINE` and `COARSE` inside of the mask. `rim`: mean step of L
        across the mask's outline, in either direction. 0 where nothing of it is seen.
    """
    polyp, others = frame.fit(mask), frame.fit(polyps)
    inside = polyp & frame.seen
    around = _around(frame, polyp, others)
    mucosa = frame.lab[around].mean(axis=0) if np.count_nonzero(around) >= LEAST else np.asarray(typical, np.float32)
    own = frame.lab[inside].mean(axis=0) if np.count_nonzero(inside) >= LEAST else mucosa
    return {
        "redness": _saturation(own[:2]) / max(_saturation(mucosa[:2]), 0.05) - 1,
        "lightness": float(own[0] - mucosa[0]),
        "roughness": _roughness(frame, polyp),
        "rim": _rim(frame, polyp, others),
    }


def background_numbers(frame: View, polyps: MaskArray) -> dict[str, float]:
    """How the frame looks outside of its polyps, bool (H, W).

    Returns:
        `hue`: of the mucosa's mean colour, atan2(b, a) in degrees. `saturation`: its chroma over its L. `light`: its L.
        `white`: share of highlights in the field of view. `dark`: share of the largest dark area in the field of view.
    """
    free = frame.field & ~frame.fit(polyps)
    mucosa = frame.mucosa & free
    if np.count_nonzero(mucosa) < LEAST:
        mucosa = frame.seen & free
    lab = frame.lab[mucosa].mean(axis=0) if mucosa.any() else np.zeros(3, np.float32)
    size = max(1.0, float(np.count_nonzero(free)))
    return {
        "hue": math.degrees(math.atan2(float(lab[2]), float(lab[1]))),
        "saturation": math.hypot(float(lab[1]), float(lab[2])) / max(float(lab[0]), 1.0),
        "light": float(lab[0]),
        "white": np.count_nonzero(frame.white & free) / size,
        "dark": _darkest(frame, free, LUMEN * float(lab[0])) / size,
    }


def _reduced(white: MaskArray, size: tuple[int, int]) -> MaskArray:
    return np.asarray(cv2.resize(white.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.25)


def _border(picture: ImageArray) -> MaskArray:
    dark = np.pad(channel_max(picture) < BORDER, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(dark, connectivity=4)
    return np.asarray(labels == labels[0, 0])[1:-1, 1:-1]


def _solidity(mask: MaskArray, area: int) -> float:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    centres = np.concatenate([contour.reshape(-1, 2) for contour in contours]).astype(np.float32)
    # Through the middles of the pixels' sides: that hull is too large or too small in no direction, at any resolution.
    shifts = np.array([(-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5)], np.float32)
    sides = (centres[:, None] + shifts).reshape(-1, 2)
    return min(1.0, area / cv2.contourArea(cv2.convexHull(sides)))


def _saturation(light_and_red: Floats) -> float:
    return float(light_and_red[1] / max(float(light_and_red[0]), 1.0))


def _around(frame: View, polyp: MaskArray, others: MaskArray) -> MaskArray:
    distance = cv2.distanceTransform((~polyp).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    diameter = math.sqrt(4 * np.count_nonzero(polyp) / math.pi)
    near = (distance > max(1.5, RING[0] * diameter)) & (distance <= max(4.0, RING[1] * diameter))
    ring = near & frame.mucosa & ~others
    return ring if np.count_nonzero(ring) >= LEAST else frame.mucosa & ~others


def _smooth(values: Floats, where: MaskArray, sigma: float) -> Floats:
    """A Gaussian mean of the values that count."""
    weights = where.astype(np.float32)
    total = np.maximum(cv2.GaussianBlur(weights, (0, 0), sigma), 1e-4)
    return np.asarray(cv2.GaussianBlur(values * weights, (0, 0), sigma) / total, np.float32)


def _roughness(frame: View, polyp: MaskArray) -> float:
    inner = cv2.erode(polyp.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0).view(np.bool_) & frame.seen
    where = inner if np.count_nonzero(inner) >= LEAST else polyp & frame.seen
    if np.count_nonzero(where) < LEAST:
        return 0.0
    light = np.ascontiguousarray(frame.lab[:, :, 0])
    band = _smooth(light, where, FINE * frame.unit) - _smooth(light, where, COARSE * frame.unit)
    return float(np.sqrt((band[where] ** 2).mean()))


def _rim(frame: View, polyp: MaskArray, others: MaskArray) -> float:
    outside = frame.seen & ~others
    inside = polyp & frame.seen
    near = cv2.dilate(polyp.astype(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_) & ~polyp & outside
    if np.count_nonzero(near) < LEAST or not inside.any():
        return 0.0
    light = np.ascontiguousarray(frame.lab[:, :, 0])
    step = _smooth(light, inside, RIM * frame.unit) - _smooth(light, outside, RIM * frame.unit)
    return float(np.abs(step[near]).mean())


def _darkest(frame: View, free: MaskArray, limit: float) -> float:
    light = np.ascontiguousarray(frame.lab[:, :, 0])
    smooth = _smooth(light, frame.field, 2.0 * frame.unit)
    dark = ((smooth < limit) & free).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
    return float(stats[1:, cv2.CC_STAT_AREA].max(initial=0))
