"""`polyp-aug index`: reference databases."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.output import errors, output, print_table
from polyp_aug.cli.painting import (
    Base,
    ChannelsLast,
    Compile,
    Device,
    Dtype,
    Guidance,
    Lora,
    Mode,
    SafetyChecker,
    Sampler,
    Steps,
    Weights,
    painting_options,
)
from polyp_aug.cli.running import resumable
from polyp_aug.errors import DatabaseError
from polyp_aug.synthesizers.registry import POLYP_GEN, load_synthesizer

app = typer.Typer(help="Reference databases for the proposer retrieval.", no_args_is_help=True)

Database = Annotated[Path, typer.Argument(help="Folder of the database.")]
_PROBLEMS = 5


@app.command("build")
def build(
    data: Annotated[Path, typer.Option(help="Frames with polyps: a COCO file, or a folder with annotations.json.")],
    out: Annotated[Path, typer.Option(help="Folder of the database. One that exists is added to.")],
    encoder: Annotated[
        str, typer.Option(help="efficientnet_lite0; or DINOv2: a transformers folder, or org/name@commit.")
    ] = "efficientnet_lite0",
    side: Annotated[
        int, typer.Option(help="Pixels that a frame's longer side is resized to for the encoder; 0 for its own size.")
    ] = 384,
    margin: Annotated[
        float, typer.Option(help="Pixels around a polyp's box that are repainted too, in a frame of 512 pixels.")
    ] = 15.0,
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Frames that are repainted together.")] = 8,
    data_images: Annotated[
        Path | None, typer.Option(help="Folder of the pictures, where it isn't beside their COCO file.")
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Mend a COCO file that breaks the format.")] = False,
    weights: Weights = None,
    base: Base = None,
    lora: Lora = None,
    device: Device = None,
    dtype: Dtype = None,
    sampler: Sampler = None,
    steps: Steps = None,
    guidance: Guidance = None,
    mode: Mode = None,
    compiled: Compile = False,
    channels_last: ChannelsLast = False,
    safety_checker: SafetyChecker = False,
) -> None:
    """Remove polyps from frames, and store what the mucosa looks like where they were."""
    from polyp_aug.coco import read_coco
    from polyp_aug.encoders.registry import load_encoder
    from polyp_aug.indexing import build_database
    from polyp_aug.removal import Remover, RemoverSettings

    options = painting_options(
        POLYP_GEN,
        batch_size=batch_size,
        weights=weights,
        base=base,
        lora=lora,
        device=device,
        dtype=dtype,
        sampler=sampler,
        steps=steps,
        guidance=guidance,
        strength=None,
        mode=mode,
        compiled=compiled,
        channels_last=channels_last,
        safety_checker=safety_checker,
    )
    assert options is not None, "there are options wherever polyp_gen paints"
    options = options.removing().resolved()
    dataset = read_coco(data, image_root=data_images, fix=fix)
    remover = Remover(load_synthesizer(POLYP_GEN, options=options), RemoverSettings(margin=margin))
    loaded = load_encoder(encoder, side=side, device=options.device)
    progress = resumable(
        "frames",
        lambda show: build_database(
            dataset,
            out,
            remover=remover,
            encoder=loaded,
            painting=options,
            seed=seed,
            batch_size=batch_size,
            observer=lambda found: show(found.done, found.total),
        ),
    )
    for problem in progress.problems[:_PROBLEMS]:
        errors.print(problem, markup=False, highlight=False, soft_wrap=True)
    if len(progress.problems) > _PROBLEMS:
        errors.print(f"and {len(progress.problems) - _PROBLEMS} more", markup=False, highlight=False)
    text = f"{out}: {progress.added} references added, {progress.known} were there"
    if progress.refused:
        text += f", {progress.refused} frames give none"
    output.print(text, markup=False, highlight=False, soft_wrap=True)


@app.command("info")
def info(database: Database) -> None:
    """Show what a database holds."""
    from polyp_aug.database.folder import read_entries, read_info
    from polyp_aug.database.reference import Reference

    found = read_info(database).to_dict()
    removal = found.pop("conversion")
    painting = removal.pop("painting", {})
    entries = list(read_entries(database))
    references = [entry for entry in entries if isinstance(entry, Reference)]
    rows: list[tuple[object, ...]] = list(found.items())
    rows += [(f"removal: {name}", value) for name, value in (removal | painting).items()]
    rows += [("references", len(references)), ("polyps", sum(len(item.polyps) for item in references))]
    rows.append(("frames that give none", len(entries) - len(references)))
    splits = Counter(item.source.split or "none" for item in references)
    rows.append(("splits", ", ".join(f"{name}: {count}" for name, count in sorted(splits.items()))))
    rows.append(("patients or sequences", len({item.source.group for item in references if item.source.group})))
    datasets = Counter(item.source.dataset or "unknown" for item in references)
    rows.append(("data sets", ", ".join(f"{name}: {count}" for name, count in sorted(datasets.items()))))
    rows.append(("licences", ", ".join(sorted({item.source.licence or "unknown" for item in references}))))
    print_table(f"{database}", ("", ""), rows)


@app.command("verify")
def verify(database: Database) -> None:
    """Read everything in a database and compare it with its digests."""
    from polyp_aug.database.folder import ReferenceDatabase, read_entries

    splits = sorted({entry.source.split for entry in read_entries(database)})
    opened = ReferenceDatabase(database, splits=splits)
    problems = opened.verify()
    for problem in problems:
        errors.print(problem, markup=False, highlight=False, soft_wrap=True)
    if problems:
        raise DatabaseError(f"{database}: {len(problems)} of {len(opened)} references are damaged")
    output.print(f"{database}: {len(opened)} references, all as they were stored", markup=False, highlight=False)
