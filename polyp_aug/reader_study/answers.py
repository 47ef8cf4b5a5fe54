"""The files that readers export: read and verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyp_aug.errors import ConfigurationError
from polyp_aug.reader_study.key import FORMAT, StudyKey, read_object
from polyp_aug.reader_study.questions import HIGHEST, LOWEST, ORIGIN, REAL, SYNTHETIC, is_answer

_KEYS = frozenset({"format", "study", "reader", "started", "signed", "answers", "digest"})


@dataclass(frozen=True)
class Reading:
    """What one reader answered.

    Attributes:
        reader: name or initials.
        started: when the reader began, as the browser's clock said (ISO 8601, UTC).
        signed: when the answers were signed.
        digest: SHA-256 of the file's content.
        answers: question → the answers in the key's order of pictures: "real" or "synthetic", or 1 to 5.
        seconds: how long each picture was on the screen.
    """

    reader: str
    started: str
    signed: str
    digest: str
    answers: Mapping[str, tuple[Any, ...]]
    seconds: tuple[float, ...]


def read_answers(files: Sequence[Path], key: StudyKey) -> list[Reading]:
    """Read what readers exported, in the order of the files.

    The digest shows that a file is as the page wrote it, not who wrote it: it holds no secret.

    Raises:
        ConfigurationError: there is no file, a file is damaged, of another study, not complete, or answers pictures
            that are not in the study, or two are of one reader. The message names the file and the value.
    """
    if not files:
        raise ConfigurationError("no file of answers, expected those that the readers saved")
    readings: list[Reading] = []
    by_name: dict[str, Path] = {}
    for file in files:
        reading = _reading(file, key)
        name = reading.reader.casefold()
        if name in by_name:
            raise ConfigurationError(f"{file}: reader {reading.reader!r} has also answered in {by_name[name]}")
        by_name[name] = file
        readings.append(reading)
    return readings


def content_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of an export without its digest, in hexadecimal: its JSON with sorted keys, without spaces, in ASCII."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _reading(file: Path, key: StudyKey) -> Reading:
    row = read_object(file)
    if row.get("format") != FORMAT or set(row) != _KEYS:
        raise ConfigurationError(
            f"{file}: format is {row.get('format')!r} with {', '.join(sorted(row))}; expected {FORMAT} with "
            f"{', '.join(sorted(_KEYS))}, as the page saves it"
        )
    found = content_digest({name: value for name, value in row.items() if name != "digest"})
    if row["digest"] != found:
        raise ConfigurationError(f"{file}: digest is {row['digest']!r}, its content has {found}: it was changed")
    if row["study"] != key.study:
        raise ConfigurationError(f"{file}: is of study {row['study']!r}, expected {key.study!r}")
    for name in ("reader", "started", "signed"):
        if not isinstance(row[name], str) or not row[name].strip():
            raise ConfigurationError(f"{file}: {name} is {row[name]!r}, expected a text")
    answers = _by_picture(file, row["answers"], key)
    ordered = [answers[picture.id] for picture in key.pictures]
    return Reading(
        reader=row["reader"],
        started=row["started"],
        signed=row["signed"],
        digest=found,
        answers={question: tuple(item[question] for item in ordered) for question in key.questions},
        seconds=tuple(item["milliseconds"] / 1000 for item in ordered),
    )


def _by_picture(file: Path, rows: Any, key: StudyKey) -> dict[str, dict[str, Any]]:
    """The checked answers by id."""
    if not isinstance(rows, list):
        raise ConfigurationError(f"{file}: answers are {rows!r}, expected a list")
    known = {picture.id for picture in key.pictures}
    expected = {"id", "milliseconds", *key.questions}
    answers: dict[str, dict[str, Any]] = {}
    for row in rows:
        if not isinstance(row, dict) or row.get("id") not in known:
            given = row.get("id") if isinstance(row, dict) else row
            raise ConfigurationError(f"{file}: answers picture {given!r}, which is not in the study")
        name = row["id"]
        if name in answers:
            raise ConfigurationError(f"{file}: answers picture {name!r} twice")
        for question in key.questions:
            if not is_answer(question, row.get(question)):
                choices = f"{REAL!r} or {SYNTHETIC!r}" if question == ORIGIN else f"{LOWEST} to {HIGHEST}"
                raise ConfigurationError(
                    f"{file}: picture {name!r}: {question} is {row.get(question)!r}, expected {choices}"
                )
        if set(row) != expected or type(row["milliseconds"]) is not int or row["milliseconds"] < 0:
            raise ConfigurationError(
                f"{file}: picture {name!r} has {row!r}, expected {', '.join(sorted(expected))}, milliseconds from 0 on"
            )
        answers[name] = row
    missing = [picture.id for picture in key.pictures if picture.id not in answers]
    if missing:
        raise ConfigurationError(
            f"{file}: {len(missing)} of {len(known)} pictures are not answered, the first is {missing[0]!r}"
        )
    return answers
