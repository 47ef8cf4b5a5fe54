"""Tables as the page shows them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from polyp_aug.generation.facts import readable

#: What stands at the right: numbers with what belongs to them, such as intervals; "–" is no number.
_NUMBER = re.compile(r"[-+−–]?[\d.,]*(?:[\s()…;%+\-−–]|\d|\.)*")

#: A text without a space that is longer may be broken anywhere.
_LONG = 24


@dataclass(frozen=True)
class Cell:
    """A text; `long` where it may be broken anywhere."""

    text: str
    long: bool


@dataclass(frozen=True)
class PageTable:
    """A table under a caption; the first cell of a row is its header.

    Attributes:
        right: whether a column's cells stand at the right.
    """

    caption: str
    columns: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    right: tuple[bool, ...]


def page_table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> PageTable:
    """A table for the page: control characters made visible, long texts cut, whole numbers with commas.

    Args:
        caption: above it.
        columns: their headers.
        rows: a cell for each column.
    """
    cells = tuple(tuple(_cell(value) for value in row) for row in rows)
    right = tuple(
        column > 0
        and any(row[column].text for row in cells)
        and all(_NUMBER.fullmatch(row[column].text) for row in cells)
        for column in range(len(columns))
    )
    return PageTable(readable(caption), tuple(_cell(name) for name in columns), cells, right)


def _cell(value: object) -> Cell:
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else readable(value)
    return Cell(text, any(len(word) > _LONG for word in text.split()))
