"""EfficientNet-Lite0 as a patch encoder: works without a network, and is small enough for a laptop."""

from __future__ import annotations

from torch import Tensor, nn

from polyp_aug.encoders.digest import digest_weights
from polyp_aug.encoders.efficientnet_lite import EfficientNetLite0
from polyp_aug.encoders.patches import PatchEncoder, PatchGrid
from polyp_aug.encoders.torch_patches import TorchPatchEncoder

#: The block whose features match places of the bowel best, of those tried.
BLOCK = 10
PATCH = 16
CHANNELS = 112


class _Block(nn.Module):
    """The network up to one block."""

    def __init__(self, network: EfficientNetLite0) -> None:
        super().__init__()
        self._network = network

    def forward(self, pictures: Tensor) -> Tensor:
        features: list[Tensor] = self._network(pictures)
        return features[0]


def load_efficientnet_patches(weights: str, grid: PatchGrid, device: str = "cpu") -> PatchEncoder:
    """The encoder with ImageNet weights.

    Args:
        weights: see `PatchEncoder`.
        grid: how pictures are brought to whole patches of `PATCH` pixels.
        device: where it runs.

    Raises:
        MissingDependencyError: the packages with code and weights are not installed.
    """
    network = EfficientNetLite0([BLOCK]).to(device)
    revision = digest_weights(f"{BLOCK} {grid}", sorted(network.state_dict().items()))
    name = f"efficientnet_lite0 block {BLOCK}"
    return TorchPatchEncoder(name, revision, CHANNELS, grid, weights, _Block(network), device)
