"""A painted or real polyp in its frame, made ready for measuring how well it was painted.

Frames are reduced to `SIDE` pixels at their longer side, so that a polyp gives nearly the same numbers at any
resolution above; smaller frames are measured as they are. Lengths are in pixels of the reduced frame. Colours are
CIELAB: lightness L 0 … 100, redness a, yellowness b.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.captions.measures import BORDER, HALO, HIGHLIGHT
from polyp_aug.images import ImageArray, MaskArray, channel_max, channel_min
from polyp_aug.mucosa import find_mucosa

Floats = npt.NDArray[np.float32]

#: Longer side of the reduced frame in pixels.
SIDE = 512

#: Distance from the outline at which the surroundings of a polyp begin and end, in equivalent diameters of its mask,
#: and the least of both in pixels.
RING, LEAST_RING = (0.06, 0.45), (3.0, 12.0)

#: Fewer pixels than this don't tell a colour or a texture.
LEAST = 40


@dataclass(frozen=True, eq=False)
class FrameView:
    """A frame that was reduced.

    Attributes:
        lab: float32 (h, w, 3), CIELAB.
        rgb: uint8 (h, w, 3).
        seen: bool (h, w); False on and beside highlights and what is too dark.
        mucosa: bool (h, w); mucosa that is seen and belongs to no annotated object.
        before: float32 (h, w, 3), CIELAB of the frame before it was painted, or None.
        changed: bool (h, w); what painting changed, or None.
    """

    lab: Floats
    rgb: ImageArray
    seen: MaskArray
    mucosa: MaskArray
    before: Floats | None
    changed: MaskArray | None


@dataclass(frozen=True, eq=False)
class PolypView:
    """One polyp of a reduced frame.

    Attributes:
        frame: the frame.
        mask: bool (h, w), the polyp.
        distance: float32 (h, w), from the outline in pixels, positive outside.
        around: bool (h, w), the mucosa around the polyp; all mucosa of the frame where too little is near.
    """

    frame: FrameView
    mask: MaskArray
    distance: Floats
    around: MaskArray

    @property
    def diameter(self) -> float:
        """Of the disc of the mask's area, in pixels."""
        return float(np.sqrt(4.0 * np.count_nonzero(self.mask) / np.pi))


def view_frame(image: ImageArray, objects: MaskArray, before: ImageArray | None = None) -> FrameView:
    """Reduce a frame.

    Args:
        image: uint8 RGB (H, W, 3).
        objects: bool (H, W), all annotated objects of the frame.
        before: the frame before it was painted, uint8 RGB (H, W, 3), where it is known.
    """
    rgb = _reduced(image)
    height, width = rgb.shape[:2]
    halo = np.ones((2 * HALO + 1, 2 * HALO + 1), np.uint8)
    hidden = (channel_min(rgb) >= HIGHLIGHT) | (channel_max(rgb) < BORDER)
    seen = ~cv2.dilate(hidden.astype(np.uint8), halo).view(np.bool_)
    tissue = cv2.resize(find_mucosa(image).map.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    mucosa = tissue.view(np.bool_) & seen & ~fitted(objects, height, width)
    if before is None:
        return FrameView(lab_of(rgb), rgb, seen, mucosa, None, None)
    different = channel_max(np.asarray(cv2.absdiff(image, before), np.uint8)) > 0
    return FrameView(lab_of(rgb), rgb, seen, mucosa, lab_of(_reduced(before)), fitted(different, height, width))


def view_polyp(frame: FrameView, mask: MaskArray) -> PolypView:
    """One polyp of a frame.

    Args:
        frame: of `view_frame`.
        mask: bool (H, W) in the frame's own resolution, not empty.
    """
    height, width = frame.seen.shape
    own = fitted(mask, height, width)
    distance = signed_distance(own)
    diameter = np.sqrt(4.0 * np.count_nonzero(own) / np.pi)
    near, far = (max(share * diameter, least) for share, least in zip(RING, LEAST_RING, strict=True))
    around = (distance > near) & (distance <= far) & frame.mucosa
    if np.count_nonzero(around) < LEAST:
        around = frame.mucosa & ~own
    return PolypView(frame, own, distance, around)


def fitted(mask: MaskArray, height: int, width: int) -> MaskArray:
    """A mask, bool (H, W), at another size; at least one pixel of a mask that is not empty stays."""
    if mask.shape == (height, width):
        return mask
    share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(share >= min(0.5, float(share.max()) or 0.5))


def signed_distance(mask: MaskArray) -> Floats:
    """Distance in pixels from the outline of a mask, bool (h, w): float32 (h, w), negative inside.

    The outline runs half-way between the pixels on both sides of it.
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    outside = cv2.distanceTransform(1 - padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray((np.maximum(outside - 0.5, 0) - np.maximum(inside - 0.5, 0))[1:-1, 1:-1], np.float32)


def lab_of(rgb: ImageArray) -> Floats:
    """CIELAB of uint8 RGB (h, w, 3), float32 (h, w, 3)."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB), np.float32)


def smooth(values: Floats, where: MaskArray, sigma: float) -> Floats:
    """A Gaussian mean, of `sigma` pixels, of the values (h, w) that count."""
    weights = where.astype(np.float32)
    total = np.maximum(cv2.GaussianBlur(weights, (0, 0), sigma), 1e-4)
    return np.asarray(cv2.GaussianBlur(values * weights, (0, 0), sigma) / total, np.float32)


def _reduced(image: ImageArray) -> ImageArray:
    scale = SIDE / max(image.shape[:2])
    if scale >= 1.0:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
