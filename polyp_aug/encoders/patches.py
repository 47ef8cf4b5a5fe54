"""The contract of a patch encoder: a picture becomes a grid of local features.

Coordinates are those of `geometry`. Patch (row, column) stands for the pixels from (column · width, row · height) on,
of the size `PatchFeatures.patch`, which may hold a fraction of a pixel where the picture was resized.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.errors import ConfigurationError, ImageError
from polyp_aug.geometry import MaskArray, Region
from polyp_aug.images import ImageArray

#: A patch belongs to a region that covers at least this share of it.
COVERED = 0.5


@dataclass(frozen=True, eq=False)
class PatchFeatures:
    """Local features of a picture.

    Attributes:
        local: float32 (rows, columns, channels).
        patch: width and height of a patch in pixels of the picture.
    """

    local: npt.NDArray[np.float32]
    patch: tuple[float, float]

    @property
    def pooled(self) -> npt.NDArray[np.float32]:
        """The global feature: the mean of the local ones, float32 (channels,)."""
        return np.asarray(self.local.mean(axis=(0, 1)), dtype=np.float32)

    def inside(self, region: Region) -> MaskArray:
        """The patches of a region: bool (rows, columns).

        A patch counts where at least half of it is covered; where that holds nowhere, the first of those with the
        largest share does. There is none where the region lies in what the encoder cut off.
        """
        rows, columns = self.local.shape[:2]
        width, height = round(columns * self.patch[0]), round(rows * self.patch[1])
        mask = region.to_mask(height, width).astype(np.float32)
        shares = cv2.resize(mask, (columns, rows), interpolation=cv2.INTER_AREA)
        inside = np.asarray(shares >= COVERED)
        if not inside.any() and shares.max() > 0:
            inside.flat[shares.argmax()] = True
        return inside


class PatchEncoder(Protocol):
    """Turns pictures into local features."""

    @property
    def name(self) -> str:
        """What it is, with what it is made of: features of other names can't be compared."""

    @property
    def revision(self) -> str:
        """Digest of the weights and of the settings that decide the features."""

    @property
    def channels(self) -> int:
        """Of a local feature."""

    @property
    def patch(self) -> int:
        """Side of a patch in pixels; a picture's shorter side must not be less."""

    @property
    def weights(self) -> str:
        """What `load_encoder` loads it by; "" where that is a folder of this machine."""

    @property
    def side(self) -> int:
        """See `load_encoder`."""

    def encode(self, images: Sequence[ImageArray]) -> list[PatchFeatures]:
        """Features of pictures, each uint8 RGB (H, W, 3); those of one size are encoded together.

        Raises:
            ImageError: a picture is smaller than a patch.
        """


@dataclass(frozen=True)
class PatchGrid:
    """How a picture is brought to whole patches.

    Attributes:
        patch: side of a patch in pixels, as the network sees it.
        side: length in pixels that the longer side is resized to; None keeps the picture's own size, and cuts off what
            is left over at the right and lower border (the published form).

    Raises:
        ConfigurationError: `side` is shorter than a patch.
    """

    patch: int
    side: int | None = None

    def __post_init__(self) -> None:
        if self.side is not None and self.side < self.patch:
            raise ConfigurationError(f"'side' must be at least a patch, {self.patch} (got {self.side})")

    def fit(self, image: ImageArray) -> tuple[ImageArray, tuple[float, float]]:
        """A picture as the network takes it, and the size of a patch in pixels of the original.

        Raises:
            ImageError: the picture is smaller than a patch.
        """
        height, width = image.shape[:2]
        if min(width, height) < self.patch:
            raise ImageError(f"a picture of {width}×{height} px is smaller than a patch of {self.patch} px")
        if self.side is None:
            columns, rows = width // self.patch, height // self.patch
            return image[: rows * self.patch, : columns * self.patch], (float(self.patch), float(self.patch))
        scale = self.side / max(width, height)
        columns, rows = (max(1, round(length * scale / self.patch)) for length in (width, height))
        size = columns * self.patch, rows * self.patch
        smaller = size[0] <= width and size[1] <= height
        resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
        return np.asarray(resized, dtype=np.uint8), (width / columns, height / rows)


def by_shape(images: Sequence[ImageArray]) -> list[list[int]]:
    """Indices of pictures, grouped by shape, in the order of their first."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(images):
        groups.setdefault(image.shape, []).append(index)
    return list(groups.values())
