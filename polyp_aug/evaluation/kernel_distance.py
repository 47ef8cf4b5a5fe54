"""Kernel distance (KID): how far a set's features are from the real ones (Bińkowski et al., ICLR 2018).

MMD² = mean k(a_i, a_j), i ≠ j, + mean k(r_i, r_j), i ≠ j, − 2 mean k(a_i, r_j), with k(x, y) = (xᵀy / D + 1)³

This estimate has no bias for any number of pictures, so sets of different sizes can be compared, and it can be below
zero. All pairs are taken, not subsets.

**Interval.** Groups of items (frames, patients) are drawn with replacement, g with the multiplicity n_g. A pair of
items of two groups g ≠ h counts n_g n_h times, a pair of two items of one group n_g times: never an item with its own
copy, nor one copy of a group with another. Otherwise k(x, x), which the estimate leaves out for its bias, would come
back by the duplicates. Bootstrap of U-statistics: Arcones and Giné, Annals of Statistics 20 (1992), 655-674. Where both
sets have the same distribution the statistic is degenerate, and this bootstrap spreads more than the estimate does: the
interval is then too wide (about twice in a simulation), not too narrow.

**Weaknesses.** The kernel sees the first three moments of the features only, and no more than what the extractor sees.
Pairs of one group stay in the estimate, as KID is defined; where groups are large beside the set, they raise it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.features import Features, FeatureSet
from polyp_aug.evaluation.intervals import (
    DRAWS,
    Floats,
    Integers,
    Interval,
    group_numbers,
    percentile_interval,
    resampled_counts,
)

#: Rows of the kernel matrix that are in memory at once.
_ROWS = 1024


@dataclass(frozen=True)
class KernelDistances:
    """Distances of several sets from one real set.

    Attributes:
        distances: name of each set and its distance.
        differences: for each two sets, distance of the first less that of the second; below 0 the first is nearer. In
            each draw both are compared with the same real items, whose share of the noise mostly cancels.
    """

    distances: dict[str, Interval]
    differences: dict[tuple[str, str], Interval]


def kernel_distance(first: Features, second: Features) -> float:
    """The unbiased MMD² of two sets of features.

    Args:
        first: float (N, D), N at least 2.
        second: float (M, D), M at least 2.

    Raises:
        ConfigurationError: a set is too small, not finite, or D differs.
    """
    _check(first, "first set")
    _check(second, "second set")
    _check_widths(first, second)
    sums = [_pairs(part, part).sum() - _own(part).sum() for part in (first, second)]
    within = sum(total / (len(part) * (len(part) - 1)) for total, part in zip(sums, (first, second), strict=True))
    return float(within - 2.0 * _pairs(first, second).sum() / (len(first) * len(second)))


def kernel_distances(
    real: FeatureSet, others: Sequence[FeatureSet], *, seed: int = 0, draws: int = DRAWS
) -> KernelDistances:
    """Distances of sets from a real one, with intervals, and their differences.

    Memory: 8 bytes for each pair of groups, several times.

    Args:
        real: what the others are compared with.
        others: their names differ from each other and from the real set's.
        seed: the only source of randomness.
        draws: number of draws of the bootstrap.

    Raises:
        ConfigurationError: a set is too small, not finite, has other features than the real one, or has its name.
    """
    names = [real.name, *(item.name for item in others)]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"sets need different names (got {names})")
    reference = _Grouped(real, seed, draws)
    own = reference.within()
    parts = {}
    for item in others:
        _check_widths(item.features, real.features)
        group = _Grouped(item, seed, draws)
        parts[item.name] = group.within() - 2.0 * group.between(reference)
    # The first column is the estimate, the others are the draws.
    distances = {name: _interval(part + own) for name, part in parts.items()}
    pairs = combinations(parts, 2)
    return KernelDistances(distances, {(a, b): _interval(parts[a] - parts[b]) for a, b in pairs})


class _Grouped:
    """A set sorted by its groups, and how often each group stands in the estimate (once) and in each draw."""

    def __init__(self, source: FeatureSet, seed: int, draws: int) -> None:
        _check(source.features, source.name)
        numbers = group_numbers(source.groups)
        self.features = source.features[np.argsort(numbers, kind="stable")]
        self.sizes = np.bincount(numbers)
        counts = resampled_counts(len(self.sizes), seed=seed, name=source.name, draws=draws)
        self.counts = np.vstack([np.ones((1, len(self.sizes))), counts])

    @property
    def starts(self) -> Integers:
        return np.concatenate([[0], np.cumsum(self.sizes)[:-1]])

    def within(self) -> Floats:
        """Mean kernel of two different items, float64 (1 + draws,)."""
        sums = _pairs(self.features, self.features, self.starts, self.starts)
        inside = np.diag(sums) - np.add.reduceat(_own(self.features), self.starts)
        np.fill_diagonal(sums, 0.0)
        sizes = self.sizes.astype(np.float64)
        total = np.einsum("bg,bg->b", self.counts @ sums, self.counts) + self.counts @ inside
        number = (self.counts @ sizes) ** 2 - self.counts**2 @ sizes**2 + self.counts @ (sizes * (sizes - 1.0))
        return np.asarray(total / number)

    def between(self, other: _Grouped) -> Floats:
        """Mean kernel of an item of this set and one of another, float64 (1 + draws,)."""
        sums = _pairs(self.features, other.features, self.starts, other.starts)
        total = np.einsum("bg,bg->b", self.counts @ sums, other.counts)
        return np.asarray(total / (self.counts @ self.sizes) / (other.counts @ other.sizes))


def _interval(values: Floats) -> Interval:
    return percentile_interval(float(values[0]), values[1:])


def _pairs(first: Features, second: Features, rows: Integers | None = None, columns: Integers | None = None) -> Floats:
    """Kernel of every pair, summed over groups that start at `rows` and `columns`; over each item where None."""
    width = first.shape[1]
    blocks = []
    for start in range(0, len(first), _ROWS):
        block = (first[start : start + _ROWS].astype(np.float64) @ second.T.astype(np.float64) / width + 1.0) ** 3
        blocks.append(block if columns is None else np.add.reduceat(block, columns, axis=1))
    whole = np.concatenate(blocks)
    return whole if rows is None else np.asarray(np.add.reduceat(whole, rows, axis=0))


def _own(features: Features) -> Floats:
    """Kernel of each item with itself, float64 (N,)."""
    squares = np.einsum("nd,nd->n", features.astype(np.float64), features.astype(np.float64))
    return np.asarray((squares / features.shape[1] + 1.0) ** 3)


def _check(features: Features, name: str) -> None:
    if features.ndim != 2 or len(features) < 2:
        raise ConfigurationError(f"{name}: features of shape {features.shape}, expected at least 2 rows")
    if not np.isfinite(features).all():
        raise ConfigurationError(f"{name}: a feature is not finite")


def _check_widths(first: Features, second: Features) -> None:
    if first.shape[1] != second.shape[1]:
        raise ConfigurationError(f"features of {first.shape[1]} and {second.shape[1]} numbers can't be compared")
