"""Sets of pictures that are compared: whole frames, or squares around polyps, listed first and read when needed.

Both sides go through the same steps. Whole frames are squeezed to the extractor's square, whatever their own sides;
crops are squares already (see `crops`). Where synthetic frames are smaller than all real ones, every frame, real or
not, is first squeezed to a square of the smallest synthetic side (`common_side`): otherwise sharpness alone would tell
them apart. Crops are then cut from these squares.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from polyp_aug.captions.dataset import captions_file, read_captions
from polyp_aug.coco import CocoDataset, CocoImage, read_coco, resolve_image
from polyp_aug.coco.read import ANNOTATIONS_NAME
from polyp_aug.errors import ConfigurationError, ImageError
from polyp_aug.evaluation.crops import Origin, choose_crops, group_of, list_crops, squeezed
from polyp_aug.evaluation.report import digest_of
from polyp_aug.generation.run_folder import MANIFEST_NAME, read_records
from polyp_aug.geometry import IntBox
from polyp_aug.images import ImageArray, image_size, list_images, read_image


@dataclass(frozen=True)
class Picture:
    """A frame, or a part of one, that has not been read yet.

    Attributes:
        file: of the frame.
        width: of the frame in pixels.
        height: of the frame in pixels.
        common: side of the square in pixels that the frame is squeezed to first; None leaves it as it is.
        part: xywh in the frame, after it was squeezed.
        group: frame or patient whose pictures resemble it.
        name: of the frame in its set.
        background: name of the frame that it was made from; "" where its record names none.
        caption: of the frame; "" without.
    """

    file: Path
    width: int
    height: int
    common: int | None
    part: IntBox
    group: str
    name: str
    background: str
    caption: str


@dataclass(frozen=True, eq=False)
class PictureSet:
    """The pictures of a set.

    Attributes:
        name: of the set, for people.
        pictures: in the set's order.
        keys: digest of what each of them shows: the file's bytes, and how it is cut.
    """

    name: str
    pictures: Sequence[Picture]
    keys: Sequence[str]

    @property
    def groups(self) -> list[str]:
        """Of each picture."""
        return [picture.group for picture in self.pictures]

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides what is measured."""
        digest = hashlib.sha256()
        for key, picture in zip(self.keys, self.pictures, strict=True):
            line = "\x1f".join((key, picture.group, picture.background, picture.caption))
            digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
        return digest.hexdigest()


@dataclass(frozen=True)
class Choice:
    """Which pictures of every set are taken.

    Attributes:
        crops: squares around polyps in place of whole frames.
        with_polyps: of whole frames only those with a polyp; of runs only those with a new one.
        count: at most so many of each set; all for None.
        seed: decides which.
        common: see `Picture`.
    """

    crops: bool = False
    with_polyps: bool = False
    count: int | None = None
    seed: int = 0
    common: int | None = None


def open_set(path: Path) -> CocoDataset:
    """A COCO set or run folder, or a folder of pictures, as a set without annotations.

    Raises:
        CocoError: a COCO file breaks the format.
        ConfigurationError: there is no picture.
        ImageError: it is no folder, or a picture's header can't be read.
    """
    if path.is_file() or (path / ANNOTATIONS_NAME).is_file():
        dataset = read_coco(path)
    else:
        files = [(file, image_size(file)) for file in list_images(path)]
        images = [
            CocoImage(number, file.relative_to(path).as_posix(), *size)
            for number, (file, size) in enumerate(files, start=1)
        ]
        dataset = CocoDataset(path, tuple(images), (), ())
    if not dataset.images:
        raise ConfigurationError(f"{path}: no pictures")
    return dataset


def common_side(real: Iterable[CocoDataset], synthetic: Iterable[CocoDataset]) -> int | None:
    """The shortest side of all synthetic frames in pixels, where all real ones are longer; else None."""
    shortest = [
        min(min(image.width, image.height) for dataset in part for image in dataset.images)
        for part in (real, synthetic)
    ]
    return shortest[1] if shortest[1] < shortest[0] else None


