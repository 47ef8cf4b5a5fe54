"""Intervals: bootstrap over groups of items, and Wilson's for shares.

Items of one frame or patient resemble each other, so whole groups are drawn, not single items (Davison and Hinkley,
Bootstrap Methods and their Application, 1997, section 3.8).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polyp_aug.errors import ConfigurationError
from polyp_aug.keys import Key

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Share of the intervals.
CONFIDENCE = 0.95

#: Draws of a bootstrap, if not said otherwise.
DRAWS = 2000

#: With fewer groups a bootstrap says nothing.
FEWEST_GROUPS = 10

#: Quantile of the normal distribution that belongs to `CONFIDENCE`.
_Z = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """A measured value with its interval of 95 %."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Plain JSON types, eight digits: the last ones differ between processors."""
        return {name: float(f"{getattr(self, name):.8g}") for name in ("value", "low", "high")}


def group_numbers(groups: Sequence[str]) -> Integers:
    """A number from 0 on for each item's group, int64 (N,); groups are numbered in the order of their names."""
    return np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)[1].astype(np.int64)


def resampled_counts(groups: int, *, seed: int, name: str, draws: int = DRAWS) -> Floats:
    """How often each group stands in each draw of a bootstrap, with replacement.

    Args:
        groups: how many there are.
        seed: the only source of randomness.
        name: of what is drawn; another name gives independent draws, the same one the same.
        draws: number of draws.

    Returns:
        float64 (draws, groups); each row adds up to `groups`.

    Raises:
        ConfigurationError: there are fewer than ten groups.
    """
    if groups < FEWEST_GROUPS:
        raise ConfigurationError(
            f"{name}: {groups} frames or patients, expected at least {FEWEST_GROUPS} for an interval"
        )
    generator = Key(seed, name).generator("bootstrap")
    return generator.multinomial(groups, np.full(groups, 1.0 / groups), size=draws).astype(np.float64)


def percentile_interval(value: float, draws: Floats) -> Interval:
    """The measured value with the 2.5 % and 97.5 % quantiles of its bootstrap draws, float64 (draws,)."""
    low, high = np.quantile(draws, [(1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0])
    return Interval(value, float(low), float(high))


def mean_interval(values: Floats, groups: Sequence[str], *, seed: int, name: str, draws: int = DRAWS) -> Interval:
    """The mean of all items, with a percentile interval from drawing whole groups.

    Args:
        values: float64 (N,).
        groups: of each item.
        seed: the only source of randomness.
        name: of what is measured; see `resampled_counts`.
        draws: number of draws.

    Raises:
        ConfigurationError: there are fewer than ten groups.
    """
    numbers = group_numbers(groups)
    sums, sizes = np.bincount(numbers, weights=values), np.bincount(numbers)
    counts = resampled_counts(len(sizes), seed=seed, name=name, draws=draws)
    return percentile_interval(float(np.mean(values)), (counts @ sums) / (counts @ sizes))


def wilson_interval(hits: int, count: int) -> Interval:
    """A share with its Wilson score interval (Wilson, 1927); it holds for independent items.

    Raises:
        ConfigurationError: `count` is less than 1, or `hits` is not within 0 … `count`.
    """
    if count < 1 or not 0 <= hits <= count:
        raise ConfigurationError(f"{hits} of {count}: expected hits within 0 … count, and a count of at least 1")
    share, square = hits / count, _Z * _Z
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = _Z / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))
