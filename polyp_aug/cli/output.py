"""What all commands share: consoles, tables, numbers for people, and values from text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from polyp_aug.evaluation import report

#: Results go to standard output, progress and errors to standard error.
output = Console()
errors = Console(stderr=True)

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output; text is shown as it is."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(value).replace("[", r"\[") for value in row))
    output.print(table)


def show_report(tables: Iterable[report.Table], out: Path) -> None:
    """The tables of a report on standard output, and where it was written."""
    for table in tables:
        print_table(table.title, table.columns, table.rows)
    output.print(f"Wrote {out / 'report.md'}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with rate and remaining time on standard error; yields a function of (done, total)."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("remaining"),
        TimeRemainingColumn(),
        console=errors,
    )
    with bar:
        task = bar.add_task(what, total=None, rate="")

        def show(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, total=total, completed=done, rate=f"{speed:.1f}/s" if speed else "")

        yield show


def size_text(size: float) -> str:
    """A number of bytes for people, in powers of 1000: `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def parse_range(text: str) -> tuple[int, int]:
    """`1-3` or `2` as the smallest and largest number."""
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())
    if not found:
        raise typer.BadParameter(f"expected a number or a range such as 1-3 (got {text!r})")
    return int(found[1]), int(found[2] or found[1])


def parse_shares(text: str) -> tuple[float, float]:
    """`0.08-0.45` as two numbers."""
    found = re.fullmatch(r"(\d*\.?\d+)-(\d*\.?\d+)", text.strip())
    if not found:
        raise typer.BadParameter(f"expected a range such as 0.08-0.45 (got {text!r})")
    return float(found[1]), float(found[2])


def parse_shard(text: str) -> tuple[int, int]:
    """`2/8` as two numbers."""
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if not found:
        raise typer.BadParameter(f"expected i/n such as 2/8 (got {text!r})")
    return int(found[1]), int(found[2])


def parse_size(text: str) -> int:
    """`500M` or `20G` or a plain number as bytes, in powers of 1000."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip().upper())
    if not found:
        raise typer.BadParameter(f"expected a size such as 500M or 20G (got {text!r})")
    return int(float(found[1]) * _UNITS[found[2]])


def parse_named(texts: Sequence[str], example: str) -> dict[str, str]:
    """`NAME=VALUE` texts by name; each name can stand once."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise typer.BadParameter(f"expected NAME=… such as {example} (got {text!r})")
        if name in found:
            raise typer.BadParameter(f"each NAME can stand once (got {', '.join(texts)})")
        found[name] = value
    return found
