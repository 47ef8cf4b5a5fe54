"""`polyp-aug demo`: polyps painted into frames and removed again, with what comes in the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.output import errors
from polyp_aug.cli.running import run_generate, run_remove
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.generation.remove import RemoveConfig
from polyp_aug.synthesizers.registry import POLYP_GEN

FRAMES = Path(str(files("polyp_aug"))) / "assets" / "demo_frames"
_SIZES = (0.15, 0.4)


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("demo_out"),
    count: Annotated[int, typer.Option(help="Samples to make.")] = 12,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 1,
) -> None:
    """Paint polyps into the frames that come with the package, then remove them: two data sets with galleries."""
    errors.print("Painting polyps …", markup=False)
    insertion = GenerateConfig(
        backgrounds=FRAMES,
        count=count,
        polyps_per_image=(1, 2),
        synthesizer=POLYP_GEN,
        size_range=_SIZES,
        seed=seed,
    )
    run_generate(insertion, out / "painted")
    errors.print("Removing them …", markup=False)
    run_remove(RemoveConfig(data=out / "painted", seed=seed), out / "removed")
