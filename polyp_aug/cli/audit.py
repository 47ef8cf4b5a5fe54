"""`polyp-aug audit`: whether anything of evaluation sets has come into what is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.output import errors, output, show_report

#: Exit code where a leak was found; wrong usage has 2.
LEAKS = 1


def audit(
    synthetic: Annotated[
        list[Path], typer.Argument(help="Run folders, or COCO sets that were made from other frames.")
    ],
    evaluation: Annotated[list[Path], typer.Option(help="COCO set of real frames to measure on; once for each.")],
    out: Annotated[Path, typer.Option(help="Folder for report.json and report.md.")],
    train: Annotated[
        list[Path] | None, typer.Option(help="COCO set of real frames to train on; once for each.")
    ] = None,
    features: Annotated[
        bool, typer.Option("--features/--no-features", help="Compare features too, which takes most of the time.")
    ] = True,
    sheet: Annotated[bool, typer.Option("--sheet", help="Also write the pairs as pairs.png.")] = False,
    device: Annotated[str, typer.Option(help="Where features are computed: cpu, cuda, cuda:1.")] = "cpu",
) -> None:
    """Look for frames, polyps and patients of evaluation sets in training and synthetic sets.

    Exit codes: 0 no leak was found, 1 leaks were found (or an error, which its message explains: report.json is
    written only where the audit went through), 2 wrong usage.
    """
    from polyp_aug.curation.audit.audit import audit as look

    extractor = None
    if features:
        from polyp_aug.evaluation.features import EfficientNetLiteFeatures

        extractor = EfficientNetLiteFeatures(device=device)
    result = look(
        synthetic,
        train or [],
        evaluation,
        out,
        extractor=extractor,
        sheet=sheet,
        observer=lambda what: errors.print(what, markup=False, highlight=False),
    )
    # The pairs stand in the report.
    show_report(result.tables[:2], out)
    if result.findings:
        output.print(f"{len(result.findings)} leaks found", markup=False, highlight=False)
        raise typer.Exit(LEAKS)
