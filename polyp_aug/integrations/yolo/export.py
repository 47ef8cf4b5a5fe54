"""COCO data sets, real and synthetic, as a folder that YOLO is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from polyp_aug.coco import CocoDataset, read_coco
from polyp_aug.errors import CocoError, ConfigurationError, ImageError
from polyp_aug.images import write_bytes
from polyp_aug.integrations.yolo.folder import (
    DATA_NAME,
    ImageMode,
    check_mode,
    claim_folder,
    make_folder,
    place_picture,
)
from polyp_aug.integrations.yolo.labels import label_text
from polyp_aug.integrations.yolo.names import PictureNames

#: In the order in which they are written.
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class YoloExport:
    """What was written.

    Attributes:
        file: `data.yaml`.
        names: of the classes, from 0 on.
        images: split → number of pictures.
        boxes: number of boxes.
        empty: pictures without a box.
        crowds: objects with `iscrowd=1`, which were left out.
    """

    file: Path
    names: tuple[str, ...]
    images: Mapping[str, int]
    boxes: int
    empty: int
    crowds: int


@dataclass(frozen=True)
class _Picture:
    """A picture of the export: where it is, its name in `images/<split>`, and what its label file says."""

    source: Path
    split: str
    name: str
    label: str


def export_yolo(
    sets: Mapping[str, Sequence[Path]], out: Path, *, images: ImageMode = "copy", replace: bool = False
) -> YoloExport:
    """Write COCO data sets as `images/<split>/`, `labels/<split>/` and `data.yaml`.

    1. Classes are numbered from 0: the categories of the first set in the order of their ids, then those of the others
       whose names are new.
    2. A picture keeps its name; where another of its split has it (letter case, Unicode form and ending apart), it goes
       into a subfolder with the number of its set, counted from 1.
    3. An image without objects gets an empty label file. Crowds are left out, since the format has no such thing.
       Outlines are not written.
    4. `data.yaml` comes last, and holds the folder's absolute path: ultralytics looks for a relative one elsewhere.

    Everything is read and checked before anything is written. An interrupted export of the same sets goes on; one that
    is whole stays as it is.

    Args:
        sets: split (train, val, test) → COCO files, or folders with `annotations.json`, such as run folders.
        out: the folder to make; it must be empty, not exist, or hold an export of the same sets.
        images: "copy" the pictures, or make a "hardlink" to each.
        replace: remove an export of other sets from `out` first.

    Returns:
        The counts.

    Raises:
        ConfigurationError: a split is unknown, there is no set, or `out` holds something else.
        CocoError: a set breaks the format or holds no images, or a file name is none for a trainer.
        ImageError: a picture is missing.
        StorageError: something can't be written.
    """
    check_mode(images)
    unknown = [split for split in sets if split not in SPLITS]
    if unknown:
        raise ConfigurationError(f"split {unknown[0]!r}, expected one of {', '.join(SPLITS)}")
    read = [(split, path, _read(path)) for split in SPLITS for path in sets.get(split, ())]
    if not read:
        raise ConfigurationError("nothing to export: sets is empty, expected at least one COCO data set")
    names = _class_names([dataset for _, _, dataset in read])
    pictures = list(_pictures(read, {name: number for number, name in enumerate(names)}))
    claim_folder(out, _digest(pictures, names, images), replace=replace)
    for picture in pictures:
        label = (out / "labels" / picture.split / picture.name).with_suffix(".txt")
        make_folder(label.parent)
        write_bytes(label, picture.label.encode("ascii"))
        place_picture(picture.source, out / "images" / picture.split / picture.name, images)
    splits = {split: sum(picture.split == split for picture in pictures) for split in SPLITS if sets.get(split)}
    write_bytes(out / DATA_NAME, _data_yaml(out, tuple(splits), names))
    return YoloExport(
        file=out / DATA_NAME,
        names=names,
        images=splits,
        boxes=sum(picture.label.count("\n") for picture in pictures),
        empty=sum(not picture.label for picture in pictures),
        crowds=sum(annotation.iscrowd for _, _, dataset in read for annotation in dataset.annotations),
    )


def _read(path: Path) -> CocoDataset:
    dataset = read_coco(path)
    if not dataset.images:
        raise CocoError(f"{path}: no images, expected a COCO data set")
    return dataset


def _class_names(datasets: Sequence[CocoDataset]) -> tuple[str, ...]:
    ordered = (
        category.name
        for dataset in datasets
        for category in sorted(dataset.categories, key=lambda category: category.id)
    )
    return tuple(dict.fromkeys(ordered))


def _pictures(read: Sequence[tuple[str, Path, CocoDataset]], numbers: Mapping[str, int]) -> Iterator[_Picture]:
    taken = {split: PictureNames() for split in SPLITS}
    for index, (split, path, dataset) in enumerate(read, start=1):
        classes = {category.id: numbers[category.name] for category in dataset.categories}
        objects = dataset.by_image()
        for image in dataset.images:
            source = dataset.image_root / image.file_name
            if not source.is_file():
                raise ImageError(f"{source}: no such picture")
            try:
                name = taken[split].claim(image.file_name, index)
            except CocoError as error:
                raise CocoError(f"{path}: image {image.id}: {error}") from error
            kept = (annotation for annotation in objects[image.id] if not annotation.iscrowd)
            yield _Picture(source, split, name, label_text(image, kept, classes))


def _digest(pictures: Sequence[_Picture], names: Sequence[str], images: ImageMode) -> str:
    """Of everything that is written but for the pixels, of which the files' sizes must do."""
    digest = hashlib.sha256(repr((images, names)).encode())
    for picture in pictures:
        entry = (picture.split, picture.name, picture.source.stat().st_size, picture.label)
        digest.update(repr(entry).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _data_yaml(out: Path, splits: Sequence[str], names: Sequence[str]) -> bytes:
    document = {"path": str(out.resolve()), **{split: f"images/{split}" for split in splits}}
    data: bytes = yaml.safe_dump(
        document | {"names": dict(enumerate(names))}, sort_keys=False, allow_unicode=True, encoding="utf-8"
    )
    return data
