"""The blurred mask σ(M): a Gaussian as wide as the polyp asks for."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

#: Standard deviations at which a Gaussian is cut off.
_REACH = 3.0


def blur_masks(masks: Tensor, share: float) -> Tensor:
    """Blur each mask by a Gaussian of σ = `share` · d, with d = √(4 A / π), the equivalent diameter of its area A.

    A mask's result doesn't depend on the others of its batch. Outside of the frame the edge is repeated.

    Args:
        masks: M, float (N, 1, H, W) in [0, 1].
        share: σ over d; 0 leaves the masks as they are.

    Returns:
        σ(M), float (N, 1, H, W) in [0, 1]; an empty mask stays empty.
    """
    number, _, height, width = masks.shape
    area = masks.float().sum(dim=(1, 2, 3))
    sigma = share * torch.sqrt(4.0 * area / math.pi)
    radius = math.ceil(_REACH * float(sigma.max())) if number else 0
    if radius == 0:
        return masks
    offset = torch.arange(-radius, radius + 1, device=masks.device, dtype=torch.float32)
    wide = sigma[:, None].clamp_min(1e-6)
    kernel = torch.exp(-0.5 * (offset / wide) ** 2) * (offset.abs() <= torch.ceil(_REACH * wide))
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).to(masks.dtype)
    # Every mask has a kernel of its own: masks stand as channels, each a group.
    planes = functional.pad(masks.view(1, number, height, width), (radius,) * 4, mode="replicate")
    planes = functional.conv2d(planes, kernel.view(number, 1, 1, -1), groups=number)
    planes = functional.conv2d(planes, kernel.view(number, 1, -1, 1), groups=number)
    return planes.view(number, 1, height, width)
