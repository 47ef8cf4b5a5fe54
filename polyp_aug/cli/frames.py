"""Options of `generate` and `preview` for whole frames, made from masks and captions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from polyp_aug.captions.attributes import BACKGROUND, FOREGROUND, parse_attribute
from polyp_aug.cli.output import parse_range, parse_shard
from polyp_aug.errors import ConfigurationError
from polyp_aug.generation.frames import FramesConfig
from polyp_aug.generation.mask_drawer import KINDS, ShapeShares
from polyp_aug.synthesizers.frame_options import FrameOptions
from polyp_aug.synthesizers.registry import CCIS_DIFF

PANEL = f"Whole frames ({CCIS_DIFF})"

Attribute = Annotated[
    list[str] | None,
    typer.Option(
        help=f"What every frame must show, colour=pale for example; of {', '.join((*FOREGROUND, *BACKGROUND))}.",
        rich_help_panel=PANEL,
    ),
]
Captions = Annotated[
    Path | None,
    typer.Option(
        help="Captions of the references: make each of their frames anew from its own masks and caption.",
        rich_help_panel=PANEL,
    ),
]
MaskShares = Annotated[
    str | None,
    typer.Option(help=f"How masks come about, as shares of {','.join(KINDS)}.", rich_help_panel=PANEL),
]
CheckMasks = Annotated[
    bool, typer.Option(help="Annotate a polyp only where the frame agrees with its mask.", rich_help_panel=PANEL)
]
MaskGuidance = Annotated[
    float | None,
    typer.Option(help="Weight of the mask against an empty one; 1, the paper's, is without.", rich_help_panel=PANEL),
]
FrameSize = Annotated[
    int | None, typer.Option(help="Side of the frames in pixels; the weights' own by default.", rich_help_panel=PANEL)
]

#: Flags of `generate` that whole frames read as well, with their names in `FrameOptions`.
_MAKING = {
    "weights": "weights",
    "base": "base",
    "device": "device",
    "dtype": "dtype",
    "sampler": "sampler",
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "mask_guidance": "mask_guidance_scale",
    "frame_size": "size",
    "batch_size": "batch_size",
}

#: Flags that only whole frames read.
_OWN = ("attribute", "captions", "mask_shares", "mask_guidance", "frame_size")

#: Flags that whole frames don't read.
_OTHERS = (
    "backgrounds",
    "per_image",
    "size_range",
    "database",
    "encoder",
    "backgrounds_images",
    "lora",
    "strength",
    "mode",
    "compiled",
    "channels_last",
    "safety_checker",
)


def frames_config(synthesizer: str, flags: Mapping[str, Any]) -> FramesConfig:
    """The settings that the flags of `generate` or `preview` make.

    Args:
        synthesizer: `ccis_diff`, or a folder of its weights.
        flags: all flags, by their parameters' names.

    Raises:
        ConfigurationError: a flag is given that whole frames don't read, one that they need is missing, or a value is
            out of its range.
    """
    for name in _OTHERS:
        if flags.get(name):
            raise ConfigurationError(f"'{_flag(name)}' is for painting into frames; {CCIS_DIFF} makes whole ones")
    if flags.get("references") is None:
        raise ConfigurationError(f"'--references' must be given, for {CCIS_DIFF}")
    making = {own: flags[name] for name, own in _MAKING.items() if flags.get(name) is not None}
    if synthesizer != CCIS_DIFF:
        if "weights" in making:
            raise ConfigurationError(f"weights are given twice: {synthesizer!r} and {making['weights']!r}")
        making["weights"] = synthesizer
    return FramesConfig(
        references=flags["references"],
        count=flags["count"],
        captions=flags["captions"],
        making=FrameOptions(**making),
        polyps_per_image=parse_range(flags["polyps_per_image"]),
        attributes=dict(parse_attribute(text) for text in flags["attribute"] or ()),
        shapes=_shares(flags["mask_shares"]) if flags["mask_shares"] else ShapeShares(),
        check=flags["check"],
        seed=flags["seed"],
        shard=parse_shard(flags.get("shard", "1/1")),
        batch_size=flags.get("batch_size", 8),
        references_images=flags["references_images"],
        fix=flags["fix"],
    )


def refuse_frame_flags(flags: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` where a flag is given that only whole frames read."""
    given = [name for name in _OWN if flags[name] is not None] + ([] if flags["check"] else ["no_check"])
    if given:
        raise ConfigurationError(f"'{_flag(given[0])}' is for the synthesizer {CCIS_DIFF}")


def _shares(text: str) -> ShapeShares:
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != len(KINDS):
        raise ConfigurationError(f"'--mask-shares' must be {len(KINDS)} numbers, of {','.join(KINDS)} (got {text!r})")
    return ShapeShares(**dict(zip(KINDS, numbers, strict=True)))


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}".replace("--compiled", "--compile")


def needs_backgrounds(backgrounds: Path | None) -> Path:
    """The backgrounds.

    Raises:
        ConfigurationError: they are not given.
    """
    if backgrounds is None:
        raise ConfigurationError(f"'--backgrounds' must be given; only {CCIS_DIFF} makes frames without")
    return backgrounds
