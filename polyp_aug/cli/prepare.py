"""`polyp-aug prepare`, `merge` and `split`: data sets in and out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.output import output, progress_bar
from polyp_aug.coco import MergeInput, merge_coco, read_coco, split_by_group, write_coco
from polyp_aug.coco.read import annotations_file
from polyp_aug.datasets import LAYOUTS, prepare_dataset
from polyp_aug.errors import ConfigurationError
from polyp_aug.generation.merge_runs import is_run_folder, merge_runs


class Kind(StrEnum):
    """Which frames to take."""

    ALL = "all"
    POLYP = "polyp"
    NORMAL = "normal"


class Pictures(StrEnum):
    """What happens to the pictures."""

    COPY = "copy"
    HARDLINK = "hardlink"
    NONE = "none"


def prepare(
    dataset: Annotated[str, typer.Argument(help=f"Data set: {', '.join(sorted(LAYOUTS))}.")],
    source: Annotated[Path, typer.Argument(help="Its folder, as published.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    split: Annotated[str | None, typer.Option(help="Keep only this split.")] = None,
    kind: Annotated[Kind, typer.Option(help="Frames with polyps, without, or all.")] = Kind.ALL,
    images: Annotated[
        Pictures, typer.Option(help="Copy or link the pictures, or leave them where they are.")
    ] = Pictures.COPY,
    video_step: Annotated[int, typer.Option(help="Take every n-th frame of a video.")] = 25,
) -> None:
    """Convert a public data set to a COCO folder."""
    report = prepare_dataset(
        dataset, source, out, split=split, kind=kind.value, images=images.value, video_step=video_step
    )
    output.print(report.summary(), markup=False, highlight=False, soft_wrap=True)


def merge(
    inputs: Annotated[list[Path], typer.Argument(help="Shards of a run, or COCO data sets.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    images: Annotated[Pictures, typer.Option(help="Copy or link the pictures, or leave them out.")] = Pictures.COPY,
    as_coco: Annotated[
        bool,
        typer.Option("--as-coco", help="Merge run folders as plain data sets, for example runs of different settings."),
    ] = False,
) -> None:
    """Merge the shards of a run into the run, or COCO data sets (real + synthetic) into one."""
    if not as_coco and all(is_run_folder(path) for path in inputs):
        if images is Pictures.NONE:
            raise ConfigurationError("'--images none' does not fit shards: a run folder holds its pictures")
        with progress_bar("samples") as show:
            merge_runs(inputs, out, images="hardlink" if images is Pictures.HARDLINK else "copy", observer=show)
        written = out / "annotations.json"
    else:
        written = merge_coco([MergeInput(path) for path in inputs], out, images=images.value)
    output.print(f"Wrote {written}", markup=False, highlight=False, soft_wrap=True)


def split(
    dataset: Annotated[Path, typer.Argument(help="COCO file, or folder with annotations.json.")],
    share: Annotated[list[str], typer.Option(help="name=share, once for each part: --share train=0.8 --share val=0.2")],
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
) -> None:
    """Split a COCO data set without dividing a patient, video or sequence. Pictures stay where they are."""
    shares = dict(_share(text) for text in share)
    file = annotations_file(dataset)
    parts = split_by_group(read_coco(file), shares, seed)
    for name, part in parts.items():
        target = file.with_name(f"{file.stem}_{name}.json")
        write_coco(part, target)
        output.print(f"{target}: {len(part.images)} images", markup=False, highlight=False, soft_wrap=True)


def _share(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise typer.BadParameter(f"expected name=share such as train=0.8 (got {text!r})") from None
