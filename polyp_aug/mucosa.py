"""Where a frame shows mucosa, and where a box of a given size fits on it.

A polyp can only grow on mucosa: not on the black border, burned-in text, the position box, an instrument, a specular
highlight or the dark depth of the lumen. The map is made at a small size (longer side 160 px), which is enough for
placing boxes and cheap beside reading the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.geometry import Box, IntBox, mask_box
from polyp_aug.images import ImageArray, MaskArray, channel_max, channel_min

#: Longer side of the map in pixels.
MAP_SIDE = 160

#: A darker pixel (maximum of R, G, B) is border or lumen.
DARKEST = 48

#: A pixel whose smallest channel is brighter is a specular highlight or burned-in text.
WHITE = 205

#: Red may be this much weaker than green or blue: mucosa is red to grey, position boxes and dye are not.
RED_SHARE = 0.85

#: A patch of the map with a larger share of white pixels is not mucosa.
WHITE_SHARE = 0.12

#: Burned-in text: thin strokes, so much brighter than their surroundings, with this density in a window of the map.
STROKE_CONTRAST = 40
TEXT_WINDOW = 9
TEXT_SHARE = 0.05
_STROKE = np.ones((5, 5), np.uint8)

#: Least share of a proposed box that must be mucosa.
LEAST_SHARE = 0.95


@dataclass(frozen=True, eq=False)
class Mucosa:
    """The mucosa map of one frame.

    Attributes:
        width: of the frame in pixels.
        height: of the frame in pixels.
        map: bool (h, w), the frame at a smaller size; True where mucosa is seen.
    """

    width: int
    height: int
    map: MaskArray

    @property
    def share(self) -> float:
        """Share of the frame that is mucosa, in [0, 1]."""
        return float(self.map.mean())

    @property
    def box(self) -> Box:
        """The box, xywh in pixels of the frame, that holds all mucosa; the whole frame where there is none."""
        found = mask_box(self.map)
        if found is None:
            return 0.0, 0.0, float(self.width), float(self.height)
        sx, sy = self._scale
        return found[0] / sx, found[1] / sy, found[2] / sx, found[3] / sy

    def covers(self, box: Box) -> float:
        """Share of a box, xywh in pixels of the frame, that is mucosa. What lies outside of the frame is not."""
        x, y, width, height = self._to_map(box)
        h, w = self.map.shape
        inside = self.map[max(0, y) : min(h, y + height), max(0, x) : min(w, x + width)]
        return float(np.count_nonzero(inside)) / (width * height)

    def centres(self, width: float, height: float, occupied: Sequence[Box]) -> npt.NDArray[np.float64]:
        """Every place where a box of this size lies on mucosa and meets none of `occupied`.

        Args:
            width: of the box in pixels of the frame.
            height: of the box in pixels of the frame.
            occupied: boxes, xywh in pixels, that must stay free.

        Returns:
            float64 (N, 2): x and y of the centres in pixels of the frame, row by row; N may be 0.
        """
        sx, sy = self._scale
        w, h = max(1, round(width * sx)), max(1, round(height * sy))
        rows, columns = self.map.shape
        if w > columns or h > rows:
            return np.empty((0, 2))
        sums = cv2.integral(self.map.view(np.uint8))
        covered = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
        free = covered >= LEAST_SHARE * w * h
        for box in occupied:
            # A box whose left edge stands in (x − w, x + width) meets the occupied one.
            x, y, other_width, other_height = self._to_map(box)
            free[max(0, y - h + 1) : max(0, y + other_height), max(0, x - w + 1) : max(0, x + other_width)] = False
        top, left = np.nonzero(free)
        return np.stack([(left + w / 2) / sx, (top + h / 2) / sy], axis=1)

    @property
    def _scale(self) -> tuple[float, float]:
        return self.map.shape[1] / self.width, self.map.shape[0] / self.height

    def _to_map(self, box: Box) -> IntBox:
        sx, sy = self._scale
        left, top = int(np.floor(box[0] * sx)), int(np.floor(box[1] * sy))
        right, bottom = int(np.ceil((box[0] + box[2]) * sx)), int(np.ceil((box[1] + box[3]) * sy))
        return left, top, max(1, right - left), max(1, bottom - top)


def find_mucosa(image: ImageArray) -> Mucosa:
    """The mucosa map of a frame, uint8 RGB (H, W, 3)."""
    height, width = image.shape[:2]
    size = _map_size(width, height)
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    red, green, blue = (small[:, :, channel].astype(np.float32) for channel in range(3))
    tissue = np.asarray(channel_max(small) >= DARKEST)
    tissue &= (red >= RED_SHARE * green) & (red >= RED_SHARE * blue)
    darkest = channel_min(image)
    tissue &= _share(cv2.inRange(darkest, WHITE, 255), size) <= WHITE_SHARE
    tissue &= ~_burned_in(darkest, size)
    # Opening removes text on the border; what is left of it and of other specks is too small to hold a polyp.
    opened = cv2.morphologyEx(tissue.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    large = [label for label in range(1, count) if stats[label, cv2.CC_STAT_AREA] >= 0.02 * opened.size]
    return Mucosa(width, height, np.isin(labels, large))


def find_burned_in(image: ImageArray) -> MaskArray:
    """Where a frame, uint8 RGB (H, W, 3), may hold burned-in text: bool map of the size of `find_mucosa`'s."""
    return _burned_in(channel_min(image), _map_size(image.shape[1], image.shape[0]))


def _map_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, MAP_SIDE / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _burned_in(darkest: npt.NDArray[np.uint8], size: tuple[int, int]) -> MaskArray:
    """Where the map may hold burned-in text: dense thin strokes in the margins, which is where recorders write.

    The middle is left alone, since clusters of small highlights look the same.
    """
    strokes = cv2.inRange(cv2.morphologyEx(darkest, cv2.MORPH_TOPHAT, _STROKE), STROKE_CONTRAST, 255)
    dense = cv2.blur(_share(strokes, size), (TEXT_WINDOW, TEXT_WINDOW)) > TEXT_SHARE
    width, height = size
    dense[height // 8 : height - height // 8, width // 3 : width - width // 8] = False
    return dense


def _share(flags: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Share of the set pixels (255) of a picture under every pixel of the map, float32 (h, w)."""
    return cv2.resize(flags, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
