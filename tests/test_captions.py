"""The facts of captions: measured on masks and pictures, or drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyp_aug.captions.attributes import BACKGROUND, FOREGROUND, parse_attribute
from polyp_aug.captions.check import contradictions
from polyp_aug.captions.facts import (
    FrameFacts,
    PolypFacts,
    mask_facts,
    measure_background,
    measure_facts,
    measure_frame,
)
from polyp_aug.captions.sampling import sample_background, sample_facts, sample_frame
from polyp_aug.captions.template import TemplateWriter
from polyp_aug.captions.thresholds import DEFAULT_TABLE, default_table, read_table
from polyp_aug.errors import ConfigurationError
from polyp_aug.images import ImageArray, MaskArray, list_images, read_image, read_mask
from polyp_aug.keys import Key

MUCOSA = (190, 110, 90)


def ellipse(x: float, y: float, across: float, down: float, height: int = 200, width: int = 256) -> MaskArray:
    """A mask whose centre and half axes are shares of the frame's width and height."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    inside = ((columns / width - x) / across) ** 2 + ((rows / height - y) / down) ** 2 <= 1
    return np.asarray(inside)


def frame(mask: MaskArray, polyp: tuple[int, int, int] = MUCOSA, mucosa: tuple[int, int, int] = MUCOSA) -> ImageArray:
    """A frame of one colour, with a polyp of one colour."""
    image = np.empty((*mask.shape, 3), np.uint8)
    image[:] = mucosa
    image[mask] = polyp
    return image


POLYP = PolypFacts("upper left", "small", "round", "pale", "smooth", "sessile")


# Attributes


