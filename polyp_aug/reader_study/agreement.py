"""How much readers agree beyond chance: Cohen's κ of two readers, Fleiss' κ of several.

Both are computed from counts that add up over pictures, so that thousands of bootstrap draws are one product of
matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from polyp_aug.evaluation.intervals import FEWEST_GROUPS, Floats, group_numbers, resampled_counts
from polyp_aug.reader_study.shares import Estimate

#: Answers as numbers from 0 on: int64 (readers, pictures).
Answers = npt.NDArray[np.int64]


def cohen_kappa(first: Answers, second: Answers, categories: int, counts: Floats, *, quadratic: bool = False) -> Floats:
    """Cohen's κ of two readers (Cohen, 1960; with weights, 1968), for several ways to count pictures.

    κ = 1 − Σᵢⱼ wᵢⱼ oᵢⱼ / Σᵢⱼ wᵢⱼ eᵢⱼ, with the observed shares o, the shares e = (row sums)·(column sums) that
    chance gives, and wᵢⱼ = 1 where i ≠ j, or (i − j)² (quadratic: for ratings, whose distance matters).

    Args:
        first: int64 (N,), from 0 to `categories` − 1.
        second: the same of the other reader.
        categories: how many answers there are.
        counts: float64 (draws, N): how often each picture counts.
        quadratic: take weights.

    Returns:
        float64 (draws,) up to 1; NaN where both readers give one and the same answer throughout.
    """
    cells = np.eye(categories * categories)[first * categories + second]
    observed = (counts @ cells).reshape(-1, categories, categories)
    observed /= observed.sum(axis=(1, 2), keepdims=True)
    expected = observed.sum(axis=2)[:, :, None] * observed.sum(axis=1)[:, None, :]
    steps = np.subtract.outer(np.arange(categories), np.arange(categories)).astype(np.float64)
    weights = steps**2 if quadratic else (steps != 0).astype(np.float64)
    return _one_minus((weights * observed).sum(axis=(1, 2)), (weights * expected).sum(axis=(1, 2)))


def fleiss_kappa(answers: Answers, categories: int, counts: Floats) -> Floats:
    """Fleiss' κ of n readers (Fleiss, 1971), for several ways to count pictures.

    κ = (P̄ − P̄ₑ) / (1 − P̄ₑ), with Pᵢ = (Σⱼ nᵢⱼ² − n) / (n (n − 1)) of picture i, P̄ their mean, and
    P̄ₑ = Σⱼ pⱼ² of the shares pⱼ of all answers.

    Args:
        answers: int64 (n, N), from 0 to `categories` − 1, n at least 2.
        categories: how many answers there are.
        counts: float64 (draws, N): how often each picture counts.

    Returns:
        float64 (draws,) up to 1; NaN where all readers give one and the same answer throughout.
    """
    readers = len(answers)
    given = np.eye(categories)[answers].sum(axis=0)
    agreeing = ((given**2).sum(axis=1) - readers) / (readers * (readers - 1))
    sizes = counts.sum(axis=1)
    shares = (counts @ given) / (sizes[:, None] * readers)
    return _one_minus(1.0 - (counts @ agreeing) / sizes, 1.0 - (shares**2).sum(axis=1))


def mean_pairwise_kappa(answers: Answers, categories: int, counts: Floats) -> Floats:
    """The mean of Cohen's quadratically weighted κ over all pairs of readers (Light, 1971); arguments as above."""
    pairs = [cohen_kappa(one, other, categories, counts, quadratic=True) for one, other in combinations(answers, 2)]
    return np.asarray(np.mean(pairs, axis=0), dtype=np.float64)


def picture_counts(groups: Sequence[str], *, seed: int, name: str) -> Floats:
    """Counts of pictures, float64 (1 + draws, N): each once, then as often as its group is drawn.

    With fewer than ten groups there are no draws.
    """
    numbers = group_numbers(groups)
    once = np.ones((1, len(numbers)))
    if numbers.max() + 1 < FEWEST_GROUPS:
        return once
    return np.vstack([once, resampled_counts(int(numbers.max()) + 1, seed=seed, name=name)[:, numbers]])


def estimate_of(kappas: Floats) -> Estimate | None:
    """The first value with the others as its draws; None where κ is not defined. Undefined draws are left out."""
    if np.isnan(kappas[0]):
        return None
    draws = kappas[1:]
    return Estimate(float(kappas[0]), draws[~np.isnan(draws)])


def _one_minus(observed: Floats, expected: Floats) -> Floats:
    """1 − observed / expected disagreement, NaN where chance gives none."""
    safe = np.where(expected > 1e-12, expected, np.nan)
    return np.asarray(1.0 - observed / safe, dtype=np.float64)
