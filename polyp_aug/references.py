"""Real polyps with masks, ready to be cut out: the reference data set.

Records are light and all in memory; pictures are read when they are needed, and the cut-outs of the last ones are kept.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.coco.masks import decode_segmentation
from polyp_aug.coco.model import CocoDataset, CocoImage, CocoLicense
from polyp_aug.coco.paths import resolve_image
from polyp_aug.errors import ConfigurationError, ImageError, SynthesisError
from polyp_aug.geometry import Box, IntBox, Region, largest_component, outer_box
from polyp_aug.images import ImageArray, MaskArray, channel_max, channel_min, read_image
from polyp_aug.mucosa import WHITE, find_burned_in
from polyp_aug.scene import Source

#: Pixels around a polyp that are cut out with it, as a share of the longer side of its box.
CONTEXT = 0.35

#: A polyp nearer to the frame's border, in pixels, is taken as cut off.
BORDER = 3

#: A box with a larger share of the frame leaves no mucosa around it to compare with.
LARGEST_SHARE = 0.6

#: A box with a shorter side, in pixels, holds no detail.
SMALLEST_SIDE = 16

#: Largest share of the rim around a polyp that may be black: more means that the frame or the position box cuts it off.
BLACK_RIM = 0.02

#: Largest share of the rim that may be much darker than the polyp: more means that it stands before the lumen.
SHADED_RIM = 0.35

#: Largest share of a polyp that may be over-exposed (smallest channel at least `PALE`): no light can bring it back.
OVEREXPOSED = 0.08
PALE = 185

#: Largest share of a polyp that may be covered by burned-in text.
BURNED_IN = 0.08

#: Median brightness of a polyp over that of the lit mucosa around it; beyond, they are not under one light.
CONTRAST_RANGE = (0.6, 1.45)

#: A pixel darker than this (maximum of R, G, B) is black.
_BLACK = 28

#: A pixel of less than this share of the polyp's median brightness is shaded.
_SHADE = 0.45


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


@dataclass(frozen=True, eq=False)
class CutOut:
    """A reference polyp with the mucosa around it.

    Attributes:
        image: uint8 RGB (h, w, 3).
        region: the polyp's pixels in coordinates of `image`.
        lit: bool (h, w): where `image` shows mucosa around the polyp that is lit about as well as the polyp.
        surroundings: mean R, G, B of the lit mucosa near the polyp.
    """

    image: ImageArray
    region: Region
    lit: MaskArray
    surroundings: tuple[float, float, float]


class ReferenceBank:
    """The polyps of a COCO data set that can serve as references.

    A polyp serves where it has a mask, is not a crowd, is not cut off by the frame's border, and is neither too small
    nor too large; `excluded` counts the others by reason, `digest` identifies the ones that serve.

    Args:
        dataset: the data set.
        cache_bytes: how much memory the cut-outs of the last polyps may take.

    Raises:
        ConfigurationError: no polyp can serve.
    """

    def __init__(self, dataset: CocoDataset, *, cache_bytes: int = 128_000_000) -> None:
        excluded: Counter[str] = Counter()
        self.polyps: tuple[ReferencePolyp, ...] = tuple(_usable(dataset, excluded))
        self.excluded: Mapping[str, int] = dict(sorted(excluded.items()))
        if not self.polyps:
            reasons = (
                ", ".join(f"{count} {reason}" for reason, count in self.excluded.items()) or "no annotation at all"
            )
            raise ConfigurationError(f"{dataset.image_root}: no polyp can serve as a reference ({reasons})")
        self.digest: str = _digest(self.polyps)
        self._by_id = {polyp.id: polyp for polyp in self.polyps}
        self._cache: OrderedDict[str, CutOut | str] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._cached = 0
        self.sizes: npt.NDArray[np.float64] = np.array([polyp.box[2:] for polyp in self.polyps])

    def __len__(self) -> int:
        return len(self.polyps)

    def get(self, polyp_id: str) -> ReferencePolyp:
        """The polyp of this id.

        Raises:
            ConfigurationError: there is none.
        """
        try:
            return self._by_id[polyp_id]
        except KeyError:
            raise ConfigurationError(f"no reference polyp has the id {polyp_id!r}") from None

    def cut_out(self, polyp: ReferencePolyp) -> CutOut:
        """The polyp's pixels with the mucosa around it.

        Raises:
            SynthesisError: its picture can't be read or has another size than its record, or it is cut off by black,
                stands before the lumen, is over-exposed, covered by text or lit unlike its mucosa.
        """
        found = self._cache.get(polyp.id)
        if found is None:
            try:
                found = _cut_out(polyp)
            except SynthesisError as error:
                # The text, since an error that is raised again and again holds on to all that it has passed.
                found = str(error)
            self._remember(polyp.id, found)
        else:
            self._cache.move_to_end(polyp.id)
        if isinstance(found, str):
            raise SynthesisError(found)
        return found

    def _remember(self, polyp_id: str, found: CutOut | str) -> None:
        self._cache[polyp_id] = found
        self._cached += _bytes(found)
        while self._cached > self._cache_bytes and len(self._cache) > 1:
            self._cached -= _bytes(self._cache.popitem(last=False)[1])


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


def _digest(polyps: tuple[ReferencePolyp, ...]) -> str:
    digest = hashlib.sha256()
    for polyp in polyps:
        size = polyp.path.stat().st_size if polyp.path.is_file() else None
        fields = (size, polyp.id, polyp.box, polyp.category, polyp.frame_size, polyp.segmentation, polyp.source)
        digest.update(f"{fields}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _bytes(found: CutOut | str) -> int:
    return found.image.nbytes + found.lit.nbytes + found.region.crop.nbytes if isinstance(found, CutOut) else 0


def _usable(dataset: CocoDataset, excluded: Counter[str]) -> list[ReferencePolyp]:
    categories = {category.id: category.name for category in dataset.categories}
    licences = {licence.id: licence for licence in dataset.licenses}
    annotations = dataset.by_image()
    polyps = []
    for image in sorted(dataset.images, key=lambda image: image.file_name):
        source = image_source(image, licences)
        for annotation in annotations[image.id]:
            reason = _unusable(annotation.bbox, annotation.segmentation, annotation.iscrowd, image.width, image.height)
            if reason:
                excluded[reason] += 1
                continue
            polyps.append(
                ReferencePolyp(
                    id=f"{image.file_name}#{annotation.id}",
                    path=resolve_image(dataset.image_root, image.file_name),
                    box=annotation.bbox,
                    category=categories[annotation.category_id],
                    frame_size=(image.width, image.height),
                    segmentation=annotation.segmentation,
                    source=source,
                )
            )
    return polyps


def _unusable(box: Box, segmentation: Any, iscrowd: int, width: int, height: int) -> str:
    x, y, w, h = box
    if not segmentation:
        return "without a mask"
    if iscrowd:
        return "marked as a crowd"
    if min(w, h) < SMALLEST_SIDE:
        return f"with a side under {SMALLEST_SIDE} px"
    if w * h > LARGEST_SHARE * width * height:
        return f"larger than {LARGEST_SHARE:.0%} of the frame"
    if x < BORDER or y < BORDER or x + w > width - BORDER or y + h > height - BORDER:
        return "cut off by the frame's border"
    return ""


def _cut_out(polyp: ReferencePolyp) -> CutOut:
    try:
        image = read_image(polyp.path)
    except ImageError as error:
        problem = str(error).removeprefix(f"{polyp.path}: ")
        raise SynthesisError(f"reference {polyp.id}: {problem}") from error
    height, width = image.shape[:2]
    if (width, height) != polyp.frame_size:
        stated = "×".join(str(side) for side in polyp.frame_size)
        raise SynthesisError(f"reference {polyp.id}: the picture has {width}×{height} pixels, its record says {stated}")
    region = polyp.region()
    if np.mean(find_burned_in(image)[region.to_mask(height, width)]) > BURNED_IN:
        raise SynthesisError(f"reference {polyp.id}: burned-in text covers it")
    box: IntBox = outer_box(region.box, max(BORDER, CONTEXT * max(region.box[2:])), width, height)
    x, y, w, h = box
    return _examined(polyp.id, np.ascontiguousarray(image[y : y + h, x : x + w]), region.shifted(-x, -y))


def _examined(polyp_id: str, image: ImageArray, region: Region) -> CutOut:
    """The cut-out, once its rim (2 to 8 px from the polyp) shows that the polyp is whole and stands on mucosa."""
    inside = region.to_mask(*image.shape[:2])
    distance = cv2.distanceTransform((~inside).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    brightness, darkness = channel_max(image), channel_min(image)
    lit = ~inside & (brightness >= _SHADE * float(np.median(brightness[inside]))) & (darkness < WHITE)
    rim = (distance >= 2) & (distance <= 8)
    if not rim.any() or np.mean(brightness[rim] < _BLACK) > BLACK_RIM:
        raise SynthesisError(f"reference {polyp_id}: the black frame or a black box cuts it off")
    if np.mean(lit[rim] | (darkness[rim] >= WHITE)) < 1.0 - SHADED_RIM:
        raise SynthesisError(f"reference {polyp_id}: it stands before the lumen, with too little mucosa around it")
    if np.mean(darkness[inside] >= PALE) > OVEREXPOSED:
        raise SynthesisError(f"reference {polyp_id}: over-exposed")
    near = lit & (distance >= 2) & (distance <= 2 + 0.2 * region.equivalent_diameter)
    contrast = float(np.median(brightness[inside]) / np.median(brightness[near])) if near.any() else np.inf
    if not CONTRAST_RANGE[0] <= contrast <= CONTRAST_RANGE[1]:
        raise SynthesisError(f"reference {polyp_id}: {contrast:.1f} times as bright as the mucosa around it")
    red, green, blue = (float(value) for value in image[near].mean(axis=0))
    return CutOut(image, region, lit, (red, green, blue))
