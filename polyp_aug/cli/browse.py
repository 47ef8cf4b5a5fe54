"""`polyp-aug browse`: the frames that a detector will be trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.detector import CfgOptions, PoolFolder, Synthetic
from polyp_aug.cli.output import output


def browse(
    config: Annotated[Path, typer.Argument(help="Config of mmdet, such as those in mmdet_configs/.")],
    data: Annotated[list[Path], typer.Option(help="COCO set to train on; give it once for each.")],
    out: Annotated[Path, typer.Option(help="Folder for sheet.png and one picture of each sample.")],
    synthetic: Synthetic = None,
    pool: PoolFolder = None,
    count: Annotated[int, typer.Option(min=1, help="Samples.")] = 12,
    cfg_options: CfgOptions = None,
    seed: Annotated[int, typer.Option(help="Of the choice of frames and the transforms.")] = 0,
) -> None:
    """Show what a detector will see: frames after the config's training pipeline, with their boxes."""
    # mmdet takes seconds to import, and the other commands don't need it.
    from polyp_aug.integrations.mmdet.browsing import training_samples, write_samples

    samples = training_samples(
        config, data, synthetic=synthetic or (), pool=pool, count=count, options=cfg_options or (), seed=seed
    )
    sheet = write_samples(samples, out)
    output.print(f"Wrote {sheet}", markup=False, highlight=False, soft_wrap=True)
