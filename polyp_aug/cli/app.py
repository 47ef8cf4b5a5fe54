"""The program: its commands, and what it does with errors."""

from __future__ import annotations

import sys

import typer

from polyp_aug.cli import (
    browse,
    demo,
    evaluate,
    export,
    generate,
    index,
    inspect,
    prepare,
    propose,
    reader_study,
    remove,
    test,
    train,
)
from polyp_aug.cli.audit import audit
from polyp_aug.cli.benchmark import benchmark
from polyp_aug.cli.caption import caption
from polyp_aug.cli.curate import curate
from polyp_aug.cli.filter import filter_dataset
from polyp_aug.cli.output import errors
from polyp_aug.cli.pool import pool, refresh
from polyp_aug.cli.report import report
from polyp_aug.errors import PolypAugError

app = typer.Typer(
    name="polyp-aug",
    help="Paint polyps into endoscopy frames and write the annotations. Not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("prepare")(prepare.prepare)
app.command("generate")(generate.generate)
app.command("preview")(generate.preview)
app.command("remove")(remove.remove)
app.command("propose")(propose.propose)
app.command("pool")(pool)
app.command("refresh")(refresh)
app.command("merge")(prepare.merge)
app.command("split")(prepare.split)
app.command("filter")(filter_dataset)
app.command("curate")(curate)
app.command("audit")(audit)
app.command("caption")(caption)
app.command("statistics")(inspect.statistics)
app.command("browse")(browse.browse)
app.command("env")(inspect.env)
app.command("benchmark")(benchmark)
app.command("report")(report)
app.add_typer(export.app, name="export")
app.add_typer(index.app, name="index")
app.add_typer(train.app, name="train")
app.add_typer(test.app, name="test")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(reader_study.app, name="reader-study")


def main() -> None:
    """Run the program. Exit codes: 0 done, 1 an error that the message explains, 2 wrong usage, 130 interrupted."""
    try:
        app()
    except PolypAugError as error:
        errors.print(f"Error: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)