def captions_of(path: Path, captions: Path | None = None) -> dict[str, str]:
    """Captions by the names of frames: those that a run was asked for, else of the file beside a COCO set, if any.

    Args:
        path: a set.
        captions: another file of captions.

    Raises:
        ConfigurationError: the given file doesn't exist.
        RunFolderDamagedError: a run's record can't be trusted.
    """
    if captions is not None and not captions.is_file():
        raise ConfigurationError(f"{captions}: no file of captions")
    if captions is None and (path / MANIFEST_NAME).is_file():
        made = (record for record in read_records(path) if record["status"] == "made")
        return {record["file_name"]: str(record["caption"]) for record in made if record.get("caption")}
    file = captions or captions_file(path)
    if not file.is_file():
        return {}
    return {record.file_name: record.caption for record in read_captions(file).values()}


def list_pictures(
    name: str, dataset: CocoDataset, origin: Origin, choice: Choice, captions: Mapping[str, str]
) -> PictureSet:
    """The pictures of a set.

    Args:
        name: of the set.
        dataset: as `open_set` gives it.
        origin: which objects count, for crops and for `Choice.with_polyps`.
        choice: which pictures are taken.
        captions: by the names of frames.

    Raises:
        CocoError: a file name is unsafe.
        ConfigurationError: no picture is left, or a file can't be read.
    """
    common = choice.common
    listed = _parts(dataset if common is None else _scaled(dataset, common), origin, choice)
    sizes = {image.file_name: (image.width, image.height) for image in dataset.images}
    pictures = [
        Picture(
            resolve_image(dataset.image_root, image.file_name),
            *sizes[image.file_name],
            common,
            part,
            group_of(image),
            image.file_name,
            str(image.extra.get("background") or ""),
            captions.get(image.file_name, ""),
        )
        for image, part in listed
    ]
    if not pictures:
        raise ConfigurationError(f"{dataset.image_root}: no frame of {name!r} has a polyp that counts")
    pictures = choose_crops(pictures, choice.count, choice.seed, name)
    digests = {file: digest_of([file]) for file in dict.fromkeys(picture.file for picture in pictures)}
    keys = [hashlib.sha256(f"{digests[item.file]} {item.common} {item.part}".encode()).hexdigest() for item in pictures]
    return PictureSet(name, pictures, keys)


def read_pictures(pictures: Iterable[Picture], size: int) -> Iterator[ImageArray]:
    """Read pictures one after the other: uint8 RGB (size, size, 3). Parts of one frame are read from disk once.

    Raises:
        ImageError: a frame can't be read, or has another size than its record says.
    """
    file, image = None, np.empty((0, 0, 3), np.uint8)
    for picture in pictures:
        if picture.file != file:
            file, image = picture.file, read_image(picture.file)
            if image.shape[:2] != (picture.height, picture.width):
                raise ImageError(
                    f"{file}: {image.shape[1]}×{image.shape[0]} pixels, expected {picture.width}×{picture.height}"
                )
            if picture.common is not None:
                image = squeezed(image, picture.common)
        x, y, w, h = picture.part
        yield squeezed(image[y : y + h, x : x + w], size)


def _parts(dataset: CocoDataset, origin: Origin, choice: Choice) -> list[tuple[CocoImage, IntBox]]:
    if choice.crops:
        images = {resolve_image(dataset.image_root, image.file_name): image for image in dataset.images}
        return [(images[crop.frame], crop.square) for crop in list_crops(dataset, origin)]
    objects = dataset.by_image()
    return [
        (image, (0, 0, image.width, image.height))
        for image in dataset.images
        if not choice.with_polyps
        or any(origin != "synthetic" or item.extra.get("origin") == "synthetic" for item in objects[image.id])
    ]


def _scaled(dataset: CocoDataset, side: int) -> CocoDataset:
    """The set as it is after all frames were squeezed to a square; boxes only."""
    scales = {image.id: (side / image.width, side / image.height) for image in dataset.images}
    annotations = []
    for item in dataset.annotations:
        (across, down), (x, y, w, h) = scales[item.image_id], item.bbox
        annotations.append(replace(item, bbox=(x * across, y * down, w * across, h * down), segmentation=None))
    images = tuple(replace(image, width=side, height=side) for image in dataset.images)
    return replace(dataset, images=images, annotations=tuple(annotations))
