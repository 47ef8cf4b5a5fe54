"""`polyp-aug export`: data sets in the formats of other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.output import output
from polyp_aug.integrations.yolo import YoloExport, export_yolo

app = typer.Typer(help="Write COCO data sets in the formats of other programs.", no_args_is_help=True)


class Pictures(StrEnum):
    """How pictures get into the folder."""

    COPY = "copy"
    HARDLINK = "hardlink"


@app.command("yolo")
def yolo(
    sets: Annotated[
        list[str],
        typer.Option(
            "--set",
            help="SPLIT=COCO, SPLIT being train, val or test: a COCO file, a folder with annotations.json, or a run "
            "folder. Once for each set; several may go into one split.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write. An interrupted export in it goes on.")],
    images: Annotated[Pictures, typer.Option(help="Copy or link the pictures.")] = Pictures.COPY,
) -> None:
    """Write COCO data sets as a folder that YOLO is trained on."""
    splits: dict[str, list[Path]] = {}
    for text in sets:
        split, equals, path = text.partition("=")
        if not (split and equals and path):
            raise typer.BadParameter(f"expected SPLIT=COCO such as train=run (got {text!r})")
        splits.setdefault(split, []).append(Path(path))
    _print(export_yolo(splits, out, images=images.value))


def export_run(run: Path) -> None:
    """Write a run folder's samples into its folder `yolo` as well, as the split train, with links to its pictures."""
    _print(export_yolo({"train": [run]}, run / "yolo", images="hardlink", replace=True))


def _print(found: YoloExport) -> None:
    splits = ", ".join(f"{split} {number}" for split, number in found.images.items())
    lines = [f"{splits} images; {found.boxes} boxes of {', '.join(found.names)}; {found.empty} images without any"]
    if found.crowds:
        lines.append(f"{found.crowds} crowds left out")
    output.print("\n".join([*lines, f"Wrote {found.file}"]), markup=False, highlight=False, soft_wrap=True)
