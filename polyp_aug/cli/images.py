"""`polyp-aug evaluate images` and `compare`: sets of pictures beside real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyp_aug.cli.output import errors, parse_named, progress_bar, show_report

if TYPE_CHECKING:
    from polyp_aug.evaluation.features import PictureExtractor

_EXAMPLE = "mine=runs/mine"


def images(
    real: Annotated[Path, typer.Option(help="COCO set, or folder, of real frames that no generator has seen.")],
    sets: Annotated[
        list[str], typer.Option("--set", help="NAME=PATH, once for each synthetic set: a run, COCO set or folder.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for report.json, report.md and the sheets.")],
    train: Annotated[
        Path | None, typer.Option(help="Real training frames: adds the floor and the check for copies.")
    ] = None,
    extractor: Annotated[
        list[str] | None,
        typer.Option(
            help="efficientnet_lite0 (the default), inception, inception=FILE, dinov2=WEIGHTS or clip=WEIGHTS, where "
            "WEIGHTS is a transformers folder or org/name@commit; once for each."
        ),
    ] = None,
    crops: Annotated[
        bool, typer.Option("--crops", help="Compare squares around polyps: for polyps painted into real frames.")
    ] = False,
    with_polyps: Annotated[
        bool, typer.Option("--with-polyps", help="Leave out frames without a polyp, of runs those without a new one.")
    ] = False,
    every_object: Annotated[
        bool, typer.Option("--every-object", help="Take all objects, for sets that polyp-aug did not make.")
    ] = False,
    captions: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FILE, captions of a set, or of the 'real' or 'train' one, that are not beside it."),
    ] = None,
    count: Annotated[int | None, typer.Option(help="At most so many pictures of each set; all if not given.")] = None,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
    cache: Annotated[Path | None, typer.Option(help="Folder for features; OUT/cache by default.")] = None,
    batch_size: Annotated[int, typer.Option(help="Pictures that go through a network at once.")] = 16,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1.")] = "cpu",
) -> None:
    """Measure sets of pictures: FID, IS, KID, precision, recall, density, coverage, CLIP, diversity, copies."""
    paths = {name: Path(path) for name, path in parse_named(sets, _EXAMPLE).items()}
    files = {name: Path(path) for name, path in parse_named(captions or [], "real=captions.jsonl").items()}
    unknown = sorted(set(files) - set(paths) - {"real", "train"})
    if unknown:
        raise typer.BadParameter(f"--captions of {unknown[0]!r}, but no --set has this name")
    from polyp_aug.evaluation.images import SetSource, evaluate_images
    from polyp_aug.evaluation.picture_sets import Choice

    extractors = _extractors(extractor or (), batch_size, device)
    with progress_bar("pictures") as show:
        result = evaluate_images(
            SetSource(real, files.get("real")),
            {name: SetSource(path, files.get(name), every_object) for name, path in paths.items()},
            out,
            extractors=extractors,
            train=None if train is None else SetSource(train, files.get("train")),
            choice=Choice(crops, with_polyps, count, seed),
            cache=cache,
            observer=show,
        )
    _warn(result.report["warnings"])
    show_report(result.tables, out)


def compare(
    spec: Annotated[Path, typer.Argument(help="What to compare, in YAML: see docs/evaluation.md.")],
    out: Annotated[Path, typer.Option(help="Folder to write; what is measured in it is not measured again.")],
    cache: Annotated[Path | None, typer.Option(help="Folder for features; OUT/cache by default.")] = None,
    batch_size: Annotated[int, typer.Option(help="Pictures that go through a network at once.")] = 16,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1.")] = "cpu",
) -> None:
    """Compare synthesizers on several data sets: tables of FID, IS and the other measures, as Markdown, CSV, plots."""
    from polyp_aug.evaluation.compare import compare_methods
    from polyp_aug.evaluation.compare_spec import read_comparison

    comparison = read_comparison(spec)
    result = compare_methods(
        comparison,
        _extractors(comparison.extractors, batch_size, device),
        out,
        cache=cache,
        observer=lambda text: errors.print(text, markup=False, highlight=False),
    )
    _warn(result.report["warnings"])
    show_report(result.tables, out)


def _extractors(names: Sequence[str], batch_size: int, device: str) -> list[PictureExtractor]:
    # torch takes seconds to import, and the other commands don't need it.
    from polyp_aug.evaluation.extractors.names import EFFICIENTNET_LITE0
    from polyp_aug.evaluation.extractors.registry import load_extractor

    return [load_extractor(name, batch_size=batch_size, device=device) for name in names or (EFFICIENTNET_LITE0,)]


def _warn(texts: Sequence[str]) -> None:
    for text in texts:
        errors.print(f"Warning: {text}", style="yellow", markup=False, highlight=False)
