"""A COCO detection data set in memory, as validated dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyp_aug.geometry import Box


@dataclass(frozen=True)
class CocoCategory:
    """A category; ids start at 1."""

    id: int
    name: str
    supercategory: str = ""


@dataclass(frozen=True)
class CocoLicense:
    """A licence; spelled as in the format."""

    id: int
    name: str
    url: str = ""


@dataclass(frozen=True)
class CocoImage:
    """A picture.

    Attributes:
        file_name: relative to `CocoDataset.image_root`, POSIX form.
        width: in pixels, after EXIF orientation is applied.
        height: in pixels.
        license: id of a `CocoLicense`, or None.
        extra: the record's other keys, kept as they are (`dataset`, `split` and `group` have a meaning here).
    """

    id: int
    file_name: str
    width: int
    height: int
    license: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CocoAnnotation:
    """An object.

    Attributes:
        bbox: xywh in pixels.
        area: of the mask, or of the box where there is no mask, in pixels.
        segmentation: polygons (list of flat lists), RLE (dict with `size` and `counts`), or None for a box alone.
        iscrowd: 0 or 1.
        extra: the record's other keys, kept as they are.
    """

    id: int
    image_id: int
    category_id: int
    bbox: Box
    area: float
    segmentation: Any = None
    iscrowd: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CocoDataset:
    """A data set.

    Attributes:
        image_root: folder that the file names are relative to.
        annotations: in file order; `by_image` groups them.
        problems: what `read_coco(..., fix=True)` mended, one sentence each.
    """

    image_root: Path
    images: tuple[CocoImage, ...]
    annotations: tuple[CocoAnnotation, ...]
    categories: tuple[CocoCategory, ...]
    licenses: tuple[CocoLicense, ...] = ()
    info: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def by_image(self) -> dict[int, list[CocoAnnotation]]:
        """Image id → its annotations; every image has an entry."""
        groups: dict[int, list[CocoAnnotation]] = {image.id: [] for image in self.images}
        for annotation in self.annotations:
            groups[annotation.image_id].append(annotation)
        return groups
