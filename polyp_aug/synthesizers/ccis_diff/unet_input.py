"""What a UNet is given to make a whole frame: nothing but noise, or, for an inpainting UNet, an empty frame to fill."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint import retrieve_latents
from torch import Tensor

from polyp_aug.errors import ConfigurationError

#: Input channels of Stable Diffusion's inpainting: noisy latents, the mask, latents of the masked picture.
_INPAINTING = 9


class FrameInput:
    """Completes noisy latents to the input of a UNet.

    An inpainting UNet paints all of a frame where its mask is 1 everywhere and the picture under it is blank, mid grey.

    Args:
        unet: of 4 input channels, or an inpainting UNet of 9.
        vae: whose latents the UNet was trained on.
        size: (height, width) of the pictures in pixels.

    Raises:
        ConfigurationError: the UNet has another number of input channels.
    """

    def __init__(self, unet: UNet2DConditionModel, vae: AutoencoderKL | AutoencoderTiny, size: tuple[int, int]) -> None:
        channels, latent_channels = int(unet.config.in_channels), int(vae.config.latent_channels)
        self._rest: Tensor | None = None
        if channels == latent_channels:
            return
        if channels != _INPAINTING:
            raise ConfigurationError(
                f"the UNet has {channels} input channels, expected {latent_channels}, or {_INPAINTING} for inpainting"
            )
        with torch.no_grad():
            blank = torch.zeros(1, 3, *size, dtype=vae.dtype, device=vae.device)
            latents = retrieve_latents(vae.encode(blank), sample_mode="argmax") * vae.config.scaling_factor
        self._rest = torch.cat([torch.ones_like(latents[:, :1]), latents], dim=1)

    def __call__(self, noisy: Tensor) -> Tensor:
        """The input, float (N, 4 or 9, h, w), for noisy latents, float (N, 4, h, w)."""
        if self._rest is None:
            return noisy
        return torch.cat([noisy, self._rest.to(noisy).expand(len(noisy), -1, -1, -1)], dim=1)
