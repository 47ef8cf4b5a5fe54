"""`polyp-aug evaluate`: how good networks and synthetic polyps are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyp_aug.cli.output import errors, output, print_table, progress_bar

if TYPE_CHECKING:
    from polyp_aug.evaluation.report import Table

app = typer.Typer(help="Measure networks and synthetic polyps against real frames.", no_args_is_help=True)


@app.command("autoencoder")
def autoencoder(
    weights: Annotated[Path, typer.Option(help="Folder of the autoencoder, as diffusers saves it.")],
    data: Annotated[
        list[Path], typer.Option(help="Frames it was not trained on: a folder or COCO data set; once for each.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for report.json, report.md and the sheet.")],
    size: Annotated[int, typer.Option(help="Side of the crops in pixels.")] = 128,
    count: Annotated[int, typer.Option(help="Number of crops.")] = 256,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
) -> None:
    """Measure how well an autoencoder rebuilds real frames: PSNR, SSIM, colour."""
    # torch takes seconds to import, and the other commands don't need it.
    from polyp_aug.evaluation.reconstruction import evaluate_autoencoder

    with progress_bar("crops") as show:
        result = evaluate_autoencoder(weights, data, out, size=size, count=count, seed=seed, observer=show)
    _show(result.tables, out)


@app.command("polyps")
def polyps(
    real: Annotated[Path, typer.Option(help="COCO set of real polyps that no generator has seen.")],
    synthetic: Annotated[list[str], typer.Option(help="NAME=COCO, once for each set of synthetic polyps.")],
    out: Annotated[Path, typer.Option(help="Folder for report.json, report.md and the sheets.")],
    train: Annotated[
        Path | None, typer.Option(help="COCO set of the real training polyps: adds the floor and the copies' check.")
    ] = None,
    count: Annotated[int | None, typer.Option(help="At most so many polyps of each set; all if not given.")] = None,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
    every_object: Annotated[
        bool, typer.Option("--every-object", help="Take synthetic sets whole, for sets that polyp-aug did not make.")
    ] = False,
) -> None:
    """Measure synthetic polyps against real ones: kernel distance (KID), copies of training polyps, contact sheets."""
    sets = dict(_named(text) for text in synthetic)
    if len(sets) < len(synthetic):
        raise typer.BadParameter(f"each NAME can stand once (got {', '.join(synthetic)})")
    from polyp_aug.evaluation.features import EfficientNetLiteFeatures
    from polyp_aug.evaluation.polyps import evaluate_polyps

    result = evaluate_polyps(
        real,
        sets,
        out,
        extractor=EfficientNetLiteFeatures(),
        train=train,
        count=count,
        seed=seed,
        every_object=every_object,
        observer=lambda name: errors.print(f"features of {name}", markup=False, highlight=False),
    )
    _show(result.tables, out)


def _named(text: str) -> tuple[str, Path]:
    name, found, path = text.partition("=")
    if not (name and found and path):
        raise typer.BadParameter(f"expected NAME=COCO such as transplant=runs/transplant (got {text!r})")
    return name, Path(path)


def _show(tables: Iterable[Table], out: Path) -> None:
    for table in tables:
        print_table(table.title, table.columns, table.rows)
    output.print(f"Wrote {out / 'report.md'}", markup=False, highlight=False, soft_wrap=True)
