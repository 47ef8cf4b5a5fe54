"""The key of a study: which picture is what. It stays with the organiser."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from polyp_aug.errors import ConfigurationError
from polyp_aug.reader_study.questions import REAL, ordered_questions

#: Version of the file.
FORMAT = 1


@dataclass(frozen=True)
class KeyEntry:
    """A picture of the study.

    Attributes:
        id: as on the page.
        source: name of its set: "real", or that of a synthetic one.
        file_name: as its set names it.
        group: patient, sequence or background.
    """

    id: str
    source: str
    file_name: str
    group: str

    @property
    def real(self) -> bool:
        """Whether the picture is real."""
        return self.source == REAL


@dataclass(frozen=True)
class StudyKey:
    """What `key.json` holds.

    Attributes:
        study: id of the study: a digest of what its page shows.
        title: of the page.
        seed: of the study.
        questions: what readers are asked, in the order of the page.
        pictures: in the order in which they are shown.
        record: settings, digests and versions, for people.
    """

    study: str
    title: str
    seed: int
    questions: tuple[str, ...]
    pictures: tuple[KeyEntry, ...]
    record: Mapping[str, Any]

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sets: "real" first, the others as the study was made with them."""
        return tuple(self.record["sets"])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "format": FORMAT,
            "note": "The truth of a reader study. Keep it from the readers until all of them have answered.",
            "study": self.study,
            "title": self.title,
            "seed": self.seed,
            "questions": list(self.questions),
            "record": dict(self.record),
            "pictures": [asdict(picture) for picture in self.pictures],
        }


def read_key(file: Path) -> StudyKey:
    """Read `key.json`.

    Raises:
        ConfigurationError: it can't be read, or is no key; the message names the file and the value.
    """
    row = read_object(file)
    if row.get("format") != FORMAT or "pictures" not in row:
        raise ConfigurationError(f"{file}: format is {row.get('format')!r}, expected {FORMAT} and 'pictures': no key")
    try:
        pictures = tuple(_entry(item) for item in row["pictures"])
        key = StudyKey(
            study=_text(row["study"], "study"),
            title=_text(row["title"], "title"),
            seed=int(row["seed"]),
            questions=ordered_questions(row["questions"]),
            pictures=pictures,
            record=dict(row["record"]),
        )
        sources = set(key.sources)
    except KeyError as error:
        raise ConfigurationError(f"{file}: no field {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{file}: {error}") from error
    if len({picture.id for picture in pictures}) != len(pictures):
        raise ConfigurationError(f"{file}: two pictures have the same id")
    used = {picture.source for picture in pictures}
    if used != sources or REAL not in used or len(used) < 2:
        raise ConfigurationError(
            f"{file}: pictures are of the sets {sorted(used)}, expected {sorted(sources | {REAL})} and a synthetic one"
        )
    return key


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ConfigurationError: the file can't be read, or holds something else.
    """
    try:
        row = json.loads(file.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{file}: can't be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{file}: not JSON ({error})") from error
    if not isinstance(row, dict):
        raise ConfigurationError(f"{file}: a {type(row).__name__}, expected an object")
    return row


def _entry(row: Any) -> KeyEntry:
    if not isinstance(row, dict):
        raise ConfigurationError(f"a picture is {row!r}, expected an object")
    return KeyEntry(*(_text(row[name], name) for name in ("id", "source", "file_name", "group")))


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} is {value!r}, expected a text")
    return value
