"""Tables of measurements, for the terminal and for Markdown, and what every report records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from polyp_aug import __version__
from polyp_aug.errors import ConfigurationError, StorageError
from polyp_aug.images import write_bytes

REPORT_NAME = "report.json"
TABLES_NAME = "report.md"


@dataclass(frozen=True)
class Table:
    """A table of texts under a title."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The table in Markdown, its title as a heading."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        cells = ("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
        return f"## {self.title}\n\n" + "\n".join(cells) + "\n"


def interval_text(interval: Mapping[str, float], digits: int = 2, factor: float = 1.0) -> str:
    """`1.23 (0.98 … 1.51)`: value, low and high, times `factor`."""
    value, low, high = (f"{interval[name] * factor:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} ({low} … {high})"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of polyp_aug and of installed packages."""
    return {"polyp_aug": __version__} | {name: version(name) for name in packages}


def digest_of(files: Iterable[Path]) -> str:
    """SHA-256 over the bytes of files, in their order.

    Raises:
        ConfigurationError: a file can't be read.
    """
    digest = hashlib.sha256()
    for file in files:
        try:
            with open(file, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise ConfigurationError(f"{file}: can't be read ({error.strerror or error})") from error
    return digest.hexdigest()


def make_folder(out: Path) -> None:
    """Make the folder of a report.

    Raises:
        StorageError: it can't be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(error.errno, f"{out}: can't be made ({error.strerror or error})") from error


def write_report(out: Path, title: str, report: Mapping[str, Any], tables: Sequence[Table], notes: str) -> None:
    """Write `report.json`, and the tables with the notes below them to `report.md`.

    Raises:
        StorageError: a file can't be written.
    """
    write_bytes(out / REPORT_NAME, (json.dumps(report, indent=2, ensure_ascii=True) + "\n").encode())
    text = "\n".join([f"# {title}\n", *(table.markdown() for table in tables), notes])
    write_bytes(out / TABLES_NAME, text.encode())
