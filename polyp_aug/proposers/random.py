"""The `random` proposer: a size and a shape from real statistics, anywhere on the mucosa."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from polyp_aug.errors import ConfigurationError
from polyp_aug.geometry import Box, polygon_region
from polyp_aug.images import ImageArray
from polyp_aug.keys import Key
from polyp_aug.mucosa import LEAST_SHARE, Mucosa, find_mucosa
from polyp_aug.proposers.base import margin_of, with_margin
from polyp_aug.proposers.shapes import ShapeStatistics
from polyp_aug.scene import Placement

#: Where a shape finds no room it is drawn again, a little smaller, at most this often.
ATTEMPTS = 6
SHRINK = 0.8


#: Default range of equivalent diameters, as shares of the frame's shorter side. Real polyps go on to 0.9.
SIZE_RANGE = (0.08, 0.45)


def check_size_range(size_range: tuple[float, float]) -> None:
    """Refuse a range that does not rise inside of (0, 1).

    Raises:
        ConfigurationError: it doesn't.
    """
    if not 0.0 < size_range[0] < size_range[1] < 1.0:
        raise ConfigurationError(f"'size_range' must rise inside of (0, 1) (got {size_range})")


class RandomProposer:
    """Draws size and shape from real polyps' statistics and a place uniformly from where that fits.

    Args:
        statistics: sizes and shapes; the package's own (Kvasir-SEG, training split) by default.
        size_range: smallest and largest equivalent diameter as a share of the frame's shorter side.

    Raises:
        ConfigurationError: `size_range` is not rising inside of (0, 1).
    """

    name = "random"

    def __init__(
        self, statistics: ShapeStatistics | None = None, *, size_range: tuple[float, float] = SIZE_RANGE
    ) -> None:
        check_size_range(size_range)
        self.statistics = statistics or ShapeStatistics.embedded()
        self.size_range = size_range

    def propose(self, image: ImageArray, count: int, key: Key, occupied: Sequence[Box] = ()) -> list[Placement]:
        """As `Proposer.propose`; the score is the share of the box that is mucosa."""
        mucosa = find_mucosa(image)
        taken = [with_margin(box) for box in occupied]
        placements: list[Placement] = []
        for number in range(count):
            placement = self._place(mucosa, taken, key.child(number).generator("random proposer"))
            if placement is not None:
                placements.append(placement)
                taken.append(with_margin(placement.region.box))
        return placements

    def _place(self, mucosa: Mucosa, taken: Sequence[Box], generator: np.random.Generator) -> Placement | None:
        shorter = min(mucosa.width, mucosa.height)
        diameter = self.statistics.draw_diameter(generator, *self.size_range) * shorter
        smallest = self.size_range[0] * shorter
        for _ in range(ATTEMPTS):
            outline = self.statistics.draw_outline(generator) * (diameter * np.sqrt(np.pi / 4.0))
            low, high = outline.min(axis=0), outline.max(axis=0)
            width, height = high - low
            margin = margin_of(width, height)
            centres = mucosa.centres(width + 2 * margin, height + 2 * margin, taken)
            if len(centres):
                centre = centres[self._choose(centres, mucosa, generator)]
                region = polygon_region(outline - (low + high) / 2.0 + centre, mucosa.width, mucosa.height)
                covered = mucosa.covers(region.box) if region else 0.0
                if region and covered >= LEAST_SHARE:
                    return Placement(region, covered, self.name)
            diameter = max(smallest, diameter * SHRINK)
        return None

    def _choose(self, centres: npt.NDArray[np.float64], _mucosa: Mucosa, generator: np.random.Generator, /) -> int:
        """Which of the places where the shape fits, float64 (N, 2), is taken."""
        return int(generator.integers(len(centres)))
