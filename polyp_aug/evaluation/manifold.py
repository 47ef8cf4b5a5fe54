"""Precision and recall (Kynkäänniemi et al., NeurIPS 2019), density and coverage (Naeem et al., ICML 2020).

B(x) is the ball around x up to its k-th nearest neighbour in x's own set, the border included. Real r_i, others f_j:

* precision: share of f_j that lie in some B(r_i): do the others look real?
* recall: share of r_i that lie in some B(f_j): is everything real among the others?
* density: mean number of balls B(r_i) around an f_j, over k. It can be above 1; outliers among the real ones count less
  than for precision.
* coverage: share of B(r_i) that hold some f_j.

**Weaknesses.** All of them depend on the number of pictures, recall on that of the others most; sets can be compared
where they have as many. A pasted copy of a real picture counts as perfectly real.

**Interval.** A jackknife over blocks of groups, of both sets (see `jackknife`): a bootstrap's copies would have no
distance from each other. Neighbourhoods are searched anew without each block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.features import Features, FeatureSet, check_features, check_widths
from polyp_aug.evaluation.intervals import Floats, Integers
from polyp_aug.evaluation.jackknife import BLOCKS, Jackknife, deal_blocks

#: k, as Naeem et al. take it; Kynkäänniemi et al. take 3.
NEAREST = 5

#: The measures, in the order of reports.
MEASURES = ("precision", "recall", "density", "coverage")

#: Rows of distances that are in memory at once.
_ROWS = 512

_Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ManifoldScores:
    """The four measures of a set."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold_scores(real: Features, other: Features, *, nearest: int = NEAREST) -> ManifoldScores:
    """The measures of a set beside a real one.

    Args:
        real: float (N, D), N above `nearest`.
        other: float (M, D), M above `nearest`.
        nearest: k.

    Raises:
        ConfigurationError: a set is too small, not finite, or D differs.
    """
    first, second = (_Part(features, np.zeros(len(features), np.int64), 1, nearest) for features in (real, other))
    check_widths(real, other)
    found = _Counts(first, second, nearest).whole()
    return ManifoldScores(*(float(found[name]) for name in MEASURES))


def manifold_jackknife(real: FeatureSet, other: FeatureSet, *, seed: int = 0) -> dict[str, Jackknife]:
    """The measures of a set beside a real one, and what they are without each block.

    Raises:
        ConfigurationError: a set is too small, not finite, or has other features.
    """
    first, second = (
        _Part(item.features, deal_blocks(item.groups, seed=seed, name=item.name), BLOCKS, NEAREST, item.name)
        for item in (real, other)
    )
    check_widths(real.features, other.features)
    counts = _Counts(first, second, NEAREST)
    value = counts.whole()
    own = [counts.without_own(block) for block in range(BLOCKS)]
    shared = [counts.without_real(block) for block in range(BLOCKS)]
    return {
        name: Jackknife(value[name], np.array([item[name] for item in own]), np.array([item[name] for item in shared]))
        for name in MEASURES
    }


class _Part:
    """A set, its blocks, and the squared radius of every item's ball, with everything and without each block."""

    def __init__(self, features: Features, blocks: Integers, count: int, nearest: int, name: str = "a set") -> None:
        check_features(features, name)
        smallest = len(features) - np.bincount(blocks).max() if count > 1 else len(features)
        if smallest <= nearest:
            raise ConfigurationError(f"{name}: {smallest} pictures, expected more than {nearest} for neighbourhoods")
        order = np.argsort(blocks, kind="stable")
        self.features = features[order].astype(np.float64)
        self.blocks = blocks[order]
        self.edges = np.searchsorted(self.blocks, np.arange(count + 1))
        # A row for each choice of items: all of them, then those without each block.
        self.radii = np.empty((1 + count if count > 1 else 1, len(features)))
        for start in range(0, len(features), _ROWS):
            rows = slice(start, min(start + _ROWS, len(features)))
            distances = squared_distances(self.features[rows], self.features)
            distances[np.arange(rows.stop - start), np.arange(start, rows.stop)] = np.inf
            near = self._nearest_of_blocks(distances, nearest)
            everything = np.concatenate(near, axis=1)
            self.radii[0, rows] = np.partition(everything, nearest - 1, axis=1)[:, nearest - 1]
            for block in range(count if count > 1 else 0):
                others = np.concatenate([*near[:block], *near[block + 1 :]], axis=1)
                self.radii[1 + block, rows] = np.partition(others, nearest - 1, axis=1)[:, nearest - 1]

    def _nearest_of_blocks(self, distances: Floats, nearest: int) -> list[Floats]:
        """The `nearest` smallest distances to each block, or all where it has no more."""
        found = []
        for start, stop in zip(self.edges[:-1], self.edges[1:], strict=True):
            part = distances[:, start:stop]
            found.append(np.partition(part, nearest - 1, axis=1)[:, :nearest] if stop - start > nearest else part)
        return found