def test_a_value_belongs_to_one_attribute() -> None:
    values = [value for table in (FOREGROUND, BACKGROUND) for table in table.values() for value in table]
    assert len(values) == len(set(values))
    for table in (FOREGROUND, BACKGROUND):
        said = [word for values in table.values() for synonyms in values.values() for word in synonyms]
        assert len(said) == len(set(said))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("colour=pale", ("colour", "pale")),
        ("color = Pale", ("colour", "pale")),
        ("colour=red", ("colour", "reddish")),
        ("shape=pedunculated", ("type", "pedunculated")),
        ("place=top left", ("place", "upper left")),
        ("place=upper-left", ("place", "upper left")),
        ("place=center", ("place", "centre")),
        ("tone=red", ("tone", "red")),
        ("colour=mucosa coloured", ("colour", "similar")),
    ],
)
def test_attributes_from_text(text: str, expected: tuple[str, str]) -> None:
    assert parse_attribute(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour=green", r"colour is one of pale, similar, reddish \(got 'green'\)"),
        ("weight=heavy", r"expected attribute=value, of place, size, .* \(got 'weight=heavy'\)"),
        ("pale", r"expected attribute=value"),
        ("size=", r"size is one of small, medium, large \(got ''\)"),
    ],
)
def test_wrong_attributes_are_named(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_attribute(text)


# Facts


@pytest.mark.parametrize(
    ("mask", "place", "size", "shape"),
    [
        (ellipse(0.25, 0.25, 0.1, 0.128), "upper left", "small", "round"),
        (ellipse(0.75, 0.25, 0.15, 0.192), "upper right", "medium", "round"),
        (ellipse(0.25, 0.75, 0.05, 0.2), "lower left", "small", "oval"),
        (ellipse(0.7, 0.7, 0.3, 0.2), "lower right", "large", "oval"),
        (ellipse(0.5, 0.5, 0.2, 0.25) & ~ellipse(0.5, 0.3, 0.1, 0.15), "centre", "medium", "irregular"),
    ],
)
def test_a_mask_tells_place_size_and_shape(mask: MaskArray, place: str, size: str, shape: str) -> None:
    facts = mask_facts(mask)
    assert (facts.place, facts.size, facts.shape) == (place, size, shape)


centres = st.floats(0.1, 0.9).filter(lambda value: abs(value - 0.5) > 0.02)


@given(centres, centres, st.floats(0.05, 0.3), st.floats(0.05, 0.3))
def test_a_mirrored_mask_changes_sides_and_nothing_else(x: float, y: float, across: float, down: float) -> None:
    mask = ellipse(x, y, across, down)
    facts = mask_facts(mask)
    number = facts.numbers
    if min(abs(number["x"] - 0.5), abs(number["y"] - 0.5)) < 1e-6:
        return
    for flipped, pair in ((mask[:, ::-1], ("left", "right")), (mask[::-1], ("upper", "lower"))):
        other = mask_facts(np.ascontiguousarray(flipped))
        swapped = " ".join({pair[0]: pair[1], pair[1]: pair[0]}.get(word, word) for word in facts.place.split())
        assert (other.place, other.size, other.shape) == (swapped, facts.size, facts.shape)


@given(st.floats(0.08, 0.3), st.floats(0.08, 0.3), st.floats(0, 180))
def test_shape_is_the_same_at_any_resolution_and_solid_for_ellipses(long: float, short: float, angle: float) -> None:
    found = []
    for side in (128, 512):
        canvas = np.zeros((side, side), np.uint8)
        cv2.ellipse(canvas, (side // 2, side // 2), (int(long * side), int(short * side)), angle, 0, 360, 1, -1)
        found.append(mask_facts(canvas.astype(np.bool_)))
    assert all(facts.shape != "irregular" for facts in found)
    first, second = (facts.numbers for facts in found)
    assert abs(first["solidity"] - second["solidity"]) < 0.04
    assert abs(first["elongation"] - second["elongation"]) < 0.1


@pytest.mark.parametrize(
    ("polyp", "expected"), [((220, 190, 170), "pale"), (MUCOSA, "similar"), ((200, 70, 60), "reddish")]
)
def test_colour_is_against_the_mucosa_around(polyp: tuple[int, int, int], expected: str) -> None:
    mask = ellipse(0.4, 0.5, 0.15, 0.2)
    assert measure_facts(frame(mask, polyp), mask).colour == expected
    # The same polyp under half of the light.
    darker = (frame(mask, polyp) * 0.7).astype(np.uint8)
    assert measure_facts(darker, mask).colour == expected


def test_highlights_and_other_polyps_are_no_colour() -> None:
    mask, other = ellipse(0.35, 0.5, 0.15, 0.2), ellipse(0.65, 0.5, 0.12, 0.15)
    image = frame(mask)
    image[ellipse(0.35, 0.5, 0.05, 0.06)] = 255
    image[other] = (200, 70, 60)
    assert measure_facts(image, mask, others=other).colour == "similar"


def test_texture_and_type_follow_relief_and_rim() -> None:
    mask = ellipse(0.5, 0.5, 0.2, 0.25)
    plain = measure_facts(frame(mask), mask)
    assert (plain.texture, plain.type) == ("smooth", "flat")
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]]
    bumps = 25 * np.sin(columns / 3.5) * np.sin(rows / 3.5)
    rough = frame(mask).astype(np.float64)
    rough[mask] += bumps[mask][:, None]
    assert measure_facts(rough.astype(np.uint8), mask).texture == "nodular"
    raised = frame(mask, (230, 150, 130), (120, 70, 58))
    assert measure_facts(raised, mask).type == "pedunculated"
    assert raised[mask].mean() > raised[~mask].mean()


@pytest.mark.parametrize(
    ("mucosa", "tone", "brightness"),
    [
        ((200, 140, 130), "pink", "bright"),
        ((185, 70, 60), "red", "evenly lit"),
        ((200, 120, 60), "orange", "bright"),
        ((90, 55, 50), "pink", "dim"),
    ],
)
def test_the_background_is_measured(mucosa: tuple[int, int, int], tone: str, brightness: str) -> None:
    nothing = np.zeros((200, 256), np.bool_)
    image = frame(nothing, mucosa=mucosa)
    facts = measure_background(image, nothing)
    assert facts.values() == {"tone": tone, "brightness": brightness, "highlights": "matt", "lumen": "hidden"}
    image[ellipse(0.3, 0.3, 0.2, 0.25)] = (25, 15, 14)
    image[ellipse(0.7, 0.7, 0.1, 0.1)] = 255
    facts = measure_background(image, nothing)
    assert (facts.highlights, facts.lumen) == ("glossy", "visible")
    assert facts.tone == tone


def test_a_black_border_is_neither_lumen_nor_mucosa() -> None:
    disc = ellipse(0.5, 0.5, 0.5, 0.5)
    image = frame(disc, MUCOSA, (0, 0, 0))
    image[~disc] = 3
    facts = measure_background(image, np.zeros_like(disc))
    assert facts.lumen == "hidden"
    assert facts.tone == measure_background(frame(disc), np.zeros_like(disc)).tone


@pytest.mark.parametrize("side", [1, 2, 7])
def test_tiny_polyps_and_frames_are_measured(side: int) -> None:
    mask = np.zeros((60, 80), np.bool_)
    mask[20 : 20 + side, 30 : 30 + side] = True
    assert measure_facts(frame(mask), mask).size == "small"
    whole = np.ones((side, side), np.bool_)
    assert measure_facts(frame(whole), whole).values()["size"] == "large"
    assert measure_frame(np.zeros((40, 40, 3), np.uint8), []).polyps == ()


def test_facts_need_a_mask_of_the_frame() -> None:
    image, empty = np.zeros((40, 50, 3), np.uint8), np.zeros((40, 50), np.bool_)
    with pytest.raises(ConfigurationError, match=r"a mask of shape \(40, 50\) has no pixel"):
        measure_facts(image, empty)
    with pytest.raises(ConfigurationError, match=r"not of the image's size \(40, 50\)"):
        measure_facts(image, np.ones((50, 40), np.bool_))
    with pytest.raises(ConfigurationError, match="a bool array"):
        mask_facts(np.ones((50, 40), np.uint8))  # type: ignore[arg-type]


def test_polyps_of_a_frame_are_ordered_by_size() -> None:
    small, large = ellipse(0.2, 0.2, 0.05, 0.06), ellipse(0.7, 0.7, 0.2, 0.25)
    facts = measure_frame(frame(small | large), [small, large])
    assert [polyp.place for polyp in facts.polyps] == ["lower right", "upper left"]
    assert FrameFacts.from_dict(json.loads(json.dumps(facts.to_dict()))).to_dict() == facts.to_dict()
    with pytest.raises(ConfigurationError, match="colour is 'green', expected one of pale"):
        FrameFacts.from_dict({**facts.to_dict(), "polyps": [{**POLYP.values(), "colour": "green"}]})


# Facts of polyps that are still to be painted


def test_drawn_facts_keep_to_the_mask_and_to_what_was_asked_for() -> None:
    mask = ellipse(0.25, 0.25, 0.1, 0.128)
    control = dict(map(parse_attribute, ("colour=pale", "shape=pedunculated", "place=upper left", "tone=orange")))
    drawn = [sample_facts(mask, default_table(), control, Key(0, "mask", draw=draw)) for draw in range(40)]
    assert {(item.place, item.size, item.shape, item.colour, item.type) for item in drawn} == {
        ("upper left", "small", "round", "pale", "pedunculated")
    }
    assert {item.texture for item in drawn} == set(FOREGROUND["texture"])
    assert drawn[0] == sample_facts(mask, default_table(), control, Key(0, "mask", draw=0))
    assert sample_background(default_table(), control, Key(0, "mask")).tone == "orange"
    facts = sample_frame([mask, ellipse(0.7, 0.7, 0.3, 0.2)], default_table(), {}, Key(0, "mask"))
    assert [polyp.size for polyp in facts.polyps] == ["large", "small"]


def test_facts_are_drawn_as_often_as_they_occur() -> None:
    mask, table = ellipse(0.7, 0.7, 0.3, 0.2), default_table()
    drawn = [sample_facts(mask, table, {}, Key(1, "mask", draw=draw)).type for draw in range(600)]
    large = {row: count for row, count in table.polyps.items() if row[0] == "large"}
    for kind in FOREGROUND["type"]:
        share = sum(count for row, count in large.items() if row[3] == kind) / sum(large.values())
        assert abs(drawn.count(kind) / 600 - share) < 0.06
    rare = replace(table, polyps={("small", "pale", "smooth", "flat"): 1})
    assert sample_facts(mask, rare, {"colour": "reddish"}, Key(0, "mask")).values() | {"shape": "oval"} == {
        "place": "lower right",
        "size": "large",
        "shape": "oval",
        "colour": "reddish",
        "texture": "smooth",
        "type": "flat",
    }


@pytest.mark.parametrize(
    ("control", "message"),
    [
        ({"place": "lower right"}, "place=lower right contradicts the mask, which is upper left"),
        ({"size": "large"}, "size=large contradicts the mask, which is small"),
        ({"shape": "irregular"}, "shape=irregular contradicts the mask, which is round"),
        ({"colour": "green"}, r"expected colour is one of pale, similar, reddish \(got colour=green\)"),
        ({"weight": "heavy"}, r"got weight=heavy"),
    ],
)
def test_what_contradicts_the_mask_is_refused(control: Mapping[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        sample_facts(ellipse(0.25, 0.25, 0.1, 0.128), default_table(), control, Key(0, "mask"))


def test_the_table_was_measured_and_is_checked(tmp_path: Path) -> None:
    table = default_table()
    assert sum(table.polyps.values()) == 739
    assert sum(table.backgrounds.values()) == 700
    text = DEFAULT_TABLE.read_text("utf-8")
    for before, after, message in (
        ("  pale: ", "  paler: ", "limits are"),
        ("large, pale, nodular, flat: 1", "large, green, nodular, flat: 1", "'large, green, nodular, flat': 1"),
        ("mucosa: [", "mucosa: [1, ", "three numbers"),
        ("backgrounds:", "others:", "expected backgrounds, limits"),
        ("source:", "source: [", "can't be read as YAML"),
    ):
        assert before in text
        (tmp_path / "table.yaml").write_text(text.replace(before, after), "utf-8")
        with pytest.raises(ConfigurationError, match=message):
            read_table(tmp_path / "table.yaml")


def test_real_frames_have_true_captions(real_data: Path) -> None:
    paths = list_images(real_data / "polyp" / "images")[:400:40]
    assert len(paths) == 10
    for path in paths:
        picture = read_image(path)
        mask = read_mask(next((real_data / "polyp" / "masks").glob(f"{path.stem}.*")))
        facts = measure_frame(picture, [mask])
        caption = TemplateWriter().write(facts, Key(0, path.name))
        assert contradictions(caption, facts) == []
        flipped = measure_frame(np.ascontiguousarray(picture[:, ::-1]), [np.ascontiguousarray(mask[:, ::-1])])
        swap = {"left": "right", "right": "left"}
        place = " ".join(swap.get(word, word) for word in facts.polyps[0].place.split())
        assert flipped.polyps[0].place == place
        if place != "centre":
            assert contradictions(caption, flipped)
