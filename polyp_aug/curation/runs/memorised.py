"""Memorisation: how near a painted polyp is to the nearest polyp that its generator was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from polyp_aug.coco import read_coco
from polyp_aug.curation.perceptual_hash import Hashes, nearest_hash, perceptual_hash
from polyp_aug.curation.runs.cutouts import annotated_polyps, painted_polyps, read_cutouts
from polyp_aug.curation.runs.measuring import Measured, rounded
from polyp_aug.curation.runs.painted import TIGHT, Record, painted_objects, tight_crop
from polyp_aug.curation.runs.policy import TRAINING_DISTANCE, TRAINING_HASH
from polyp_aug.evaluation.crops import list_crops, orientations, read_crops
from polyp_aug.evaluation.recall import counts

if TYPE_CHECKING:
    from polyp_aug.evaluation.features import FeatureExtractor, Features


class TrainingHashes:
    """Bits in which the perceptual hash differs from that of the nearest training polyp, over all orientations.

    Both are cut out along their masks, so that it doesn't matter on which mucosa a copy stands.

    Args:
        train: COCO set of the training polyps.
    """

    family = TRAINING_HASH
    batch = 16

    def __init__(self, train: Path) -> None:
        self._train = train
        self._known: Hashes | None = None

    def measure(self, folder: Path, records: Sequence[Record]) -> list[list[Measured]]:
        """See `Scorer.measure`; the training polyps are read when they are first needed."""
        if self._known is None:
            dataset = read_coco(self._train)
            polyps = annotated_polyps(dataset, (item for item in dataset.annotations if counts(item, "real")))
            self._known = np.stack([perceptual_hash(picture) for picture in read_cutouts(polyps)])
        return [self._sample(self._known, folder, record) for record in records]

    def _sample(self, known: Hashes, folder: Path, record: Record) -> list[Measured]:
        found: list[Measured] = []
        for picture in read_cutouts(painted_polyps(folder, record)):
            hashes = np.stack([perceptual_hash(view) for view in orientations(picture)])
            found.append({TRAINING_HASH: int(nearest_hash(hashes[None], known)[0][0])})
        return found


class TrainingDistances:
    """Distance to the nearest training polyp, as `neighbours` measures it: over all orientations of the painted one.

    Args:
        train: COCO set of the training polyps.
        extractor: of features.
    """

    family = TRAINING_DISTANCE
    batch = 16

    def __init__(self, train: Path, extractor: FeatureExtractor) -> None:
        self._train = train
        self._extractor = extractor
        self._known: Features | None = None

    def measure(self, folder: Path, records: Sequence[Record]) -> list[list[Measured]]:
        """See `Scorer.measure`; the training polyps are read when they are first needed."""
        # torch is imported with it.
        from polyp_aug.evaluation.neighbours import nearest

        if self._known is None:
            crops = list_crops(read_coco(self._train), "real", TIGHT)
            self._known = self._extractor.extract(read_crops(crops, self._extractor.size))
        counted = [len(painted_objects(record)) for record in records]
        if not sum(counted):
            return [[] for _ in records]
        own = [tight_crop(folder, record, item) for record in records for item in painted_objects(record)]
        views = (view for picture in read_crops(own, self._extractor.size) for view in orientations(picture))
        features = self._extractor.extract(views)
        found = nearest(features.reshape(len(own), -1, features.shape[1]), self._known)
        distances = iter(found.distances.tolist())
        return [[{TRAINING_DISTANCE: rounded(next(distances))} for _ in range(count)] for count in counted]
