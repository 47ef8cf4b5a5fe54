"""`polyp-aug demo`: the whole flow on frames that the package makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.generate import print_result, run_with_progress
from polyp_aug.cli.output import errors
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.phantom import write_phantom_dataset


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("demo_out"),
    count: Annotated[int, typer.Option(help="Samples to make.")] = 24,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 1,
) -> None:
    """Make phantom frames, paint polyps into them, and write the data set with its gallery."""
    errors.print("Rendering phantom frames …", markup=False)
    write_phantom_dataset(out / "phantoms", count=count, seed=seed, polyps=None)
    write_phantom_dataset(out / "references", count=24, seed=seed + 100_000, polyps=(1, 2))
    config = GenerateConfig(
        backgrounds=out / "phantoms" / "images",
        references=out / "references",
        count=count,
        polyps_per_image=(1, 2),
        seed=seed,
    )
    print_result(run_with_progress(config, out / "run"), out / "run")
