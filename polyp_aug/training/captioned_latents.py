"""Latents of captioned frames, encoded once and kept on disk, or encoded when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint import retrieve_latents
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from polyp_aug.training.captioned import CaptionedDataset, CaptionedExample
from polyp_aug.training.latents import Autocast
from polyp_aug.training.shards import ShardCache

#: Changes when the same settings give other examples or latents than before.
FORMAT = 1


class CaptionedLatents(NamedTuple):
    """A batch of N captioned frames; h and w are the latents' sides.

    Attributes:
        latents: x₀, float (N, 4, h, w), scaled to unit variance.
        mask: M, float (N, 1, H, W), 1 where a polyp is, at the picture's size.
        number: int64 (N,), see `CaptionedDataset.caption`.
    """

    latents: Tensor
    mask: Tensor
    number: Tensor


@torch.no_grad()
def encode_captioned(
    vae: AutoencoderKL | AutoencoderTiny, autocast: Autocast, batch: Sequence[Tensor]
) -> CaptionedLatents:
    """Latents of a batch, the mean of the posterior, in float32 on the autoencoder's device."""
    image, mask, number = CaptionedExample(*batch)
    with autocast():
        latents = retrieve_latents(vae.encode(image.to(vae.device, vae.dtype)), sample_mode="argmax")
    return CaptionedLatents(
        latents.float() * vae.config.scaling_factor, mask.to(vae.device, torch.float32), number.to(vae.device)
    )


def cached_latents(
    root: Path,
    examples: CaptionedDataset,
    identity: Mapping[str, Any],
    vae: AutoencoderKL | AutoencoderTiny,
    *,
    batch_size: int = 16,
    autocast: Autocast = nullcontext,
    observer: Callable[[int, int], None] | None = None,
) -> Callable[[Sequence[int]], CaptionedLatents]:
    """Encode what is not on disk yet.

    Args:
        root: folder of caches.
        examples: what to encode.
        identity: everything that decides an example and the autoencoder, in JSON types.
        vae: autoencoder.
        batch_size: examples that are encoded together.
        autocast: precision of the encoding.
        observer: called with the number of examples that are done, and of all, after each file.

    Returns:
        A function from examples' numbers to their batch, in float32 on the CPU.

    Raises:
        ImageError: a frame can't be read.
    """
    cache = ShardCache(root, len(examples), {**identity, "captioned": FORMAT})
    cache.fill(partial(_encode, examples, vae, batch_size, autocast), observer=observer)

    def batch(numbers: Sequence[int]) -> CaptionedLatents:
        bits, side = cache.rows("mask", numbers), int(cache.rows("side", numbers[:1]))
        mask = np.unpackbits(bits.numpy(), axis=-1, count=side)
        return CaptionedLatents(
            cache.rows("latents", numbers).float(),
            torch.from_numpy(mask).float(),
            cache.rows("number", numbers),
        )

    return batch


def _encode(
    examples: CaptionedDataset, vae: AutoencoderKL | AutoencoderTiny, batch_size: int, autocast: Autocast, rows: range
) -> dict[str, Tensor]:
    loader = DataLoader(Subset(examples, rows), batch_size=batch_size)
    parts = [encode_captioned(vae, autocast, batch) for batch in loader]
    latents, mask, number = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
    return {
        "latents": latents.half(),
        # Eight pixels in a byte.
        "mask": torch.from_numpy(np.packbits(mask.numpy() > 0.5, axis=-1)),
        "side": torch.full((len(number),), mask.shape[-1], dtype=torch.int32),
        "number": number,
    }
