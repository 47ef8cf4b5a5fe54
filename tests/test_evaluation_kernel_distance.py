"""KID: the estimate against a plain loop, and intervals against what is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.features import Features, FeatureSet
from polyp_aug.evaluation.intervals import resampled_counts
from polyp_aug.evaluation.kernel_distance import kernel_distance, kernel_distances


def plain(first: list[list[float]], second: list[list[float]]) -> float:
    """The definition, in Python's floats."""

    def kernel(x: list[float], y: list[float]) -> float:
        return float((math.fsum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1.0) ** 3)

    m, n = len(first), len(second)
    own = math.fsum(kernel(first[i], first[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    other = math.fsum(kernel(second[i], second[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return own + other - 2.0 * math.fsum(kernel(x, y) for x in first for y in second) / (m * n)


def drawn(seed: int, count: int, shift: float = 0.0, width: int = 12) -> Features:
    return np.random.default_rng(seed).standard_normal((count, width)) + shift


def named(name: str, features: Features, per_group: int = 1) -> FeatureSet:
    return FeatureSet(name, features, [f"g{number // per_group:04d}" for number in range(len(features))])


@pytest.mark.parametrize(("first", "second"), [(2, 2), (7, 5), (30, 20)])
def test_the_estimate_equals_a_plain_loop(first: int, second: int) -> None:
    a, b = drawn(1, first, 0.4), drawn(2, second)
    assert kernel_distance(a, b) == pytest.approx(plain(a.tolist(), b.tolist()), rel=1e-12, abs=1e-12)


def test_one_dimension_by_hand() -> None:
    # k(0, 0) = 1, k(1, 1) = 8, k(0, 1) = 1.
    assert kernel_distance(np.zeros((2, 1)), np.ones((3, 1))) == pytest.approx(1 + 8 - 2)


def test_the_mean_over_many_sets_is_the_true_distance() -> None:
    # Constant shift s in one dimension, x ~ N(0, 1): E k(a, a') + E k(r, r') − 2 E k(a, r) of (xy + 1)³ by moments.
    shift, moments = 0.5, lambda s: (1.0, s, 1 + s * s, s**3 + 3 * s)
    a, r = moments(0.5), moments(0.0)
    weights = (1.0, 3.0, 3.0, 1.0)
    truth = sum(w * (p - q) ** 2 for w, p, q in zip(weights, a, r, strict=True))
    found = [kernel_distance(drawn(seed, 40, shift, 1), drawn(seed + 5000, 30, 0.0, 1)) for seed in range(2000)]
    error = np.std(found) / math.sqrt(len(found))
    assert abs(np.mean(found) - truth) < 4 * error
    assert error < 0.05 * truth


def test_large_sets_in_blocks_equal_small_ones() -> None:
    a, b = drawn(1, 1500, 0.1, 3), drawn(2, 1100, 0.0, 3)
    within = [(((x @ x.T / 3 + 1) ** 3).sum() - (((x * x).sum(1) / 3 + 1) ** 3).sum()) for x in (a, b)]
    expected = within[0] / (1500 * 1499) + within[1] / (1100 * 1099) - 2 * ((a @ b.T / 3 + 1) ** 3).mean()
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("per_group", [1, 3])
def test_a_draw_counts_pairs_as_the_docstring_says(per_group: int) -> None:
    real, other = named("real", drawn(1, 36), per_group), named("other", drawn(2, 33, 0.5), per_group)
    draws = []
    for source in (real, other):
        groups = sorted(set(source.groups))
        draws.append(
            dict(zip(groups, resampled_counts(len(groups), seed=5, name=source.name, draws=1)[0], strict=True))
        )

    def mean(first: int, second: int) -> float:
        sets, total, number = (real, other), 0.0, 0.0
        a, b = sets[first], sets[second]
        for i, x in enumerate(a.features):
            for j, y in enumerate(b.features):
                p, q = a.groups[i], b.groups[j]
                if first == second and i == j:
                    continue
                weight = draws[first][p] * (1.0 if first == second and p == q else draws[second][q])
                total += weight * (x @ y / len(x) + 1.0) ** 3
                number += weight
        return total / number

    expected = mean(0, 0) + mean(1, 1) - 2 * mean(0, 1)
    found = kernel_distances(real, [other], seed=5, draws=1).distances["other"]
    assert found.value == pytest.approx(kernel_distance(other.features, real.features), rel=1e-9)
    assert found.low == found.high == pytest.approx(expected, rel=1e-9)


def test_the_order_of_the_items_changes_nothing() -> None:
    features, groups = drawn(3, 30, 0.3), [f"g{number // 2}" for number in range(30)]
    order = np.random.default_rng(0).permutation(30)
    shuffled = FeatureSet("other", features[order], [groups[number] for number in order])
    real = named("real", drawn(4, 25))
    first, second = (
        kernel_distances(real, [item], draws=50).distances["other"]
        for item in (FeatureSet("other", features, groups), shuffled)
    )
    assert first.to_dict() == pytest.approx(second.to_dict(), rel=1e-9)


def test_equal_distributions_are_about_zero_apart_and_intervals_cover_it() -> None:
    covered, values = 0, []
    for trial in range(60):
        found = kernel_distances(
            named("real", drawn(trial, 60)), [named("same", drawn(trial + 900, 50))], seed=trial, draws=200
        ).distances["same"]
        covered += found.low <= 0.0 <= found.high
        values.append(found.value)
    assert covered >= 56
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(60)


def test_intervals_of_different_distributions_cover_the_truth_and_not_zero() -> None:
    truth = kernel_distance(drawn(10_000, 3000, 0.5), drawn(10_001, 3000))
    covered, above = 0, 0
    for trial in range(60):
        found = kernel_distances(
            named("real", drawn(trial, 100)), [named("far", drawn(trial + 900, 80, 0.5))], seed=trial, draws=200
        ).distances["far"]
        covered += found.low <= truth <= found.high
        above += found.low > 0.0
    assert 52 <= covered <= 60
    assert above == 60


def test_a_paired_difference_is_narrower_than_that_of_two_independent_distances() -> None:
    real = named("real", drawn(1, 40))
    near, far = named("near", drawn(2, 400, 0.5)), named("far", drawn(3, 400, 0.6))
    found = kernel_distances(real, [near, far])
    difference = found.differences[("near", "far")]
    assert list(found.differences) == [("near", "far")]
    assert difference.value == pytest.approx(found.distances["near"].value - found.distances["far"].value)
    widths = [found.distances[name].high - found.distances[name].low for name in ("near", "far")]
    assert difference.high - difference.low < 0.7 * math.hypot(*widths)
    assert difference.high < 0.0


def test_the_same_seed_gives_the_same_interval() -> None:
    real, other = named("real", drawn(1, 20)), named("other", drawn(2, 20))
    first, again, another = (kernel_distances(real, [other], seed=seed, draws=100) for seed in (1, 1, 2))
    assert first == again
    assert first != another


@pytest.mark.parametrize(
    ("real", "other", "message"),
    [
        (named("real", drawn(1, 20)), named("real", drawn(2, 20)), "different names"),
        (named("real", drawn(1, 20)), named("a", drawn(2, 20, width=3)), "of 3 and 12 numbers"),
        (named("real", drawn(1, 20)), named("a", drawn(2, 9)), "a: 9 frames"),
        (named("real", drawn(1, 1)), named("a", drawn(2, 20)), "real: features of shape"),
        (named("real", drawn(1, 20) * np.nan), named("a", drawn(2, 20)), "real: a feature is not finite"),
    ],
)
def test_sets_that_cannot_be_compared_are_named(real: FeatureSet, other: FeatureSet, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        kernel_distances(real, [other], draws=10)


def test_groups_must_be_as_many_as_features() -> None:
    with pytest.raises(ConfigurationError, match="a: 3 features and 2 groups"):
        FeatureSet("a", drawn(1, 3), ["x", "y"])
