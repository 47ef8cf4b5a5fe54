"""Samples of a run as pixels: the frame, what it was before, and the masks of its objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyp_aug.coco import decode_segmentation
from polyp_aug.curation.origins import reference_sources, source_of
from polyp_aug.errors import ImageError
from polyp_aug.evaluation.crops import PolypCrop, crop_square
from polyp_aug.images import ImageArray, MaskArray, read_image
from polyp_aug.scene import Source

#: A line of a run's manifest.
Record = Mapping[str, Any]

#: Origin of the objects that a run painted.
SYNTHETIC = "synthetic"

#: Side of a crop over the longer side of the polyp's box where polyps are compared: the polyp alone, as in the search
#: for copies of `evaluation/neighbours.py`.
TIGHT = 1.0


@dataclass(frozen=True, eq=False)
class PaintedFrame:
    """A sample.

    Attributes:
        image: uint8 RGB (H, W, 3).
        before: the same before it was painted, or None for runs that make whole frames.
        objects: the records of the painted polyps.
        masks: bool (H, W), of each of them.
        occupied: bool (H, W), all annotated objects of the frame.
    """

    image: ImageArray
    before: ImageArray | None
    objects: tuple[Record, ...]
    masks: tuple[MaskArray, ...]
    occupied: MaskArray


def painted_objects(record: Record) -> list[dict[str, Any]]:
    """The records of the polyps that were painted into a sample."""
    return [item for item in record["objects"] if item["origin"] == SYNTHETIC]


def read_painted(folder: Path, record: Record, *, whole: bool) -> PaintedFrame:
    """Read a sample that was made.

    Args:
        folder: the run folder.
        record: its line in the manifest.
        whole: whether the run makes whole frames, so that there is nothing before.

    Raises:
        ImageError: a picture can't be read, or has another size than its record states.
        CocoError: a segmentation is malformed.
    """
    width, height = record["width"], record["height"]
    image = _read(frame_path(folder, record), (width, height))
    before = None
    if not whole:
        x, y, w, h = record["before"]["box"]
        before = image.copy()
        before[y : y + h, x : x + w] = _read(folder / "before" / record["before"]["file_name"], (w, h))
    objects = painted_objects(record)
    masks = [object_mask(item, width, height) for item in objects]
    others = [object_mask(item, width, height) for item in record["objects"] if item["origin"] != SYNTHETIC]
    return PaintedFrame(image, before, tuple(objects), tuple(masks), np.logical_or.reduce([*masks, *others]))


def frame_path(folder: Path, record: Record) -> Path:
    """The picture of a sample."""
    return folder / "images" / str(record["file_name"])


def background_of(record: Record) -> Source:
    """The frame that a sample was painted into; for runs that make whole frames the one whose mask they took."""
    return source_of(record["background"])


def origins_of(record: Record, item: Record) -> tuple[Source, ...]:
    """The frames that a painted polyp comes from: its background and its references."""
    return background_of(record), *reference_sources(item["provenance"])


def tight_crop(folder: Path, record: Record, item: Record) -> PolypCrop:
    """Where a painted polyp is cut out alone."""
    return crop_of(folder, record, item, TIGHT)


def crop_of(folder: Path, record: Record, item: Record, context: float) -> PolypCrop:
    """Where the square around a painted polyp is cut; see `crop_square`."""
    width, height = record["width"], record["height"]
    background = background_of(record)
    square = crop_square(item["bbox"], width, height, context)
    return PolypCrop(frame_path(folder, record), width, height, square, background.group or background.file, 0)


def _read(path: Path, size: tuple[int, int]) -> ImageArray:
    image = read_image(path)
    if image.shape[1::-1] != size:
        raise ImageError(f"{path}: {image.shape[1]}×{image.shape[0]} pixels, its record says {size[0]}×{size[1]}")
    return image


def object_mask(item: Record, width: int, height: int) -> MaskArray:
    """The mask of an object, bool (height, width), or its box where it has none.

    Raises:
        CocoError: its segmentation is malformed.
    """
    if item.get("segmentation"):
        return decode_segmentation(item["segmentation"], width, height)
    mask = np.zeros((height, width), np.bool_)
    x, y, w, h = (round(value) for value in item["bbox"])
    mask[max(0, y) : y + h, max(0, x) : x + w] = True
    return mask
