"""What whole frames are made from: masks and a caption, drawn anew, or those of real frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from polyp_aug.captions.dataset import read_captions
from polyp_aug.captions.facts import FrameFacts
from polyp_aug.captions.sampling import sample_frame
from polyp_aug.captions.template import TemplateWriter
from polyp_aug.captions.thresholds import default_table
from polyp_aug.coco import CocoDataset, decode_segmentation
from polyp_aug.errors import ConfigurationError
from polyp_aug.generation.mask_drawer import MaskDrawer
from polyp_aug.geometry import IntBox, Region, squeezed_mask
from polyp_aug.images import MaskArray
from polyp_aug.keys import Key
from polyp_aug.references import image_source
from polyp_aug.scene import Source

#: Of masks that are those of a real frame; the others are those of `mask_drawer.KINDS`.
OWN = "own"


@dataclass(frozen=True, eq=False)
class PlannedMask:
    """Where a polyp is to be.

    Attributes:
        region: its pixels in the frame.
        kind: how the mask came about, one of `mask_drawer.KINDS`, or `OWN`.
        category: category name.
        reference: id of the real polyp that it was made of, `file name#annotation id`.
        source: provenance of that polyp's picture.
    """

    region: Region
    kind: str
    category: str
    reference: str
    source: Source


@dataclass(frozen=True, eq=False)
class FramePlan:
    """What a frame is made from.

    Attributes:
        key: the only source of its noise.
        masks: of its polyps, at least one.
        facts: what it is to show.
        caption: the same in words.
    """

    key: Key
    masks: tuple[PlannedMask, ...]
    facts: FrameFacts
    caption: str

    def pixels(self, size: int) -> list[MaskArray]:
        """The masks, bool (size, size) each."""
        return [mask.region.to_mask(size, size) for mask in self.masks]


class FramePlanner(Protocol):
    """Plans frames by number; a pure function."""

    @property
    def frames(self) -> int | None:
        """How many there are to plan, or None where there is no end."""

    def plan(self, number: int) -> FramePlan | None:
        """Frame number `number`; None where nothing fits."""


class DrawnFrames:
    """Frames with drawn masks, and captions that are drawn as often as they occur on real frames.

    Args:
        drawer: of the masks.
        size: side of the frames in pixels.
        polyps_per_image: smallest and largest number of polyps.
        attributes: attribute → value that every frame must have.
        seed: the only source of randomness.
    """

    frames = None

    def __init__(
        self,
        drawer: MaskDrawer,
        size: int,
        *,
        polyps_per_image: tuple[int, int],
        attributes: Mapping[str, str],
        seed: int,
    ) -> None:
        self._drawer, self._size, self._seed = drawer, size, seed
        self._count, self._attributes = polyps_per_image, attributes
        self._writer = TemplateWriter()

    def plan(self, number: int) -> FramePlan | None:
        """As `FramePlanner.plan`."""
        key = Key(self._seed, "frame", draw=number)
        low, high = self._count
        masks: list[PlannedMask] = []
        taken: list[IntBox] = []
        for place in range(int(key.generator("polyps per image").integers(low, high + 1))):
            drawn = self._drawer.draw(key.child(place), taken)
            if drawn is not None:
                polyp = drawn.reference
                masks.append(PlannedMask(drawn.region, drawn.kind, polyp.category, polyp.id, polyp.source))
                taken.append(drawn.region.box)
        if not masks:
            return None
        pixels = [mask.region.to_mask(self._size, self._size) for mask in masks]
        facts = sample_frame(pixels, default_table(), self._attributes, key)
        return FramePlan(key, tuple(masks), facts, self._writer.write(facts, key).text)


class CaptionedFrames:
    """The frames of a data set that hold polyps and have a caption, to be made anew from their masks and captions.

    Args:
        dataset: the frames.
        captions: their captions' file.
        size: side of the frames in pixels; real ones are squeezed to a square, as in training.
        seed: the only source of randomness.

    Raises:
        ConfigurationError: the file is of another set, or no frame with polyps has a caption.
    """

    def __init__(self, dataset: CocoDataset, captions: Path, size: int, *, seed: int) -> None:
        self._size, self._seed = size, seed
        self._categories = {category.id: category.name for category in dataset.categories}
        self._objects = dataset.by_image()
        licences = {licence.id: licence for licence in dataset.licenses}
        records = read_captions(captions)
        self._rows = []
        for image in sorted(dataset.images, key=lambda image: image.file_name):
            record = records.get(image.id)
            if record is not None and record.file_name != image.file_name:
                raise ConfigurationError(
                    f"{captions}: image {image.id} is {record.file_name!r}, not {image.file_name!r}"
                )
            if record is not None and record.facts.polyps:
                self._rows.append((image, record, image_source(image, licences)))
        if not self._rows:
            raise ConfigurationError(f"{captions}: no frame with polyps has a caption")
        self.frames = len(self._rows)

    def plan(self, number: int) -> FramePlan | None:
        """As `FramePlanner.plan`."""
        image, record, source = self._rows[number % len(self._rows)]
        masks = []
        for item in self._objects[image.id]:
            mask = decode_segmentation(item.segmentation, image.width, image.height)
            region = Region.from_mask(squeezed_mask(mask, self._size))
            if region is not None:
                name = f"{image.file_name}#{item.id}"
                masks.append(PlannedMask(region, OWN, self._categories[item.category_id], name, source))
        key = Key(self._seed, image.file_name, draw=number)
        return FramePlan(key, tuple(masks), record.facts, record.caption) if masks else None
