"""Captions of a COCO data set: one JSON line for each frame, in a file beside it."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import polyp_aug
from polyp_aug.captions.check import contradictions
from polyp_aug.captions.facts import FrameFacts, largest_first, measure_frame
from polyp_aug.captions.thresholds import AttributeTable, default_table
from polyp_aug.captions.writer import Caption, CaptionWriter
from polyp_aug.coco import CocoAnnotation, CocoDataset, CocoImage, decode_segmentation, read_coco
from polyp_aug.coco.read import annotations_file
from polyp_aug.errors import (
    ConfigurationError,
    ImageError,
    RunConfigurationChanged,
    RunFolderBusyError,
    SynthesisError,
)
from polyp_aug.images import read_image
from polyp_aug.jsonl import append_records, read_lines
from polyp_aug.keys import Key

#: Name of the file beside a COCO file `annotations.json`; beside others it is `NAME.captions.jsonl`.
CAPTIONS_NAME = "captions.jsonl"

#: Version of the records.
FORMAT = 1

_KEYS = frozenset(
    {"format", "image_id", "file_name", "annotation_ids", "facts", "foreground", "background", "caption", "writer"}
    | {"settings"}
)


@dataclass(frozen=True)
class CaptionRecord:
    """A line of a caption file.

    Attributes:
        image_id: of the COCO image.
        file_name: of the COCO image.
        annotation_ids: of its polyps, the largest first: those of `facts.polyps`.
        facts: what was measured.
        foreground: a sentence for each polyp that is described; empty without polyps.
        background: a sentence about the mucosa.
        caption: both joined: the prompt.
        writer: name, model, revision, attempts (how often it was asked) and fell_back (whether the template writer
            had to help out).
        settings: what the file was made with: seed, attempts at most, digests of the limits and of the COCO file, and
            the version of the package.
    """

    image_id: int
    file_name: str
    annotation_ids: tuple[int, ...]
    facts: FrameFacts
    foreground: str
    background: str
    caption: str
    writer: Mapping[str, Any]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class CaptionSummary:
    """What `caption_dataset` did.

    Attributes:
        file: the caption file.
        written: frames that have a caption now.
        polyps: polyps of these frames.
        fell_back: captions that the template writer wrote since the other one's were rejected.
        skipped: reason → frames that got no caption.
    """

    file: Path
    written: int
    polyps: int
    fell_back: int
    skipped: Mapping[str, int]


def captions_file(dataset: str | os.PathLike[str]) -> Path:
    """Where the captions of a COCO set, a file or a folder with `annotations.json`, stand if nothing else is said."""
    file = annotations_file(dataset)
    return file.with_name(CAPTIONS_NAME if file.stem == "annotations" else f"{file.stem}.{CAPTIONS_NAME}")


def caption_dataset(
    dataset: str | os.PathLike[str],
    writer: CaptionWriter,
    out: Path | None = None,
    *,
    seed: int = 0,
    table: AttributeTable | None = None,
    observer: Callable[[int, int], None] | None = None,
) -> CaptionSummary:
    """Write a caption for every frame of a COCO set; an interrupted file goes on, to the same bytes.

    Frames without polyps get a background alone. A frame is skipped as a whole where one of its polyps is a crowd or
    has a box alone, since its mask would not be true, and where the picture can't be read or has another size than its
    record says.

    Args:
        dataset: a COCO file, or a folder with `annotations.json`.
        writer: what writes.
        out: the file; `captions_file(dataset)` if not given.
        seed: the only source of randomness.
        table: limits; the package's own if not given.
        observer: called with (frames done, all frames).

    Raises:
        RunConfigurationChanged: the file was made with other settings, or from another set.
        RunFolderBusyError: another process writes to the file.
        SynthesisError: the writer contradicts the facts.
        StorageError: the file can't be written.
    """
    source = annotations_file(dataset)
    found = read_coco(source)
    target = out if out is not None else captions_file(source)
    limits = table or default_table()
    settings = {
        "seed": seed,
        "attempts": writer.identity.attempts,
        "limits": limits.digest,
        "dataset": hashlib.sha256(source.read_bytes()).hexdigest()[:16],
        "version": polyp_aug.__version__,
    }
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunFolderBusyError(f"{target}: another process writes to it") from None
    try:
        return _write(found, writer, target, settings, limits, observer)
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def read_captions(path: str | os.PathLike[str]) -> dict[int, CaptionRecord]:
    """The records of a caption file by image id, in their order. An incomplete last line is left out.

    Raises:
        ConfigurationError: there is no such file, or a line is no record; the message names file and line.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigurationError(f"{file}: no such file, expected captions of `polyp-aug caption`")
    return {record.image_id: record for record in _records(file)}


