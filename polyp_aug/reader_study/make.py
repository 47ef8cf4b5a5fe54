"""Making a study: frames drawn, brought to one look, shuffled; the page for readers and the key for the organiser."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polyp_aug.coco.read import annotations_file
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.report import digest_of, versions
from polyp_aug.generation.run_folder import write_json
from polyp_aug.images import write_bytes
from polyp_aug.reader_study.drawing import Drawn, choose, shuffled
from polyp_aug.reader_study.key import KeyEntry, StudyKey, read_key
from polyp_aug.reader_study.page import ShownPicture, build_page
from polyp_aug.reader_study.pictures import (
    SMALLEST,
    Fit,
    common_size,
    encode_jpeg,
    of_equal_length,
    shown_outline,
    shown_picture,
)
from polyp_aug.reader_study.questions import DEFAULT_QUESTIONS, MASK, REAL, ordered_questions
from polyp_aug.reader_study.sources import Candidate, FoundSet, StudySet, read_set


@dataclass(frozen=True)
class StudySettings:
    """How a study is made.

    Attributes:
        count: frames of each set; None shows all of them.
        repeats: with `count`, whether a patient or background may be shown more than once.
        seed: the only source of randomness.
        questions: what readers are asked; see `polyp_aug.reader_study.questions`.
        size: side of the shown squares in pixels, at least 64; frames with a shorter side are left out, since they
            would be told by their blur. None takes the shortest side of all frames, at most 512.
        fit: "squeeze" shows whole frames, "crop" the largest square in their middle.
        quality: of the JPEG files, from 1 to 100.
        title: heading of the page.
    """

    count: int | None = None
    repeats: bool = False
    seed: int = 0
    questions: tuple[str, ...] = DEFAULT_QUESTIONS
    size: int | None = None
    fit: Fit = "squeeze"
    quality: int = 90
    title: str = "Reader study"


@dataclass(frozen=True)
class StudySummary:
    """What was made.

    Attributes:
        study: its id.
        size: side of the pictures in pixels.
        page_bytes: size of the page.
        shown: set → pictures in the study.
        left_out: set → reason → frames that lack what is asked about.
        repeated: pictures whose patient, sequence or background is shown more than once.
    """

    study: str
    size: int
    page_bytes: int
    shown: Mapping[str, int]
    left_out: Mapping[str, Mapping[str, int]]
    repeated: int


def make_study(
    real: StudySet,
    synthetic: Sequence[StudySet],
    page: Path,
    key: Path,
    settings: StudySettings,
    *,
    observer: Callable[[int, int], None] | None = None,
) -> StudySummary:
    """Write the page of a reader study and its key; the same arguments give the same bytes.

    Args:
        real: frames that no generator has seen; its name must be "real".
        synthetic: sets to judge, each with a name of its own.
        page: the HTML file for the readers.
        key: the JSON file with the truth.
        settings: how.
        observer: called with (pictures done, all pictures).

    Raises:
        ConfigurationError: a setting is wrong, a set is too small, or `key` is that of another study.
        CocoError: a COCO file breaks the format.
        ImageError: a frame can't be read.
        RunFolderDamagedError: a record of a run can't be trusted.
        StorageError: a file can't be written.
    """
    sources = _checked_names(real, synthetic)
    settings = replace(settings, questions=ordered_questions(settings.questions))
    if page.resolve() == key.resolve():
        raise ConfigurationError(f"{page}: page and key are the same file")
    found = {source.name: read_set(source, settings.questions) for source in sources}
    size = settings.size or common_size([item for one in found.values() for item in one.candidates])
    if size < SMALLEST:
        raise ConfigurationError(f"pictures of {size} pixels, expected at least {SMALLEST}")
    found = _large_enough(found, size)
    outlines: dict[Candidate, str] = {}
    if MASK in settings.questions:
        found, outlines = _with_outlines(found, size, settings.fit)
    chosen = choose(
        {name: one.candidates for name, one in found.items()},
        settings.count,
        seed=settings.seed,
        repeats=settings.repeats,
    )
    drawn = shuffled(chosen, settings.seed)
    study, data = build_page(
        settings.title, settings.questions, size, _shown(drawn, size, outlines, settings, observer)
    )
    truth = StudyKey(
        study=study,
        title=settings.title,
        seed=settings.seed,
        questions=settings.questions,
        pictures=tuple(
            KeyEntry(item.id, item.candidate.source, item.candidate.file_name, item.candidate.group) for item in drawn
        ),
        record=_record(sources, settings, size, data),
    )
    if key.exists() and read_key(key).study != study:
        raise ConfigurationError(f"{key}: is the key of another study ({read_key(key).study}); choose another file")
    # First the key: a page without one would be answered in vain.
    write_json(key, truth.to_dict())
    write_bytes(page, data)
    groups = Counter(item.group for item in chosen)
    return StudySummary(
        study=study,
        size=size,
        page_bytes=len(data),
        shown=dict(Counter(item.source for item in chosen)),
        left_out={name: one.left_out for name, one in found.items()},
        repeated=sum(count for count in groups.values() if count > 1),
    )


def _checked_names(real: StudySet, synthetic: Sequence[StudySet]) -> list[StudySet]:
    names = [source.name for source in (real, *synthetic)]
    if real.name != REAL or not synthetic or len(set(names)) != len(names):
        raise ConfigurationError(f"sets are named {names}, expected {REAL!r} and one or more other names")
    return [real, *synthetic]


def _large_enough(found: Mapping[str, FoundSet], size: int) -> dict[str, FoundSet]:
    """Sets without the frames that would have to be enlarged."""
    kept = {}
    for name, one in found.items():
        large = tuple(item for item in one.candidates if min(item.width, item.height) >= size)
        if not large:
            raise ConfigurationError(f"set {name!r}: no frame has sides of {size} pixels or more")
        small = len(one.candidates) - len(large)
        kept[name] = FoundSet(large, {**one.left_out, "smaller than shown": small} if small else one.left_out)
    return kept


def _with_outlines(
    found: Mapping[str, FoundSet], size: int, fit: Fit
) -> tuple[dict[str, FoundSet], dict[Candidate, str]]:
    """Sets without the frames whose outline can't be seen, and the outlines of the others."""
    kept: dict[str, FoundSet] = {}
    outlines: dict[Candidate, str] = {}
    for name, one in found.items():
        traced = {item: shown_outline(item, size, fit) for item in one.candidates}
        outlines |= {item: path for item, path in traced.items() if path}
        lost = sum(not path for path in traced.values())
        seen = tuple(item for item in one.candidates if traced[item])
        kept[name] = FoundSet(seen, {**one.left_out, "mask is not seen": lost} if lost else one.left_out)
        if lost == len(traced):
            raise ConfigurationError(f"set {name!r}: no mask is seen at {size} pixels")
    return kept, outlines


def _shown(
    drawn: Sequence[Drawn],
    size: int,
    outlines: Mapping[Candidate, str],
    settings: StudySettings,
    observer: Callable[[int, int], None] | None,
) -> list[ShownPicture]:
    encoded = []
    for number, item in enumerate(drawn, start=1):
        encoded.append(encode_jpeg(shown_picture(item.candidate, size, settings.fit), settings.quality))
        if observer is not None:
            observer(number, len(drawn))
    padded = of_equal_length(encoded, [item.key for item in drawn])
    return [
        ShownPicture(item.id, data, outlines.get(item.candidate, ""), item.candidate.caption)
        for item, data in zip(drawn, padded, strict=True)
    ]


def _record(sources: Sequence[StudySet], settings: StudySettings, size: int, page: bytes) -> dict[str, Any]:
    return {
        "page_sha256": hashlib.sha256(page).hexdigest(),
        "count": settings.count,
        "repeats": settings.repeats,
        "size": size,
        "fit": settings.fit,
        "quality": settings.quality,
        "sets": {source.name: {"annotations_sha256": digest_of([annotations_file(source.data)])} for source in sources},
        "versions": versions(("numpy", "scipy", "opencv-python-headless")),
    }
