"""Means over pictures with intervals from drawing whole groups of them, and tests of shares.

Answers of several readers to one picture resemble each other, and so do pictures of one patient. Pooled figures are
therefore means over pictures of the readers' mean, and the bootstrap draws patients, sequences or backgrounds. The
readers are taken as given: the intervals hold for these readers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, fisher_exact

from polyp_aug.evaluation.intervals import (
    FEWEST_GROUPS,
    Floats,
    group_numbers,
    percentile_interval,
    resampled_counts,
    wilson_interval,
)


@dataclass(frozen=True, eq=False)
class Estimate:
    """A value and its bootstrap draws.

    Attributes:
        value: as measured.
        draws: float64 (draws,); empty where there are too few groups to draw.
    """

    value: float
    draws: Floats

    def to_dict(self) -> dict[str, float | None]:
        """`value`, `low` and `high` of the 95 % interval; the limits are None without draws. Eight digits."""
        if not self.draws.size:
            return {"value": float(f"{self.value:.8g}"), "low": None, "high": None}
        return dict(percentile_interval(self.value, self.draws).to_dict())

    def minus(self, other: Estimate) -> Estimate:
        """The difference, both drawn independently."""
        return self._with(other, self.value - other.value, 1.0, -1.0)

    def middle(self, other: Estimate) -> Estimate:
        """The mean of both, drawn independently."""
        return self._with(other, (self.value + other.value) / 2, 0.5, 0.5)

    def _with(self, other: Estimate, value: float, first: float, second: float) -> Estimate:
        both = bool(self.draws.size and other.draws.size)
        return Estimate(value, first * self.draws + second * other.draws if both else np.empty(0))


def mean_estimate(values: Floats, groups: Sequence[str], *, seed: int, name: str) -> Estimate:
    """The mean over pictures, drawn by groups.

    Args:
        values: float64 (N,), at least one.
        groups: of each picture.
        seed: the only source of randomness.
        name: of what is drawn; see `polyp_aug.evaluation.intervals.resampled_counts`.

    Returns:
        The mean; without draws where there are fewer than ten groups.
    """
    numbers = group_numbers(groups)
    sums, sizes = np.bincount(numbers, weights=values), np.bincount(numbers).astype(np.float64)
    draws = np.empty(0)
    if len(sizes) >= FEWEST_GROUPS:
        counts = resampled_counts(len(sizes), seed=seed, name=name)
        draws = (counts @ sums) / (counts @ sizes)
    return Estimate(float(np.mean(values)), draws)


def share_difference(first: tuple[int, int], second: tuple[int, int]) -> dict[str, float]:
    """The difference of two independent shares, with Newcombe's hybrid score interval (Newcombe, 1998, method 10).

    With Wilson's limits l and u of both shares p:
    low = d − √((p₁ − l₁)² + (u₂ − p₂)²), high = d + √((u₁ − p₁)² + (p₂ − l₂)²), d = p₁ − p₂.

    Args:
        first: hits and count.
        second: the same of the share that is subtracted.
    """
    one, other = wilson_interval(*first), wilson_interval(*second)
    value = one.value - other.value
    low = value - math.hypot(one.value - one.low, other.high - other.value)
    high = value + math.hypot(one.high - one.value, other.value - other.low)
    return {"value": round(value, 8), "low": round(low, 8), "high": round(high, 8)}


def fisher_p(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Two-sided p-value of Fisher's exact test that two shares (hits, count) are equal."""
    table = [[hits, count - hits] for hits, count in (first, second)]
    return float(fisher_exact(table).pvalue)


def blind_accuracy(share_real: float, called_real: float) -> float:
    """The accuracy to expect of a reader who calls as many pictures real, but without looking.

    q·r + (1 − q)(1 − r), with the share r of real pictures and the share q that is called real. It is ½ where r is ½.
    """
    return called_real * share_real + (1 - called_real) * (1 - share_real)


def binomial_p(correct: int, count: int, chance: float) -> float:
    """Two-sided p-value of the exact binomial test that answers are correct with the probability `chance`."""
    return float(binomtest(correct, count, chance).pvalue)
