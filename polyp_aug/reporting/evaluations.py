"""Report folders of `polyp-aug evaluate`, `benchmark` and others: `report.json` with its tables in `report.md`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.report import REPORT_NAME, TABLES_NAME, Table
from polyp_aug.reporting.charts import Whisker

#: Most rows of a chart of intervals; a table with more has none.
MOST_WHISKERS = 24

#: Most letters of a row's name in a chart.
_NAME = 52

_INTERVAL = re.compile(r"([-+]?\d+(?:\.\d+)?) \(([-+]?\d+(?:\.\d+)?) … ([-+]?\d+(?:\.\d+)?)\)")

#: Names under which reports have the digest of a set's annotations, or of a run's manifest (`digest_of`).
DIGESTS = ("annotations_sha256", "manifest_sha256")

#: Rules of Markdown that could bring in another file, an address, or HTML.
_REFUSED = ("image", "link", "autolink", "reference", "html_block", "html_inline")


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """A report folder.

    Attributes:
        folder: where it is.
        title: its heading.
        tables: as `write_report` wrote them.
        notes: what stands below the tables, as HTML.
        content: of `report.json`.
    """

    folder: Path
    title: str
    tables: tuple[Table, ...]
    notes: Markup
    content: Mapping[str, Any]

    @property
    def files(self) -> tuple[Path, Path]:
        """The files that were read."""
        return self.folder / REPORT_NAME, self.folder / TABLES_NAME

    def digests(self) -> list[tuple[tuple[str, ...], str]]:
        """What was measured: where in the report a set is named, and the digest of its file, in their order."""
        return list(_digests((), self.content))

    def versions(self) -> dict[str, str]:
        """Packages and their versions; all of them, where parts of the report differ."""
        found: dict[str, dict[str, None]] = {}
        for name, version in _versions(self.content):
            found.setdefault(name, {})[version] = None
        return {name: ", ".join(numbers) for name, numbers in found.items()}

    def seeds(self) -> str:
        """Seeds that the report names, "" where it names none."""
        seeds = self.content.get("seeds", self.content.get("seed"))
        if seeds is None:
            return ""
        return ", ".join(str(seed) for seed in seeds) if isinstance(seeds, list) else str(seeds)


def read_evaluation(folder: Path) -> EvaluationReport:
    """Read a report folder.

    Raises:
        ConfigurationError: a file is missing or damaged.
    """
    try:
        content = json.loads((folder / REPORT_NAME).read_bytes())
        text = (folder / TABLES_NAME).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{folder}: not the folder of an evaluation (no {Path(error.filename).name})"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{folder}: can't be read ({error})") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{folder / REPORT_NAME}: a {type(content).__name__}, expected an object")
    title, tables, notes = _parts(text)
    return EvaluationReport(folder, title or folder.resolve().name, tables, notes, content)


def markdown_text(text: str, *, titles: bool = True) -> Markup:
    """Markdown as HTML in which nothing points out of the page; headings become those of the fourth level.

    Args:
        text: Markdown; HTML in it is shown as text.
        titles: False leaves headings out.
    """
    parser = _parser()
    return _rendered(parser, list(_lowered(parser.parse(text), titles)))


def whisker_columns(table: Table) -> list[tuple[str, tuple[Whisker, ...]]]:
    """The columns of a table whose cells are values with intervals, with at least two of them.

    A row is named by the cells before the first such column, as far as they differ between rows.

    Returns:
        The column's title and its values; nothing where the table has more than `MOST_WHISKERS` rows.
    """
    if len(table.rows) > MOST_WHISKERS:
        return []
    found: list[tuple[str, tuple[Whisker, ...]]] = []
    first = None
    for column in range(1, len(table.columns)):
        cells = [(row, match) for row in table.rows if (match := _INTERVAL.match(row[column]))]
        if not cells:
            continue
        first = column if first is None else first
        if len(cells) < 2:
            continue
        naming = [place for place in range(first) if len({row[place] for row, _ in cells}) > 1] or [0]
        whiskers = (_whisker(", ".join(row[place] for place in naming), match) for row, match in cells)
        found.append((table.columns[column], tuple(whiskers)))
    return found


def _whisker(name: str, match: re.Match[str]) -> Whisker:
    value, low, high = (float(number) for number in match.groups())
    return Whisker(name if len(name) <= _NAME else name[: _NAME - 1] + "…", value, low, high)


def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable(list(_REFUSED))


def _rendered(parser: MarkdownIt, tokens: Sequence[Token]) -> Markup:
    # The parser escapes texts, and refuses HTML, addresses and pictures.
    return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704


def _parts(text: str) -> tuple[str, tuple[Table, ...], Markup]:
    """Title, tables and notes of `report.md`."""
    parser = _parser()
    tokens = parser.parse(text)
    title, heading = "", ""
    tables: list[Table] = []
    notes: list[Token] = []
    place = 0
    while place < len(tokens):
        token = tokens[place]
        if token.type == "table_open" and token.level == 0:
            end = next(later for later in range(place, len(tokens)) if tokens[later].type == "table_close")
            tables.append(_table(heading or title, tokens[place:end]))
            heading, place = "", end
        elif token.type == "heading_open" and token.level == 0 and not title and token.tag == "h1":
            title, place = tokens[place + 1].content, place + 2
        elif token.type == "heading_open" and token.level == 0 and _followed_by_table(tokens, place):
            heading, place = tokens[place + 1].content, place + 2
        else:
            notes.append(token)
        place += 1
    return title, tuple(tables), _rendered(parser, list(_lowered(notes, titles=True)))


def _followed_by_table(tokens: Sequence[Token], place: int) -> bool:
    return len(tokens) > place + 3 and tokens[place + 3].type == "table_open"


def _table(title: str, tokens: Sequence[Token]) -> Table:
    """The texts of a table; Markdown in its cells is left as it is, as `Table.markdown` wrote it."""
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(token.content)
    return Table(title, rows[0], rows[1:])


def _lowered(tokens: Sequence[Token], titles: bool) -> Iterator[Token]:
    inside = False
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            inside = token.type == "heading_open"
            token.tag = "h4"
            if titles:
                yield token
        elif titles or not inside:
            yield token


def _digests(path: tuple[str, ...], value: object) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping):
        yield from ((path, value[name]) for name in DIGESTS if isinstance(value.get(name), str))
        for name, item in value.items():
            yield from _digests((*path, str(name)), item)


def _versions(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name == "versions" and isinstance(item, Mapping):
                yield from ((str(package), str(version)) for package, version in item.items())
            else:
                yield from _versions(item)
