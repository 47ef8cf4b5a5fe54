"""`polyp-aug train detector`: a detector of MMDetection on COCO sets of polyps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.output import output


def detector(
    config: Annotated[Path, typer.Argument(help="Config of mmdet, such as those in mmdet_configs/.")],
    data: Annotated[list[Path], typer.Option(help="COCO set to train on; give it once for each.")],
    validation: Annotated[Path, typer.Option(help="COCO set to measure on.")],
    work_dir: Annotated[Path, typer.Option(help="Folder for checkpoints and logs.")],
    cfg_options: Annotated[
        list[str] | None, typer.Option(help="key=value, a change of the config; give it once for each.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the folder's last checkpoint.")] = False,
    amp: Annotated[bool, typer.Option("--amp", help="Mixed precision, on an accelerator.")] = False,
    seed: Annotated[int, typer.Option(help="Of the frames' order, the transforms and the first weights.")] = 0,
) -> None:
    """Train a detector of MMDetection."""
    # mmdet takes seconds to import, and the other commands don't need it.
    from polyp_aug.integrations.mmdet.training import train_detector

    checkpoint = train_detector(
        config, data, validation, work_dir, options=cfg_options or (), resume=resume, amp=amp, seed=seed
    )
    output.print(f"Wrote {checkpoint}", markup=False, highlight=False, soft_wrap=True)
