"""Latents of training examples: encoding takes most of the time of a step, and nothing of it is learned."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, StableDiffusionInpaintPipeline
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint import retrieve_latents
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Subset

from polyp_aug.encoders.digest import digest_weights
from polyp_aug.training.examples import PROMPTS, Example, ExampleDataset
from polyp_aug.training.shards import SHARD, ShardCache, save_tensors


class LatentExample(NamedTuple):
    """A batch of N examples as the denoising network sees them; h and w are the latents' sides.

    Attributes:
        latents: x₀, float (N, 4, h, w), scaled to unit variance.
        masked: latents of the picture with the mask blanked, of the same shape.
        mask: float (N, 1, h, w), 1 where it is repainted.
        prompt: int64 (N,), an index into `PROMPTS`.
    """

    latents: Tensor
    masked: Tensor
    mask: Tensor
    prompt: Tensor


#: Changes when the same settings give other examples or latents than before.
FORMAT = 1

#: Makes the context in which a network computes in mixed precision.
Autocast = Callable[[], AbstractContextManager[Any]]


@torch.no_grad()
def encode_examples(
    vae: AutoencoderKL | AutoencoderTiny, batch: Example, autocast: Autocast = nullcontext
) -> LatentExample:
    """Latents of a batch in float32, on the autoencoder's device.

    Latents are the mean of the posterior. As in diffusers' inpainting pipeline the mask is blanked with 0, mid grey.
    """
    image, mask = (part.to(vae.device, vae.dtype) for part in batch[:2])
    with autocast():
        both = retrieve_latents(vae.encode(torch.cat([image, image * (mask < 0.5)])), sample_mode="argmax")
    latents, masked = (both.float() * vae.config.scaling_factor).chunk(2)
    cells = functional.interpolate(mask, size=latents.shape[-2:], mode="nearest")
    return LatentExample(latents, masked, cells, batch.prompt.to(vae.device))


def encode_batch(vae: AutoencoderKL | AutoencoderTiny, autocast: Autocast, batch: Sequence[Tensor]) -> LatentExample:
    """`encode_examples` of a batch as torch's data loader collates it."""
    return encode_examples(vae, Example(*batch), autocast)


@torch.no_grad()
def embed_prompts(pipeline: StableDiffusionInpaintPipeline) -> Tensor:
    """Embeddings of `PROMPTS`, float (prompts, tokens, features)."""
    found: Tensor = pipeline.encode_prompt(list(PROMPTS), pipeline.device, 1, False)[0]
    return found.float()


def digest_encoders(pipeline: StableDiffusionInpaintPipeline) -> str:
    """16 digits that change with the autoencoder and with the prompts' embeddings, not with the UNet."""
    return _digest(pipeline.vae, ("prompts", embed_prompts(pipeline)))


def digest_autoencoder(vae: AutoencoderKL | AutoencoderTiny) -> str:
    """16 digits that change with the autoencoder."""
    return _digest(vae)


def _digest(vae: AutoencoderKL | AutoencoderTiny, *more: tuple[str, Tensor]) -> str:
    settings = {name: value for name, value in vae.config.items() if not name.startswith("_")}
    weights = (*sorted(vae.state_dict().items()), *more)
    return digest_weights(json.dumps(settings, sort_keys=True, default=str), weights)


class LatentCache:
    """Examples whose latents are on disk, in half precision, with the embeddings of the prompts; see `ShardCache`.

    Args:
        root: folder of caches.
        examples: what to encode.
        identity: everything that decides an example and the autoencoder, in JSON types.
        shard: examples in a file.
    """

    def __init__(
        self, root: Path, examples: ExampleDataset, identity: Mapping[str, Any], *, shard: int = SHARD
    ) -> None:
        self._examples = examples
        self._shards = ShardCache(root, len(examples), {**identity, "format": FORMAT}, shard=shard)

    def __len__(self) -> int:
        return len(self._examples)

    @property
    def path(self) -> Path:
        """The cache's folder."""
        return self._shards.path

    def fill(
        self,
        pipeline: StableDiffusionInpaintPipeline,
        *,
        batch_size: int = 16,
        autocast: Autocast = nullcontext,
        observer: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Encode what is not there yet, and open the cache.

        Args:
            pipeline: whose autoencoder and text encoder to use.
            batch_size: examples that are encoded together.
            autocast: precision of the encoding.
            observer: called with the number of examples that are done, and of all, after each shard.

        Returns:
            Embeddings of the prompts, as `embed_prompts`.

        Raises:
            ImageError: a frame can't be read.
        """

        def make(numbers: range) -> dict[str, Tensor]:
            loader = DataLoader(Subset(self._examples, numbers), batch_size=batch_size)
            parts = [encode_batch(pipeline.vae, autocast, batch) for batch in loader]
            latents, masked, mask, prompt = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
            return {"latents": latents.half(), "masked": masked.half(), "mask": mask.to(torch.uint8), "prompt": prompt}

        self._shards.fill(make, observer=observer)
        prompts = self.path / "prompts.safetensors"
        if not prompts.exists():
            save_tensors({"embeddings": embed_prompts(pipeline).cpu()}, prompts)
        return load_file(prompts)["embeddings"]

    def batch(self, numbers: Sequence[int]) -> LatentExample:
        """Examples by number, in float32 on the CPU."""
        latents, masked, mask = (self._shards.rows(name, numbers).float() for name in ("latents", "masked", "mask"))
        return LatentExample(latents, masked, mask, self._shards.rows("prompt", numbers))
