"""Boxes, regions and polygons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from polyp_aug.geometry import (
    Box,
    Region,
    box_iou,
    boxes_meet,
    enclosing_box,
    intersection,
    largest_component,
    mask_box,
    outer_box,
    polygon_region,
)

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))
sides = st.integers(1, 40)
boxes = st.tuples(st.integers(-20, 60), st.integers(-20, 60), sides, sides)


@given(masks)
def test_a_region_holds_exactly_the_pixels_of_its_mask(mask: np.ndarray) -> None:
    region = Region.from_mask(mask)
    if region is None:
        assert not mask.any()
        return
    np.testing.assert_array_equal(region.to_mask(*mask.shape), mask)
    assert region.area == mask.sum()
    assert region.crop[0].any()
    assert region.crop[-1].any()
    assert region.crop[:, 0].any()
    assert region.crop[:, -1].any()


@given(masks, st.integers(0, 5))
def test_a_grown_region_holds_all_pixels_within_its_margin(mask: np.ndarray, pixels: int) -> None:
    region = Region.from_mask(mask)
    if region is None:
        return
    rows, columns = np.nonzero(mask)
    grid = np.stack(np.meshgrid(np.arange(-6, 36), np.arange(-6, 36), indexing="ij"), axis=-1).reshape(-1, 1, 2)
    near = np.linalg.norm(grid - np.stack([rows, columns], axis=-1), axis=2).min(axis=1) <= pixels
    expected = near.reshape(42, 42)
    np.testing.assert_array_equal(region.grown(pixels).shifted(6, 6).to_mask(42, 42), expected)


@given(masks, st.integers(-30, 30), st.integers(-30, 30))
def test_clipping_a_shifted_region_cuts_at_the_frame(mask: np.ndarray, dx: int, dy: int) -> None:
    region = Region.from_mask(mask)
    if region is None:
        return
    clipped = region.shifted(dx, dy).clipped(24, 24)
    expected = region.shifted(dx, dy).to_mask(24, 24)
    assert (clipped is None) == (not expected.any())
    if clipped is not None:
        np.testing.assert_array_equal(clipped.to_mask(24, 24), expected)
        np.testing.assert_array_equal(clipped.within((2, 3, 9, 7)), expected[3:10, 2:11])


def test_a_region_can_not_be_written_to() -> None:
    region = Region.from_mask(np.ones((3, 3), bool))
    assert region is not None
    with pytest.raises(ValueError, match="read-only"):
        region.crop[0, 0] = False


def test_mask_box_of_a_part_of_an_array() -> None:
    mask = np.zeros((10, 12), bool)
    mask[4:6, 3:9] = True
    assert mask_box(mask) == (3, 4, 6, 2)
    assert mask_box(mask[:, ::-1]) == (3, 4, 6, 2)
    assert mask_box(mask[::2]) == (3, 2, 6, 1)
    assert mask_box(np.zeros((4, 4), bool)) is None


@given(boxes, boxes)
def test_boxes_meet_where_they_share_area(first: Box, second: Box) -> None:
    common = intersection(first, second)  # type: ignore[arg-type]
    shared = common[2] * common[3]
    assert boxes_meet(first, second) == (shared > 0)
    union = first[2] * first[3] + second[2] * second[3] - shared
    assert box_iou(first, second) == pytest.approx(shared / union)
    assert box_iou(first, second) == box_iou(second, first)


def test_iou_of_empty_boxes_is_zero() -> None:
    assert box_iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0


@given(st.lists(boxes, min_size=1, max_size=5))
def test_the_enclosing_box_holds_all(found: list[Box]) -> None:
    x, y, w, h = enclosing_box(found)
    assert all(x <= b[0] and y <= b[1] and b[0] + b[2] <= x + w and b[1] + b[3] <= y + h for b in found)


def test_outer_box_is_cut_at_the_frame() -> None:
    assert outer_box((2.5, 3.2, 4.0, 4.0), 1.0, 20, 20) == (1, 2, 7, 7)
    assert outer_box((0, 0, 5, 5), 10, 12, 8) == (0, 0, 12, 8)


@pytest.mark.parametrize(("left", "top", "width", "height"), [(3, 4, 10, 6), (0, 0, 20, 20), (5, 5, 2, 3)])
def test_a_rectangle_s_polygon_gives_its_pixels(left: int, top: int, width: int, height: int) -> None:
    corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
    region = polygon_region(np.array(corners, float), 20, 20)
    assert region is not None
    assert region.box == (left, top, width, height)
    assert region.area == width * height


def test_a_disc_s_polygon_has_the_disc_s_area_and_centre() -> None:
    angles = np.linspace(0, 2 * math.pi, 200, endpoint=False)
    region = polygon_region(np.stack([50 + 30 * np.cos(angles), 40 + 30 * np.sin(angles)], axis=1), 100, 100)
    assert region is not None
    assert region.area == pytest.approx(math.pi * 900, rel=0.01)
    rows, columns = np.nonzero(region.to_mask(100, 100))
    assert columns.mean() + 0.5 == pytest.approx(50, abs=0.1)
    assert rows.mean() + 0.5 == pytest.approx(40, abs=0.1)
    assert region.equivalent_diameter == pytest.approx(60, rel=0.005)


def test_a_polygon_outside_of_the_frame_gives_nothing() -> None:
    assert polygon_region(np.array([(-9, -9), (-5, -9), (-5, -5)], float), 20, 20) is None


def test_the_largest_component_is_kept_and_filled() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2:10, 2:10] = True
    mask[4:6, 4:6] = False
    mask[15:17, 15:17] = True
    found = largest_component(mask)
    assert found[4:6, 4:6].all()
    assert not found[15:17, 15:17].any()
    assert not largest_component(np.zeros((5, 5), bool)).any()


def test_the_largest_component_has_the_most_pixels() -> None:
    mask = np.zeros((80, 20), bool)
    mask[5:65, 3] = True
    mask[70:72, 10:12] = True
    assert largest_component(mask).sum() == 60
