"""How different the pictures of a set are: the mean perceptual distance of two of them.

The distance has the form of LPIPS (Zhang et al., CVPR 2018, equation 1) without its learnt weights, in the features of
EfficientNet-Lite0: d(x, y) = mean over blocks of mean over places of ‖x̂ − ŷ‖², x̂ scaled to unit length over its
channels (`training.reconstruction.PerceptualDistance`). LPIPS itself needs AlexNet's or VGG's weights; its figures
can't be compared with these.

A set's diversity is the mean over all pairs of at most `MOST` of its pictures, one of a group at most.

**Weakness.** Noise and broken pictures are diverse, too: the real pictures' diversity is the aim, not the maximum.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from polyp_aug.encoders.digest import digest_weights
from polyp_aug.encoders.efficientnet_lite import EfficientNetLite0
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.intervals import DRAWS, Floats, Integers, Interval, percentile_interval, resampled_counts
from polyp_aug.images import ImageArray
from polyp_aug.keys import Key
from polyp_aug.training.reconstruction import PERCEPTUAL_BLOCKS

#: Pictures of a set that are compared with each other; a picture takes 1.3 MB.
MOST = 150

#: Side of the pictures in pixels.
SIZE = 224


class PerceptualNetwork:
    """Distances of pictures in EfficientNet-Lite0's blocks.

    Raises:
        MissingDependencyError: the packages with code and weights are not installed.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._network = EfficientNetLite0(PERCEPTUAL_BLOCKS).to(device)
        self.name = f"EfficientNet-Lite0, ImageNet, blocks {', '.join(str(block) for block in PERCEPTUAL_BLOCKS)}"
        self.revision = digest_weights(f"perceptual {PERCEPTUAL_BLOCKS} {SIZE}", self._network.state_dict().items())

    def vectors(self, pictures: Iterable[ImageArray]) -> npt.NDArray[np.float32]:
        """Vectors whose squared distance is the perceptual distance of two pictures.

        Args:
            pictures: uint8 RGB (H, W, 3), all of one size.

        Returns:
            float32 (N, K).

        Raises:
            ConfigurationError: there is no picture.
        """
        found = []
        for picture in pictures:
            values = torch.from_numpy(picture.copy()).to(self._device).permute(2, 0, 1)[None].float() / 255.0
            with torch.no_grad():
                blocks = self._network(values)
            scaled = [
                functional.normalize(block, dim=1).flatten() / (block.shape[2] * block.shape[3] * len(blocks)) ** 0.5
                for block in blocks
            ]
            found.append(torch.cat(scaled).cpu().numpy())
        if not found:
            raise ConfigurationError("no pictures to compare")
        return np.stack(found)


def choose_diverse(groups: Sequence[str], seed: int, name: str) -> Integers:
    """Numbers of at most `MOST` items in rising order, one of a group, drawn by the seed and the set's name; int64."""
    seen: set[str] = set()
    chosen: list[int] = []
    for number in Key(seed, name).generator("diversity").permutation(len(groups)):
        if groups[number] not in seen and len(chosen) < MOST:
            seen.add(groups[number])
            chosen.append(int(number))
    return np.array(sorted(chosen), np.int64)


def pair_distances(vectors: npt.NDArray[np.float32]) -> Floats:
    """Squared distances of every two vectors, float64 (N, N), 0 on the diagonal."""
    squares = np.einsum("nk,nk->n", vectors, vectors, dtype=np.float64)
    found = squares[:, None] + squares[None] - 2.0 * (vectors @ vectors.T).astype(np.float64)
    np.fill_diagonal(found, 0.0)
    return np.asarray(np.maximum(found, 0.0))


def diversity(distances: Floats, *, seed: int, name: str, draws: int = DRAWS) -> Interval:
    """Mean distance of two different pictures, with a bootstrap interval over pictures.

    Args:
        distances: float64 (N, N), of pictures of different groups.
        seed: the only source of randomness.
        name: of the set.
        draws: of the bootstrap. A picture is never compared with its own copy.

    Raises:
        ConfigurationError: there are fewer than ten pictures.
    """
    count = len(distances)
    drawn = resampled_counts(count, seed=seed, name=name, draws=draws)
    totals = np.einsum("bn,bn->b", drawn @ distances, drawn) / (count**2 - np.square(drawn).sum(axis=1))
    return percentile_interval(float(distances.sum() / (count * (count - 1))), totals)
