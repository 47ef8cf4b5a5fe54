"""`polyp-aug filter`: low-quality frames taken out of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.output import errors, output, print_table, progress_bar
from polyp_aug.coco import read_coco, write_coco
from polyp_aug.coco.read import annotations_file
from polyp_aug.curation.frame_filter import check_target, filter_frames
from polyp_aug.curation.thresholds import DEFAULT_THRESHOLDS, QualityThresholds
from polyp_aug.generation.run_folder import write_json
from polyp_aug.images import write_png


def filter_dataset(
    dataset: Annotated[Path, typer.Argument(help="COCO file, or folder with annotations.json.")],
    out: Annotated[Path, typer.Option(help="COCO file to write, beside the data set's own: pictures are not copied.")],
    thresholds: Annotated[
        Path | None, typer.Option(help="YAML file with a limit for every measure; the package's own if not given.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the measures of every frame here as JSON.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Show the worst frames by each measure here as PNG.")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what breaks the format, where that is possible.")] = False,
) -> None:
    """Leave out frames that are blurred, over-exposed, or show displaced colours or interlacing. Nothing is deleted."""
    limits = QualityThresholds.read(thresholds or DEFAULT_THRESHOLDS)
    found = read_coco(dataset, fix=fix)
    check_target(found, annotations_file(dataset), out)
    with progress_bar("frames") as show:
        result = filter_frames(found, limits, show)
    passed = result.passed()
    write_coco(passed, out)
    if report is not None:
        write_json(report, result.report())
    if sheet is not None:
        write_png(sheet, result.worst_sheet())
    for frame in result.frames:
        if frame.error:
            errors.print(frame.error, markup=False, highlight=False, soft_wrap=True)
    words = {name: f"at {'least' if name == 'field' else 'most'} {limit:g}" for name, limit in limits.limits().items()}
    rows = [(reason, words.get(reason, ""), count) for reason, count in result.counts().items()]
    print_table("Frames taken out, by reason", ("measure", "limit", "frames"), rows)
    text = f"{out}: {len(passed.images)} of {len(found.images)} images"
    output.print(text, markup=False, highlight=False, soft_wrap=True)
