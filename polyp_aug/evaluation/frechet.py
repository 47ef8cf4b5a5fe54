"""Fréchet distance of features (Heusel et al., NeurIPS 2017): in Inception's features it is called FID.

d² = ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½), the distance of the normal distributions with the sets' means and
covariances (N − 1 in the denominator). tr (Σ₁ Σ₂)^½ is the sum of the roots of the eigenvalues of L Σ₂ Lᵀ, where
Lᵀ L = Σ₁: a symmetric matrix, so that no complex numbers come up, as they do with the root of a product.

**Weaknesses.** The estimate is too high, the more so the fewer pictures there are, about by a constant / N (Chong and
Forsyth, CVPR 2020): only sets of equal numbers can be compared. With no more pictures than features the covariances are
singular, and the bias is most of the value. Features of mucosa are far from normal, too.

**Interval.** A jackknife over blocks of groups, of both sets (see `jackknife`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg

from polyp_aug.evaluation.features import Features, FeatureSet, check_features, check_widths
from polyp_aug.evaluation.intervals import Floats, Integers
from polyp_aug.evaluation.jackknife import BLOCKS, Jackknife, deal_blocks


def frechet_distance(first: Features, second: Features) -> float:
    """The squared Fréchet distance of two sets of features.

    Args:
        first: float (N, D), N at least 2.
        second: float (M, D), M at least 2.

    Raises:
        ConfigurationError: a set is too small, not finite, or D differs.
    """
    check_features(first, "first set")
    check_features(second, "second set")
    check_widths(first, second)
    a, b = (_Moments(part, np.zeros(len(part), np.int64), first.mean(axis=0)) for part in (first, second))
    return _distance(a.root(), *a.of(), *b.of())


def frechet_distances(real: FeatureSet, others: Sequence[FeatureSet], *, seed: int = 0) -> dict[str, Jackknife]:
    """Distances of sets from a real one, with what the jackknife needs.

    Memory: 8 · 10 · D² bytes for the real set, and as many for one of the others at a time.

    Args:
        real: what the others are compared with.
        others: their names differ.
        seed: of the blocks.

    Raises:
        ConfigurationError: a set is too small, not finite, or has other features than the real one.
    """
    check_features(real.features, real.name)
    centre = real.features.mean(axis=0)
    reference = _Moments(real.features, deal_blocks(real.groups, seed=seed, name=real.name), centre)
    root, whole = reference.root(), reference.of()
    found = {}
    for item in others:
        check_features(item.features, item.name)
        check_widths(item.features, real.features)
        other = _Moments(item.features, deal_blocks(item.groups, seed=seed, name=item.name), centre)
        own_root, own = other.root(), other.of()
        found[item.name] = Jackknife(
            _distance(root, *whole, *own),
            np.array([_distance(root, *whole, *other.of(block)) for block in range(BLOCKS)]),
            np.array([_distance(own_root, *own, *reference.of(block)) for block in range(BLOCKS)]),
        )
    return found


class _Moments:
    """Sums and products of a set's features, block by block.

    Args:
        features: float (N, D).
        blocks: of each item.
        centre: what is taken off all features, of all sets alike, against rounding: float (D,).
    """

    def __init__(self, features: Features, blocks: Integers, centre: Floats) -> None:
        self._features = features.astype(np.float64) - centre
        count, width = int(blocks.max()) + 1, features.shape[1]
        self._counts = np.bincount(blocks, minlength=count)
        self._sums, self._products = np.empty((count, width)), np.empty((count, width, width))
        for block in range(count):
            part = self._features[blocks == block]
            self._sums[block] = part.sum(axis=0)
            np.matmul(part.T, part, out=self._products[block])
        self._sum, self._product = self._sums.sum(axis=0), self._products.sum(axis=0)

    def of(self, without: int | None = None) -> tuple[Floats, Floats]:
        """Mean, float64 (D,), and covariance, float64 (D, D), of the set without a block."""
        count, total, product = int(self._counts.sum()), self._sum, self._product
        if without is not None:
            count -= int(self._counts[without])
            total, product = total - self._sums[without], product - self._products[without]
        mean = total / count
        return mean, (product - count * np.outer(mean, mean)) / (count - 1)

    def root(self) -> Floats:
        """L, float64 (K, D), with Lᵀ L the covariance; K is the smaller one of N and D."""
        if len(self._features) <= self._features.shape[1]:
            return np.asarray((self._features - self._features.mean(axis=0)) / np.sqrt(len(self._features) - 1))
        values, vectors = scipy.linalg.eigh(self.of()[1], check_finite=False)
        return np.asarray(np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T)


def _distance(root: Floats, mean: Floats, covariance: Floats, other_mean: Floats, other: Floats) -> float:
    """Distance of (mean, covariance), of which `root` is the root, from (other_mean, other)."""
    product = root @ other @ root.T
    values = scipy.linalg.eigvalsh((product + product.T) / 2.0, check_finite=False, overwrite_a=True)
    # The root of what is 0 but for rounding would be no small number.
    values[values < values[-1] * len(values) * np.finfo(np.float64).eps] = 0.0
    difference = mean - other_mean
    traces = float(np.trace(covariance) + np.trace(other))
    return float(difference @ difference) + traces - 2.0 * float(np.sqrt(values).sum())
