"""Precision and recall of a detector over all scores: average precision, the best F1, FROC, and their intervals.

Detections are matched to objects once, at one IoU (`recall.match_each`). Everything here comes from the matched scores
and from how often each group of frames counts, so that a bootstrap draw needs no new matching:

    P(s) = TP(s) / (TP(s) + FP(s)),  R(s) = TP(s) / N,  AP = ∫ max_{R' ≥ R} P(R') dR

the area under the precision-recall curve, made falling from the right (all points, as in Pascal VOC 2010), which is the
paper's AP where IoU is 0.5. COCO's AP reads the same curve at 101 recalls. FROC is the recall over the mean number of
false detections in a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.intervals import Floats, Integers, Interval, percentile_interval, resampled_counts
from polyp_aug.evaluation.recall import Flags, FrameMatches

#: Mean numbers of false detections in a frame at which FROC is read.
FROC_POINTS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)

#: Draws of the bootstrap that are computed together.
_DRAWS_AT_ONCE = 100


@dataclass(frozen=True, eq=False)
class Curve:
    """Matched detections of a set, the highest score first.

    Attributes:
        scores: float64 (D,), falling.
        hits: bool (D,), whether the detection found an object.
        owner: int64 (D,), number of the group of frames that it belongs to.
        objects: int64 (G,), objects of each group; groups are numbered in the order of their names.
        frames: int64 (G,), frames of each group.
    """

    scores: Floats
    hits: Flags
    owner: Integers
    objects: Integers
    frames: Integers

    @classmethod
    def of(cls, frames: Sequence[FrameMatches], groups: Sequence[str]) -> Curve:
        """The curve of matched frames.

        Args:
            frames: what was matched in each frame.
            groups: of each frame: patient or sequence.

        Raises:
            ConfigurationError: there is no object, or frames and groups differ in number.
        """
        if len(frames) != len(groups):
            raise ConfigurationError(f"{len(frames)} frames and {len(groups)} groups")
        names, numbers = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
        objects = np.bincount(numbers, weights=[len(frame.found) for frame in frames], minlength=len(names))
        if not objects.sum():
            raise ConfigurationError("no object to find")
        parts = [
            (scores, np.full(len(scores), hit), np.full(len(scores), number))
            for frame, number in zip(frames, numbers, strict=True)
            for scores, hit in ((frame.found[np.isfinite(frame.found)], True), (frame.false, False))
        ]
        scores, hits, owner = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.argsort(-scores, kind="stable")
        sizes = np.bincount(numbers, minlength=len(names)).astype(np.int64)
        return cls(scores[order], hits[order], owner[order].astype(np.int64), objects.astype(np.int64), sizes)

    def average_precision(self, counts: Floats | None = None) -> Floats:
        """AP of the whole set, or of draws of it.

        Args:
            counts: how often each group stands in each draw, float64 (draws, G); None is once.

        Returns:
            float64 (draws,), in [0, 1]; 0 where a draw holds no object.
        """
        counts = np.ones((1, len(self.objects))) if counts is None else counts
        parts = [self._areas(counts[first : first + _DRAWS_AT_ONCE]) for first in range(0, len(counts), _DRAWS_AT_ONCE)]
        return np.concatenate(parts)

    def at(self, score: float, counts: Floats | None = None) -> tuple[Floats, Floats, Floats]:
        """Precision, recall and F1 of the detections with a score or a higher one: float64 (draws,) each.

        Where nothing is detected precision is 0, as the other two are.
        """
        counts = np.ones((1, len(self.objects))) if counts is None else counts
        kept = self.scores >= score
        groups = len(self.objects)
        found, detected = (
            np.bincount(self.owner[kept], weights=weights, minlength=groups).astype(np.float64)
            for weights in (self.hits[kept].astype(np.float64), np.ones(int(kept.sum())))
        )
        true, positive, objects = counts @ found, counts @ detected, counts @ self.objects
        return (
            np.divide(true, positive, out=np.zeros_like(true), where=positive > 0),
            np.divide(true, objects, out=np.zeros_like(true), where=objects > 0),
            np.divide(2 * true, positive + objects, out=np.zeros_like(true), where=positive + objects > 0),
        )

    def froc(self, points: Sequence[float] = FROC_POINTS) -> Floats:
        """Recall at mean numbers of false detections in a frame: float64 (points,).

        Scores are taken as long as there are at most so many false detections; equal scores are taken together.
        """
        last = np.flatnonzero(np.append(np.diff(self.scores) < 0, True)) if len(self.scores) else np.empty(0, np.int64)
        false, found = np.cumsum(~self.hits)[last], np.cumsum(self.hits)[last]
        allowed = np.asarray(points) * self.frames.sum()
        taken = np.searchsorted(false, allowed, side="right")
        recall = np.concatenate([[0.0], found / self.objects.sum()])
        return np.asarray(recall[taken], dtype=np.float64)

    def _areas(self, counts: Floats) -> Floats:
        weights = counts[:, self.owner]
        true = np.cumsum(weights * self.hits, axis=1)
        positive = np.cumsum(weights, axis=1)
        precision = np.divide(true, positive, out=np.zeros_like(true), where=positive > 0)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        objects = counts @ self.objects
        gained = np.diff(true, axis=1, prepend=0.0)
        areas = (envelope * gained).sum(axis=1)
        return np.asarray(np.divide(areas, objects, out=np.zeros_like(areas), where=objects > 0))


@dataclass(frozen=True)
class Comparison:
    """Two detectors on the same frames.

    Attributes:
        difference: AP of the first less that of the second, with the interval of paired draws.
        p: two-sided bootstrap p-value of no difference: twice the smaller share of draws on either side of 0, counted
            with the measured set itself, so never 0.
    """

    difference: Interval
    p: float


def average_precision_interval(curve: Curve, *, seed: int, name: str) -> Interval:
    """AP with its interval from drawing whole groups.

    Raises:
        ConfigurationError: there are fewer than ten groups.
    """
    counts = resampled_counts(len(curve.objects), seed=seed, name=name)
    return percentile_interval(float(curve.average_precision()[0]), curve.average_precision(counts))


def point_intervals(curve: Curve, score: float, *, seed: int, name: str) -> dict[str, Interval]:
    """Precision, recall and F1 at a score, with intervals from drawing whole groups.

    Raises:
        ConfigurationError: there are fewer than ten groups.
    """
    counts = resampled_counts(len(curve.objects), seed=seed, name=name)
    names = ("precision", "recall", "f1")
    measured, drawn = curve.at(score), curve.at(score, counts)
    return {
        key: percentile_interval(float(value[0]), draws)
        for key, value, draws in zip(names, measured, drawn, strict=True)
    }


def compare(first: Curve, second: Curve, *, seed: int, name: str) -> Comparison:
    """A paired test of two detectors' AP: both are measured on the same draws of groups.

    Raises:
        ConfigurationError: the curves are of other frames or objects, or there are fewer than ten groups.
    """
    same = np.array_equal(first.objects, second.objects) and np.array_equal(first.frames, second.frames)
    if not same:
        raise ConfigurationError(f"{name}: the detectors were not measured on the same frames")
    counts = resampled_counts(len(first.objects), seed=seed, name=name)
    drawn = first.average_precision(counts) - second.average_precision(counts)
    value = float(first.average_precision()[0] - second.average_precision()[0])
    below, above = (int(np.count_nonzero(part)) + 1 for part in (drawn <= 0, drawn >= 0))
    return Comparison(percentile_interval(value, drawn), min(1.0, 2.0 * min(below, above) / (len(drawn) + 1)))