class _Counts:
    """Which balls hold which items, counted in one pass over the distances of two sets."""

    def __init__(self, real: _Part, other: _Part, nearest: int) -> None:
        self._real, self._other, self._nearest = real, other, nearest
        n, m, kept = len(real.features), len(other.features), len(real.radii)
        #: Of every other item: real balls around it; with everything, then without each block of the real ones.
        self._around = np.zeros((kept, m), np.int64)
        #: Of every real item: whether its ball holds any of each block of the others, and of all with the real radius
        #: without each block of the real ones.
        self._holds = np.zeros((len(other.edges) - 1, n), np.bool_)
        self._holds_without = np.zeros((kept, n), np.bool_)
        #: Of every real item: whether it lies in a ball of the others; with everything, then without each block.
        self._inside = np.zeros((kept, n), np.bool_)
        for start in range(0, n, _ROWS):
            self._count(slice(start, min(start + _ROWS, n)))

    def _count(self, rows: slice) -> None:
        real, other = self._real, self._other
        distances = squared_distances(real.features[rows], other.features)
        for choice in range(len(real.radii)):
            balls = distances <= real.radii[choice, rows, None]
            counted = real.blocks[rows] != choice - 1
            self._around[choice] += balls[counted].sum(axis=0)
            self._holds_without[choice, rows] = balls.any(axis=1)
            if choice == 0:
                for block, (start, stop) in enumerate(zip(other.edges[:-1], other.edges[1:], strict=True)):
                    self._holds[block, rows] = balls[:, start:stop].any(axis=1)
            held = distances <= other.radii[choice]
            held[:, other.blocks == choice - 1] = False
            self._inside[choice, rows] = held.any(axis=1)

    def whole(self) -> dict[str, float]:
        """The measures with everything."""
        return self._measures(self._around[0], self._inside[0], self._holds_without[0])

    def without_own(self, block: int) -> dict[str, float]:
        """The measures without a block of the others."""
        holds = np.asarray(np.delete(self._holds, block, axis=0).any(axis=0))
        return self._measures(self._around[0][self._other.blocks != block], self._inside[1 + block], holds)

    def without_real(self, block: int) -> dict[str, float]:
        """The measures without a block of the real ones."""
        kept = self._real.blocks != block
        return self._measures(self._around[1 + block], self._inside[0][kept], self._holds_without[1 + block][kept])

    def _measures(self, around: Integers, inside: _Bools, holds: _Bools) -> dict[str, float]:
        return {
            "precision": float((around > 0).mean()),
            "recall": float(inside.mean()),
            "density": float(around.mean()) / self._nearest,
            "coverage": float(holds.mean()),
        }


def squared_distances(first: Features, second: Features) -> Floats:
    """Squared Euclidean distances of every pair, float64 (N, M), not below 0."""
    squares = [np.einsum("nd,nd->n", part, part) for part in (first, second)]
    distances = first @ second.T
    distances *= -2.0
    distances += squares[0][:, None]
    distances += squares[1][None]
    return np.asarray(np.maximum(distances, 0.0, out=distances))
