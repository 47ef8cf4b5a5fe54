"""The sets that a study draws from: COCO sets of real frames, COCO sets and run folders of synthetic ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyp_aug.captions.dataset import captions_file, read_captions
from polyp_aug.coco import CocoAnnotation, CocoImage, read_coco, resolve_image
from polyp_aug.coco.read import annotations_file
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.crops import group_of
from polyp_aug.generation.run_folder import MANIFEST_NAME, read_records
from polyp_aug.reader_study.questions import MASK, TEXT


@dataclass(frozen=True)
class StudySet:
    """A set to draw from.

    Attributes:
        name: of the set in key and report; readers never see it.
        data: a COCO file, a folder with `annotations.json`, or a run folder.
        captions: file of `polyp-aug caption`; None takes a run's own, or the file beside the COCO file.
    """

    name: str
    data: Path
    captions: Path | None = None


@dataclass(frozen=True, eq=False)
class Candidate:
    """A frame that may be shown.

    Attributes:
        source: name of its set.
        file: the picture.
        file_name: the same, as its set names it.
        group: patient, sequence or background; see `polyp_aug.evaluation.crops.group_of`.
        width: in pixels, as annotated.
        height: in pixels.
        segmentations: COCO segmentations of all its objects; empty where no outline is asked for.
        caption: "" where none is asked for.
    """

    source: str
    file: Path
    file_name: str
    group: str
    width: int
    height: int
    segmentations: tuple[Any, ...] = ()
    caption: str = ""


@dataclass(frozen=True, eq=False)
class FoundSet:
    """The frames of a set that have what the questions need.

    Attributes:
        candidates: in the order of the set.
        left_out: reason → frames that lack it.
    """

    candidates: tuple[Candidate, ...]
    left_out: Mapping[str, int]


def read_set(source: StudySet, questions: Sequence[str]) -> FoundSet:
    """List the frames of a set; those without a mask or a caption are left out where readers are to rate it.

    A frame has a mask where it has an object and every object has a segmentation and is no crowd.

    Raises:
        CocoError: the COCO file breaks the format.
        ConfigurationError: no frame is left, or the captions are missing or of another set.
        RunFolderDamagedError: a record of a run can't be trusted.
    """
    dataset = read_coco(source.data)
    objects = dataset.by_image()
    captions = _captions(source, dataset.images) if TEXT in questions else {}
    candidates: list[Candidate] = []
    left_out: Counter[str] = Counter()
    for image in dataset.images:
        masks = _segmentations(objects[image.id]) if MASK in questions else ()
        caption = captions.get(image.id, "")
        if MASK in questions and not masks:
            left_out["no mask"] += 1
        elif TEXT in questions and not caption:
            left_out["no caption"] += 1
        else:
            file = resolve_image(dataset.image_root, image.file_name)
            candidates.append(
                Candidate(
                    source.name, file, image.file_name, group_of(image), image.width, image.height, masks, caption
                )
            )
    if not candidates:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in left_out.items()) or "it has no images"
        raise ConfigurationError(
            f"{annotations_file(source.data)}: no frame of {source.name!r} can be shown ({reasons})"
        )
    return FoundSet(tuple(candidates), dict(left_out))


def _segmentations(objects: Sequence[CocoAnnotation]) -> tuple[Any, ...]:
    if any(item.iscrowd or item.segmentation is None for item in objects):
        return ()
    return tuple(item.segmentation for item in objects)


def _captions(source: StudySet, images: Sequence[CocoImage]) -> dict[int, str]:
    """Captions by image id."""
    if source.captions is None and (source.data / MANIFEST_NAME).is_file():
        by_name = {
            record["file_name"]: str(record.get("caption", ""))
            for record in read_records(source.data)
            if record["status"] == "made"
        }
        return {image.id: by_name.get(image.file_name, "") for image in images}
    file = source.captions or captions_file(source.data)
    records = read_captions(file)
    for image in images:
        if image.id in records and records[image.id].file_name != image.file_name:
            raise ConfigurationError(
                f"{file}: image {image.id} is {records[image.id].file_name!r}, expected {image.file_name!r} "
                f"as in {annotations_file(source.data)}"
            )
    return {number: record.caption for number, record in records.items()}
