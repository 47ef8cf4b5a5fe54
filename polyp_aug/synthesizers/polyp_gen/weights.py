"""The single door to inpainting weights: every form that users bring, safetensors only.

==================================================  =====================================================
source                                              also needed
==================================================  =====================================================
a diffusers folder (whatever class it calls itself)
a hub id with a pinned revision, `org/name@commit`
an accelerate checkpoint, `…/checkpoint-N`          `base`: a diffusers folder or hub id for the other parts
the folder of a UNet alone, `…/checkpoint-N/unet`   `base`
a single `.safetensors` file                        `base`: a diffusers folder, for the configurations
==================================================  =====================================================

The UNet must have the 9 input channels of Stable Diffusion's inpainting: 4 of noisy latents, 1 of the mask, 4 of the
masked image's latents. Scheduler and prediction type come from the weights' own configuration.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionInpaintPipeline, UNet2DConditionModel

from polyp_aug.errors import ConfigurationError

#: Input channels of an inpainting UNet.
INPUT_CHANNELS = 9

_HUB_ID = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
_UNPINNED = re.compile(r"[\w.-]+/[\w.-]+")
_UNET_FOLDERS = ("unet_ema", "unet")


@dataclass(frozen=True, eq=False)
class InpaintingWeights:
    """Loaded weights.

    Attributes:
        pipeline: diffusers' inpainting pipeline.
        revision: the hub's commit, or 16 digits of a SHA-256 over the files of the UNet's weights.
    """

    pipeline: StableDiffusionInpaintPipeline
    revision: str


def load_inpainting_weights(
    source: str,
    *,
    base: str | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    safety_checker: bool = False,
) -> InpaintingWeights:
    """Load an inpainting pipeline.

    Args:
        source: see the table of this module.
        base: where the parts come from that `source` lacks.
        device: where to put the weights.
        dtype: float32, float16 or bfloat16.
        safety_checker: keep the pipeline's safety checker, which blacks out pictures that it takes for indecent, and
            takes many medical ones for that.

    Raises:
        ConfigurationError: the source is none of the forms, isn't pinned, lacks its base, holds no safetensors, or its
            UNet has other input channels.
    """
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}
    if not safety_checker:
        options |= {"safety_checker": None, "requires_safety_checker": False}
    try:
        pipeline, revision = _load(source, base, options)
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{source}: can't be loaded as inpainting weights ({error})") from error
    channels = pipeline.unet.config.in_channels
    if channels != INPUT_CHANNELS:
        raise ConfigurationError(
            f"{source}: its UNet has {channels} input channels, expected {INPUT_CHANNELS}: not an inpainting model"
        )
    if safety_checker and pipeline.safety_checker is None:
        raise ConfigurationError(f"{source}: comes without a safety checker; leave 'safety_checker' off")
    pipeline.set_progress_bar_config(disable=True)
    return InpaintingWeights(pipeline.to(device), revision)


def _load(source: str, base: str | None, options: dict[str, Any]) -> tuple[StableDiffusionInpaintPipeline, str]:
    path = Path(source)
    if path.is_dir():
        if (path / "model_index.json").is_file():
            return StableDiffusionInpaintPipeline.from_pretrained(path, **options), _digest(path / "unet")
        folder = _unet_folder(path)
        unet = UNet2DConditionModel.from_pretrained(folder, dtype=options["dtype"], use_safetensors=True)
        # The base's own UNet is not even read.
        return _pipeline(_needed(base, source), options | {"unet": unet}), _digest(folder)
    if path.is_file():
        if path.suffix != ".safetensors":
            raise ConfigurationError(f"{source}: weights must be safetensors (got {path.suffix or 'no ending'})")
        folder = Path(_needed(base, source))
        if not (folder / "model_index.json").is_file():
            raise ConfigurationError(f"{source}: the 'base' of a single file must be a diffusers folder (got {base})")
        single = StableDiffusionInpaintPipeline.from_single_file(
            path, config=str(folder), local_files_only=True, **options
        )
        return single, _digest(path)
    found = _HUB_ID.fullmatch(source)
    if found:
        return _pipeline(source, options), found["revision"]
    if _UNPINNED.fullmatch(source):
        raise ConfigurationError(f"{source}: no such folder; a hub id needs a pinned revision: {source}@COMMIT")
    raise ConfigurationError(
        f"{source}: no such folder or file, and no hub id with a commit of 40 digits (org/name@commit)"
    )


def _pipeline(source: str, options: dict[str, Any]) -> StableDiffusionInpaintPipeline:
    """A whole pipeline from a diffusers folder or a pinned hub id."""
    found = _HUB_ID.fullmatch(source)
    if found and not Path(source).is_dir():
        return StableDiffusionInpaintPipeline.from_pretrained(found["name"], revision=found["revision"], **options)
    if not (Path(source) / "model_index.json").is_file():
        raise ConfigurationError(f"{source}: no diffusers folder (no model_index.json), and no pinned hub id")
    return StableDiffusionInpaintPipeline.from_pretrained(source, **options)


def _unet_folder(path: Path) -> Path:
    for folder in (*(path / name for name in _UNET_FOLDERS), path):
        if (folder / "config.json").is_file():
            return folder
    raise ConfigurationError(f"{path}: holds neither a diffusers pipeline nor a UNet")


def _needed(base: str | None, source: str) -> str:
    if base is None:
        raise ConfigurationError(f"{source}: holds a part of a pipeline; name a 'base' for the rest")
    return base


def _digest(path: Path) -> str:
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    if not files:
        raise ConfigurationError(f"{path}: no safetensors")
    digest = hashlib.sha256()
    for file in files:
        with open(file, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
