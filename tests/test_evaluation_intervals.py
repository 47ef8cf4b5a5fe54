"""Intervals: what they cover, and that they repeat."""

from __future__ import annotations

import numpy as np
import pytest

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.intervals import (
    Interval,
    group_numbers,
    mean_interval,
    percentile_interval,
    resampled_counts,
    wilson_interval,
)


def test_groups_are_numbered_by_name() -> None:
    assert group_numbers(["b", "a", "b", "c"]).tolist() == [1, 0, 1, 2]


def test_every_draw_has_as_many_groups_and_repeats_by_seed_and_name() -> None:
    counts = resampled_counts(12, seed=3, name="real", draws=50)
    assert counts.shape == (50, 12)
    assert (counts.sum(axis=1) == 12).all()
    np.testing.assert_array_equal(counts, resampled_counts(12, seed=3, name="real", draws=50))
    assert (counts != resampled_counts(12, seed=3, name="other", draws=50)).any()
    assert (counts != resampled_counts(12, seed=4, name="real", draws=50)).any()


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"real: 9 frames or patients, expected at least 10"):
        resampled_counts(9, seed=0, name="real")


def test_percentiles_of_known_draws() -> None:
    found = percentile_interval(7.0, np.arange(1001.0))
    assert (found.value, found.low, found.high) == (7.0, pytest.approx(25.0), pytest.approx(975.0))


def test_the_mean_s_interval_covers_the_truth_as_often_as_it_says() -> None:
    covered = 0
    for trial in range(200):
        generator = np.random.default_rng(trial)
        levels = np.repeat(generator.standard_normal(40), 3)
        values = levels + 0.2 * generator.standard_normal(120)
        found = mean_interval(values, [str(number // 3) for number in range(120)], seed=trial, name="m", draws=400)
        covered += found.low <= 0.0 <= found.high
    assert 178 <= covered <= 199


def test_groups_widen_the_interval_of_items_that_resemble_each_other() -> None:
    values = np.repeat(np.random.default_rng(0).standard_normal(30), 4)
    alone = mean_interval(values, [str(number) for number in range(120)], seed=0, name="m")
    together = mean_interval(values, [str(number // 4) for number in range(120)], seed=0, name="m")
    assert alone.value == together.value == pytest.approx(values.mean())
    assert (together.high - together.low) / (alone.high - alone.low) == pytest.approx(2.0, rel=0.15)


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_s_interval_equals_published_values(hits: int, count: int, low: float, high: float) -> None:
    found = wilson_interval(hits, count)
    assert found.value == hits / count
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(("hits", "count"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_shares_are_refused(hits: int, count: int) -> None:
    with pytest.raises(ConfigurationError, match=f"{hits} of {count}"):
        wilson_interval(hits, count)


def test_json_has_eight_digits() -> None:
    assert Interval(1 / 3, 0.0, 1e9 + 0.1).to_dict() == {"value": 0.33333333, "low": 0.0, "high": 1e9}
