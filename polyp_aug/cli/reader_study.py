"""`polyp-aug reader-study`: people who judge pictures without knowing which are real."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.output import errors, output, parse_named, print_table, progress_bar, show_report, size_text

app = typer.Typer(help="Have people judge real and synthetic frames, blinded, and score them.", no_args_is_help=True)


class Question(StrEnum):
    """What readers are asked."""

    ORIGIN = "origin"
    FIDELITY = "fidelity"
    MASK = "mask"
    TEXT = "text"


class FitName(StrEnum):
    """How a frame becomes a square."""

    SQUEEZE = "squeeze"
    CROP = "crop"


@app.command("make")
def make(
    real: Annotated[Path, typer.Option(help="COCO set of real frames that no generator has seen.")],
    synthetic: Annotated[list[str], typer.Option(help="NAME=SET, once for each COCO set or run of synthetic frames.")],
    out: Annotated[Path, typer.Option(help="HTML page to write, for the readers.")],
    key: Annotated[Path, typer.Option(help="JSON file to write with the truth, for the organiser alone.")],
    count: Annotated[
        int | None, typer.Option(help="Frames of each set, no patient or background twice; all frames if not given.")
    ] = None,
    repeats: Annotated[
        bool, typer.Option("--repeats", help="With --count: a patient or background may be shown more than once.")
    ] = False,
    ask: Annotated[
        list[Question] | None,
        typer.Option(help="What readers are asked, once for each; origin and fidelity if none is given."),
    ] = None,
    captions: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FILE of `caption`, for --ask text; NAME of the real set is real. Runs have their own."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Pixels of a side; smaller frames are left out. By default the shortest side of all, at most 512."
        ),
    ] = None,
    fit: Annotated[
        FitName, typer.Option(help="squeeze whole frames to a square, or crop the square in their middle.")
    ] = FitName.SQUEEZE,
    quality: Annotated[int, typer.Option(help="Of the JPEG pictures, 1 to 100.")] = 90,
    title: Annotated[str, typer.Option(help="Heading of the page; readers see it.")] = "Reader study",
    seed: Annotated[int, typer.Option(help="The only source of randomness.")] = 0,
) -> None:
    """Write one HTML page with shuffled, blinded frames for readers, and the key to it."""
    sets = _paths(synthetic, "mine=runs/mine")
    texts = _paths(captions or [], "real=kvasir_test/captions.jsonl")
    strangers = sorted(set(texts) - {"real", *sets})
    if strangers:
        raise typer.BadParameter(f"--captions names {strangers[0]!r}, which is no set of this study")
    if texts and Question.TEXT not in (ask or []):
        raise typer.BadParameter("--captions belongs to --ask text")
    if repeats and count is None:
        raise typer.BadParameter("--repeats belongs to --count")
    from polyp_aug.reader_study.make import StudySettings, make_study
    from polyp_aug.reader_study.questions import DEFAULT_QUESTIONS
    from polyp_aug.reader_study.sources import StudySet

    settings = StudySettings(
        count=count,
        repeats=repeats,
        seed=seed,
        questions=tuple(item.value for item in ask) if ask else DEFAULT_QUESTIONS,
        size=size,
        fit=fit.value,
        quality=quality,
        title=title,
    )
    with progress_bar("pictures") as show:
        found = make_study(
            StudySet("real", real, texts.get("real")),
            [StudySet(name, path, texts.get(name)) for name, path in sets.items()],
            out,
            key,
            settings,
            observer=show,
        )
    rows = [
        (name, shown, ", ".join(f"{count} {reason}" for reason, count in found.left_out[name].items()))
        for name, shown in found.shown.items()
    ]
    print_table(f"Study {found.study}", ("set", "pictures", "left out"), rows)
    if found.repeated:
        text = f"{found.repeated} pictures share their patient or background with another one of the study."
        errors.print(text, markup=False, highlight=False, soft_wrap=True)
    page = f"{out} ({size_text(found.page_bytes)}, pictures of {found.size} × {found.size} pixels)"
    for name, path in (("page", page), ("key ", f"{key}, to be kept from the readers")):
        output.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)


@app.command("score")
def score(
    answers: Annotated[list[Path], typer.Argument(help="The files that the readers saved.")],
    key: Annotated[Path, typer.Option(help="The study's key.")],
    out: Annotated[Path, typer.Option(help="Folder for report.json and report.md.")],
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
) -> None:
    """Verify what readers answered, and say how often they called pictures real, told them apart, agreed and rated."""
    from polyp_aug.reader_study.score import score_study

    show_report(score_study(key, answers, out, seed=seed).tables, out)


def _paths(texts: list[str], example: str) -> Mapping[str, Path]:
    return {name: Path(path) for name, path in parse_named(texts, example).items()}
