"""What a pool holds: a changed part of a frame, and how to tell that frame again."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.coco.masks import decode_segmentation
from polyp_aug.geometry import Box, IntBox, Region
from polyp_aug.images import ImageArray
from polyp_aug.scene import Source

#: Side of a fingerprint, in cells.
_CELLS = 8

#: Largest difference of a cell's mean, in grey levels, of one picture decoded by two libraries.
TOLERANCE = 3


@dataclass(frozen=True)
class PoolObject:
    """An object that was painted, or removed.

    Attributes:
        box: xywh in pixels of the frame.
        category: category name.
        area: in pixels, of its mask.
        segmentation: COCO segmentation in the frame, decoded when it is needed.
    """

    box: Box
    category: str
    area: float
    segmentation: Any

    @property
    def diameter(self) -> float:
        """Diameter in pixels of the disc of the same area."""
        return math.sqrt(4.0 * self.area / math.pi)

    def region(self, width: int, height: int) -> Region | None:
        """Its pixels in a frame of this size; None where the record has no mask."""
        if not self.segmentation:
            return None
        return Region.from_mask(decode_segmentation(self.segmentation, width, height))


@dataclass(frozen=True)
class PoolVariant:
    """One way in which a frame was changed: polyps that were painted into it, or removed from it.

    Attributes:
        id: unique within a pool.
        picture: file of the changed part, relative to the pool.
        box: xywh in pixels, the changed part.
        frame_size: (width, height) of the frame.
        fingerprint: of that part before it was changed; see `fingerprint`.
        frame_fingerprint: of the whole frame before it was changed.
        added: polyps that the changed part shows.
        removed: polyps that it shows no more.
        source: where the frame comes from.
        made_by: digest of the settings that it was made with.
    """

    id: str
    picture: str
    box: IntBox
    frame_size: tuple[int, int]
    fingerprint: str
    frame_fingerprint: str
    added: tuple[PoolObject, ...]
    removed: tuple[PoolObject, ...]
    source: Source
    made_by: str

    def fits(self, frame: ImageArray) -> bool:
        """Whether a frame is the one that was changed: in size, and in the part that would be laid over.

        Args:
            frame: uint8 RGB (H, W, 3).
        """
        if (frame.shape[1], frame.shape[0]) != self.frame_size:
            return False
        x, y, w, h = self.box
        expected, found = cells_of(self.fingerprint), cells_of(fingerprint(frame[y : y + h, x : x + w]))
        return bool(np.abs(expected - found).max() <= TOLERANCE)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `from_dict` reads them."""
        return asdict(self) | {"source": self.source.to_dict()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> PoolVariant:
        """The variant of a record.

        Raises:
            KeyError: a field is missing.
            TypeError: a field has another type.
            ValueError: a box has not four numbers.
        """
        x, y, w, h = (int(value) for value in record["box"])
        width, height = (int(value) for value in record["frame_size"])
        return cls(
            id=str(record["id"]),
            picture=str(record["picture"]),
            box=(x, y, w, h),
            frame_size=(width, height),
            fingerprint=str(record["fingerprint"]),
            frame_fingerprint=str(record["frame_fingerprint"]),
            added=tuple(_object(item) for item in record["added"]),
            removed=tuple(_object(item) for item in record["removed"]),
            source=Source(**record["source"]),
            made_by=str(record["made_by"]),
        )


def fingerprint(part: ImageArray) -> str:
    """Means over 8×8 cells of each channel, uint8, in base64: equal up to rounding for one picture, whoever decoded it.

    Args:
        part: uint8 RGB (h, w, 3).
    """
    cells = cv2.resize(part, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    return base64.b64encode(np.ascontiguousarray(cells).tobytes()).decode("ascii")


def cells_of(text: str) -> npt.NDArray[np.int16]:
    """The means of a fingerprint, int16 (192,)."""
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8).astype(np.int16)


def _object(record: Mapping[str, Any]) -> PoolObject:
    x, y, w, h = (float(value) for value in record["box"])
    return PoolObject((x, y, w, h), str(record["category"]), float(record["area"]), record["segmentation"])
