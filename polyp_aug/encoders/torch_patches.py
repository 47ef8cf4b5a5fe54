"""What the patch encoders that run on torch share: fitting, batches of equal size, and the way back to numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from polyp_aug.encoders.patches import PatchFeatures, PatchGrid, by_shape
from polyp_aug.images import ImageArray

#: Pictures that go through a network together on an accelerator. A processor is faster with one after the other.
BATCH = 8


@dataclass(frozen=True, eq=False)
class TorchPatchEncoder:
    """A network as a `PatchEncoder`. It can be pickled, for the workers of a data loader.

    Attributes:
        name: see `PatchEncoder`.
        revision: see `PatchEncoder`.
        channels: see `PatchEncoder`.
        grid: how pictures are brought to whole patches.
        weights: see `PatchEncoder`.
        network: on `device`; float (N, 3, H, W), RGB in [0, 1] → float (N, channels, H / patch, W / patch).
        device: where it runs.
    """

    name: str
    revision: str
    channels: int
    grid: PatchGrid
    weights: str
    network: nn.Module
    device: str = "cpu"

    @property
    def patch(self) -> int:
        """See `PatchEncoder`."""
        return self.grid.patch

    @property
    def side(self) -> int:
        """See `PatchEncoder`."""
        return self.grid.side or 0

    @torch.no_grad()
    def encode(self, images: Sequence[ImageArray]) -> list[PatchFeatures]:
        """As `PatchEncoder.encode`."""
        fitted = [self.grid.fit(image) for image in images]
        found: dict[int, PatchFeatures] = {}
        batch = 1 if self.device == "cpu" else BATCH
        for group in by_shape([image for image, _ in fitted]):
            for first in range(0, len(group), batch):
                members = group[first : first + batch]
                stack = torch.from_numpy(np.stack([fitted[index][0] for index in members]))
                pictures = stack.to(self.device).permute(0, 3, 1, 2).float() / 255.0
                features: Tensor = self.network(pictures)
                local = features.permute(0, 2, 3, 1).float().contiguous().cpu().numpy()
                for index, values in zip(members, local, strict=True):
                    found[index] = PatchFeatures(values, fitted[index][1])
        return [found[index] for index in range(len(images))]
