"""`polyp-aug report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.output import errors, output, size_text
from polyp_aug.reporting.report import SAMPLES, report_run


def report(
    run: Annotated[Path, typer.Argument(help="Run folder, of `generate` or `remove`, for example.")],
    out: Annotated[Path, typer.Option(help="File to write; its name ends in .html.")],
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with report.json and report.md, of `evaluate` or `benchmark`; once for each."),
    ] = None,
    real: Annotated[
        Path | None, typer.Option(help="COCO set of real polyps, whose sizes and places stand beside the run's.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Most pairs of pictures to show.")] = SAMPLES,
    seed: Annotated[int, typer.Option(help="Of the choice of pictures.")] = 0,
) -> None:
    """Write one HTML file about a run: sources, pictures, distributions, measurements, provenance."""
    state = report_run(run, out, evaluations=evaluation or (), real=real, samples=samples, seed=seed)
    for problem in state.problems:
        errors.print(f"The run has not ended: {problem}", markup=False, highlight=False, soft_wrap=True)
    output.print(f"Wrote {out} ({size_text(out.stat().st_size)})", markup=False, highlight=False, soft_wrap=True)