def _write(
    found: CocoDataset,
    writer: CaptionWriter,
    target: Path,
    settings: Mapping[str, Any],
    limits: AttributeTable,
    observer: Callable[[int, int], None] | None,
) -> CaptionSummary:
    images = {image.id: number for number, image in enumerate(found.images)}
    done: dict[int, CaptionRecord] = {}
    for record in _records(target, mend=True):
        _check_same(record, writer, settings, target)
        if record.image_id not in images:
            raise RunConfigurationChanged(f"{target}: has image {record.image_id}, which the data set has not")
        done[record.image_id] = record
    # A skipped frame has no line: all frames before the last line's are done.
    start = 1 + max((images[image_id] for image_id in done), default=-1)
    groups = found.by_image()
    skipped: Counter[str] = Counter()
    written, polyps, fell_back = 0, 0, 0
    for number, image in enumerate(found.images):
        if image.id in done:
            record = done[image.id]
            facts, helped = record.facts.polyps, bool(record.writer["fell_back"])
            written, polyps, fell_back = written + 1, polyps + len(facts), fell_back + helped
        else:
            made = _record(found, image, groups[image.id], writer, settings, limits)
            if isinstance(made, str):
                skipped[made] += 1
            elif number < start:
                raise RunConfigurationChanged(f"{target}: has no line for image {image.id}, which could have one now")
            else:
                append_records(target, [made])
                helped = made["writer"]["fell_back"]
                written, polyps, fell_back = written + 1, polyps + len(made["annotation_ids"]), fell_back + helped
        if observer is not None:
            observer(number + 1, len(found.images))
    return CaptionSummary(target, written, polyps, fell_back, dict(skipped))


def _record(
    found: CocoDataset,
    image: CocoImage,
    rows: list[CocoAnnotation],
    writer: CaptionWriter,
    settings: Mapping[str, Any],
    limits: AttributeTable,
) -> dict[str, Any] | str:
    """The line of a frame, or why there is none."""
    if any(row.iscrowd for row in rows):
        return "a polyp is annotated as a crowd"
    if any(row.segmentation is None for row in rows):
        return "a polyp has a box alone"
    try:
        picture = read_image(found.image_root / image.file_name)
    except ImageError:
        return "the picture can't be read"
    if picture.shape[:2] != (image.height, image.width):
        return "the picture is not of the size that its record says"
    masks = [decode_segmentation(row.segmentation, image.width, image.height) for row in rows]
    if not all(mask.any() for mask in masks):
        return "the mask of a polyp is empty"
    facts = measure_frame(picture, masks, table=limits)
    caption = writer.write(facts, Key(int(settings["seed"]), image.file_name))
    wrong = contradictions(caption, facts)
    if wrong:
        raise SynthesisError(f"image {image.id}: the writer {writer.identity.name} contradicts the facts: {wrong[0]}")
    return {
        "format": FORMAT,
        "image_id": image.id,
        "file_name": image.file_name,
        "annotation_ids": [rows[index].id for index in largest_first(masks)],
        "facts": facts.to_dict(),
        "foreground": caption.foreground,
        "background": caption.background,
        "caption": caption.text,
        "writer": _writer(writer, caption),
        "settings": dict(settings),
    }


def _writer(writer: CaptionWriter, caption: Caption) -> dict[str, Any]:
    return writer.identity.to_dict() | {"attempts": caption.attempts, "fell_back": caption.fell_back}


def _check_same(record: CaptionRecord, writer: CaptionWriter, settings: Mapping[str, Any], file: Path) -> None:
    identity = writer.identity.to_dict()
    before = {**record.settings, **{name: record.writer[name] for name in ("name", "model", "revision")}}
    now = {**settings, **{name: identity[name] for name in ("name", "model", "revision")}}
    for name, value in now.items():
        if before.get(name) != value:
            raise RunConfigurationChanged(
                f"{file}: was made with {name} {before.get(name)!r} (got {value!r}); choose another file, or delete it"
            )


def _records(file: Path, *, mend: bool = False) -> Iterator[CaptionRecord]:
    seen: set[int] = set()
    for number, line in read_lines(file, mend=mend):
        try:
            record = _parsed(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{file}: line {number} is no caption ({error})") from error
        if record.image_id in seen:
            raise ConfigurationError(f"{file}: line {number} captions image {record.image_id} a second time")
        seen.add(record.image_id)
        yield record


def _parsed(row: Any) -> CaptionRecord:
    if not isinstance(row, dict) or set(row) != _KEYS:
        given = sorted(row) if isinstance(row, dict) else type(row).__name__
        raise ConfigurationError(f"holds {given}, expected {', '.join(sorted(_KEYS))}")
    if row["format"] != FORMAT:
        raise ConfigurationError(f"format is {row['format']!r}, expected {FORMAT}")
    for name, kind in (("image_id", int), ("annotation_ids", list), ("facts", dict), ("writer", dict)):
        if type(row[name]) is not kind:
            raise ConfigurationError(f"{name} is {row[name]!r}, expected {kind.__name__}")
    for name in ("file_name", "foreground", "background", "caption"):
        if not isinstance(row[name], str):
            raise ConfigurationError(f"{name} is {row[name]!r}, expected a text")
    if not {"name", "model", "revision", "attempts", "fell_back"} <= set(row["writer"]):
        raise ConfigurationError(f"writer is {row['writer']!r}, expected name, model, revision, attempts and fell_back")
    if not isinstance(row["settings"], dict):
        raise ConfigurationError(f"settings are {row['settings']!r}, expected an object")
    fields = {name: value for name, value in row.items() if name not in {"format", "facts", "annotation_ids"}}
    return CaptionRecord(
        annotation_ids=tuple(row["annotation_ids"]), facts=FrameFacts.from_dict(row["facts"]), **fields
    )
