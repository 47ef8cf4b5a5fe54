"""Crops of frames for training: crop number i is the same in every process, epoch and order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from polyp_aug.errors import ConfigurationError
from polyp_aug.images import ImageArray, channel_max, read_image
from polyp_aug.keys import Key
from polyp_aug.mucosa import DARKEST

#: A crop with a larger share of dark pixels is drawn again, at most `_ATTEMPTS` times.
LARGEST_DARK = 0.4
_ATTEMPTS = 4


class CropDataset(Dataset[Tensor]):
    """Square crops at random places, scales, flips and quarter turns.

    Args:
        frames: the pictures.
        size: side of a crop in pixels.
        count: number of crops.
        seed: the only source of randomness.
        scales: smallest and largest factor by which a frame is made smaller before it is cut; frames smaller than a
            crop are enlarged to it.

    Raises:
        ConfigurationError: `scales` does not rise within (0, 1].
    """

    def __init__(
        self, frames: Sequence[Path], *, size: int, count: int, seed: int, scales: tuple[float, float] = (0.5, 1.0)
    ) -> None:
        if not 0.0 < scales[0] <= scales[1] <= 1.0:
            raise ConfigurationError(f"'scales' must rise within (0, 1] (got {scales})")
        self._frames = frames
        self._size = size
        self._count = count
        self._seed = seed
        self._scales = scales

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Tensor:
        """Crop number `index`: float32 (3, size, size), RGB in [−1, 1].

        Raises:
            ImageError: the frame can't be read.
        """
        generator = Key(self._seed, "crop", draw=index).generator("crop")
        image = read_image(self._frames[int(generator.integers(len(self._frames)))])
        crop = self._cut(image, generator)
        crop = np.rot90(crop[:, ::-1] if generator.random() < 0.5 else crop, int(generator.integers(4)))
        return torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1).float() / 127.5 - 1.0

    def _cut(self, image: ImageArray, generator: np.random.Generator) -> ImageArray:
        height, width = image.shape[:2]
        scale = max(generator.uniform(*self._scales), self._size / min(height, width))
        size = max(self._size, round(width * scale)), max(self._size, round(height * scale))
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        crop = small
        for _ in range(_ATTEMPTS):
            x, y = (int(generator.integers(side - self._size + 1)) for side in size)
            crop = small[y : y + self._size, x : x + self._size]
            if np.mean(channel_max(crop) < DARKEST) <= LARGEST_DARK:
                break
        return crop
