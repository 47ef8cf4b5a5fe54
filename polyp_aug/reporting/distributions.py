"""How large objects are, where they lie, and how many a frame has: of a run, and of a COCO set beside it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from polyp_aug.coco import CocoDataset
from polyp_aug.generation.tally import frame_size

Floats = npt.NDArray[np.float64]

#: Edges of the classes of sizes, in per cent.
SIZE_EDGES = tuple(range(0, 101, 5))

#: Cells of a map of places, in each direction.
CELLS = 6

#: Frames with as many objects, or more, are one class.
MANY = 5


@dataclass(frozen=True, eq=False)
class Measured:
    """Objects of one kind; crowds are left out.

    Attributes:
        name: of the kind, for people.
        sizes: float64 (N,), 100·√(area of the object / area of the frame), in per cent.
        centres: float64 (N, 2), x and y of the box's centre as shares of the frame's width and height.
        per_frame: int64 (F,), objects of the kind in each frame.
    """

    name: str
    sizes: Floats
    centres: Floats
    per_frame: npt.NDArray[np.int64]

    def size_shares(self) -> Floats:
        """Share of the objects in each class of `SIZE_EDGES`, in per cent, float64 (20,); a class holds its lower edge.

        Objects of 100 % or more are in the last class.
        """
        top = SIZE_EDGES[-1]
        counts, _ = np.histogram(np.minimum(self.sizes, np.nextafter(top, 0)), bins=np.array(SIZE_EDGES, np.float64))
        return _shares(counts)

    def place_shares(self) -> Floats:
        """Share of the centres in each cell of the frame, in per cent, float64 (`CELLS`, `CELLS`): rows, columns."""
        cells = np.clip((self.centres * CELLS).astype(np.int64), 0, CELLS - 1)
        counts = np.bincount(cells[:, 1] * CELLS + cells[:, 0], minlength=CELLS * CELLS)
        return _shares(counts).reshape(CELLS, CELLS)

    def count_shares(self) -> Floats:
        """Share of the frames with 0, 1, … and `MANY` or more objects, in per cent, float64 (`MANY` + 1,)."""
        return _shares(np.bincount(np.minimum(self.per_frame, MANY), minlength=MANY + 1))


class RunMeasures:
    """Takes the records of a run one by one and measures their objects by origin."""

    def __init__(self) -> None:
        self._sizes: defaultdict[str, list[float]] = defaultdict(list)
        self._centres: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        self._frames: list[Mapping[str, int]] = []

    def add(self, record: Mapping[str, Any]) -> None:
        """Measure the objects of a sample that was made.

        Raises:
            KeyError: an object lacks a field.
            TypeError: a field is of another type.
            ValueError: a field is out of its range.
        """
        width, height = frame_size(record)
        counts: defaultdict[str, int] = defaultdict(int)
        for item in record["objects"]:
            if item.get("iscrowd"):
                continue
            x, y, w, h = (float(value) for value in item["bbox"])
            if not (all(math.isfinite(value) for value in (x, y, w, h)) and w >= 0 and h >= 0):
                raise ValueError(f"the box of an object is {item['bbox']}, expected x, y, width, height")
            origin = item["origin"]
            counts[origin] += 1
            self._sizes[origin].append(100 * math.sqrt(float(item["area"]) / (width * height)))
            self._centres[origin].append(((x + w / 2) / width, (y + h / 2) / height))
        self._frames.append(dict(counts))

    def measured(self, name: str, origin: str) -> Measured:
        """The objects of one origin.

        Args:
            name: of the kind, for people.
            origin: as in the records: "synthetic", "removed" or "source".
        """
        return Measured(
            name,
            np.array(self._sizes[origin], dtype=np.float64),
            np.array(self._centres[origin], dtype=np.float64).reshape(-1, 2),
            np.array([counts.get(origin, 0) for counts in self._frames], dtype=np.int64),
        )


def measure_dataset(name: str, dataset: CocoDataset) -> Measured:
    """The objects of a COCO set, of all its categories.

    Args:
        name: of the set, for people.
        dataset: the set.
    """
    sizes, centres, per_frame = [], [], []
    by_image = dataset.by_image()
    for image in dataset.images:
        objects = [item for item in by_image[image.id] if not item.iscrowd]
        per_frame.append(len(objects))
        for item in objects:
            x, y, w, h = item.bbox
            sizes.append(100 * math.sqrt(item.area / (image.width * image.height)))
            centres.append(((x + w / 2) / image.width, (y + h / 2) / image.height))
    return Measured(
        name,
        np.array(sizes, dtype=np.float64),
        np.array(centres, dtype=np.float64).reshape(-1, 2),
        np.array(per_frame, dtype=np.int64),
    )


def _shares(counts: npt.NDArray[np.int64]) -> Floats:
    return np.asarray(100 * counts / max(1, int(counts.sum())), dtype=np.float64)
