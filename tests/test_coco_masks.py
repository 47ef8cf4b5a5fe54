from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pycocotools import mask as coco_mask

from polyp_aug.coco import decode_segmentation, encode_region, encode_rle
from polyp_aug.coco.masks import rle_counts, segmentation_area, segmentation_problem
from polyp_aug.errors import CocoError
from polyp_aug.geometry import Region

MASKS = npst.arrays(np.bool_, npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))


def disc(diameter: int, hole: int = 0) -> np.ndarray:
    size = diameter + 2
    y, x = np.mgrid[:size, :size]
    distance = np.hypot(x - (size - 1) / 2, y - (size - 1) / 2)
    return (distance <= diameter / 2) & (distance >= hole / 2)


def polyp(seed: int, size: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(size, size)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), max(1.0, size / 10))
    y, x = np.mgrid[:size, :size]
    return np.hypot(x - size / 2, y - size / 2) + noise / noise.std() * size * 0.05 < size * 0.42


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return np.count_nonzero(first & second) / np.count_nonzero(first | second)


def check_round_trip(region: Region, width: int, height: int) -> None:
    mask = region.to_mask(height, width)
    if not mask.any():
        with pytest.raises(CocoError, match="no pixel inside"):
            encode_region(region, width, height)
        return
    segmentation = json.loads(json.dumps(encode_region(region, width, height)))
    assert segmentation_problem(segmentation, width, height) is None
    decoded = decode_segmentation(segmentation, width, height)
    assert decoded.dtype == np.bool_
    assert decoded.shape == (height, width)
    assert iou(decoded, mask) >= 0.98
    assert segmentation_area(segmentation, width, height) == np.count_nonzero(decoded)

    rle = json.loads(json.dumps(encode_rle(region, width, height)))
    expected = coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))
    assert rle == {"size": [height, width], "counts": expected["counts"].decode("ascii")}
    assert np.array_equal(decode_segmentation(rle, width, height), mask)
    runs = rle_counts(expected["counts"])
    assert runs.sum() == width * height
    uncompressed = {"size": [height, width], "counts": runs.tolist()}
    assert np.array_equal(decode_segmentation(uncompressed, width, height), mask)


@given(MASKS, st.integers(-5, 30), st.integers(-5, 30), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=300, deadline=None)
def test_any_mask_comes_back(mask: np.ndarray, x: int, y: int, width: int, height: int) -> None:
    region = Region.from_mask(mask, x, y)
    if region is not None:
        check_round_trip(region, width, height)


@given(st.integers(0, 2**32 - 1), st.integers(3, 120), st.integers(-20, 120), st.integers(-20, 120))
@settings(max_examples=100, deadline=None)
def test_any_polyp_comes_back(seed: int, size: int, x: int, y: int) -> None:
    region = Region.from_mask(polyp(seed, size), x, y)
    if region is not None:
        check_round_trip(region, 160, 140)


@pytest.mark.parametrize("diameter", [2, 5, 20, 60, 150, 400])
def test_a_disc_is_one_polygon(diameter: int) -> None:
    region = Region.from_mask(disc(diameter), 7, 3)
    segmentation = encode_region(region, 500, 480)
    assert len(segmentation) == 1
    assert isinstance(segmentation, list)
    assert iou(decode_segmentation(segmentation, 500, 480), region.to_mask(480, 500)) >= 0.98


@pytest.mark.parametrize(
    ("mask", "kind"),
    [
        pytest.param(disc(60, hole=20), dict, id="hole"),
        pytest.param(disc(60, hole=2), list, id="a hole of four pixels"),
        pytest.param(np.pad(disc(20), ((0, 0), (0, 40))) | np.pad(disc(20), ((0, 0), (40, 0))), list, id="two parts"),
        pytest.param(np.ones((1, 1), bool), list, id="one pixel"),
        pytest.param(np.ones((1, 9), bool), list, id="a row"),
        pytest.param(np.ones((9, 1), bool), list, id="a column"),
    ],
)
def test_polygons_where_they_come_back_else_rle(mask: np.ndarray, kind: type) -> None:
    region = Region.from_mask(mask, 4, 5)
    assert type(encode_region(region, 100, 100)) is kind
    check_round_trip(region, 100, 100)


def test_what_lies_outside_of_the_frame_is_cut_off() -> None:
    region = Region.from_mask(np.ones((10, 10), bool), 95, -5)
    decoded = decode_segmentation(encode_region(region, 100, 50), 100, 50)
    assert np.array_equal(decoded, region.to_mask(50, 100))
    with pytest.raises(CocoError, match=r"\(100, 0, 10, 10\).*100×50"):
        encode_rle(Region.from_mask(np.ones((10, 10), bool), 100, 0), 100, 50)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "None, expected polygons or an RLE"),
        ("abc", "'abc', expected polygons"),
        ([], "expected polygons"),
        ([1, 2, 3, 4, 5, 6], "1 as polygon 0"),
        ([[1, 2, 3, 4, 5, 6, 7]], "of 7 numbers"),
        ([[1, 2, 3, 4]], "of 4 numbers"),
        ([[1, 2, 3, 4, 5, 6], []], r"\(1\) of 0 numbers"),
        ([[1, 2, 3, 4, 5, "6"]], "not numbers"),
        ([[1, 2, 3, 4, 5, True]], "not numbers"),
        ([[1, 2, 3, 4, 5, float("nan")]], "coordinates"),
        ([[1, 2, 3, 4, 5, float("inf")]], "coordinates"),
        ([[1, 2, 3, 4, 5, 1e30]], r"1e\+30"),
        ({}, "RLE size None"),
        ({"size": [10, 20], "counts": [200]}, r"\[10, 20\], expected \[20, 10\]"),
        ({"size": [20, 10]}, "None as RLE counts"),
        ({"size": [20, 10], "counts": [199]}, "add up to 199, expected 10 × 20 = 200"),
        ({"size": [20, 10], "counts": []}, "add up to 0"),
        ({"size": [20, 10], "counts": [-1, 201]}, "negative"),
        ({"size": [20, 10], "counts": [100.0, 100]}, "not integers"),
        ({"size": [20, 10], "counts": ""}, "can't be decoded"),
        ({"size": [20, 10], "counts": "é"}, "can't be decoded"),
        ({"size": [20, 10], "counts": "\x7f"}, "can't be decoded"),
        ({"size": [20, 10], "counts": "oooooooooooooooo"}, "can't be decoded"),
        ({"size": [20, 10], "counts": "oooooooooooooooo1"}, "can't be decoded"),
        ({"size": [20, 10], "counts": "12"}, "add up to 3"),
    ],
)
def test_malformed_segmentations(segmentation: object, message: str) -> None:
    with pytest.raises(CocoError, match=message):
        decode_segmentation(segmentation, 10, 20)


@given(st.binary(max_size=40))
def test_no_counts_break_the_decoder(counts: bytes) -> None:
    segmentation = {"size": [20, 10], "counts": counts}
    if segmentation_problem(segmentation, 10, 20) is None:
        assert decode_segmentation(segmentation, 10, 20).shape == (20, 10)
    else:
        with pytest.raises(CocoError):
            decode_segmentation(segmentation, 10, 20)
