"""`polyp-aug demo`: places found, polyps painted there and removed again, with what comes in the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.output import errors
from polyp_aug.cli.propose import propose
from polyp_aug.cli.running import run_generate, run_remove
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.generation.remove import RemoveConfig
from polyp_aug.proposers.registry import RETRIEVAL
from polyp_aug.synthesizers.registry import POLYP_GEN

ASSETS = Path(str(files("polyp_aug"))) / "assets"
FRAMES = ASSETS / "demo_frames"
DATABASE = ASSETS / "demo_database"


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("demo_out"),
    count: Annotated[int, typer.Option(help="Samples to make.")] = 12,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 1,
) -> None:
    """Find places on the frames that come with the package, paint polyps there, then remove them."""
    errors.print("Painting polyps where mucosa looks like that of reference polyps …", markup=False)
    insertion = GenerateConfig(
        backgrounds=FRAMES,
        count=count,
        polyps_per_image=(1, 2),
        synthesizer=POLYP_GEN,
        proposer=RETRIEVAL,
        database=DATABASE,
        seed=seed,
    )
    run_generate(insertion, out / "painted")
    errors.print("Removing them …", markup=False)
    run_remove(RemoveConfig(data=out / "painted", seed=seed), out / "removed")
    frame = min(FRAMES.glob("*.jpg"))
    propose(frame, DATABASE, out / "place.png", figure=out / "place_and_why.png", seed=seed)
