"""Feather, composition, and what was painted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyp_aug.compositing import changed_region, composite, feather_alpha, feather_width, mean_change, touched_box
from polyp_aug.geometry import Region

RNG = np.random.default_rng(3)
BELOW = RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8)
ABOVE = RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8)


def disc(x: float, y: float, radius: float) -> Region:
    rows, columns = np.mgrid[:60, :80]
    region = Region.from_mask((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)
    assert region is not None
    return region


@given(st.integers(0, 79), st.integers(0, 59), st.floats(1, 25), st.integers(0, 12))
def test_nothing_changes_where_the_opacity_is_zero(x: int, y: int, radius: float, feather: int) -> None:
    region = disc(x, y, radius)
    canvas = BELOW.copy()
    box = composite(canvas, ABOVE, region, feather)
    assert box == touched_box(region, feather, 80, 60)
    alpha = np.zeros((60, 80), np.float32)
    alpha[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = feather_alpha(region, feather, box)
    np.testing.assert_array_equal(canvas[alpha == 0], BELOW[alpha == 0])
    np.testing.assert_array_equal(canvas[region.to_mask(60, 80)], ABOVE[region.to_mask(60, 80)])
    assert ((canvas >= np.minimum(ABOVE, BELOW)) & (canvas <= np.maximum(ABOVE, BELOW))).all()


def test_the_feather_falls_from_one_to_zero_with_the_distance() -> None:
    region = disc(40, 30, 10)
    alpha = feather_alpha(region, 6, (0, 0, 80, 60))
    along = alpha[30, 50:60]
    assert (np.diff(along) <= 0).all()
    assert along[0] == 1.0
    assert along[7] == 0.0
    assert 0.4 < along[3] < 0.7


def test_no_feather_is_a_hard_edge() -> None:
    alpha = feather_alpha(disc(40, 30, 10), 0, (0, 0, 80, 60))
    assert set(np.unique(alpha)) == {0.0, 1.0}


@pytest.mark.parametrize(("radius", "share", "expected"), [(10, 0.1, 2), (2, 0.01, 1), (25, 1.0, 24), (10, 0.0, 0)])
def test_feather_width_is_a_share_with_limits(radius: int, share: float, expected: int) -> None:
    assert feather_width(disc(40, 30, radius), share) == expected


def test_what_was_painted_is_found_inside_of_what_was_asked() -> None:
    before = np.full((60, 80, 3), 120, np.uint8)
    painted = disc(40, 30, 8)
    after = before.copy()
    after[painted.to_mask(60, 80)] += 60
    found = changed_region(before, after, disc(40, 30, 14))
    assert found is not None
    both = found.to_mask(60, 80) & painted.to_mask(60, 80)
    assert both.sum() / painted.area > 0.95
    assert found.area < 1.5 * painted.area
    assert changed_region(before, before, disc(40, 30, 14)) is None
    assert changed_region(before, after, disc(10, 10, 5)) is None


def test_what_lies_outside_of_the_frame_was_not_painted() -> None:
    assert changed_region(BELOW, ABOVE, disc(40, 30, 5).shifted(200, 0)) is None


def test_mean_change_is_over_the_region() -> None:
    before = np.zeros((60, 80, 3), np.uint8)
    after = before.copy()
    region = disc(40, 30, 8)
    after[region.to_mask(60, 80)] = 30
    assert mean_change(before, after, region, (20, 10, 40, 40)) == pytest.approx(30.0)
    assert mean_change(before, after, region, (0, 0, 5, 5)) == 0.0
