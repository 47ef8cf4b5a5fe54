"""How far a reconstruction is from its picture: pixels, edges, and what a classifier sees."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyp_aug.encoders.efficientnet_lite import EfficientNetLite0

#: Blocks whose features are compared: strides 2, 4, 8 and 16.
PERCEPTUAL_BLOCKS = (0, 2, 4, 10)


def gradient_difference(first: Tensor, second: Tensor, scales: int = 3) -> Tensor:
    """Mean absolute difference of the horizontal and vertical differences of neighbouring pixels, over several scales.

    L = 1/S Σ_s ( |∂x a_s − ∂x b_s| + |∂y a_s − ∂y b_s| ), where a_s is `first` averaged over 2^s × 2^s pixels.

    Args:
        first: float (N, C, H, W).
        second: of the same shape.
        scales: S.

    Returns:
        A scalar.
    """
    total = first.new_zeros(())
    difference = first - second
    for scale in range(scales):
        if scale:
            difference = functional.avg_pool2d(difference, 2)
        total = total + (difference[..., 1:] - difference[..., :-1]).abs().mean()
        total = total + (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean()
    return total / scales


def colour_difference(first: Tensor, second: Tensor, cell: int = 8) -> Tensor:
    """Mean absolute difference of hue and saturation over cells of `cell` × `cell` pixels.

    L = | A(c_a − c_b) |, c = x − mean of the three channels of x, A the average over a cell. Mucosa is red everywhere,
    so the pixels' own difference, and PSNR, hardly ask for more than brightness.

    Args:
        first: float (N, 3, H, W).
        second: of the same shape; H and W are at least `cell`.

    Returns:
        A scalar.
    """
    difference = first - second
    chroma = difference - difference.mean(dim=1, keepdim=True)
    return functional.avg_pool2d(chroma, cell).abs().mean()


class PerceptualDistance(nn.Module):
    """Mean squared distance of EfficientNet-Lite0's features, each scaled to unit length over its channels.

    Args:
        blocks: whose features to compare.

    Raises:
        MissingDependencyError: the packages with code and weights are not installed.
    """

    def __init__(self, blocks: Sequence[int] = PERCEPTUAL_BLOCKS) -> None:
        super().__init__()
        self.encoder = EfficientNetLite0(blocks)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The distance, a scalar.

        Args:
            first: float (N, 3, H, W), RGB in [−1, 1]; gradients flow into it.
            second: of the same shape; no gradients.
        """
        with torch.no_grad():
            wanted = self.encoder((second + 1.0) / 2.0)
        found = self.encoder((first + 1.0) / 2.0)
        distances = [
            (functional.normalize(a, dim=1) - functional.normalize(b, dim=1)).square().sum(dim=1).mean()
            for a, b in zip(found, wanted, strict=True)
        ]
        return torch.stack(distances).mean()


def psnr(first: Tensor, second: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture in dB: 10 log10(4 / MSE), for values in [−1, 1].

    Args:
        first: float (N, 3, H, W).
        second: of the same shape.

    Returns:
        float (N,).
    """
    error = (first.float() - second.float()).square().mean(dim=(1, 2, 3)).clamp_min(1e-10)
    return 10.0 * torch.log10(4.0 / error)
