"""The `reference` proposer: the size, shape and place of a real polyp."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from polyp_aug.errors import SynthesisError
from polyp_aug.geometry import Box, Region
from polyp_aug.images import ImageArray
from polyp_aug.keys import Key
from polyp_aug.mucosa import LEAST_SHARE, Mucosa, find_mucosa
from polyp_aug.proposers.base import margin_of, with_margin
from polyp_aug.references import ReferenceBank, ReferencePolyp
from polyp_aug.scene import Placement

#: How many references are tried for one place.
ATTEMPTS = 8

#: The farthest that a place may be from the reference's own, as a share of the frame's shorter side.
REACH = 0.25


class ReferenceProposer:
    """Takes a reference polyp and puts its mask where it stands in its own frame, or as near as the mucosa allows.

    Args:
        references: the polyps to draw from.
    """

    name = "reference"

    def __init__(self, references: ReferenceBank) -> None:
        self.references = references

    def propose(self, image: ImageArray, count: int, key: Key, occupied: Sequence[Box] = ()) -> list[Placement]:
        """As `Proposer.propose`; the score is 1 − distance to the reference's own place / reach."""
        mucosa = find_mucosa(image)
        taken = [with_margin(box) for box in occupied]
        placements: list[Placement] = []
        for number in range(count):
            generator = key.child(number).generator("reference proposer")
            for index in generator.choice(len(self.references), min(ATTEMPTS, len(self.references)), replace=False):
                placement = self._place(mucosa, taken, self.references.polyps[index])
                if placement is not None:
                    placements.append(placement)
                    taken.append(with_margin(placement.region.box))
                    break
        return sorted(placements, key=lambda placement: -placement.score)

    def _place(self, mucosa: Mucosa, taken: Sequence[Box], polyp: ReferencePolyp) -> Placement | None:
        try:
            region = polyp.region()
        except SynthesisError:
            return None
        scale = min(mucosa.width / polyp.frame_size[0], mucosa.height / polyp.frame_size[1])
        x, y, w, h = region.box
        width, height = max(1, round(w * scale)), max(1, round(h * scale))
        margin = margin_of(width, height)
        centres = mucosa.centres(width + 2 * margin, height + 2 * margin, taken)
        if not len(centres):
            return None
        wanted = (x + w / 2) / polyp.frame_size[0] * mucosa.width, (y + h / 2) / polyp.frame_size[1] * mucosa.height
        distances = np.linalg.norm(centres - wanted, axis=1)
        nearest = int(np.argmin(distances))
        reach = REACH * min(mucosa.width, mucosa.height)
        if distances[nearest] > reach:
            return None
        crop = cv2.resize(region.crop.view(np.uint8), (width, height), interpolation=cv2.INTER_AREA) > 0
        left, top = (round(centre - side / 2) for centre, side in zip(centres[nearest], (width, height), strict=True))
        placed = Region.from_mask(crop, left, top)
        placed = placed.clipped(mucosa.width, mucosa.height) if placed else None
        if placed is None or mucosa.covers(placed.box) < LEAST_SHARE:
            return None
        return Placement(placed, 1.0 - float(distances[nearest]) / reach, self.name, polyp.id)
