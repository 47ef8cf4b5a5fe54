"""A polyp of the reference data set, as a light record, and where its picture comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyp_aug.coco.masks import decode_segmentation
from polyp_aug.coco.model import CocoImage, CocoLicense
from polyp_aug.errors import SynthesisError
from polyp_aug.geometry import Box, Region, largest_component
from polyp_aug.scene import Source


@dataclass(frozen=True, eq=False)
class ReferencePolyp:
    """A polyp of the reference data set.

    Attributes:
        id: `file name#annotation id`, unique within the data set.
        path: the picture.
        box: xywh in pixels.
        category: category name.
        frame_size: (width, height) that the record states.
        segmentation: COCO segmentation, decoded when it is needed.
        source: provenance of the picture.
    """

    id: str
    path: Path
    box: Box
    category: str
    frame_size: tuple[int, int]
    segmentation: Any
    source: Source

    def region(self) -> Region:
        """Its pixels in its own frame: the largest connected part of the mask, holes filled.

        Raises:
            SynthesisError: the mask is empty.
        """
        width, height = self.frame_size
        region = Region.from_mask(largest_component(decode_segmentation(self.segmentation, width, height)))
        if region is None:
            raise SynthesisError(f"reference {self.id}: empty mask")
        return region


def image_source(image: CocoImage, licences: Mapping[int, CocoLicense]) -> Source:
    """What a COCO image record tells about where its picture comes from.

    Args:
        image: the record; `dataset`, `split` and `group` are read from its extra keys.
        licences: licence id → licence.
    """
    licence = licences.get(image.license) if image.license is not None else None
    known = {
        name: str(image.extra[name]) for name in ("dataset", "split", "group") if image.extra.get(name) is not None
    }
    if licence is not None:
        known |= {"licence": licence.name, "licence_url": licence.url}
    return Source(file=image.file_name, **known)
