"""CCIS-Diff's pipeline: whole frames from masks and captions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, DiffusionPipeline, UNet2DConditionModel
from torch import Generator, Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from polyp_aug.errors import ConfigurationError
from polyp_aug.images import ImageArray, MaskArray
from polyp_aug.synthesizers.ccis_diff.control_net import CCISControlNet
from polyp_aug.synthesizers.ccis_diff.guidance import Guidance
from polyp_aug.synthesizers.ccis_diff.prompts import embed, tokenize
from polyp_aug.synthesizers.ccis_diff.unet_input import FrameInput


class CCISDiffPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Makes frames from masks and captions: Stable Diffusion, frozen, with the control branch of CCIS-Diff.

    `save_pretrained` and `from_pretrained` work as for all of diffusers' pipelines.

    Args:
        vae: autoencoder.
        text_encoder: of the captions, for UNet and control branch.
        tokenizer: of the captions.
        unet: of Stable Diffusion 1.5's shape, 4 input channels or 9; see `FrameInput`.
        controlnet: the control branch of that UNet.
        scheduler: the paper samples by DDIM.
    """

    model_cpu_offload_seq = "text_encoder->unet->vae"

    def __init__(
        self,
        vae: AutoencoderKL | AutoencoderTiny,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        controlnet: CCISControlNet,
        scheduler: DDIMScheduler,
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            controlnet=controlnet,
            scheduler=scheduler,
        )

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> CCISDiffPipeline:
        """As `DiffusionPipeline.from_pretrained`, which can't load another library's networks: ours is loaded here."""
        shared = {name: value for name, value in options.items() if name in ("dtype", "revision", "use_safetensors")}
        branch = options.pop("controlnet", None)
        if branch is None:
            branch = CCISControlNet.from_pretrained(source, subfolder="controlnet", **shared)
        found: CCISDiffPipeline = super().from_pretrained(source, controlnet=None, **options)
        found.register_modules(controlnet=branch)
        return found

    @property
    def cell(self) -> int:
        """Side of the picture over the side of its latents."""
        config = self.vae.config
        return int(2 ** (len(config.get("block_out_channels") or config["encoder_block_out_channels"]) - 1))

    @property
    def multiple(self) -> int:
        """A picture's sides must be multiples of so many pixels."""
        return self.cell * int(2 ** (len(self.unet.config.block_out_channels) - 1))

    @property
    def native_size(self) -> int:
        """Side in pixels of the pictures that the UNet was trained on."""
        return int(self.unet.config.sample_size) * self.cell

    @torch.no_grad()
    def __call__(
        self,
        masks: Sequence[MaskArray] | Tensor,
        captions: Sequence[str],
        *,
        guidance_scale: float = 7.0,
        num_inference_steps: int = 20,
        conditioning_scale: float = 1.0,
        mask_guidance_scale: float = 1.0,
        generators: Sequence[Generator] | None = None,
    ) -> list[ImageArray]:
        """Make frames; a frame depends on its own mask, caption and generator alone, but for rounding.

        Args:
            masks: bool (H, W) each, or float (N, 1, H, W): where polyps are to be; empty for a frame without.
            captions: of the frames, as many; "" leaves everything to the mask.
            guidance_scale: w_c, weight of the caption against the empty prompt; both see the mask. 1 switches it off.
            num_inference_steps: denoising steps.
            conditioning_scale: weight of the control branch.
            mask_guidance_scale: w_m, weight of the mask against an empty one, both without a caption; 1, as in the
                paper, switches it off. See `polyp_aug.synthesizers.ccis_diff.guidance`.
            generators: of the noise, on the CPU, one for each frame.

        Returns:
            uint8 RGB (H, W, 3) each.

        Raises:
            ConfigurationError: numbers differ, or a side is no multiple of `multiple`.
        """
        conditions = _as_tensor(masks)
        number, _, height, width = conditions.shape
        if len(captions) != number or (generators is not None and len(generators) != number):
            raise ConfigurationError(
                f"{number} masks, {len(captions)} captions and "
                f"{'no' if generators is None else len(generators)} generators: expected as many of each"
            )
        if height % self.multiple or width % self.multiple:
            raise ConfigurationError(f"masks must have sides that are multiples of {self.multiple} ({width}×{height})")
        device, dtype = self._execution_device, self.unet.dtype
        guidance = Guidance.of(guidance_scale, mask_guidance_scale)
        conditions = guidance.masks(conditions.to(device, dtype))
        ids, own = tokenize(self.tokenizer, guidance.captions(captions))
        prompt, own = embed(self.text_encoder, ids).to(dtype), own.to(device)
        complete = FrameInput(self.unet, self.vae, (height, width))
        self.scheduler.set_timesteps(num_inference_steps, device=device)
        shape = (int(self.vae.config.latent_channels), height // self.cell, width // self.cell)
        noise = [
            torch.randn(shape, generator=None if generators is None else generators[index]) for index in range(number)
        ]
        latents = torch.stack(noise).to(device, dtype) * self.scheduler.init_noise_sigma
        for time in self.progress_bar(self.scheduler.timesteps):
            noisy = complete(self.scheduler.scale_model_input(latents.repeat(len(guidance.terms), 1, 1, 1), time))
            down, middle = self.controlnet(
                noisy, time, prompt, conditions, conditioning_scale, prompt_tokens=own, return_dict=False
            )
            found = self.unet(
                noisy,
                time,
                prompt,
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
                return_dict=False,
            )[0]
            latents = self.scheduler.step(guidance.combined(found), time, latents, return_dict=False)[0]
        pictures = self.vae.decode((latents / self.vae.config.scaling_factor).to(self.vae.dtype), return_dict=False)[0]
        scaled = ((pictures.float() + 1.0) * 127.5 + 0.5).clamp(0.0, 255.0)
        return list(scaled.permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy())


def _as_tensor(masks: Sequence[MaskArray] | Tensor) -> Tensor:
    if isinstance(masks, Tensor):
        return masks
    return torch.from_numpy(np.stack(masks).astype(np.float32))[:, None]
