"""Masks of polyps for frames that are still to be made: those of real polyps, varied, and new shapes of their sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from polyp_aug.captions.attributes import OF_MASK
from polyp_aug.captions.facts import mask_facts
from polyp_aug.errors import ConfigurationError, SynthesisError
from polyp_aug.geometry import IntBox, Region, boxes_meet, largest_component, mask_box, squeezed_mask
from polyp_aug.images import MaskArray
from polyp_aug.keys import Key
from polyp_aug.polygons import fill_polygon, inscribed_polygon
from polyp_aug.references import ReferenceBank, ReferencePolyp

#: Ways to come to a mask.
KINDS = ("reference", "affine", "elastic", "convex")

#: Masks that are drawn for one polyp until one fits.
ATTEMPTS = 200

#: A mask stays so far from the frame's edge, as a share of its side; its box has no shorter side than so many pixels.
EDGE, SMALLEST_SIDE = 0.02, 8

#: Spread of the centre as a share of the side, range of the diameter's factor, and largest change of the aspect.
_SHIFT, _SCALES, _STRETCH = 0.12, (0.65, 1.5), 1.3

#: Length of the elastic displacements over the diameter, and cells of their grid over the frame.
_BEND, _GRID = 0.12, 7


@dataclass(frozen=True)
class ShapeShares:
    """How often masks come about in each way.

    Attributes:
        reference: a real polyp's mask as it is, mirrored or not.
        affine: moved, scaled, stretched and turned.
        elastic: bent as well.
        convex: a new convex polygon in the box of a real polyp, moved and scaled.

    Raises:
        ConfigurationError: a share is negative, or all are 0.
    """

    reference: float = 0.25
    affine: float = 0.3
    elastic: float = 0.3
    convex: float = 0.15

    def __post_init__(self) -> None:
        values = asdict(self)
        for name, value in values.items():
            if value < 0.0:
                raise ConfigurationError(f"{name!r} must not be negative (got {value})")
        if not sum(values.values()):
            raise ConfigurationError("all shares of shapes are 0")

    def to_dict(self) -> dict[str, float]:
        """Plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class DrawnMask:
    """A mask, and what it was made of.

    Attributes:
        region: its pixels.
        kind: one of `KINDS`.
        reference: the real polyp.
    """

    region: Region
    kind: str
    reference: ReferencePolyp


class MaskDrawer:
    """Draws masks for square frames; equal keys give equal masks.

    Args:
        references: real polyps. Their frames are squeezed to a square, as in training.
        size: side of the frames in pixels.
        shares: how often masks come about in each way.
        control: attribute → value: masks of another place, size or shape are drawn again.
    """

    def __init__(
        self, references: ReferenceBank, size: int, shares: ShapeShares, control: Mapping[str, str] | None = None
    ) -> None:
        self._references = references.polyps
        self._size = size
        chances = np.array([getattr(shares, kind) for kind in KINDS])
        self._chances = chances / chances.sum()
        self._control = {name: value for name, value in (control or {}).items() if name in OF_MASK}

    def draw(self, key: Key, taken: Sequence[IntBox] = ()) -> DrawnMask | None:
        """A mask.

        Args:
            key: the only source of randomness.
            taken: boxes, xywh in pixels, that it must not meet.

        Returns:
            The mask, or None where none of `ATTEMPTS` fits.
        """
        generator = key.generator("mask")
        for _ in range(ATTEMPTS):
            polyp = self._references[int(generator.integers(len(self._references)))]
            kind = KINDS[int(generator.choice(len(KINDS), p=self._chances))]
            try:
                mask = self._shaped(polyp, kind, generator)
            except SynthesisError:
                continue
            region = Region.from_mask(mask)
            if region is not None and self._fits(mask, region, taken):
                return DrawnMask(region, kind, polyp)
        return None

    def _shaped(self, polyp: ReferencePolyp, kind: str, generator: np.random.Generator) -> MaskArray:
        mask = self._squeezed(polyp)
        if generator.random() < 0.5:
            mask = mask[:, ::-1]
        if generator.random() < 0.5:
            mask = mask[::-1]
        mask = np.ascontiguousarray(mask)
        if kind == "reference" or not mask.any():
            return mask
        if kind == "convex":
            return self._convex(mask, generator)
        mask = _moved(mask, generator)
        return largest_component(_bent(mask, generator)) if kind == "elastic" else mask

    def _squeezed(self, polyp: ReferencePolyp) -> MaskArray:
        width, height = polyp.frame_size
        return squeezed_mask(polyp.region().to_mask(height, width), self._size)

    def _convex(self, mask: MaskArray, generator: np.random.Generator) -> MaskArray:
        box = mask_box(mask)
        assert box is not None
        factor = math.exp(generator.uniform(*np.log(_SCALES)))
        width, height = (min(self._size, max(SMALLEST_SIDE, round(side * factor))) for side in box[2:])
        shift = generator.normal(0.0, _SHIFT * self._size, 2)
        x, y = (
            int(np.clip(round(start + (old - new) / 2 + moved), 0, self._size - new))
            for start, old, new, moved in zip(box[:2], box[2:], (width, height), shift, strict=True)
        )
        return fill_polygon(inscribed_polygon(generator), (x, y, width, height), self._size, self._size)

    def _fits(self, mask: MaskArray, region: Region, taken: Sequence[IntBox]) -> bool:
        x, y, w, h = region.box
        edge = EDGE * self._size
        inside = min(x, y) >= edge and max(x + w, y + h) <= self._size - edge
        if not inside or min(w, h) < SMALLEST_SIDE or any(boxes_meet(region.box, other) for other in taken):
            return False
        if not self._control:
            return True
        facts = mask_facts(mask)
        return all(getattr(facts, name) == value for name, value in self._control.items())


def _moved(mask: MaskArray, generator: np.random.Generator) -> MaskArray:
    """The mask moved, scaled, stretched and turned around its centre; what leaves the frame is cut off."""
    side = len(mask)
    rows, columns = np.nonzero(mask)
    centre = np.array([columns.mean(), rows.mean()])
    angle, stretch = generator.uniform(0.0, 2.0 * math.pi), generator.uniform(-1.0, 1.0) * math.log(_STRETCH)
    scale = math.exp(generator.uniform(*np.log(_SCALES)))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = scale * turn @ np.diag([math.exp(stretch / 2), math.exp(-stretch / 2)])
    target = centre + generator.normal(0.0, _SHIFT * side, 2)
    return _warped(mask, np.hstack([matrix, (target - matrix @ centre)[:, None]]))


def _warped(mask: MaskArray, matrix: Any) -> MaskArray:
    size = mask.shape[1], mask.shape[0]
    moved = cv2.warpAffine(mask.astype(np.float32), np.asarray(matrix, np.float64), size, flags=cv2.INTER_LINEAR)
    return np.asarray(moved >= 0.5)


def _bent(mask: MaskArray, generator: np.random.Generator) -> MaskArray:
    """The mask with its outline bent by smooth random displacements."""
    height, width = mask.shape
    length = _BEND * math.sqrt(4.0 * np.count_nonzero(mask) / math.pi)
    grid = generator.normal(0.0, length, (2, _GRID, _GRID)).astype(np.float32)
    across, down = (cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC) for part in grid)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    bent = cv2.remap(mask.astype(np.float32), columns + across, rows + down, cv2.INTER_LINEAR)
    return np.asarray(bent >= 0.5)
