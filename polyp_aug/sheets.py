"""Contact sheets: pictures in rows, on white, with captions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from polyp_aug.images import ImageArray

#: Pixels between the pictures.
GAP = 8

#: Height of a line of text in pixels, and the size of its letters.
LINE = 22
_LETTERS = 15


def grid(tiles: Sequence[ImageArray], columns: int, gap: int = GAP) -> ImageArray:
    """Pictures from left to right, row by row, on white.

    Args:
        tiles: at least one, uint8 RGB; sizes may differ.
        columns: in a row, at least 1.
        gap: pixels between the pictures.

    Returns:
        uint8 RGB.
    """
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    width = max(sum(tile.shape[1] for tile in row) + gap * (len(row) - 1) for row in rows)
    heights = [max(tile.shape[0] for tile in row) for row in rows]
    sheet = np.full((sum(heights) + gap * (len(rows) - 1), width, 3), 255, np.uint8)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for tile in row:
            sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
            left += tile.shape[1] + gap
        top += height + gap
    return sheet


def captioned(tile: ImageArray, text: str) -> ImageArray:
    """A picture, uint8 RGB, with a line of text on white above it; text that is too long is cut off."""
    line = Image.new("RGB", (tile.shape[1], LINE), "white")
    ImageDraw.Draw(line).text((0, 1), text, fill="black", font=ImageFont.load_default(_LETTERS))
    return np.vstack([np.asarray(line, dtype=np.uint8), tile])
