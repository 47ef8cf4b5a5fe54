"""Leaks that pictures tell: equal pixels, hashes and features that are nearly equal, in any orientation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from polyp_aug.curation.perceptual_hash import BITS, Hashes, nearest_hash, perceptual_hash
from polyp_aug.evaluation.crops import PolypCrop, orientations, read_crops
from polyp_aug.images import ImageArray, read_image

if TYPE_CHECKING:
    from polyp_aug.evaluation.features import FeatureExtractor

#: Pictures of the evaluation sets, and of the others, whose features are compared at once.
EVALUATION_BLOCK, OTHER_BLOCK = 128, 512


@dataclass(frozen=True)
class Match:
    """A picture that another set holds too.

    Attributes:
        query: number of the picture.
        other: number of the other set's picture that is nearest.
        distance: between them; 0 for equal pixels.
    """

    query: int
    other: int
    distance: float

    @property
    def bits(self) -> str:
        """The distance of hashes, for people."""
        return f"hashes differ in {self.distance:.0f} of {BITS} bits"


@dataclass(frozen=True)
class Items:
    """Frames, or polyps, of a set.

    Attributes:
        crops: where they are.
        hashed: what is hashed of each, uint8 RGB, read once more for each iteration.
    """

    crops: Sequence[PolypCrop]
    hashed: Callable[[], Iterator[ImageArray]]


class Level(Protocol):
    """A way to find pictures again: evaluation pictures are taken once, and compared with one set after the other."""

    def matches(self, others: Items) -> list[Match]:
        """For each evaluation picture the nearest other one, where it is near enough."""
        ...


class EqualPixels:
    """Frames whose pixels are the same, turned or mirrored or not.

    Args:
        queries: whole frames of the evaluation sets.
    """

    def __init__(self, queries: Items) -> None:
        self._digests = [_digest(read_image(item.frame)) for item in queries.crops]

    def matches(self, others: Items) -> list[Match]:
        """See `Level.matches`."""
        known: dict[bytes, int] = {}
        for number, item in enumerate(others.crops):
            known.setdefault(_digest(read_image(item.frame)), number)
        return [Match(query, known[digest], 0.0) for query, digest in enumerate(self._digests) if digest in known]


class NearHashes:
    """Pictures whose perceptual hashes are near: smaller, compressed, brighter, turned or mirrored copies.

    Args:
        queries: of the evaluation sets.
        most: bits in which hashes may differ.
    """

    def __init__(self, queries: Items, most: float) -> None:
        self._most = most
        hashes = [[perceptual_hash(view) for view in orientations(picture)] for picture in queries.hashed()]
        self._hashes: Hashes = np.array(hashes, np.uint8)

    def matches(self, others: Items) -> list[Match]:
        """See `Level.matches`."""
        if not others.crops or not len(self._hashes):
            return []
        known = np.stack([perceptual_hash(picture) for picture in others.hashed()])
        distances, numbers = nearest_hash(self._hashes, known)
        return _near(distances.astype(np.float64), numbers, self._most)


class NearFeatures:
    """Pictures whose features are near, also where they were cut or partly painted over.

    Memory: 41 kB for each picture of the evaluation sets with EfficientNet-Lite0, whatever the size of the others.

    Args:
        queries: of the evaluation sets.
        extractor: of features.
        most: largest distance, 1 − cosine.
    """

    def __init__(self, queries: Items, extractor: FeatureExtractor, most: float) -> None:
        self._extractor = extractor
        self._most = most
        blocks = []
        for block in _blocks(read_crops(queries.crops, extractor.size), EVALUATION_BLOCK):
            features = extractor.extract(view for picture in block for view in orientations(picture))
            blocks.append(features.reshape(len(block), -1, features.shape[1]).astype(np.float32))
        self._blocks = blocks

    def matches(self, others: Items) -> list[Match]:
        """See `Level.matches`."""
        # torch is imported with it.
        from polyp_aug.evaluation.neighbours import nearest

        count = sum(map(len, self._blocks))
        distances, numbers = np.full(count, np.inf), np.zeros(count, np.int64)
        seen = 0
        for block in _blocks(read_crops(others.crops, self._extractor.size), OTHER_BLOCK):
            known = self._extractor.extract(block)
            start = 0
            for queries in self._blocks:
                found = nearest(queries.astype(np.float64), known)
                part = slice(start, start + len(queries))
                better = found.distances < distances[part]
                distances[part][better] = found.distances[better]
                numbers[part][better] = seen + found.numbers[better]
                start += len(queries)
            seen += len(block)
        return _near(distances, numbers, self._most)


def _near(distances: npt.NDArray[np.float64], numbers: npt.NDArray[np.int64], most: float) -> list[Match]:
    return [
        Match(int(query), int(numbers[query]), float(distances[query])) for query in np.flatnonzero(distances <= most)
    ]


def _digest(image: ImageArray) -> bytes:
    """The smallest of the digests of a picture's orientations: the same for all of them."""
    return min(
        hashlib.sha256(str(view.shape).encode() + np.ascontiguousarray(view).tobytes()).digest()
        for view in orientations(image)
    )


def _blocks(pictures: Iterator[ImageArray], size: int) -> Iterator[list[ImageArray]]:
    while block := list(islice(pictures, size)):
        yield block
