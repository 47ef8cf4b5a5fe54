"""The contract of a proposer: where may a polyp be painted?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from polyp_aug.geometry import Box
from polyp_aug.images import ImageArray
from polyp_aug.keys import Key
from polyp_aug.scene import Placement

#: Room that a proposer leaves around a place, as a share of the longer side of its box: the soft edge needs it.
MARGIN = 0.1

#: The least such room in pixels.
LEAST_MARGIN = 3.0


class Proposer(Protocol):
    """Finds places on a frame."""

    @property
    def name(self) -> str:
        """The name it is registered under."""

    def propose(self, image: ImageArray, count: int, key: Key, occupied: Sequence[Box] = ()) -> list[Placement]:
        """Places for at most `count` polyps.

        Args:
            image: uint8 RGB (H, W, 3).
            count: how many are wanted.
            key: the only source of randomness.
            occupied: boxes, xywh in pixels, that must stay free.

        Returns:
            Placements, best first. There may be fewer than `count`, or none, but never a bad one: each box lies on
            mucosa (at least 95 % of it), and boxes meet neither each other nor `occupied`, and leave `margin_of` their
            sides free between them, give or take two pixels.
        """


def margin_of(width: float, height: float) -> float:
    """Room in pixels to leave on every side of a box of this size."""
    return max(LEAST_MARGIN, MARGIN * max(width, height))


def with_margin(box: Box) -> Box:
    """A box, xywh, with the room around it."""
    margin = margin_of(box[2], box[3])
    return box[0] - margin, box[1] - margin, box[2] + 2 * margin, box[3] + 2 * margin
