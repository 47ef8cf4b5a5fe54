"""Blur mask weighting: what the control branch sees of a mask (CCIS-Diff, section 2.2.2)."""

from __future__ import annotations

import torch
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding, zero_module
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.nn import functional


class BlurMaskWeighting(nn.Module):
    """Weighs the features of a blurred mask, pixel by pixel (eq. 1).

    F_b = M_w ⊙ E_b(σ(M)), with M_w = MLP([E_m(M), E_b(σ(M))]) in [0, 1]; the embedding that enters the control branch
    is F_b + (1 − M_w) ⊙ E_m(M). The two encoders don't share weights. The MLP has three layers, of which the first two
    are followed by SiLU and the last by a sigmoid; that it is pixelwise, and what it sees, the paper leaves open.

    Args:
        channels: C, of the embeddings.
        encoder_channels: of the encoder's layers; each but the first halves the side.
    """

    def __init__(self, channels: int, encoder_channels: tuple[int, ...]) -> None:
        super().__init__()
        self.blurred_encoder = ControlNetConditioningEmbedding(channels, 1, encoder_channels)
        self.mlp = nn.Sequential(
            nn.Conv2d(2 * channels, channels, kernel_size=1),
            nn.SiLU(),
            nn.Conv2d(channels, channels, kernel_size=1),
            nn.SiLU(),
            nn.Conv2d(channels, channels, kernel_size=1),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor, blurred: Tensor) -> tuple[Tensor, Tensor]:
        """Both embeddings.

        Args:
            features: E_m(M), float (N, C, h, w).
            blurred: σ(M), float (N, 1, H, W).

        Returns:
            The embedding and F_b, float (N, C, h, w) each.
        """
        soft = self.blurred_encoder(blurred)
        weights = self.mlp(torch.cat([features, soft], dim=1))
        weighted = weights * soft
        return weighted + (1.0 - weights) * features, weighted


class MaskInjection(nn.Module):
    """Lets the blur mask embedding in once more, after a cross-attention: h + Z(ResNet(h + P F_b)).

    P brings F_b to the number of channels, and averages it to the size of h. Z is a convolution that starts at zero, so
    that training begins with the branch as it was copied.

    Args:
        channels: of h.
        mask_channels: of F_b.
        groups: of channels that are normalised together.
    """

    def __init__(self, channels: int, mask_channels: int, groups: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(mask_channels, channels, kernel_size=1)
        self.resnet = ResnetBlock2D(in_channels=channels, temb_channels=None, groups=groups)
        self.out = zero_module(nn.Conv2d(channels, channels, kernel_size=1))

    def forward(self, hidden: Tensor, weighted: Tensor) -> Tensor:
        """`hidden` is float (N, channels, h, w), `weighted` is F_b, float (N, mask_channels, H, W)."""
        seen = self.projection(functional.adaptive_avg_pool2d(weighted, (hidden.shape[-2], hidden.shape[-1])))
        found: Tensor = hidden + self.out(self.resnet(hidden + seen, None))
        return found
