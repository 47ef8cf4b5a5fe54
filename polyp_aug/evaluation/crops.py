"""Which part of a frame is judged: a square around each polyp, cut in the same way from real and synthetic frames.

Around the box's centre stands a square of 1.5 times the box's longer side, at least 64 px. It is moved into the frame;
where it is larger than the frame's shorter side, it is made as small as that, and a longer polyp is cut off. The square
is resized to the extractor's size: by area averaging where it becomes smaller, by cubic interpolation where it becomes
larger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import cv2
import numpy as np

from polyp_aug.coco import CocoDataset, CocoImage, resolve_image
from polyp_aug.errors import ConfigurationError, ImageError
from polyp_aug.geometry import Box, IntBox
from polyp_aug.images import ImageArray, read_image
from polyp_aug.keys import Key

#: Side of the square over the longer side of the polyp's box.
CONTEXT = 1.5

#: Smallest side of the square in pixels.
SMALLEST = 64

#: Which objects of a data set are taken; a run folder marks its new ones with the extra key `origin`.
Origin = Literal["all", "real", "synthetic"]

_Chosen = TypeVar("_Chosen")

_KINDS = {
    "all": "polyp",
    "real": "real polyp",
    "synthetic": "polyp that a run marked as synthetic; sets that other programs made must be taken whole",
}


@dataclass(frozen=True)
class PolypCrop:
    """Where a polyp's crop is cut.

    Attributes:
        frame: the picture's file.
        width: of the frame in pixels, as annotated.
        height: of the frame in pixels.
        square: xywh in the frame.
        group: patient or sequence of the frame, else the background that it was made from, else its file name.
        annotation: id of the polyp in its data set.
    """

    frame: Path
    width: int
    height: int
    square: IntBox
    group: str
    annotation: int


def crop_square(box: Box, width: int, height: int, context: float = CONTEXT) -> IntBox:
    """The square, xywh in pixels, of `context` times the longer side of a box, in a frame of `width` × `height`."""
    x, y, w, h = box
    side = min(max(SMALLEST, round(context * max(w, h))), width, height)
    left = min(max(0, round(x + w / 2 - side / 2)), width - side)
    top = min(max(0, round(y + h / 2 - side / 2)), height - side)
    return left, top, side, side


def list_crops(dataset: CocoDataset, origin: Origin = "all", context: float = CONTEXT) -> list[PolypCrop]:
    """The crops of a data set's objects, in the order of its images; crowds are left out.

    Args:
        dataset: any COCO set of polyps.
        origin: "synthetic" takes the objects that a run added, "real" the others.
        context: side of the square over the longer side of the box.

    Raises:
        CocoError: a file name is unsafe.
        ConfigurationError: there is no such object.
    """
    annotations = dataset.by_image()
    crops = []
    for image in dataset.images:
        frame = resolve_image(dataset.image_root, image.file_name)
        for item in annotations[image.id]:
            if item.iscrowd or (
                origin != "all" and (item.extra.get("origin") == "synthetic") != (origin == "synthetic")
            ):
                continue
            square = crop_square(item.bbox, image.width, image.height, context)
            crops.append(PolypCrop(frame, image.width, image.height, square, group_of(image), item.id))
    if not crops:
        raise ConfigurationError(f"{dataset.image_root}: the data set has no {_KINDS[origin]}")
    return crops


def group_of(image: CocoImage) -> str:
    """The name under which an image resembles others: its `group`, its `background`, or its file name."""
    return str(image.extra.get("group") or image.extra.get("background") or image.file_name)


def choose_crops(crops: Sequence[_Chosen], count: int | None, seed: int, name: str) -> list[_Chosen]:
    """`count` of the crops, drawn by `seed` and `name` without replacement, in their old order; all for None.

    Raises:
        ConfigurationError: `count` is less than 1.
    """
    if count is None:
        return list(crops)
    if count < 1:
        raise ConfigurationError(f"'count' must be at least 1 (got {count})")
    order = Key(seed, name).generator("crops").permutation(len(crops))[:count]
    return [crops[number] for number in sorted(order)]


def read_crops(crops: Iterable[PolypCrop], size: int) -> Iterator[ImageArray]:
    """Read crops one after the other: uint8 RGB (size, size, 3). Neighbours of one frame are read from disk once.

    Raises:
        ImageError: a frame can't be read, or has another size than its annotation says.
    """
    frame, image = None, np.empty((0, 0, 3), np.uint8)
    for crop in crops:
        if crop.frame != frame:
            frame, image = crop.frame, read_image(crop.frame)
        if image.shape[:2] != (crop.height, crop.width):
            raise ImageError(
                f"{crop.frame}: {image.shape[1]}×{image.shape[0]} pixels, expected {crop.width}×{crop.height}"
            )
        x, y, w, h = crop.square
        yield squeezed(image[y : y + h, x : x + w], size)


def squeezed(image: ImageArray, size: int) -> ImageArray:
    """A picture squeezed to a square of `size` px, uint8 RGB (size, size, 3), whatever its own sides.

    By area averaging, but by cubic interpolation where a side is not longer than `size`.
    """
    method = cv2.INTER_AREA if min(image.shape[:2]) > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (size, size), interpolation=method), dtype=np.uint8)


def refuse_shared_groups(real: CocoDataset, train: CocoDataset) -> None:
    """Raise `ConfigurationError` where a held-out set and a training set share a `group`, such as a patient."""
    first, second = (
        {image.extra["group"] for image in part.images if "group" in image.extra} for part in (real, train)
    )
    shared = sorted(str(group) for group in first & second)
    if shared:
        raise ConfigurationError(
            f"the real set and the training set share {len(shared)} groups of frames, the first {shared[0]!r}: "
            "held-out frames must be of other patients"
        )


def orientations(picture: ImageArray) -> list[ImageArray]:
    """A picture in its eight orientations: itself and its mirror image, each at four quarter turns."""
    mirror = picture[:, ::-1]
    return [np.ascontiguousarray(np.rot90(side, turns)) for side in (picture, mirror) for turns in range(4)]
