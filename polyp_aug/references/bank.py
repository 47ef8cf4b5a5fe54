"""The polyps of a COCO data set that can serve as references.

Records are light and all in memory; pictures are read when they are needed, and the cut-outs of the last ones are kept.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from polyp_aug.coco.model import CocoDataset
from polyp_aug.coco.paths import resolve_image
from polyp_aug.errors import ConfigurationError, SynthesisError
from polyp_aug.geometry import Box
from polyp_aug.references.cutting import CutOut, cut_out
from polyp_aug.references.polyp import ReferencePolyp, image_source

#: A polyp nearer to the frame's border, in pixels, is taken as cut off.
BORDER = 3

#: A box with a larger share of the frame leaves no mucosa around it to compare with.
LARGEST_SHARE = 0.6

#: A box with a shorter side, in pixels, holds no detail.
SMALLEST_SIDE = 16


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
            SynthesisError: see `cutting.cut_out`.
        """
        found = self._cache.get(polyp.id)
        if found is None:
            try:
                found = cut_out(polyp)
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
