"""Where a frame shows mucosa, and where a box of a given size fits on it.

A polyp can only grow on mucosa: not on the black border, burned-in text, the position box, an instrument, a specular
highlight or the dark depth of the lumen. The map is made at a small size (longer side 160 to 320 px), which is enough
for placing boxes and cheap beside reading the frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.geometry import Box, IntBox, Region
from polyp_aug.images import ImageArray, MaskArray, channel_max, channel_min

#: Least length of the longer side of the map, where the frame's own is not shorter.
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

#: Connected mucosa of a smaller share of the frame is a speck.
LEAST_COMPONENT = 0.02

#: Least share of a proposed box that must be mucosa.
LEAST_SHARE = 0.95


@dataclass(frozen=True, eq=False)
class Mucosa:
    """The mucosa map of one frame.

    Attributes:
        width: of the frame in pixels.
        height: of the frame in pixels.
        step: side, in pixels of the frame, of the square that a pixel of the map stands for.
        map: bool (height // step, width // step); True where mucosa is seen.
    """

    width: int
    height: int
    step: int
    map: MaskArray

    def covers(self, box: Box) -> float:
        """Share of a box, xywh in pixels of the frame, that is mucosa. What lies outside of the frame is not."""
        x, y, width, height = self._to_map(box)
        h, w = self.map.shape
        inside = self.map[max(0, y) : min(h, y + height), max(0, x) : min(w, x + width)]
        return float(np.count_nonzero(inside)) / (width * height)

    def centres(self, width: float, height: float, occupied: Sequence[Box]) -> npt.NDArray[np.float64]:
        """Every place, in steps of the map, where a box of this size lies on mucosa and meets none of `occupied`.

        Args:
            width: of the box in pixels of the frame.
            height: of the box in pixels of the frame.
            occupied: boxes, xywh in pixels, that must stay free.

        Returns:
            float64 (N, 2): x and y of the centres in pixels of the frame, row by row; N may be 0.
        """
        w, h = max(1, math.ceil(width / self.step)), max(1, math.ceil(height / self.step))
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
        return np.stack([left + w / 2, top + h / 2], axis=1) * self.step

    def region(self) -> Region | None:
        """The mucosa's pixels in the frame, as far as whole pixels of the map reach; None where there is none."""
        return Region.from_mask(self.map.repeat(self.step, axis=0).repeat(self.step, axis=1))

    def _to_map(self, box: Box) -> IntBox:
        left, top = int(box[0] // self.step), int(box[1] // self.step)
        right, bottom = int(-(-(box[0] + box[2]) // self.step)), int(-(-(box[1] + box[3]) // self.step))
        return left, top, max(1, right - left), max(1, bottom - top)


def find_mucosa(image: ImageArray) -> Mucosa:
    """The mucosa map of a frame, uint8 RGB (H, W, 3)."""
    height, width = image.shape[:2]
    step = _step(image)
    small = np.asarray(_averaged(image, step), dtype=np.uint8)
    red, green, blue = (small[:, :, channel].astype(np.float32) for channel in range(3))
    tissue = np.asarray(channel_max(small) >= DARKEST)
    tissue &= (red >= RED_SHARE * green) & (red >= RED_SHARE * blue)
    darkest = channel_min(image)
    tissue &= np.asarray(_averaged(cv2.inRange(darkest, WHITE, 255), step) <= 255 * WHITE_SHARE)
    tissue &= ~_burned_in(darkest, step)
    # Opening removes text on the border; what is left of it and of other specks is too small to hold a polyp.
    opened = cv2.morphologyEx(tissue.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    large = np.zeros(count, np.bool_)
    large[1:] = stats[1:, cv2.CC_STAT_AREA] >= LEAST_COMPONENT * opened.size
    return Mucosa(width, height, step, large[labels])


def find_burned_in(image: ImageArray) -> MaskArray:
    """Where a frame, uint8 RGB (H, W, 3), may hold burned-in text: bool (H, W)."""
    step = _step(image)
    found = np.zeros(image.shape[:2], np.bool_)
    text = _burned_in(channel_min(image), step).repeat(step, axis=0).repeat(step, axis=1)
    found[: text.shape[0], : text.shape[1]] = text
    return found


def _step(image: ImageArray) -> int:
    height, width = (int(side) for side in image.shape[:2])
    return max(1, min(max(height, width) // MAP_SIDE, height, width))


def _burned_in(darkest: npt.NDArray[np.uint8], step: int) -> MaskArray:
    """Where the map may hold burned-in text: dense thin strokes in the margins, which is where recorders write.

    The middle is left alone, since clusters of small highlights look the same.
    """
    strokes = cv2.inRange(cv2.morphologyEx(darkest, cv2.MORPH_TOPHAT, _STROKE), STROKE_CONTRAST, 255)
    density = cv2.blur(_averaged(strokes, step).astype(np.float32), (TEXT_WINDOW, TEXT_WINDOW))
    dense = np.asarray(density > 255 * TEXT_SHARE)
    height, width = dense.shape
    dense[height // 8 : height - height // 8, width // 3 : width - width // 8] = False
    return dense


def _averaged(picture: npt.NDArray[Any], step: int) -> npt.NDArray[Any]:
    """Means over squares of `step` pixels; what is left over at the right and lower border is cut off."""
    height, width = picture.shape[0] // step, picture.shape[1] // step
    return cv2.resize(picture[: height * step, : width * step], (width, height), interpolation=cv2.INTER_AREA)
