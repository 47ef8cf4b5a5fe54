"""Contact sheets of crops, for looking at what the numbers say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from polyp_aug.errors import ConfigurationError
from polyp_aug.images import ImageArray
from polyp_aug.sheets import GAP, captioned, grid

#: Side of a tile in pixels.
TILE = 128

#: Pixels between two tiles of a set, and between the two pictures of a pair.
_NARROW = 2


def side_by_side(sets: Mapping[str, Sequence[ImageArray]], columns: int = 10) -> ImageArray:
    """Sets of crops beside each other, each a grid under its caption.

    Args:
        sets: caption → crops, uint8 RGB; they are shown at 128 px.
        columns: tiles in a row of each set.

    Returns:
        uint8 RGB.

    Raises:
        ConfigurationError: there is no set, a set is empty, or `columns` is less than 1.
    """
    if not sets or not all(sets.values()) or columns < 1:
        sizes = {caption: len(crops) for caption, crops in sets.items()}
        raise ConfigurationError(f"a sheet needs crops and columns (got {sizes} crops, {columns} columns)")
    parts = [
        captioned(grid([_tile(crop) for crop in crops], columns, _NARROW), f"{caption}: {len(crops)}")
        for caption, crops in sets.items()
    ]
    return grid(parts, columns=len(parts), gap=3 * GAP)


def pair_sheet(pairs: Sequence[tuple[ImageArray, ImageArray]], captions: Sequence[str], columns: int = 4) -> ImageArray:
    """Pairs of pictures, each under its caption.

    Args:
        pairs: uint8 RGB; both pictures of a pair have one size, and none is enlarged or made smaller.
        captions: of each pair.
        columns: pairs in a row.

    Returns:
        uint8 RGB.

    Raises:
        ConfigurationError: there is no pair, or the numbers of pairs and captions differ.
    """
    if not pairs or len(pairs) != len(captions):
        raise ConfigurationError(f"{len(pairs)} pairs and {len(captions)} captions, expected as many, at least one")
    tiles = [captioned(grid(pair, 2, _NARROW), caption) for pair, caption in zip(pairs, captions, strict=True)]
    return grid(tiles, columns)


def _tile(crop: ImageArray) -> ImageArray:
    return np.asarray(cv2.resize(crop, (TILE, TILE), interpolation=cv2.INTER_AREA), dtype=np.uint8)
