"""Diversity: of frames whose polyps look alike only the first is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from polyp_aug.curation.perceptual_hash import BITS, Hashes, nearest_hash, perceptual_hash
from polyp_aug.curation.runs.cutouts import painted_polyps, read_cutouts
from polyp_aug.curation.runs.measuring import read_entries
from polyp_aug.curation.runs.painted import Record, painted_objects, tight_crop
from polyp_aug.curation.runs.policy import DistinctRule
from polyp_aug.evaluation.crops import orientations, read_crops
from polyp_aug.images import ImageArray
from polyp_aug.jsonl import append_records

if TYPE_CHECKING:
    from polyp_aug.evaluation.features import FeatureExtractor

#: Frames that are judged together.
_BATCH = 16

_LIKE = "like"


def near_duplicates(
    rule: DistinctRule,
    folder: Path,
    records: Sequence[Record],
    file: Path,
    extractor: FeatureExtractor | None = None,
    observer: Callable[[int, int], None] | None = None,
) -> list[str | None]:
    """Go through samples in their order, and find those that look like one that is kept.

    A painted polyp, cut out and in all orientations, is compared with the polyps of all samples kept before it, and
    with those before it in its own frame: by hashes along the mask, and by features of a tight square. Killed at any
    moment, it goes on where it stopped. Memory: 32 bytes for each polyp that is kept, and 5 kB more where features are
    compared.

    Args:
        rule: what looks alike.
        folder: the run folder.
        records: the samples.
        file: JSON lines, one for each sample; appended to.
        extractor: of features, where the rule compares them.
        observer: told (done, total).

    Returns:
        For each sample which one it looks like, as a reason, or None where it is kept.

    Raises:
        ImageError: a picture can't be read.
        RunFolderDamagedError: `file` is of other samples.
        StorageError: `file` can't be written.
    """
    found: list[str | None] = list(read_entries(file, records, _LIKE))
    kept = _Kept(rule, folder, extractor if rule.feature_distance is not None else None)
    for batch in _batches([record for record, like in zip(records, found, strict=False) if like is None]):
        kept.remember(batch)
    for batch in _batches(records[len(found) :]):
        reasons = kept.judge(batch)
        append_records(
            file, [{"sample": record["sample"], _LIKE: like} for record, like in zip(batch, reasons, strict=True)]
        )
        found += reasons
        if observer is not None:
            observer(len(found), len(records))
    return found


class _Rows:
    """Rows that are added one by one, in one array whose room doubles."""

    def __init__(self) -> None:
        self._values: npt.NDArray[Any] | None = None
        self.count = 0

    def add(self, row: npt.NDArray[Any]) -> None:
        if self._values is None:
            self._values = np.empty((64, *row.shape), row.dtype)
        if self.count == len(self._values):
            self._values = np.concatenate([self._values, np.empty_like(self._values)])
        self._values[self.count] = row
        self.count += 1

    @property
    def values(self) -> npt.NDArray[Any]:
        assert self._values is not None
        return self._values[: self.count]


class _Kept:
    """The polyps of the samples that are kept, and how new ones compare with them."""

    def __init__(self, rule: DistinctRule, folder: Path, extractor: FeatureExtractor | None) -> None:
        self._rule = rule
        self._folder = folder
        self._extractor = extractor
        self._samples: list[int] = []
        self._hashes, self._features = _Rows(), _Rows()

    def remember(self, records: Sequence[Record]) -> None:
        """Take samples that an earlier process kept."""
        owners = [int(record["sample"]) for record in records for _ in painted_objects(record)]
        vectors = self._vectors(records, lambda picture: [picture])
        for sample, picture, views in zip(owners, self._cutouts(records), vectors, strict=True):
            self._add(sample, perceptual_hash(picture), views)

    def judge(self, records: Sequence[Record]) -> list[str | None]:
        """What each of some samples looks like, or None; those are remembered."""
        polyps = iter(zip(self._cutouts(records), self._vectors(records, orientations), strict=True))
        reasons: list[str | None] = []
        for record in records:
            start, like = len(self._samples), None
            for _ in painted_objects(record):
                picture, vectors = next(polyps)
                hashes = np.stack([perceptual_hash(view) for view in orientations(picture)])
                like = like or self._like(hashes, vectors)
                self._add(int(record["sample"]), hashes[0], vectors)
            if like is not None:
                self._forget(start)
            reasons.append(like)
        return reasons

    def _like(self, hashes: Hashes, vectors: npt.NDArray[np.float32] | None) -> str | None:
        if not self._samples:
            return None
        bits, limit = self._rule.hash_bits, self._rule.feature_distance
        if bits is not None:
            distances, numbers = nearest_hash(hashes[None], self._hashes.values)
            if distances[0] <= bits:
                other = self._samples[int(numbers[0])]
                return f"looks like sample {other} (hashes differ in {distances[0]} of {BITS} bits, {bits} at most)"
        if vectors is not None and limit is not None:
            likeness = (self._features.values @ vectors.T).max(axis=1)
            distance = max(0.0, 1.0 - float(likeness.max()))
            if distance <= limit:
                other = self._samples[int(likeness.argmax())]
                return f"looks like sample {other} (features at distance {distance:.3f}, {limit:.3f} at most)"
        return None

    def _cutouts(self, records: Sequence[Record]) -> Iterator[ImageArray]:
        return read_cutouts(polyp for record in records for polyp in painted_polyps(self._folder, record))

    def _vectors(
        self, records: Sequence[Record], views: Callable[[ImageArray], list[ImageArray]]
    ) -> list[npt.NDArray[np.float32] | None]:
        """Unit features of the views of each polyp, float32 (V, D); None where none are compared."""
        crops = [tight_crop(self._folder, record, item) for record in records for item in painted_objects(record)]
        if self._extractor is None or not crops:
            return [None] * len(crops)
        # torch is imported with it, which polyps that are only hashed don't need.
        from polyp_aug.evaluation.neighbours import unit

        pictures = read_crops(crops, self._extractor.size)
        features = unit(self._extractor.extract(view for picture in pictures for view in views(picture)))
        return list(features.astype(np.float32).reshape(len(crops), -1, features.shape[1]))

    def _add(self, sample: int, hashes: Hashes, vectors: npt.NDArray[np.float32] | None) -> None:
        self._samples.append(sample)
        self._hashes.add(hashes)
        if vectors is not None:
            self._features.add(vectors[0])

    def _forget(self, start: int) -> None:
        del self._samples[start:]
        self._hashes.count = min(self._hashes.count, start)
        self._features.count = min(self._features.count, start)


def _batches(records: Sequence[Record]) -> Iterator[list[Record]]:
    source = iter(records)
    while batch := list(islice(source, _BATCH)):
        yield batch
