"""A frame with new polyps, drawn from a pool or painted on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from polyp_aug.errors import ConfigurationError, ImageError, RunFolderDamagedError
from polyp_aug.geometry import Box, IntBox, Region, box_iou, boxes_meet, enclosing_box
from polyp_aug.images import ImageArray, MaskArray
from polyp_aug.keys import Key
from polyp_aug.online.live import LivePainter
from polyp_aug.online.settings import OnlineSettings
from polyp_aug.pool import Pool, PoolVariant
from polyp_aug.scene import Scene

#: A removed polyp is an annotation whose box agrees with it at least so well.
SAME_BOX = 0.8


@dataclass(frozen=True, eq=False)
class NewPolyp:
    """A polyp that was added.

    Attributes:
        box: xywh in pixels.
        region: its pixels, or None where they aren't known or not asked for.
        category: category name, or None for the data set's own.
    """

    box: Box
    region: Region | None
    category: str | None

    def to_mask(self, height: int, width: int) -> MaskArray:
        """Its pixels in a frame of this size, bool (H, W); those of its box where they aren't known."""
        if self.region is not None:
            return self.region.to_mask(height, width)
        x, y, w, h = (round(value) for value in self.box)
        return Region(x, y, np.ones((h, w), dtype=np.bool_)).to_mask(height, width)


@dataclass(frozen=True, eq=False)
class Augmented:
    """What became of a frame.

    Attributes:
        image: uint8 RGB (H, W, 3); the scene's own array where nothing changed.
        added: the new polyps, whose pixels hide what lies under them.
        removed: indices of the scene's objects that are gone.
        area: xywh, the rectangle outside of which no pixel changed.
        status: "changed"; "unchanged", by the draw of the probability or by `existing`; "skipped", where nothing fits
            the frame; "failed", where the pool or its picture can't be read, or every painted polyp was rejected.
        reason: why it was skipped or failed.
    """

    image: ImageArray
    added: tuple[NewPolyp, ...] = ()
    removed: tuple[int, ...] = ()
    area: IntBox = (0, 0, 0, 0)
    status: Literal["changed", "unchanged", "skipped", "failed"] = "changed"
    reason: str = ""


