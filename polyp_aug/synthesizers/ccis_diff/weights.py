"""The single door to CCIS-Diff's weights, and to those that a control branch is begun from; safetensors only.

==============================================  ==============================================================
source                                          what comes of it
==============================================  ==============================================================
a folder of `CCISDiffPipeline`                  as it is
a folder with a part of it                      the same, the other parts from `base`
a diffusers folder of Stable Diffusion 1.5      its parts, with a new control branch that changes nothing yet
a diffusers folder of an inpainting model       the same; see `FrameInput`
a hub id with a pinned revision, `org/name@…`   any of these
==============================================  ==============================================================
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTokenizer

from polyp_aug.errors import ConfigurationError
from polyp_aug.synthesizers.ccis_diff.control_net import CCISControlNet
from polyp_aug.synthesizers.ccis_diff.pipeline import CCISDiffPipeline
from polyp_aug.synthesizers.diffusion.quiet import quiet
from polyp_aug.synthesizers.diffusion.revision import join_revisions, revision_of
from polyp_aug.synthesizers.diffusion.sources import hub_arguments

#: Channels of the mask encoders' layers, as ControlNet's; as many of them as the autoencoder has levels.
_MASK_ENCODER = (16, 32, 96, 256)

_INDEX_NAME = "model_index.json"

_AUTOENCODERS = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}


@dataclass(frozen=True)
class BranchSettings:
    """A new control branch; see `CCISControlNet`.

    Attributes:
        blur_mask: with blur mask weighting.
        text_aware: with text-aware attention.
        blur_share: standard deviation of the blur over the equivalent diameter of the mask.
        seed: of the mask encoders' random weights.
    """

    blur_mask: bool = True
    text_aware: bool = True
    blur_share: float = 0.04
    seed: int = 0


@dataclass(frozen=True, eq=False)
class CCISWeights:
    """Loaded weights.

    Attributes:
        pipeline: the pipeline.
        revision: the hub's commit, or 16 digits of a SHA-256 over the files.
    """

    pipeline: CCISDiffPipeline
    revision: str


def load_ccis_weights(
    source: str,
    *,
    base: str | None = None,
    branch: BranchSettings | None = None,
    renew: bool = False,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> CCISWeights:
    """Load CCIS-Diff, or begin it.

    Args:
        source: see the table of this module.
        base: a diffusers folder or pinned hub id, for the parts that the source lacks.
        branch: the control branch to begin with where the source has none; None refuses such a source.
        renew: begin with that branch though the source has one; its text encoder stays.
        device: where to put the weights.
        dtype: float32, float16 or bfloat16.

    Raises:
        ConfigurationError: the source is none of the forms, lacks a part and `base` too, or has no control branch and
            `branch` is None, or has one that differs from `branch`.
    """
    sources = [_Source(text) for text in (source, *([base] if base else []))]
    try:
        with quiet():
            pipeline = _assembled(sources, branch, renew, {"dtype": dtype, "use_safetensors": True})
    except (OSError, ValueError, LookupError, RuntimeError, SafetensorError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{source}: can't be loaded as weights of CCIS-Diff ({error})") from error
    pipeline.set_progress_bar_config(disable=True)
    return CCISWeights(pipeline.to(device), join_revisions([item.revision for item in sources]))


class _Source:
    """A folder or repository with parts of a pipeline."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.name, self.pinned = hub_arguments(text)
        if self.pinned:
            index = Path(hf_hub_download(self.name, _INDEX_NAME, **self.pinned))
        else:
            index = Path(text) / _INDEX_NAME
            if not index.is_file():
                raise ConfigurationError(f"{text}: no diffusers folder (no {_INDEX_NAME}), and no pinned hub id")
        self.classes = {name: str(value[1]) for name, value in _read_index(index).items() if isinstance(value, list)}

    @property
    def revision(self) -> str:
        """The commit, or a digest of the files."""
        return str(self.pinned["revision"]) if self.pinned else revision_of(Path(self.text))


def _assembled(
    sources: Sequence[_Source], branch: BranchSettings | None, renew: bool, options: dict[str, Any]
) -> CCISDiffPipeline:
    def place(part: str) -> _Source:
        found = next((item for item in sources if part in item.classes), None)
        if found is None:
            raise ConfigurationError(f"{sources[0].text}: has no {part}; name a 'base' that has one")
        return found

    def load(kind: Any, part: str, **more: Any) -> Any:
        where = place(part)
        return kind.from_pretrained(where.name, subfolder=part, **where.pinned, **more)

    autoencoder = place("vae").classes["vae"]
    if autoencoder not in _AUTOENCODERS:
        raise ConfigurationError(
            f"{place('vae').text}: its autoencoder is {autoencoder}, expected {' or '.join(_AUTOENCODERS)}"
        )
    vae = load(_AUTOENCODERS[autoencoder], "vae", **options)
    unet = load(UNet2DConditionModel, "unet", **options)
    if "controlnet" in sources[0].classes and not renew:
        controlnet = load(CCISControlNet, "controlnet", **options)
        if branch is not None:
            _check_same(controlnet, branch, sources[0].text)
    elif branch is None:
        raise ConfigurationError(
            f"{sources[0].text}: has no control branch; train one first (polyp-aug train ccis-diff)"
        )
    else:
        controlnet = _begun(unet, vae, branch)
    return CCISDiffPipeline(
        vae=vae,
        text_encoder=load(CLIPTextModel, "text_encoder", **options),
        tokenizer=load(CLIPTokenizer, "tokenizer"),
        unet=unet,
        controlnet=controlnet,
        scheduler=load(DDIMScheduler, "scheduler"),
    )


def _begun(unet: UNet2DConditionModel, vae: AutoencoderKL | AutoencoderTiny, branch: BranchSettings) -> CCISControlNet:
    levels = len(vae.config.get("encoder_block_out_channels") or vae.config["block_out_channels"])
    with torch.random.fork_rng():
        torch.manual_seed(branch.seed)
        found: CCISControlNet = CCISControlNet.from_unet(
            unet,
            blur_mask=branch.blur_mask,
            text_aware=branch.text_aware,
            blur_share=branch.blur_share,
            conditioning_embedding_out_channels=_MASK_ENCODER[:levels],
        )
    return found


def _check_same(controlnet: CCISControlNet, branch: BranchSettings, source: str) -> None:
    for name in ("blur_mask", "text_aware", "blur_share"):
        own, wanted = controlnet.config[name], getattr(branch, name)
        if own != wanted:
            raise ConfigurationError(f"{source}: its control branch has {name!r} {own} (got {wanted})")


def _read_index(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file}: can't be read ({error})") from error
    if not isinstance(found, dict):
        raise ConfigurationError(f"{file}: a {type(found).__name__}, expected an object")
    return found
