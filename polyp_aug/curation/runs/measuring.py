"""Measuring the polyps of a run, sample by sample; killed at any moment, it goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from polyp_aug.curation.runs.painted import Record
from polyp_aug.errors import RunFolderDamagedError
from polyp_aug.jsonl import append_records, read_lines

#: Field of a line that holds what was measured of each polyp.
POLYPS = "polyps"

#: What was measured of one polyp: score → value, None where it can't be measured, and whatever else belongs to it.
Measured = dict[str, Any]


class Scorer(Protocol):
    """Measures one family of scores."""

    @property
    def family(self) -> str:
        """Name of the family, and of its file."""
        ...

    @property
    def batch(self) -> int:
        """Samples that are measured together."""
        ...

    def measure(self, folder: Path, records: Sequence[Record]) -> list[list[Measured]]:
        """Measure the painted polyps of samples that were made; for each sample one entry for each polyp.

        Raises:
            ImageError: a picture can't be read.
        """
        ...


def measure_samples(
    scorer: Scorer,
    folder: Path,
    records: Sequence[Record],
    file: Path,
    observer: Callable[[int, int], None] | None = None,
) -> list[list[Measured]]:
    """Measure samples, each once: what `file` holds already is not measured again.

    Args:
        scorer: measures.
        folder: the run folder.
        records: the samples that were made, in their order.
        file: JSON lines, one for each sample; appended to.
        observer: told (done, total).

    Returns:
        For each sample one entry for each painted polyp.

    Raises:
        RunFolderDamagedError: `file` is of other samples.
        ImageError: a picture can't be read.
        StorageError: `file` can't be written.
    """
    found: list[list[Measured]] = list(read_entries(file, records, POLYPS))
    rest = iter(records[len(found) :])
    while batch := list(islice(rest, scorer.batch)):
        measured = scorer.measure(folder, batch)
        append_records(
            file,
            [{"sample": record["sample"], POLYPS: own} for record, own in zip(batch, measured, strict=True)],
        )
        found += measured
        if observer is not None:
            observer(len(found), len(records))
    return found


def rounded(value: float | None) -> float | None:
    """A score as it is kept: six digits, so that files are short and the last bits don't matter."""
    return None if value is None else float(f"{value:.6g}")


def read_entries(file: Path, records: Sequence[Record], field: str) -> Iterator[Any]:
    """A field of each line of a file that holds one for each sample, as far as it goes.

    Raises:
        RunFolderDamagedError: a line is damaged, or of another sample.
    """
    for number, line in read_lines(file, mend=True):
        try:
            entry = json.loads(line)
            if number > len(records) or entry["sample"] != records[number - 1]["sample"]:
                raise ValueError("it is of another sample")
            yield entry[field]
        except (ValueError, KeyError, TypeError) as error:
            raise RunFolderDamagedError(f"{file}: line {number} is damaged ({error})") from error