class OnlineAugmenter:
    """Adds polyps to frames; equal keys give equal results as long as the pool stays as it is.

    Args:
        pool: variants of the frames; where it has none that fits, the painter is asked.
        painter: paints on the spot; None leaves such frames as they are.
        settings: see `OnlineSettings`.
    """

    def __init__(self, pool: Pool | None, painter: LivePainter | None, settings: OnlineSettings | None = None) -> None:
        self.pool = pool
        self.painter = painter
        self.settings = settings or OnlineSettings()

    def augment(
        self,
        scene: Scene,
        key: Key,
        masks: Sequence[Region | None] | None = None,
        *,
        probability: float | None = None,
    ) -> Augmented:
        """Add polyps to a frame, or not.

        Args:
            scene: the frame; `source.file`, or else its id, names it in the pool; "" where its name isn't known.
            key: the only source of randomness.
            masks: pixels of the scene's objects, in their order; None where nobody asks for masks, which saves decoding
                those of the new polyps.
            probability: that the frame is changed at all, 0 … 1; None: the settings'.
        """
        generator = key.generator("online")
        wanted = generator.random() < (self.settings.probability if probability is None else probability)
        if not wanted or (scene.objects and self.settings.existing == "skip"):
            return Augmented(scene.image, status="unchanged")
        try:
            found = self._from_pool(scene, generator, masks)
        except (ImageError, ConfigurationError, RunFolderDamagedError) as error:
            return Augmented(scene.image, status="failed", reason=str(error))
        if found.status == "changed" or self.painter is None:
            return found
        return self._painted(scene, key)

    def _from_pool(
        self, scene: Scene, generator: np.random.Generator, masks: Sequence[Region | None] | None
    ) -> Augmented:
        if self.pool is None:
            return Augmented(scene.image, status="skipped", reason="no pool")
        self.pool.reload()
        name = scene.source.file if scene.source else scene.id
        image = scene.image
        removed: tuple[int, ...] = ()
        laid: list[PoolVariant] = []
        if self.settings.existing == "replace" and scene.objects:
            emptied = self._emptied(name, scene, generator)
            if emptied is not None:
                image, removed, variant = emptied
                laid.append(variant)
            if not removed:
                return Augmented(scene.image, status="skipped", reason=f"{name}: no variant without its polyps")
        kept = [index for index in range(len(scene.objects)) if index not in removed]
        boxes = [scene.objects[index].box for index in kept]
        regions = [masks[index] if masks else None for index in kept]
        low, high = self.settings.polyps_per_image
        count = int(generator.integers(low, high + 1))
        chosen: list[PoolVariant] = []
        candidates = [item for item in self.pool.candidates_of(name, image) if item.added and not item.removed]
        for index in generator.permutation(len(candidates)):
            # One variant may hold more polyps than were drawn, if no more than are allowed.
            left = count - sum(len(item.added) for item in chosen) if chosen else high
            variant = candidates[index]
            few = len(variant.added) <= left
            if few and self._suits(variant, boxes, regions, chosen) and variant.fits(image):
                chosen.append(variant)
        if not chosen:
            known = self.pool.knows(name) or bool(candidates)
            reason = f"{name or 'a frame'}: {'no variant that fits' if known else 'not in the pool'}"
            return Augmented(scene.image, status="skipped", reason=reason)
        canvas = image if image is not scene.image else image.copy()
        for variant in chosen:
            _lay(canvas, variant, self.pool.picture(variant))
        width, height = scene.width, scene.height
        added = [
            NewPolyp(item.box, item.region(width, height) if masks is not None else None, item.category)
            for variant in chosen
            for item in variant.added
        ]
        x, y, w, h = (int(value) for value in enclosing_box(item.box for item in (*laid, *chosen)))
        return Augmented(canvas, tuple(added), removed, (x, y, w, h))

    def _emptied(
        self, name: str, scene: Scene, generator: np.random.Generator
    ) -> tuple[ImageArray, tuple[int, ...], PoolVariant] | None:
        """The frame without its polyps, which of them are gone, and the variant that was laid over it."""
        assert self.pool is not None
        variants = [item for item in self.pool.variants_of(name, scene.image) if item.removed]
        if not variants:
            return None
        variant = variants[int(generator.integers(len(variants)))]
        gone = tuple(
            index
            for index, item in enumerate(scene.objects)
            if any(box_iou(item.box, other.box) >= SAME_BOX for other in variant.removed)
        )
        canvas = scene.image.copy()
        _lay(canvas, variant, self.pool.picture(variant))
        return canvas, gone, variant

    def _suits(
        self,
        variant: PoolVariant,
        boxes: Sequence[Box],
        regions: Sequence[Region | None],
        chosen: Sequence[PoolVariant],
    ) -> bool:
        if any(boxes_meet(variant.box, other.box) for other in chosen):
            return False
        shorter = min(variant.frame_size)
        low, high = self.settings.size_range
        for item in variant.added:
            if not low <= item.diameter / shorter <= high:
                return False
            for box, below in zip(boxes, regions, strict=True):
                covered = _covered(box, item.box)
                if covered > self.settings.largest_overlap:
                    return False
                if covered > 0 and below is not None and (region := item.region(*variant.frame_size)) is not None:
                    covered = float(region.within(below.box)[below.crop].mean())
                if 1.0 - covered < self.settings.smallest_visible:
                    return False
        return True

    def _painted(self, scene: Scene, key: Key) -> Augmented:
        assert self.painter is not None
        if scene.objects and self.settings.existing == "replace":
            return Augmented(scene.image, status="skipped", reason=f"{scene.id}: no variant without its polyps")
        painted = self.painter.paint(scene, key)
        if painted.objects:
            added = (NewPolyp(item.region.box, item.region, item.category) for item in painted.objects)
            return Augmented(painted.image, tuple(added), area=(0, 0, scene.width, scene.height))
        if painted.rejections:
            return Augmented(scene.image, status="failed", reason=f"{scene.id}: {painted.rejections[0].reason}")
        return Augmented(scene.image, status="skipped", reason=f"{scene.id}: no place for a polyp")


def _lay(canvas: ImageArray, variant: PoolVariant, picture: ImageArray) -> None:
    x, y, w, h = variant.box
    canvas[y : y + h, x : x + w] = picture


def _covered(box: Box, above: Box) -> float:
    """The share of a box, xywh, that lies under another."""
    width = min(box[0] + box[2], above[0] + above[2]) - max(box[0], above[0])
    height = min(box[1] + box[3], above[1] + above[3]) - max(box[1], above[1])
    area = box[2] * box[3]
    return max(0.0, width) * max(0.0, height) / area if area > 0 else 0.0
