"""Pseudo masks: convex, inside, touching; outside of the polyp and never empty; joint with the image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyp_aug.errors import ConfigurationError
from polyp_aug.geometry import mask_box, outer_box
from polyp_aug.mucosa import Mucosa
from polyp_aug.training.pseudo_masks import (
    SQUARE,
    PseudoMaskSettings,
    draw_pseudo_mask,
    fill_polygon,
    inscribed_polygon,
    joint_crop,
)

seeds = st.integers(0, 2**32 - 1)
boxes = st.tuples(st.integers(0, 300), st.integers(0, 250), st.integers(8, 200), st.integers(8, 160))
SETTINGS = PseudoMaskSettings()
WIDTH, HEIGHT = 512, 432


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(seeds, st.integers(0, 12))
def test_polygons_are_convex_inside_and_touch_all_sides(seed: int, extra: int) -> None:
    corners = inscribed_polygon(generator(seed), extra)
    assert corners.min() >= 0.0
    assert corners.max() <= 1.0
    assert (corners.min(axis=0) == 0.0).all()
    assert (corners.max(axis=0) == 1.0).all()
    edges = np.roll(corners, -1, axis=0) - corners
    following = np.roll(edges, -1, axis=0)
    turns = edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]
    assert (turns > 0).all()


@given(seeds, boxes)
def test_masks_of_polygons_are_inside_of_their_box_and_reach_its_sides(
    seed: int, box: tuple[int, int, int, int]
) -> None:
    mask = fill_polygon(inscribed_polygon(generator(seed)), box, WIDTH, HEIGHT)
    assert mask_box(mask) == box
    for line in (*mask, *mask.T):
        # A digitally convex mask has one run in every row and column.
        assert np.count_nonzero(np.diff(line.astype(np.int8)) == 1) + line[0] <= 1


@given(boxes)
def test_the_square_fills_its_box(box: tuple[int, int, int, int]) -> None:
    mask = fill_polygon(SQUARE, box, WIDTH, HEIGHT)
    assert mask_box(mask) == box
    assert mask.sum() == box[2] * box[3]


@given(seeds, st.lists(boxes, min_size=1, max_size=3))
def test_a_mask_paints_the_whole_of_a_polyp_s_box_or_nothing_of_any(
    seed: int, polyps: list[tuple[int, int, int, int]]
) -> None:
    drawn = draw_pseudo_mask(WIDTH, HEIGHT, polyps, SETTINGS, generator(seed))
    if drawn is None:
        return
    assert drawn.mask.any()
    grown = [outer_box(box, 15.0, WIDTH, HEIGHT) for box in polyps]
    if drawn.prompt == "Polyp":
        assert mask_box(drawn.mask) in grown
    else:
        for x, y, w, h in grown:
            assert not drawn.mask[y : y + h, x : x + w].any()


@given(seeds)
def test_a_frame_without_polyps_stays_normal(seed: int) -> None:
    drawn = draw_pseudo_mask(WIDTH, HEIGHT, [], SETTINGS, generator(seed))
    assert drawn is not None
    assert drawn.prompt == "Normal"
    found = mask_box(drawn.mask)
    assert found is not None
    assert 30 <= min(found[2:]) <= max(found[2:]) <= 200


def test_shares_are_those_of_the_settings() -> None:
    source = generator(0)
    drawn = [draw_pseudo_mask(WIDTH, HEIGHT, [(200, 150, 90, 70)], SETTINGS, source) for _ in range(2000)]
    prompts = [pair.prompt for pair in drawn if pair is not None]
    assert len(prompts) == 2000
    assert prompts.count("Polyp") / 2000 == pytest.approx(0.6, abs=0.04)
    whole = [pair.mask.sum() == 120 * 100 for pair in drawn if pair is not None and pair.prompt == "Polyp"]
    assert np.mean(whole) == pytest.approx(0.5, abs=0.05)
    rectangles = []
    for pair in drawn:
        if pair is not None and pair.prompt == "Normal":
            found = mask_box(pair.mask)
            assert found is not None
            rectangles.append(pair.mask.sum() == found[2] * found[3])
    assert np.mean(rectangles) == pytest.approx(0.4, abs=0.06)


@given(seeds)
def test_normal_masks_stay_on_the_mucosa_where_that_is_asked_for(seed: int) -> None:
    left = np.zeros((HEIGHT, WIDTH), np.bool_)
    left[:, : WIDTH // 2] = True
    mucosa = Mucosa(WIDTH, HEIGHT, 1, left)
    settings = PseudoMaskSettings(mucosa_share=0.9)
    drawn = draw_pseudo_mask(WIDTH, HEIGHT, [], settings, generator(seed), mucosa=mucosa.covers)
    assert drawn is not None
    found = mask_box(drawn.mask)
    assert found is not None
    assert mucosa.covers(found) >= 0.9
    nothing = replace(mucosa, map=np.zeros_like(left))
    assert draw_pseudo_mask(WIDTH, HEIGHT, [], settings, generator(seed), mucosa=nothing.covers) is None
    with pytest.raises(ConfigurationError, match="'mucosa' is needed"):
        draw_pseudo_mask(WIDTH, HEIGHT, [], settings, generator(seed))


def test_a_polyp_that_fills_the_frame_leaves_no_normal_mask() -> None:
    never = PseudoMaskSettings(polyp_share=0.0)
    assert draw_pseudo_mask(WIDTH, HEIGHT, [(5, 5, 500, 420)], never, generator(0)) is None


@given(seeds, boxes, st.sampled_from([64, 128, 200]))
def test_image_and_mask_are_cropped_jointly(seed: int, box: tuple[int, int, int, int], size: int) -> None:
    """The picture shows the mask itself, so any shift between the two would be seen."""
    mask = fill_polygon(inscribed_polygon(generator(seed)), box, WIDTH, HEIGHT)
    image = np.repeat(mask[:, :, None], 3, axis=2).astype(np.uint8) * 255
    cropped, hole = joint_crop(image, mask, size, generator(seed + 1))
    assert cropped.shape == (size, size, 3)
    assert hole.shape == (size, size)
    assert hole.any()
    shown = cropped[:, :, 0].astype(float)
    assert np.mean((shown >= 128) == hole) > 0.95
    if shown.sum() > 0:
        rows, columns = np.mgrid[:size, :size]
        for axis in (rows, columns):
            assert abs((axis * shown).sum() / shown.sum() - axis[hole].mean()) < 2.5


def test_the_whole_mask_is_kept_where_it_fits() -> None:
    mask = fill_polygon(SQUARE, (100, 80, 60, 90), WIDTH, HEIGHT)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for seed in range(50):
        _, hole = joint_crop(image, mask, HEIGHT, generator(seed))
        rows, columns = np.nonzero(hole)
        shorter, longer = sorted((np.ptp(columns) + 1, np.ptp(rows) + 1))
        assert shorter / longer == pytest.approx(60 / 90, rel=0.05)


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must not be empty"):
        joint_crop(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), bool), 4, generator(0))


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"polyp_share": 1.2}, "polyp_share"), ({"margin": -1.0}, "margin"), ({"sides": (50.0, 40.0)}, "sides")],
)
def test_wrong_settings_are_named(changes: dict[str, object], name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        PseudoMaskSettings(**changes)  # type: ignore[arg-type]
