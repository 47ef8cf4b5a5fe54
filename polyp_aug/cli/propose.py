"""`polyp-aug propose`: plausible places for a polyp on one frame."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.output import print_table
from polyp_aug.errors import NoPlacementError
from polyp_aug.images import read_image, write_png
from polyp_aug.keys import Key


def propose(
    image: Annotated[Path, typer.Argument(help="A frame.")],
    database: Annotated[Path, typer.Option(help="Reference database, made by `polyp-aug index build`.")],
    out: Annotated[Path, typer.Option(help="Mask to write, a PNG of the frame's size: 255 in the best place.")],
    count: Annotated[int, typer.Option(min=1, help="Places to look for; the others are only listed.")] = 3,
    figure: Annotated[
        Path | None, typer.Option(help="PNG with the reference, the matches and the votes side by side.")
    ] = None,
    candidates: Annotated[int, typer.Option(help="References that are compared patch by patch.")] = 8,
    direction: Annotated[
        str, typer.Option(help="reference_to_query (the paper), or query_to_reference (the published code).")
    ] = "reference_to_query",
    extent: Annotated[
        str, typer.Option(help="Size of a place: of the reference's polyp, or of the cluster of matches (the paper).")
    ] = "reference",
    on_mucosa: Annotated[
        bool, typer.Option("--on-mucosa/--anywhere", help="Match patches of the frame that show mucosa, or all.")
    ] = True,
    temperature: Annotated[float, typer.Option(help="Chance in the order of places; 0 for none.")] = 0.0,
    search: Annotated[str, typer.Option(help="exact, or faiss.")] = "exact",
    split: Annotated[
        list[str] | None, typer.Option(help="Split whose references are used; once for each, train by default.")
    ] = None,
    encoder: Annotated[
        str, typer.Option(help="The database's encoder, where it can't name it: a folder or org/name@commit.")
    ] = "",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or mps.")] = "cpu",
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
) -> None:
    """Find places for a polyp by comparing a frame with references, and write the best as a mask."""
    from polyp_aug.proposers.retrieval.figure import matching_figure
    from polyp_aug.proposers.retrieval.load import load_retrieval
    from polyp_aug.proposers.retrieval.settings import RetrievalSettings

    settings = RetrievalSettings(
        candidates=candidates,
        direction=direction,  # type: ignore[arg-type]  # It checks that itself.
        extent=extent,  # type: ignore[arg-type]
        on_mucosa=on_mucosa,
        temperature=temperature,
        search=search,
    )
    frame = read_image(image)
    proposer = load_retrieval(database, encoder=encoder, device=device, splits=split or None, settings=settings)
    retrieval = proposer.retrieve([frame])[0]
    placements = proposer.place(retrieval, count, Key(seed, image.name))
    if figure is not None:
        shown = int(placements[0].details["candidate"]) if placements else 0
        write_png(figure, matching_figure(frame, retrieval, proposer.database, placements, candidate=shown))
    if not placements:
        raise NoPlacementError(f"{image}: no place on mucosa is like that of a reference")
    height, width = frame.shape[:2]
    write_png(out, placements[0].region.to_mask(height, width))
    rows = [
        (number, *placement.region.box, f"{placement.score:.3f}", placement.details["database_reference"])
        for number, placement in enumerate(placements, start=1)
    ]
    print_table("Places, best first", ("", "x", "y", "width", "height", "score", "reference"), rows)
