"""What the tests of reader studies share: keys without pictures, and answers as the page saves them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from polyp_aug.generation.run_folder import write_json
from polyp_aug.reader_study.answers import content_digest
from polyp_aug.reader_study.key import KeyEntry, StudyKey

#: What a reader answers: (set, number of the picture within its set) → question → answer.
Answering = Callable[[str, int], Mapping[str, Any]]


def write_key(file: Path, counts: Mapping[str, int], questions: tuple[str, ...], *, per_group: int = 1) -> StudyKey:
    """A key with so many pictures of each set, in turns."""
    pictures = []
    for number in range(max(counts.values())):
        pictures += [
            KeyEntry(f"{len(pictures) + at:016x}", name, f"{name}_{number}.png", f"{name} {number // per_group}")
            for at, name in enumerate(name for name, count in counts.items() if number < count)
        ]
    key = StudyKey(
        "00112233aabbccdd", "A study", 0, questions, tuple(pictures), {"sets": {name: {} for name in counts}}
    )
    write_json(file, key.to_dict())
    return key


def exported(key: StudyKey, reader: str, answering: Answering) -> dict[str, Any]:
    """What the page exports for a reader."""
    seen: dict[str, int] = {}
    answers = []
    for picture in key.pictures:
        number = seen.get(picture.source, 0)
        seen[picture.source] = number + 1
        answers.append({"id": picture.id, "milliseconds": 2500, **answering(picture.source, number)})
    content = {"format": 1, "study": key.study, "reader": reader, "answers": answers}
    content |= {"started": "2026-03-02T08:00:00.000Z", "signed": "2026-03-02T09:00:00.000Z"}
    return {**content, "digest": content_digest(content)}


def write_answers(file: Path, key: StudyKey, reader: str, answering: Answering) -> Path:
    """The same as a file."""
    file.write_text(json.dumps(exported(key, reader, answering)), encoding="utf-8")
    return file
