"""Scores of how a polyp looks: its quality, and whether the frame shows a polyp where its mask says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polyp_aug.captions.measures import view
from polyp_aug.curation.mask_agreement import default_agreement
from polyp_aug.curation.polyp_quality import FAMILY, measure_polyp
from polyp_aug.curation.polyp_view import view_frame, view_polyp
from polyp_aug.curation.runs.measuring import Measured, rounded
from polyp_aug.curation.runs.painted import Record, read_painted
from polyp_aug.curation.runs.policy import AGREEMENT


class QualityScores:
    """All measures of `polyp_quality`.

    Args:
        whole: whether the run makes whole frames: there is no frame before then, and what needs one is None.
    """

    family = FAMILY
    batch = 8

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole

    def measure(self, folder: Path, records: Sequence[Record]) -> list[list[Measured]]:
        """See `Scorer.measure`."""
        return [self._sample(folder, record) for record in records]

    def _sample(self, folder: Path, record: Record) -> list[Measured]:
        painted = read_painted(folder, record, whole=self._whole)
        frame = view_frame(painted.image, painted.occupied, painted.before)
        polyps = (view_polyp(frame, mask) for mask in painted.masks)
        return [{name: rounded(value) for name, value in measure_polyp(polyp).items()} for polyp in polyps]


class AgreementScores:
    """The score of `mask_agreement`."""

    family = AGREEMENT
    batch = 8

    def measure(self, folder: Path, records: Sequence[Record]) -> list[list[Measured]]:
        """See `Scorer.measure`."""
        found = []
        for record in records:
            painted = read_painted(folder, record, whole=True)
            frame = view(painted.image)
            scores = (default_agreement().score(frame, mask, painted.occupied) for mask in painted.masks)
            found.append([{AGREEMENT: rounded(score)} for score in scores])
        return found
