"""`polyp-aug statistics` and `env`: what is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.output import output, print_table
from polyp_aug.coco import dataset_statistics, read_coco
from polyp_aug.coco.masks import decode_segmentation
from polyp_aug.environment import diagnose
from polyp_aug.generation.run_folder import write_json
from polyp_aug.geometry import Region
from polyp_aug.proposers.shapes import ShapeStatistics


def statistics(
    dataset: Annotated[Path, typer.Argument(help="COCO file, or folder with annotations.json.")],
    shapes: Annotated[
        Path | None, typer.Option(help="Also measure the sizes and outlines of the masks, and write them here as JSON.")
    ] = None,
    source: Annotated[str, typer.Option(help="What is measured, in words, for the file of --shapes.")] = "",
    fix: Annotated[bool, typer.Option("--fix", help="Mend what breaks the format, where that is possible.")] = False,
) -> None:
    """Print statistics of a COCO data set as JSON."""
    found = read_coco(dataset, fix=fix)
    output.print_json(json.dumps(dataset_statistics(found)))
    if shapes is not None:
        sizes = {image.id: (image.width, image.height) for image in found.images}
        regions = (
            (region, *sizes[item.image_id])
            for item in found.annotations
            if item.segmentation
            and (region := Region.from_mask(decode_segmentation(item.segmentation, *sizes[item.image_id]))) is not None
        )
        write_json(shapes, ShapeStatistics.measure(regions, source or dataset.resolve().name).to_dict())


def env() -> None:
    """Print what this machine has."""
    rows = [(finding.name, finding.value, finding.advice) for finding in diagnose(Path.cwd())]
    print_table("Environment", ("what", "found", "advice"), rows)
