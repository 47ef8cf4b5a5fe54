"""Samples as pictures inside of the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from polyp_aug.coco import resolve_image
from polyp_aug.errors import RunFolderDamagedError
from polyp_aug.generation.facts import readable
from polyp_aug.generation.outlines import svg_path
from polyp_aug.generation.samples import PAINTED
from polyp_aug.generation.tally import frame_size, reference_of
from polyp_aug.images import ImageArray, read_image

#: Longest side of a picture in the page, in pixels, and the quality of its JPEG.
SIDE, QUALITY = 440, 84


@dataclass(frozen=True)
class Outline:
    """An object on a picture.

    Attributes:
        path: data of an SVG path, in the frame's pixels.
        painted: whether it was painted, or painted over.
    """

    path: str
    painted: bool


@dataclass(frozen=True)
class Pair:
    """A sample before and after.

    Attributes:
        sample: its number.
        width, height: of the frame, in pixels.
        before, after: addresses that hold the picture, a JPEG of at most `SIDE` pixels.
        outlines: of the objects.
        painted: objects that were painted, or painted over.
        file: of the background.
        references: ids of the reference polyps, each once.
        caption: what the frame was made from, "" where there is none.
        rejections: why objects were rejected.
    """

    sample: int
    width: int
    height: int
    before: str
    after: str
    outlines: tuple[Outline, ...]
    painted: int
    file: str
    references: tuple[str, ...]
    caption: str
    rejections: tuple[str, ...]


def read_pair(folder: Path, record: Mapping[str, Any]) -> Pair:
    """A sample that was made, with its pictures.

    Args:
        folder: the run folder.
        record: of the manifest.

    Raises:
        RunFolderDamagedError: a picture can't be read, or a field or a picture doesn't fit the others.
    """
    number = record["sample"]
    try:
        width, height = frame_size(record)
        after = _read(folder / "images", record["file_name"], width, height)
        x, y, w, h = (int(value) for value in record["before"]["box"])
        if not (0 <= x <= x + w <= width and 0 <= y <= y + h <= height):
            raise ValueError(f"the box of 'before' is {record['before']['box']}, outside of {width}×{height} pixels")
        before = after.copy()
        before[y : y + h, x : x + w] = _read(folder / "before", record["before"]["file_name"], w, h)
        painted = [item for item in record["objects"] if item["origin"] in PAINTED]
        outlines = tuple(
            Outline(_path(item, width, height), item["origin"] in PAINTED)
            for item in record["objects"]
            if not item.get("iscrowd")
        )
        references = dict.fromkeys(readable(reference_of(item["provenance"])) for item in painted)
    except RunFolderDamagedError:
        raise
    except KeyError as error:
        raise RunFolderDamagedError(f"{folder}: sample {number}: no field {error}") from error
    except (TypeError, ValueError) as error:
        raise RunFolderDamagedError(f"{folder}: sample {number}: {error}") from error
    return Pair(
        sample=number,
        width=width,
        height=height,
        before=picture_address(before),
        after=picture_address(after),
        outlines=outlines,
        painted=len(painted),
        file=readable(record["background"]["file"]),
        references=tuple(name for name in references if name),
        caption=readable(record.get("caption", "")),
        rejections=tuple(readable(reason) for reason in record["rejections"]),
    )


def picture_address(image: ImageArray) -> str:
    """A `data:` address with a small copy of a picture.

    Args:
        image: uint8 RGB (H, W, 3).
    """
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def _read(root: Path, file_name: str, width: int, height: int) -> ImageArray:
    path = resolve_image(root, file_name)
    image = read_image(path)
    if image.shape[:2] != (height, width):
        found = f"{image.shape[1]}×{image.shape[0]}"
        raise RunFolderDamagedError(f"{path}: {found} pixels, the manifest says {width}×{height}")
    return image


def _path(item: Mapping[str, Any], width: int, height: int) -> str:
    """The outline of an object, or its box where it has none."""
    if path := svg_path(item.get("segmentation"), width, height):
        return path
    x, y, w, h = (round(float(value), 1) for value in item["bbox"])
    return f"M{x:g} {y:g}h{w:g}v{h:g}h{-w:g}Z"
