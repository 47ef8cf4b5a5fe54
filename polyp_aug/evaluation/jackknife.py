"""Intervals of measures that a bootstrap can't give: the delete-a-block jackknife over groups of items.

A bootstrap draws items several times. A picture and its copy have no distance, which shrinks neighbourhoods, and a set
with copies spans fewer directions, which moves the Fréchet distance and the Inception Score far more than chance does.
So whole groups are dealt into blocks, and the measure is taken without each block in turn (Shao and Tu, The Jackknife
and Bootstrap, 1995, section 2.3): var = (B − 1) / B Σ_b (θ_b − θ̄)², for each of the sets that are compared. Interval:
θ ± t √var, t of Student's distribution with B − 1 degrees of freedom. It says how θ varies with the pictures that
happen to be in the sets; a bias that depends on their number, which the Fréchet distance has, is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.intervals import CONFIDENCE, FEWEST_GROUPS, Floats, Integers, Interval, group_numbers
from polyp_aug.keys import Key

#: Blocks that the groups of a set are dealt into.
BLOCKS = 10


@dataclass(frozen=True, eq=False)
class Jackknife:
    """A measure of a set, and what it is without each block.

    Attributes:
        value: with everything.
        own: without each block of the set, float64 (BLOCKS,).
        shared: without each block of the real set that others are compared with as well, float64 (BLOCKS,); empty for a
            measure of the set alone.
    """

    value: float
    own: Floats
    shared: Floats

    def interval(self, lowest: float = -np.inf, highest: float = np.inf) -> Interval:
        """The measure with its interval of 95 %, within the lowest and the highest value that the measure can have."""
        found = _interval(self.value, (self.own, self.shared))
        return Interval(found.value, max(found.low, lowest), min(found.high, highest))

    def minus(self, other: Jackknife) -> Interval:
        """This measure less that of another set, compared with the same real set: its blocks are left out of both."""
        return _interval(self.value - other.value, (self.own, other.own, self.shared - other.shared))


def deal_blocks(groups: Sequence[str], *, seed: int, name: str) -> Integers:
    """Deal groups into blocks of nearly equal size, in random order.

    Args:
        groups: of each item.
        seed: the only source of randomness.
        name: of the set; another name gives another order.

    Returns:
        A number of 0 … BLOCKS − 1 for each item, int64 (N,).

    Raises:
        ConfigurationError: there are fewer than ten groups.
    """
    numbers = group_numbers(groups)
    sizes = np.bincount(numbers)
    if len(sizes) < FEWEST_GROUPS:
        raise ConfigurationError(
            f"{name}: {len(sizes)} frames or patients, expected at least {FEWEST_GROUPS} for an interval"
        )
    blocks, filled = np.empty(len(sizes), np.int64), np.zeros(BLOCKS, np.int64)
    for number, group in enumerate(Key(seed, name).generator("blocks").permutation(len(sizes))):
        # The first fill every block; the others go where there is least.
        block = number if number < BLOCKS else int(filled.argmin())
        blocks[group] = block
        filled[block] += sizes[group]
    return np.asarray(blocks[numbers])


def _interval(value: float, parts: Sequence[Floats]) -> Interval:
    spreads = [float(np.square(part - part.mean()).mean()) * (len(part) - 1) for part in parts if part.size]
    half = float(student.ppf((1.0 + CONFIDENCE) / 2.0, BLOCKS - 1)) * float(np.sqrt(sum(spreads)))
    return Interval(value, value - half, value + half)
