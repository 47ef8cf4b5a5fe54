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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.features import Features, FeatureSet, check_features, check_widths
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
    check_features(first, "first set")
    check_features(second, "second set")
    check_widths(first, second)
    a, b = (features.astype(np.float64) for features in (first, second))
    within = sum((_total(part, part) - _own(part).sum()) / (len(part) * (len(part) - 1)) for part in (a, b))
    return float(within - 2.0 * _total(a, b) / (len(a) * len(b)))


def kernel_distances(
    real: FeatureSet, others: Sequence[FeatureSet], *, seed: int = 0, draws: int = DRAWS
) -> KernelDistances:
    """Distances of sets from a real one, with intervals, and their differences.

    The kernel is never whole in memory: about a thousand of its rows at once.

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
        check_widths(item.features, real.features)
        group = _Grouped(item, seed, draws)
        parts[item.name] = group.within() - 2.0 * group.between(reference)
    # The first column is the estimate, the others are the draws.
    distances = {name: _interval(part + own) for name, part in parts.items()}
    pairs = combinations(parts, 2)
    return KernelDistances(distances, {(a, b): _interval(parts[a] - parts[b]) for a, b in pairs})


class _Grouped:
    """A set sorted by its groups, and how often each group stands in the estimate (once) and in each draw."""

    def __init__(self, source: FeatureSet, seed: int, draws: int) -> None:
        check_features(source.features, source.name)
        numbers = group_numbers(source.groups)
        self.features = source.features[np.argsort(numbers, kind="stable")].astype(np.float64)
        self.sizes = np.bincount(numbers)
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)])
        counts = resampled_counts(len(self.sizes), seed=seed, name=source.name, draws=draws)
        # A row for each group: the first column is the estimate, the others are the draws.
        self.counts = np.vstack([np.ones((1, len(self.sizes))), counts]).T.copy()

    def within(self) -> Floats:
        """Mean kernel of two different items, float64 (1 + draws,)."""
        total = np.zeros(self.counts.shape[1])
        for groups in self._parts():
            first = self.starts[groups.start]
            items = self.features[first : self.starts[groups.stop]]
            # Each pair of groups is taken once; the groups before these had their turn.
            rest = self.starts[groups.start : -1] - first
            sums = _group_sums(_kernel(items, self.features[first:]), rest[: groups.stop - groups.start], rest)
            square, others = np.split(sums, [groups.stop - groups.start], axis=1)
            inside = np.diag(square) - np.add.reduceat(_own(items), rest[: groups.stop - groups.start])
            np.fill_diagonal(square, 0.0)
            drawn = square @ self.counts[groups] + 2.0 * (others @ self.counts[groups.stop :])
            total += ((drawn + inside[:, None]) * self.counts[groups]).sum(axis=0)
        sizes = self.sizes.astype(np.float64)
        number = (sizes @ self.counts) ** 2 - sizes**2 @ self.counts**2 + (sizes * (sizes - 1.0)) @ self.counts
        return np.asarray(total / number)

    def between(self, other: _Grouped) -> Floats:
        """Mean kernel of an item of this set and one of another, float64 (1 + draws,)."""
        total = np.zeros(self.counts.shape[1])
        for groups in self._parts():
            first = self.starts[groups.start]
            block = _kernel(self.features[first : self.starts[groups.stop]], other.features)
            sums = _group_sums(block, self.starts[groups] - first, other.starts[:-1])
            total += ((sums @ other.counts) * self.counts[groups]).sum(axis=0)
        return np.asarray(total / (self.sizes @ self.counts) / (other.sizes @ other.counts))

    def _parts(self) -> Iterator[slice]:
        """Slices of groups that have at most `_ROWS` items together, or are a single group."""
        start = 0
        while start < len(self.sizes):
            most = np.searchsorted(self.starts, self.starts[start] + _ROWS, side="right") - 1
            stop = max(start + 1, int(most))
            yield slice(start, stop)
            start = stop


def _interval(values: Floats) -> Interval:
    return percentile_interval(float(values[0]), values[1:])


def _kernel(first: Floats, second: Floats) -> Floats:
    """Kernel of every pair, float64 (N, M)."""
    values = first @ second.T
    values /= first.shape[1]
    values += 1.0
    return np.asarray(values * values * values)


def _group_sums(values: Floats, rows: Integers, columns: Integers) -> Floats:
    """Sums over groups of rows and columns, which start at `rows` and `columns`."""
    for axis, starts in ((1, columns), (0, rows)):
        if len(starts) < values.shape[axis]:
            values = np.add.reduceat(values, starts, axis=axis)
    return values


def _own(features: Floats) -> Floats:
    """Kernel of each item with itself, float64 (N,)."""
    squares = np.einsum("nd,nd->n", features, features)
    return np.asarray((squares / features.shape[1] + 1.0) ** 3)


def _total(first: Floats, second: Floats) -> float:
    """Sum of the kernel over all pairs."""
    return sum(float(_kernel(first[start : start + _ROWS], second).sum()) for start in range(0, len(first), _ROWS))
