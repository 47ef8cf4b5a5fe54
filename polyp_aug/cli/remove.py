"""`polyp-aug remove`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.output import parse_shard, parse_size
from polyp_aug.cli.painting import (
    Base,
    ChannelsLast,
    Compile,
    Device,
    Dtype,
    Guidance,
    Lora,
    Mode,
    SafetyChecker,
    Sampler,
    Steps,
    Weights,
    painting_options,
)
from polyp_aug.cli.running import run_remove
from polyp_aug.generation.remove import RemoveConfig
from polyp_aug.generation.writing import RunLimits
from polyp_aug.synthesizers.registry import POLYP_GEN


def remove(
    data: Annotated[Path, typer.Option(help="Frames with polyps: a COCO file, or a folder with annotations.json.")],
    out: Annotated[Path, typer.Option(help="Run folder. An interrupted run in it is resumed.")],
    category: Annotated[
        list[str] | None, typer.Option(help="Category to remove; give it once for each, all by default.")
    ] = None,
    margin: Annotated[
        float, typer.Option(help="Pixels around a box that are repainted too, in a frame of 512 pixels.")
    ] = 15.0,
    feather: Annotated[float, typer.Option(help="Width of the soft edge as a share of the place's diameter.")] = 0.06,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
    shard: Annotated[str, typer.Option(help="i/n: make every n-th frame, from the i-th on.")] = "1/1",
    batch_size: Annotated[int, typer.Option(help="Frames that are repainted together.")] = 8,
    limit_bytes: Annotated[str | None, typer.Option(help="Stop before the pictures take more, e.g. 20G.")] = None,
    max_failures: Annotated[float, typer.Option(help="Largest share of frames that may fail.")] = 0.1,
    data_images: Annotated[
        Path | None, typer.Option(help="Folder of the pictures, where it isn't beside their COCO file.")
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Mend a COCO file that breaks the format.")] = False,
    weights: Weights = None,
    base: Base = None,
    lora: Lora = None,
    device: Device = None,
    dtype: Dtype = None,
    sampler: Sampler = None,
    steps: Steps = None,
    guidance: Guidance = None,
    mode: Mode = None,
    compiled: Compile = False,
    channels_last: ChannelsLast = False,
    safety_checker: SafetyChecker = False,
) -> None:
    """Repaint polyps as mucosa and write the frames without them."""
    config = RemoveConfig(
        data=data,
        painting=painting_options(
            POLYP_GEN,
            batch_size=batch_size,
            weights=weights,
            base=base,
            lora=lora,
            device=device,
            dtype=dtype,
            sampler=sampler,
            steps=steps,
            guidance=guidance,
            strength=None,
            mode=mode,
            compiled=compiled,
            channels_last=channels_last,
            safety_checker=safety_checker,
        ),
        margin=margin,
        feather=feather,
        categories=tuple(category or ()),
        seed=seed,
        shard=parse_shard(shard),
        batch_size=batch_size,
        data_images=data_images,
        fix=fix,
    )
    run_remove(config, out, RunLimits(parse_size(limit_bytes) if limit_bytes else None, max_failures))
