"""Latents of training examples, computed once and kept on disk.

Encoding takes most of the time of a step of training, and nothing of it is learned. A cache is a folder of shards,
`00000.safetensors` and so on, each written whole or not at all; its name is a digest of everything that decides its
content, so that trainings with equal examples share one and others never meet it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, StableDiffusionInpaintPipeline
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_inpaint import retrieve_latents
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Subset

from polyp_aug.encoders.digest import digest_weights
from polyp_aug.images import write_bytes
from polyp_aug.training.examples import PROMPTS, Example, ExampleDataset

#: Examples in a file.
SHARD = 256


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


@torch.no_grad()
def embed_prompts(pipeline: StableDiffusionInpaintPipeline) -> Tensor:
    """Embeddings of `PROMPTS`, float (prompts, tokens, features)."""
    found: Tensor = pipeline.encode_prompt(list(PROMPTS), pipeline.device, 1, False)[0]
    return found.float()


def digest_encoders(pipeline: StableDiffusionInpaintPipeline) -> str:
    """16 digits that change with the autoencoder and with the prompts' embeddings, not with the UNet."""
    vae = pipeline.vae
    settings = {name: value for name, value in vae.config.items() if not name.startswith("_")}
    weights = (*sorted(vae.state_dict().items()), ("prompts", embed_prompts(pipeline)))
    return digest_weights(json.dumps(settings, sort_keys=True, default=str), weights)


class LatentCache:
    """Examples whose latents are on disk, in half precision, with the embeddings of the prompts.

    Args:
        root: folder of caches.
        examples: what to encode.
        identity: everything that decides an example and the autoencoder, in JSON types; their number is no part of it,
            so that a longer training takes what a shorter one left.
        shard: examples in a file; the last file is filled too.
    """

    def __init__(
        self, root: Path, examples: ExampleDataset, identity: Mapping[str, Any], *, shard: int = SHARD
    ) -> None:
        text = json.dumps({**identity, "format": FORMAT, "shard": shard}, sort_keys=True)
        self.path = root / hashlib.sha256(text.encode()).hexdigest()[:16]
        self._examples = examples
        self._text = text
        self._shard = shard
        self._shards: list[dict[str, Tensor]] = []

    def __len__(self) -> int:
        return len(self._examples)

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
        self.path.mkdir(parents=True, exist_ok=True)
        write_bytes(self.path / "identity.json", self._text.encode())
        prompts = self.path / "prompts.safetensors"
        if not prompts.exists():
            _save({"embeddings": embed_prompts(pipeline).cpu()}, prompts)
        self._shards = []
        for first in range(0, len(self), self._shard):
            file = self.path / f"{first // self._shard:05d}.safetensors"
            if not file.exists():
                self._encode(pipeline.vae, range(first, first + self._shard), file, batch_size, autocast)
            self._shards.append(load_file(file))
            if observer is not None:
                observer(min(first + self._shard, len(self)), len(self))
        return load_file(prompts)["embeddings"]

    def batch(self, numbers: Sequence[int]) -> LatentExample:
        """Examples by number, in float32 on the CPU."""
        rows = [(self._shards[number // self._shard], number % self._shard) for number in numbers]
        latents, masked, mask = (
            torch.stack([shard[name][row] for shard, row in rows]).float() for name in ("latents", "masked", "mask")
        )
        return LatentExample(latents, masked, mask, torch.stack([shard["prompt"][row] for shard, row in rows]))

    def _encode(
        self,
        vae: AutoencoderKL | AutoencoderTiny,
        numbers: range,
        file: Path,
        batch_size: int,
        autocast: Autocast,
    ) -> None:
        parts = [
            encode_examples(vae, Example(*batch), autocast)
            for batch in DataLoader(Subset(self._examples, numbers), batch_size=batch_size)
        ]
        latents, masked, mask, prompt = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
        _save(
            {"latents": latents.half(), "masked": masked.half(), "mask": mask.to(torch.uint8), "prompt": prompt}, file
        )


def _save(tensors: dict[str, Tensor], file: Path) -> None:
    write_bytes(file, save({name: values.contiguous() for name, values in tensors.items()}))
