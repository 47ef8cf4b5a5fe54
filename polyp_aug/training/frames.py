"""The frames that a training reads: pictures with the boxes of their polyps."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyp_aug.coco import read_coco, resolve_image
from polyp_aug.errors import ConfigurationError, ImageError
from polyp_aug.geometry import Box
from polyp_aug.images import list_images


@dataclass(frozen=True)
class Frame:
    """A picture and its polyps.

    Attributes:
        path: the picture.
        boxes: of the polyps, xywh in pixels.
        segmentations: of the same polyps, in the forms of the COCO format, or None where one has a box alone.
    """

    path: Path
    boxes: tuple[Box, ...] = ()
    segmentations: tuple[Any, ...] = ()


def read_frames(sources: Sequence[Path]) -> list[Frame]:
    """The frames of COCO data sets, with the boxes of their objects, and of folders, in a fixed order.

    Crowds count as objects, objects without extent don't. The pictures of a folder without annotations are taken to be
    without polyps.

    Args:
        sources: COCO files, folders with `annotations.json`, or folders of pictures.

    Raises:
        ConfigurationError: there is none.
        CocoError: a COCO file breaks the format.
        ImageError: a source is no folder.
    """
    frames: list[Frame] = []
    for source in sources:
        if source.is_file() or (source / "annotations.json").is_file():
            dataset = read_coco(source)
            annotations = dataset.by_image()
            for image in sorted(dataset.images, key=lambda image: image.file_name):
                polyps = [item for item in annotations[image.id] if min(item.bbox[2:]) > 0]
                frames.append(
                    Frame(
                        resolve_image(dataset.image_root, image.file_name),
                        tuple(item.bbox for item in polyps),
                        tuple(item.segmentation for item in polyps),
                    )
                )
        else:
            frames.extend(Frame(path) for path in list_images(source))
    if not frames:
        raise ConfigurationError(f"no pictures in {', '.join(str(source) for source in sources)}")
    return frames


def digest_frames(frames: Sequence[Frame]) -> str:
    """16 digits that change with the pictures' bytes, their order, and the polyps.

    Raises:
        ImageError: a picture can't be read.
    """
    digest = hashlib.sha256()
    for frame in frames:
        try:
            with open(frame.path, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise ImageError(f"{frame.path}: can't be read ({error.strerror or error})") from error
        digest.update(f"{frame.boxes}\0{frame.segmentations}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]
