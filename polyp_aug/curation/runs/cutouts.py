"""Polyps cut out along their masks, for hashes: a copy is the same on any mucosa."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyp_aug.coco import CocoAnnotation, CocoDataset, resolve_image
from polyp_aug.curation.runs.painted import TIGHT, Record, frame_path, object_mask, painted_objects
from polyp_aug.evaluation.crops import crop_square, squeezed
from polyp_aug.geometry import Box
from polyp_aug.images import ImageArray, MaskArray, read_image

#: Side of a cut-out in pixels.
SIDE = 224


@dataclass(frozen=True)
class Polyp:
    """A polyp of a frame that is not read yet.

    Attributes:
        frame: the picture's file.
        item: its annotation: `bbox`, and `segmentation` where it has a mask.
    """

    frame: Path
    item: Mapping[str, Any]


def painted_polyps(folder: Path, record: Record) -> list[Polyp]:
    """The polyps that were painted into a sample of a run."""
    return [Polyp(frame_path(folder, record), item) for item in painted_objects(record)]


def annotated_polyps(dataset: CocoDataset, annotations: Iterable[CocoAnnotation]) -> list[Polyp]:
    """Polyps of a COCO set."""
    frames = {image.id: resolve_image(dataset.image_root, image.file_name) for image in dataset.images}
    return [
        Polyp(frames[item.image_id], {"bbox": item.bbox, "segmentation": item.segmentation}) for item in annotations
    ]


def read_cutouts(polyps: Iterable[Polyp]) -> Iterator[ImageArray]:
    """Cut out polyps one after the other; neighbours of one frame are read from disk once.

    Raises:
        CocoError: a segmentation is malformed.
        ImageError: a frame can't be read.
    """
    frame, image = None, np.empty((0, 0, 3), np.uint8)
    for polyp in polyps:
        if polyp.frame != frame:
            frame, image = polyp.frame, read_image(polyp.frame)
        yield cut_out(image, object_mask(polyp.item, image.shape[1], image.shape[0]), polyp.item["bbox"])


def cut_out(image: ImageArray, mask: MaskArray, box: Box) -> ImageArray:
    """A polyp on its own mean colour, uint8 RGB (SIDE, SIDE, 3).

    Args:
        image: uint8 RGB (H, W, 3).
        mask: bool (H, W), the polyp.
        box: xywh in pixels.
    """
    x, y, w, h = crop_square(box, image.shape[1], image.shape[0], TIGHT)
    part, inside = image[y : y + h, x : x + w].copy(), mask[y : y + h, x : x + w]
    if inside.any():
        part[~inside] = part[inside].mean(axis=0)
    return squeezed(part, SIDE)
