"""The entries of a database: a frame without its polyps and where they were, or why a frame gave none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from polyp_aug.coco import decode_segmentation
from polyp_aug.geometry import IntBox, Region
from polyp_aug.scene import Source


@dataclass(frozen=True, slots=True, eq=False)
class RemovedPolyp:
    """Where a polyp was.

    Attributes:
        id: `file name#annotation id`.
        box: xywh in pixels, its tight box.
        segmentation: its mask as a COCO RLE.
        category: name of its category.
        patches: first and last + 1 of its local features in the file of features.
    """

    id: str
    box: IntBox
    segmentation: Mapping[str, Any]
    category: str
    patches: tuple[int, int]

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> RemovedPolyp:
        """From what `to_dict` returned.

        Raises:
            KeyError, TypeError, ValueError: it is no such record.
        """
        x, y, w, h = (int(value) for value in record["box"])
        first, last = (int(value) for value in record["patches"])
        if min(w, h) < 1 or not 0 <= first < last:
            raise ValueError(f"a box of {w}×{h}, patches {first} to {last}")
        return cls(
            str(record["id"]), (x, y, w, h), dict(record["segmentation"]), str(record["category"]), (first, last)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A frame whose polyps were removed.

    Attributes:
        address: digest of everything that decides the entry; none is made twice.
        original: digest of the frame's pixels with its polyps.
        frame: name of the picture without them, in the database's folder of images.
        frame_size: width and height in pixels.
        source: provenance of the frame.
        polyps: those that were removed, in the order of their local features; at least one.
        grid: rows and columns of patches.
        patch: width and height of a patch in pixels.
        shard: number of the file of features.
        row: of the global feature in that file.
        digest: of all that is above, the features and the picture.
    """

    address: str
    original: str
    frame: str
    frame_size: tuple[int, int]
    source: Source
    polyps: tuple[RemovedPolyp, ...]
    grid: tuple[int, int]
    patch: tuple[float, float]
    shard: int
    row: int
    digest: str

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Reference:
        """From what `to_dict` returned.

        Raises:
            KeyError, TypeError, ValueError: it is no such record.
        """
        width, height = (int(value) for value in record["frame_size"])
        rows, columns = (int(value) for value in record["grid"])
        across, down = (float(value) for value in record["patch"])
        polyps = tuple(RemovedPolyp.from_dict(polyp) for polyp in record["polyps"])
        shard, row = int(record["shard"]), int(record["row"])
        if not polyps or min(width, height, rows, columns) < 1 or min(across, down) <= 0 or min(shard, row) < 0:
            raise ValueError(f"{len(polyps)} polyps, a frame of {width}×{height}, {rows}×{columns} patches")
        if any(one.patches[1] != other.patches[0] for one, other in pairwise(polyps)):
            raise ValueError("patches of the polyps don't follow each other")
        return cls(
            address=str(record["address"]),
            original=str(record["original"]),
            frame=str(record["frame"]),
            frame_size=(width, height),
            source=_source(record["source"]),
            polyps=polyps,
            grid=(rows, columns),
            patch=(across, down),
            shard=shard,
            row=row,
            digest=str(record["digest"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"source": self.source.to_dict()}

    @property
    def patches(self) -> tuple[int, int]:
        """First and last + 1 of the local features of all polyps in the file of features."""
        return self.polyps[0].patches[0], self.polyps[-1].patches[1]

    def main_polyp(self, locals_: npt.NDArray[np.int64]) -> RemovedPolyp:
        """The polyp to which most of these local features belong, the first of equals.

        Args:
            locals_: int64 (N,), counted from the frame's first; at least one.
        """
        ends = np.array([polyp.patches[1] for polyp in self.polyps]) - self.polyps[0].patches[0]
        owners = np.searchsorted(ends, locals_, side="right")
        return self.polyps[int(np.bincount(owners).argmax())]

    def region(self) -> Region:
        """The pixels of the polyps that were there."""
        width, height = self.frame_size
        masks = [decode_segmentation(dict(polyp.segmentation), width, height) for polyp in self.polyps]
        mask = masks[0]
        for other in masks[1:]:
            mask = mask | other
        region = Region.from_mask(mask)
        assert region is not None, "the builder stores no empty mask"
        return region


@dataclass(frozen=True, slots=True)
class Refusal:
    """A frame that gave no reference, remembered so that it isn't tried again.

    Attributes:
        address: see `Reference`.
        original: see `Reference`.
        source: provenance of the frame.
        refused: why, one sentence for every reason.
    """

    address: str
    original: str
    source: Source
    refused: tuple[str, ...]

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Refusal:
        """From what `to_dict` returned.

        Raises:
            KeyError, TypeError: it is no such record.
        """
        reasons = tuple(str(reason) for reason in record["refused"])
        return cls(str(record["address"]), str(record["original"]), _source(record["source"]), reasons)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"source": self.source.to_dict()}


def _source(record: Mapping[str, Any]) -> Source:
    return Source(**{str(name): str(value) for name, value in record.items()})
