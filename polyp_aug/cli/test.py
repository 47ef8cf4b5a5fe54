"""`polyp-aug test`: a trained detector on a COCO set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.detector import CfgOptions, LauncherName, LocalRank
from polyp_aug.cli.output import output, print_table
from polyp_aug.integrations.launchers import is_first, state_local_rank

app = typer.Typer(help="Measure a trained detector as MMDetection does.", no_args_is_help=True)


@app.command("detector")
def detector(
    config: Annotated[Path, typer.Argument(help="Config of mmdet, such as those in mmdet_configs/.")],
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of mmengine, for that config.")],
    out: Annotated[Path, typer.Option(help="Folder for detections.json, metrics.json and logs.")],
    data: Annotated[Path | None, typer.Option(help="COCO set to measure on; the config's own if not given.")] = None,
    cfg_options: CfgOptions = None,
    device: Annotated[
        str | None, typer.Option(help="Where to compute: cpu, cuda, cuda:1; an accelerator if there is one.")
    ] = None,
    launcher: LauncherName = "none",
    local_rank: LocalRank = None,
) -> None:
    """Detect objects in a COCO set, and compute COCO's scores."""
    # mmdet takes seconds to import, and the other commands don't need it.
    from polyp_aug.integrations.mmdet.testing import DETECTIONS_NAME, measure_detector

    state_local_rank(local_rank)
    scores = measure_detector(
        config, checkpoint, out, data=data, options=cfg_options or (), launcher=launcher, device=device
    )
    if is_first(launcher):
        print_table("COCO's scores", ("score", "value"), [(name, _text(value)) for name, value in scores.items()])
        output.print(f"Wrote {out / DETECTIONS_NAME}", markup=False, highlight=False, soft_wrap=True)


def _text(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"
