"""Cutting a reference polyp out of its picture, and seeing whether it can serve."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from polyp_aug.errors import ImageError, SynthesisError
from polyp_aug.geometry import IntBox, Region, outer_box
from polyp_aug.images import ImageArray, MaskArray, channel_max, channel_min, read_image
from polyp_aug.mucosa import WHITE, find_burned_in
from polyp_aug.references.polyp import ReferencePolyp

#: Pixels around a polyp that are cut out with it, as a share of the longer side of its box.
CONTEXT = 0.35

#: The least of that in pixels.
LEAST_CONTEXT = 3

#: Largest share of the rim around a polyp that may be black: more means that the frame or the position box cuts it off.
BLACK_RIM = 0.02

#: Largest share of the rim that may be much darker than the polyp: more means that it stands before the lumen.
SHADED_RIM = 0.35

#: Largest share of a polyp that may be over-exposed (smallest channel at least `PALE`): no light can bring it back.
OVEREXPOSED = 0.08
PALE = 185

#: Largest share of a polyp that may be covered by burned-in text.
BURNED_IN = 0.08

#: Median brightness of a polyp over that of the lit mucosa around it; beyond, they are not under one light.
CONTRAST_RANGE = (0.6, 1.45)

#: A pixel darker than this (maximum of R, G, B) is black.
_BLACK = 28

#: A pixel of less than this share of the polyp's median brightness is shaded.
_SHADE = 0.45


@dataclass(frozen=True, eq=False)
class CutOut:
    """A reference polyp with the mucosa around it.

    Attributes:
        image: uint8 RGB (h, w, 3).
        region: the polyp's pixels in coordinates of `image`.
        lit: bool (h, w): where `image` shows mucosa around the polyp that is lit about as well as the polyp.
        surroundings: mean R, G, B of the lit mucosa near the polyp.
    """

    image: ImageArray
    region: Region
    lit: MaskArray
    surroundings: tuple[float, float, float]


def cut_out(polyp: ReferencePolyp) -> CutOut:
    """Read the picture of a polyp, cut the polyp out with the mucosa around it, and refuse what can't serve.

    Raises:
        SynthesisError: the picture can't be read or has another size than its record, or the polyp is cut off by black,
            stands before the lumen, is over-exposed, covered by text or lit unlike its mucosa.
    """
    try:
        image = read_image(polyp.path)
    except ImageError as error:
        problem = str(error).removeprefix(f"{polyp.path}: ")
        raise SynthesisError(f"reference {polyp.id}: {problem}") from error
    height, width = image.shape[:2]
    if (width, height) != polyp.frame_size:
        stated = "×".join(str(side) for side in polyp.frame_size)
        raise SynthesisError(f"reference {polyp.id}: the picture has {width}×{height} pixels, its record says {stated}")
    region = polyp.region()
    if np.mean(find_burned_in(image)[region.to_mask(height, width)]) > BURNED_IN:
        raise SynthesisError(f"reference {polyp.id}: burned-in text covers it")
    box: IntBox = outer_box(region.box, max(LEAST_CONTEXT, CONTEXT * max(region.box[2:])), width, height)
    x, y, w, h = box
    return _examined(polyp.id, np.ascontiguousarray(image[y : y + h, x : x + w]), region.shifted(-x, -y))


def _examined(polyp_id: str, image: ImageArray, region: Region) -> CutOut:
    """The cut-out, once its rim (2 to 8 px from the polyp) shows that the polyp is whole and stands on mucosa."""
    inside = region.to_mask(*image.shape[:2])
    distance = cv2.distanceTransform((~inside).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    brightness, darkness = channel_max(image), channel_min(image)
    lit = ~inside & (brightness >= _SHADE * float(np.median(brightness[inside]))) & (darkness < WHITE)
    rim = (distance >= 2) & (distance <= 8)
    if not rim.any() or np.mean(brightness[rim] < _BLACK) > BLACK_RIM:
        raise SynthesisError(f"reference {polyp_id}: the black frame or a black box cuts it off")
    if np.mean(lit[rim] | (darkness[rim] >= WHITE)) < 1.0 - SHADED_RIM:
        raise SynthesisError(f"reference {polyp_id}: it stands before the lumen, with too little mucosa around it")
    if np.mean(darkness[inside] >= PALE) > OVEREXPOSED:
        raise SynthesisError(f"reference {polyp_id}: over-exposed")
    near = lit & (distance >= 2) & (distance <= 2 + 0.2 * region.equivalent_diameter)
    contrast = float(np.median(brightness[inside]) / np.median(brightness[near])) if near.any() else np.inf
    if not CONTRAST_RANGE[0] <= contrast <= CONTRAST_RANGE[1]:
        raise SynthesisError(f"reference {polyp_id}: {contrast:.1f} times as bright as the mucosa around it")
    red, green, blue = (float(value) for value in image[near].mean(axis=0))
    return CutOut(image, region, lit, (red, green, blue))
