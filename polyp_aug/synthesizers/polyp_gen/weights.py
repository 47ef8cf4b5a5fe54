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

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionInpaintPipeline, UNet2DConditionModel
from diffusers.loaders.single_file_utils import SingleFileComponentError
from safetensors import SafetensorError

from polyp_aug.errors import ConfigurationError
from polyp_aug.optional import require
from polyp_aug.synthesizers.diffusion.quiet import quiet
from polyp_aug.synthesizers.diffusion.revision import CONFIGURATIONS, join_revisions, lora_file, revision_of
from polyp_aug.synthesizers.diffusion.sources import hub_arguments, is_unpinned, parse_hub_id

#: Input channels of an inpainting UNet.
INPUT_CHANNELS = 9

_UNET_FOLDERS = ("unet_ema", "unet")


@dataclass(frozen=True, eq=False)
class InpaintingWeights:
    """Loaded weights.

    Attributes:
        pipeline: diffusers' inpainting pipeline.
        revision: what identifies all that decides the pixels (UNet, autoencoder, text encoder, tokenizer, scheduler,
            LoRA): the hub's commit where all of it comes from there, else 16 digits of a SHA-256 over the files.
    """

    pipeline: StableDiffusionInpaintPipeline
    revision: str

    @property
    def cell(self) -> int:
        """Side of the picture over the side of its latents."""
        return int(self.pipeline.vae_scale_factor)

    @property
    def native_size(self) -> int:
        """Side in pixels of the pictures that the UNet was trained on."""
        return int(self.pipeline.unet.config.sample_size) * self.cell


def load_inpainting_weights(
    source: str,
    *,
    base: str | None = None,
    lora: str | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    compiled: bool = False,
    safety_checker: bool = False,
) -> InpaintingWeights:
    """Load an inpainting pipeline.

    Args:
        source: see the table of this module.
        base: where the parts come from that `source` lacks.
        lora: folder with one safetensors file, or that file: LoRA weights, fused into UNet and text encoder.
        device: where to put the weights.
        dtype: float32, float16 or bfloat16.
        channels_last: keep the pictures' channels innermost in memory, in UNet and autoencoder.
        compiled: compile the UNet at its first use.
        safety_checker: keep the pipeline's safety checker, which blacks out pictures that it takes for indecent, and
            takes many medical ones for that.

    Raises:
        ConfigurationError: the source is none of the forms, isn't pinned, lacks its base or needs none, holds no
            safetensors, or its UNet has other input channels; the LoRA weights fit neither UNet nor text encoder.
        MissingDependencyError: LoRA weights are given and peft is not installed.
    """
    if lora is not None:
        require("peft", "diffusion")
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}
    if not safety_checker:
        options |= {"safety_checker": None, "requires_safety_checker": False}
    try:
        with quiet():
            pipeline, revisions = _load(source, base, options)
    except (OSError, ValueError, SafetensorError, SingleFileComponentError) as error:
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
    if lora is not None:
        revisions = [*revisions, _fuse_lora(pipeline, lora)]
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(device)
    if channels_last:
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
    if compiled:
        pipeline.unet.compile()
    return InpaintingWeights(pipeline, join_revisions(revisions))


def _load(source: str, base: str | None, options: dict[str, Any]) -> tuple[StableDiffusionInpaintPipeline, list[str]]:
    """The pipeline, and the revisions of its sources."""
    path = Path(source)
    if path.is_dir():
        if (path / "model_index.json").is_file():
            _refuse_base(base, source)
            return _pipeline(source, options), [revision_of(path)]
        folder = _unet_folder(path)
        unet = UNet2DConditionModel.from_pretrained(folder, dtype=options["dtype"], use_safetensors=True)
        whole = _needed(base, source)
        # The base's own UNet is not even read.
        return _pipeline(whole, options | {"unet": unet}), [revision_of(folder), _base_revision(whole)]
    if path.is_file():
        if path.suffix != ".safetensors":
            raise ConfigurationError(f"{source}: weights must be safetensors (got {path.suffix or 'no ending'})")
        folder = Path(_needed(base, source))
        if not (folder / "model_index.json").is_file():
            raise ConfigurationError(f"{source}: the 'base' of a single file must be a diffusers folder (got {base})")
        single = StableDiffusionInpaintPipeline.from_single_file(
            path, config=str(folder), local_files_only=True, **options
        )
        # Tokenizer, scheduler and the sizes of all parts come from the folder, weights don't.
        return single, [revision_of(path), revision_of(folder, suffixes=CONFIGURATIONS)]
    found = parse_hub_id(source)
    if found:
        _refuse_base(base, source)
        return _pipeline(source, options), [found[1]]
    if is_unpinned(source):
        raise ConfigurationError(f"{source}: no such folder; a hub id needs a pinned revision: {source}@COMMIT")
    raise ConfigurationError(
        f"{source}: no such folder or file, and no hub id with a commit of 40 digits (org/name@commit)"
    )


def _pipeline(source: str, options: dict[str, Any]) -> StableDiffusionInpaintPipeline:
    """A whole pipeline from a diffusers folder or a pinned hub id."""
    name, pinned = hub_arguments(source)
    if not pinned and not (Path(source) / "model_index.json").is_file():
        raise ConfigurationError(f"{source}: no diffusers folder (no model_index.json), and no pinned hub id")
    return StableDiffusionInpaintPipeline.from_pretrained(name, **pinned, **options)


def _base_revision(base: str) -> str:
    """Revision of all parts of a base but its UNet."""
    found = parse_hub_id(base)
    return found[1] if found else revision_of(Path(base), leave_out=("unet",))


def _unet_folder(path: Path) -> Path:
    for folder in (*(path / name for name in _UNET_FOLDERS), path):
        if (folder / "config.json").is_file():
            return folder
    raise ConfigurationError(f"{path}: holds neither a diffusers pipeline nor a UNet")


def _needed(base: str | None, source: str) -> str:
    if base is None:
        raise ConfigurationError(f"{source}: holds a part of a pipeline; name a 'base' for the rest")
    return base


def _refuse_base(base: str | None, source: str) -> None:
    if base is not None:
        raise ConfigurationError(f"{source}: holds a whole pipeline; leave 'base' out (got {base})")


def _fuse_lora(pipeline: StableDiffusionInpaintPipeline, lora: str) -> str:
    """Add LoRA weights to the pipeline's own, for good; returns their revision."""
    file = lora_file(Path(lora))
    try:
        pipeline.load_lora_weights(str(file.parent), weight_name=file.name, use_safetensors=True, local_files_only=True)
    except (OSError, ValueError, LookupError, RuntimeError, SafetensorError) as error:
        raise ConfigurationError(f"{file}: can't be loaded as LoRA weights ({error})") from error
    parts = sorted(pipeline.get_list_adapters())
    if not parts:
        raise ConfigurationError(f"{file}: holds LoRA weights neither of the UNet nor of the text encoder")
    pipeline.fuse_lora(components=parts)
    pipeline.unload_lora_weights()
    return revision_of(file)
