"""`polyp-aug train detector`: a detector of MMDetection on COCO sets of polyps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.output import output
from polyp_aug.integrations.launchers import Launcher, is_first, state_local_rank

Synthetic = Annotated[
    list[Path] | None, typer.Option(help="Generated COCO set, for the *_offline configs; give it once for each.")
]
PoolFolder = Annotated[Path | None, typer.Option(help="Pool or run folder, for the *_online configs.")]
CfgOptions = Annotated[list[str] | None, typer.Option(help="key=value, a change of the config; give it once for each.")]
LauncherName = Annotated[
    Launcher, typer.Option(help="What started this process and others beside it; pytorch is torchrun.")
]
#: torch.distributed.launch, which torchrun replaces, gives the process's number as an argument.
LocalRank = Annotated[int | None, typer.Option("--local-rank", "--local_rank", hidden=True)]


def detector(
    config: Annotated[Path, typer.Argument(help="Config of mmdet, such as those in mmdet_configs/.")],
    data: Annotated[list[Path], typer.Option(help="COCO set to train on; give it once for each.")],
    validation: Annotated[Path, typer.Option(help="COCO set to measure on.")],
    work_dir: Annotated[Path, typer.Option(help="Folder for checkpoints and logs.")],
    synthetic: Synthetic = None,
    pool: PoolFolder = None,
    cfg_options: CfgOptions = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the folder's last checkpoint.")] = False,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Length of the training; the config's schedule is stretched to it.")
    ] = None,
    amp: Annotated[
        bool, typer.Option("--amp", help="Mixed precision: float16 on an accelerator, bfloat16 on a processor.")
    ] = False,
    launcher: LauncherName = "none",
    local_rank: LocalRank = None,
    seed: Annotated[int, typer.Option(help="Of the frames' order, the transforms and the first weights.")] = 0,
) -> None:
    """Train a detector of MMDetection."""
    # mmdet takes seconds to import, and the other commands don't need it.
    from polyp_aug.integrations.mmdet.training import train_detector

    state_local_rank(local_rank)
    checkpoint = train_detector(
        config,
        data,
        validation,
        work_dir,
        synthetic=synthetic or (),
        pool=pool,
        options=cfg_options or (),
        resume=resume,
        iterations=iterations,
        amp=amp,
        launcher=launcher,
        seed=seed,
    )
    if is_first(launcher):
        output.print(f"Wrote {checkpoint}", markup=False, highlight=False, soft_wrap=True)
