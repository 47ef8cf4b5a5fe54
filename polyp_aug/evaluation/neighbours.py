"""Whether synthetic polyps are copies: the distance to the nearest training polyp, beside that of held-out real ones.

A generator that invents is as far from its training polyps as real polyps of other patients are. Distance: 1 − cosine
of the features, the least over all views of the query (its orientations), because a copy may be mirrored or turned.

**Weakness.** A small share of close polyps does not prove that nothing was copied: on other mucosa, scaled, recoloured
or turned by another angle, even a pasted training polyp is mostly no nearer than a new one. Measure a set that consists
of copies (`copy_paste`) beside the others: its share says how many copies this check sees. And where held-out and
training frames show one patient after all, the threshold falls, and the share with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.features import Features
from polyp_aug.evaluation.intervals import Floats, Integers, Interval, wilson_interval

#: Side of the crops over the longer side of the box: the polyp alone, since a copy's surroundings are others.
CONTEXT = 1.0

#: Quantiles that are reported.
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95)

#: The quantile of held-out real polyps below which a synthetic one counts as close.
CLOSE = 0.01

#: Queries whose distances are in memory at once.
_ROWS = 256


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest reference of each query.

    Attributes:
        distances: float64 (N,), 1 − cosine.
        numbers: int64 (N,), of the references.
    """

    distances: Floats
    numbers: Integers

    def closest(self, count: int) -> Integers:
        """Numbers of the `count` queries that are nearest to a reference, int64, the nearest first."""
        return np.argsort(self.distances, kind="stable")[:count].astype(np.int64)


@dataclass(frozen=True)
class Memorisation:
    """How near synthetic polyps are to training polyps.

    Attributes:
        threshold: the 1 % quantile of the held-out distances.
        close: share of synthetic polyps nearer than that, with Wilson's interval.
        synthetic: quantile → distance of synthetic polyps to the nearest training polyp.
        heldout: the same of held-out real polyps.
    """

    threshold: float
    close: Interval
    synthetic: Mapping[float, float]
    heldout: Mapping[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, eight digits."""
        return {
            "threshold": float(f"{self.threshold:.8g}"),
            "close": self.close.to_dict(),
            "synthetic_quantiles": {str(q): float(f"{value:.8g}") for q, value in self.synthetic.items()},
            "heldout_quantiles": {str(q): float(f"{value:.8g}") for q, value in self.heldout.items()},
        }


def nearest(queries: Features, references: Features) -> Neighbours:
    """The nearest reference of each query.

    Args:
        queries: float (N, V, D), V views of each query, of which the nearest counts.
        references: float (M, D), M at least 1.

    Raises:
        ConfigurationError: D differs, there is no reference, or a vector is zero or not finite.
    """
    if queries.ndim != 3 or references.ndim != 2 or queries.shape[2] != references.shape[1] or not len(references):
        raise ConfigurationError(f"features of shapes {queries.shape} and {references.shape} can't be compared")
    query, reference = unit(queries), unit(references)
    distances, numbers = np.empty(len(query)), np.empty(len(query), np.int64)
    for start in range(0, len(query), _ROWS):
        likeness = (query[start : start + _ROWS] @ reference.T).max(axis=1)
        numbers[start : start + _ROWS] = likeness.argmax(axis=1)
        distances[start : start + _ROWS] = 1.0 - likeness.max(axis=1)
    return Neighbours(np.maximum(distances, 0.0), numbers)


def memorisation(synthetic: Neighbours, heldout: Neighbours) -> Memorisation:
    """Judge the distances of synthetic polyps to the training polyps by those of held-out real polyps.

    Args:
        synthetic: of what was made.
        heldout: of real polyps of other patients than the training polyps, seen in as many views.
    """
    threshold = float(np.quantile(heldout.distances, CLOSE))
    return Memorisation(
        threshold=threshold,
        close=wilson_interval(int((synthetic.distances < threshold).sum()), len(synthetic.distances)),
        synthetic=_quantiles(synthetic.distances),
        heldout=_quantiles(heldout.distances),
    )


def _quantiles(values: Floats) -> dict[float, float]:
    return dict(zip(QUANTILES, (float(value) for value in np.quantile(values, QUANTILES)), strict=True))


def unit(features: Features) -> Features:
    """Vectors scaled to unit length, float64 of the same shape.

    Raises:
        ConfigurationError: a vector is zero or not finite.
    """
    lengths = np.linalg.norm(features.astype(np.float64), axis=-1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths == 0).any():
        raise ConfigurationError("a vector of features is zero or not finite: its direction is not defined")
    return np.asarray(features / lengths)
