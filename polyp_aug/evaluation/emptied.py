"""The frames of a run that removed polyps, with the places where these were."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from polyp_aug.coco import resolve_image
from polyp_aug.errors import ConfigurationError, ImageError
from polyp_aug.generation.run_folder import PICTURE_FOLDERS, REMOVAL, read_records, read_run, task_of
from polyp_aug.geometry import Box, outer_box
from polyp_aug.images import ImageArray, read_image
from polyp_aug.scene import Source


@dataclass(frozen=True)
class EmptiedFrame:
    """A frame of which polyps were removed.

    Attributes:
        path: the picture.
        size: width and height in pixels.
        source: the frame that it was made from.
        removed: boxes, xywh in pixels, of the polyps that were there; at least one.
        kept: boxes of the objects that still are.
        decoys: boxes where nothing was, repainted in the same way.
    """

    path: Path
    size: tuple[int, int]
    source: Source
    removed: tuple[Box, ...]
    kept: tuple[Box, ...]
    decoys: tuple[Box, ...] = ()

    @property
    def group(self) -> str:
        """Patient or sequence, else the name of the frame that it was made from."""
        return self.source.group or self.source.file

    def read(self) -> ImageArray:
        """The picture, uint8 RGB.

        Raises:
            ImageError: it can't be read, or has another size than its record says.
        """
        image = read_image(self.path)
        height, width = image.shape[:2]
        if (width, height) != self.size:
            raise ImageError(f"{self.path}: {width}×{height} pixels, expected {self.size[0]}×{self.size[1]}")
        return image


def read_emptied(folder: Path) -> list[EmptiedFrame]:
    """The frames of a removal run of which a polyp was removed, in their order.

    Raises:
        ConfigurationError: it is not a run that removes, or no polyp was removed.
        CocoError: a file name is unsafe.
        RunFolderDamagedError: a record can't be trusted.
    """
    if task_of(read_run(folder)) != REMOVAL:
        raise ConfigurationError(f"{folder}: a run that paints polyps, expected one that `polyp-aug remove` wrote")
    frames = [_frame(folder, record) for record in read_records(folder) if record["status"] == "made"]
    found = [frame for frame in frames if frame.removed]
    if not found:
        raise ConfigurationError(f"{folder}: no frame of which a polyp was removed")
    return found


def with_decoys(frames: Iterable[EmptiedFrame], folder: Path) -> list[EmptiedFrame]:
    """Emptied frames with the decoys of another run, and its pictures; those without a decoy are left out.

    Args:
        frames: the frames.
        folder: run of `remove` over their pictures, in which all that was removed are decoys.

    Raises:
        ConfigurationError: it is not a run that removes, no decoy was repainted, a frame shows something else than
            before where a polyp was removed, or none of the frames is there.
        CocoError: a file name is unsafe.
        ImageError: a picture can't be read.
        RunFolderDamagedError: a record can't be trusted.
    """
    repainted = {frame.source.file: frame for frame in read_emptied(folder)}
    found = []
    for frame in frames:
        other = repainted.get(frame.path.name)
        if other is None:
            continue
        before, after = frame.read(), replace(other, size=frame.size).read()
        for box in frame.removed:
            x, y, w, h = outer_box(box, 0.0, *frame.size)
            if not np.array_equal(before[y : y + h, x : x + w], after[y : y + h, x : x + w]):
                raise ConfigurationError(f"{other.path}: where a polyp was removed, it differs from {frame.path}")
        found.append(replace(frame, path=other.path, decoys=other.removed))
    if not found:
        raise ConfigurationError(f"{folder}: no frame that was made from one of the run with the removed polyps")
    return found


def _frame(folder: Path, record: dict[str, Any]) -> EmptiedFrame:
    boxes: dict[bool, list[Box]] = {True: [], False: []}
    for item in record["objects"]:
        x, y, w, h = (float(value) for value in item["bbox"])
        boxes[item["origin"] == "removed"].append((x, y, w, h))
    return EmptiedFrame(
        resolve_image(folder / PICTURE_FOLDERS[0], record["file_name"]),
        (record["width"], record["height"]),
        Source(**record["background"]),
        tuple(boxes[True]),
        tuple(boxes[False]),
    )
