"""Boundary-enhanced pseudo masks (BPM): which part of a frame is repainted in a training pair, and as what.

Polyp-Gen (Liu et al., 2025), section III-C. For the prompt *Polyp* the mask is the polyp's box B or a convex polygon
inscribed in it; never the polyp's outline, so that its edge is painted too. For *Normal* it is a random mask on a frame
without polyps, or one wholly outside of B. Image and mask go through one joint transform.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from polyp_aug.errors import ConfigurationError
from polyp_aug.geometry import Box, boxes_meet, mask_box, outer_box
from polyp_aug.images import ImageArray, MaskArray
from polyp_aug.polygons import SQUARE, fill_polygon, inscribed_polygon
from polyp_aug.synthesizers.options import MASK_MARGIN

Prompt = Literal["Polyp", "Normal"]

#: How often a random mask is drawn again where it meets a polyp's box, or lies too far off the mucosa.
_ATTEMPTS = 100


@dataclass(frozen=True)
class PseudoMaskSettings:
    """Shares and sizes; the defaults are the paper's released code's.

    Attributes:
        margin: pixels at 512 that a polyp's box grows by on every side.
        polyp_share: share of frames with polyps whose prompt is *Polyp*.
        box_share: share of *Polyp* masks that are the box itself, not a polygon.
        rectangle_share: share of *Normal* masks that are rectangles, not polygons.
        sides: smallest and largest side of *Normal* masks, in pixels at 512.
        mucosa_share: least share of a *Normal* mask's rectangle that must be mucosa; 0 takes masks anywhere. A model
            that learns to paint position boxes and black borders paints them where it removes a polyp beside one.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    margin: float = MASK_MARGIN
    polyp_share: float = 0.6
    box_share: float = 0.5
    rectangle_share: float = 0.4
    sides: tuple[float, float] = (30.0, 200.0)
    mucosa_share: float = 0.0

    def __post_init__(self) -> None:
        for name in ("polyp_share", "box_share", "rectangle_share", "mucosa_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigurationError(f"{name!r} must be within 0 … 1 (got {getattr(self, name)})")
        if self.margin < 0:
            raise ConfigurationError(f"'margin' must not be negative (got {self.margin})")
        if not 4.0 <= self.sides[0] <= self.sides[1] <= 512.0:
            raise ConfigurationError(f"'sides' must rise within 4 … 512 (got {self.sides})")


@dataclass(frozen=True, eq=False)
class PseudoMask:
    """What to repaint, and as what.

    Attributes:
        mask: bool (H, W), never empty.
        prompt: "Polyp" or "Normal".
    """

    mask: MaskArray
    prompt: Prompt


def draw_pseudo_mask(
    width: int,
    height: int,
    boxes: Sequence[Box],
    settings: PseudoMaskSettings,
    generator: np.random.Generator,
    outline: Callable[[int], MaskArray] | None = None,
    mucosa: Callable[[Box], float] | None = None,
) -> PseudoMask | None:
    """A mask and its prompt for a frame.

    Args:
        width: of the frame in pixels.
        height: of the frame in pixels.
        boxes: of its polyps, xywh in pixels; empty for a frame without.
        settings: shares and sizes.
        generator: the source of randomness.
        outline: gives the mask, bool (height, width), of the polyp in a box, by the box's place in `boxes`; where it is
            given, that is the *Polyp* mask, as without BPM.
        mucosa: gives the share of a box, xywh in pixels, that is mucosa; needed where `settings.mucosa_share` is not 0.

    Returns:
        The pair, or None where the polyps, or what is no mucosa, leave no room for a *Normal* mask.

    Raises:
        ConfigurationError: a share of mucosa is asked for, and `mucosa` is not given.
    """
    if settings.mucosa_share and mucosa is None:
        raise ConfigurationError(f"'mucosa' is needed for a 'mucosa_share' of {settings.mucosa_share}")
    scale = max(width, height) / 512.0
    grown = [outer_box(box, settings.margin * scale, width, height) for box in boxes]
    if grown and generator.random() < settings.polyp_share:
        chosen = int(generator.integers(len(grown)))
        if outline is not None:
            return PseudoMask(outline(chosen), "Polyp")
        corners = SQUARE if generator.random() < settings.box_share else inscribed_polygon(generator)
        return PseudoMask(fill_polygon(corners, grown[chosen], width, height), "Polyp")
    low, high = (min(side * scale, width, height) for side in settings.sides)
    for _ in range(_ATTEMPTS):
        w, h = (max(1, round(side)) for side in generator.uniform(low, high, 2))
        box = int(generator.integers(width - w + 1)), int(generator.integers(height - h + 1)), w, h
        on_mucosa = mucosa is None or mucosa(box) >= settings.mucosa_share
        if on_mucosa and not any(boxes_meet(box, other) for other in grown):
            corners = SQUARE if generator.random() < settings.rectangle_share else inscribed_polygon(generator)
            return PseudoMask(fill_polygon(corners, box, width, height), "Normal")
    return None


def joint_crop(
    image: ImageArray,
    mask: MaskArray,
    size: int,
    generator: np.random.Generator,
    context: tuple[float, float] = (1.0, np.inf),
) -> tuple[ImageArray, MaskArray]:
    """One and the same random square crop, flip and quarter turn of image and mask, at `size` pixels.

    The crop keeps the whole mask where that fits into the frame's shorter side, and else as much of it as fits.

    The released code crops image and mask independently; here they can't part.

    Args:
        image: uint8 RGB (H, W, 3).
        mask: bool (H, W), not empty.
        size: side of the result in pixels.
        generator: the source of randomness.
        context: smallest and largest side of the crop over the longer side of the mask's box. As in painting, a crop
            may always be as large as `size`, and is never larger than the frame's shorter side.

    Returns:
        Image, uint8 RGB (size, size, 3), and mask, bool (size, size), of the same part of the frame.

    Raises:
        ConfigurationError: the mask is empty.
    """
    box = mask_box(mask)
    if box is None:
        raise ConfigurationError("'mask' must not be empty")
    height, width = mask.shape
    longer, shorter = max(box[2:]), min(height, width)
    least, most = (min(max(longer * factor, floor), shorter) for factor, floor in zip(context, (1, size), strict=True))
    side = int(generator.integers(int(least), int(most) + 1))
    x, y = (
        int(generator.integers(max(0, start + length - side), min(start, total - side) + 1))
        if length <= side
        else int(generator.integers(start, start + length - side + 1))
        for start, length, total in ((box[0], box[2], width), (box[1], box[3], height))
    )
    part = np.s_[y : y + side, x : x + side]
    shape = cv2.INTER_AREA if side >= size else cv2.INTER_CUBIC
    small = np.asarray(cv2.resize(image[part], (size, size), interpolation=shape), dtype=np.uint8)
    share = np.asarray(cv2.resize(mask[part].astype(np.float32), (size, size), interpolation=cv2.INTER_AREA))
    # A part too thin to fill half a pixel anywhere keeps the pixels that it fills most.
    hole = share >= min(0.5, float(share.max()))
    if generator.random() < 0.5:
        small, hole = small[:, ::-1], hole[:, ::-1]
    turns = int(generator.integers(4))
    return np.ascontiguousarray(np.rot90(small, turns)), np.ascontiguousarray(np.rot90(hole, turns))
