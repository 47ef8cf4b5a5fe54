"""Places for polyps: on mucosa, apart from each other, by key."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Phantoms
from small_database import build

from polyp_aug.coco import read_coco
from polyp_aug.encoders.registry import load_encoder
from polyp_aug.errors import ConfigurationError
from polyp_aug.geometry import boxes_meet, polygon_region
from polyp_aug.images import list_images, read_image
from polyp_aug.keys import Key
from polyp_aug.mucosa import LEAST_SHARE, find_mucosa
from polyp_aug.proposers.base import Proposer, with_margin
from polyp_aug.proposers.random import RandomProposer
from polyp_aug.proposers.registry import load_proposer, proposer_names
from polyp_aug.proposers.shapes import ShapeStatistics
from polyp_aug.references import ReferenceBank

EMBEDDED = ShapeStatistics.embedded()


@pytest.fixture(scope="module")
def bank(phantoms: Phantoms) -> ReferenceBank:
    return ReferenceBank(read_coco(phantoms.references))


@pytest.fixture(scope="module")
def database(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("database") / "db"
    build(phantoms.references, path, encoder=load_encoder(side=256))
    return path


@pytest.fixture(params=proposer_names())
def proposer(request: pytest.FixtureRequest, bank: ReferenceBank, database: Path) -> Proposer:
    return load_proposer(request.param, references=bank, database=database)


def frames(phantoms: Phantoms) -> list[np.ndarray]:
    return [read_image(path) for path in list_images(phantoms.backgrounds)]


def test_places_lie_on_mucosa_and_apart(proposer: Proposer, phantoms: Phantoms) -> None:
    found = 0
    for number, image in enumerate(frames(phantoms)):
        occupied = [(100.0, 80.0, 40.0, 40.0)]
        mucosa = find_mucosa(image)
        placements = proposer.propose(image, 3, Key(1, f"frame {number}"), occupied)
        found += len(placements)
        taken = [with_margin(box) for box in occupied]
        for placement in placements:
            x, y, w, h = placement.region.box
            assert x >= 0
            assert y >= 0
            assert x + w <= image.shape[1]
            assert y + h <= image.shape[0]
            assert mucosa.covers(placement.region.box) >= LEAST_SHARE
            left, top, wide, high = with_margin((x + 2, y + 2, w - 4, h - 4))
            assert not any(boxes_meet((left, top, wide, high), other) for other in taken)
            assert placement.proposer == proposer.name
            taken.append(with_margin(placement.region.box))
        scores = [placement.score for placement in placements]
        assert proposer.name == "random" or scores == sorted(scores, reverse=True)
    assert found >= 6


def test_the_same_key_gives_the_same_places(proposer: Proposer, phantoms: Phantoms) -> None:
    image = frames(phantoms)[0]
    first, second, other = (
        [placement.region.box for placement in proposer.propose(image, 2, key)]
        for key in (Key(1, "a"), Key(1, "a"), Key(2, "a"))
    )
    assert first == second != other


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((120, 160, 3), np.uint8),
        np.full((120, 160, 3), 255, np.uint8),
        np.full((120, 160, 3), (20, 160, 40), np.uint8),
        np.full((9, 7, 3), (180, 90, 70), np.uint8),
        np.full((1, 1, 3), (180, 90, 70), np.uint8),
    ],
    ids=["black", "white", "green", "tiny", "one pixel"],
)
def test_a_frame_without_room_gives_no_or_valid_places(proposer: Proposer, image: np.ndarray) -> None:
    for placement in proposer.propose(image, 2, Key(1, "a")):
        assert min(image.shape[:2]) == 7
        assert find_mucosa(image).covers(placement.region.box) >= LEAST_SHARE


def test_an_occupied_frame_gives_no_place(proposer: Proposer, phantoms: Phantoms) -> None:
    assert proposer.propose(frames(phantoms)[0], 3, Key(1, "a"), [(0.0, 0.0, 256.0, 216.0)]) == []


def test_the_size_range_holds(phantoms: Phantoms) -> None:
    proposer = RandomProposer(size_range=(0.1, 0.2))
    for image in frames(phantoms):
        for placement in proposer.propose(image, 3, Key(5, "a")):
            assert 0.09 * 216 <= placement.region.equivalent_diameter <= 0.21 * 216


@pytest.mark.parametrize("size_range", [(0.01, 0.05), (0.05, 0.2), (0.3, 0.7), (0.92, 0.98)])
def test_sizes_are_drawn_from_the_whole_range(size_range: tuple[float, float]) -> None:
    generator = np.random.default_rng(0)
    drawn = [EMBEDDED.draw_diameter(generator, *size_range) for _ in range(600)]
    low, high = size_range
    assert low <= min(drawn) < low + 0.1 * (high - low)
    assert high - 0.1 * (high - low) < max(drawn) <= high


@pytest.mark.parametrize("size_range", [(0.0, 0.2), (0.3, 0.2), (0.1, 1.0), (float("nan"), 0.5)])
def test_a_wrong_size_range_is_named(size_range: tuple[float, float]) -> None:
    with pytest.raises(ConfigurationError, match="size_range"):
        RandomProposer(size_range=size_range)


def test_unknown_names_and_missing_references_are_named() -> None:
    with pytest.raises(ConfigurationError, match=r"'proposer' must be one of random, reference, retrieval \(got 'x'\)"):
        load_proposer("x")
    with pytest.raises(ConfigurationError, match="reference data set"):
        load_proposer("reference")


def test_reference_places_keep_the_reference_s_shape(bank: ReferenceBank, phantoms: Phantoms) -> None:
    proposer = load_proposer("reference", references=bank)
    placements = [p for image in frames(phantoms) for p in proposer.propose(image, 2, Key(3, "a"))]
    assert placements
    for placement in placements:
        assert placement.reference is not None
        original = bank.get(placement.reference).region()
        assert placement.region.box[2:] == original.box[2:]
        assert placement.region.area == pytest.approx(original.area, rel=0.02)


def test_outlines_follow_the_statistics() -> None:
    generator = np.random.default_rng(0)
    aspects = []
    for _ in range(300):
        points = EMBEDDED.draw_outline(generator)
        x, y = points.T
        area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
        assert area == pytest.approx(1.0)
        values = np.linalg.eigvalsh(np.cov((points - points.mean(axis=0)).T))
        aspects.append(np.sqrt(values[0] / values[1]))
    # Corners of an outline are not its pixels, so the agreement is rough.
    assert np.median(aspects) == pytest.approx(np.median(EMBEDDED.aspect), abs=0.08)


def test_measured_statistics_of_drawn_outlines_return_the_model() -> None:
    generator = np.random.default_rng(1)
    regions = []
    for _ in range(400):
        size = EMBEDDED.draw_diameter(generator, 0.05, 0.95) * 400
        points = EMBEDDED.draw_outline(generator) * size * np.sqrt(np.pi / 4) + 400
        region = polygon_region(points, 800, 800)
        assert region is not None
        regions.append((region, 400, 400))
    measured = ShapeStatistics.measure(regions, "drawn")
    assert np.max(np.abs(np.subtract(measured.diameter, EMBEDDED.diameter))[2:-2]) < 0.06
    assert np.max(np.abs(np.subtract(measured.aspect, EMBEDDED.aspect))) < 0.08
    assert np.max(np.abs(np.subtract(measured.harmonics, EMBEDDED.harmonics))) < 0.005
    assert ShapeStatistics.from_dict(measured.to_dict()) == measured


def test_too_few_masks_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"at least 20 polyps with masks \(got 0\)"):
        ShapeStatistics.measure([], "nothing")


def test_real_frames_have_room(real_data: Path) -> None:
    with open(real_data / "manifest.csv", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["kind"] == "normal" and row["split"] == "test"][:40]
    proposer = RandomProposer()
    placed = 0
    for row in rows:
        image = read_image(real_data / row["file"])
        mucosa = find_mucosa(image)
        placements = proposer.propose(image, 1, Key(1, row["file"]))
        placed += len(placements)
        assert all(mucosa.covers(placement.region.box) >= LEAST_SHARE for placement in placements)
    assert placed >= 36


def test_the_map_leaves_out_what_is_no_mucosa() -> None:
    image = np.full((240, 320, 3), (190, 100, 80), np.uint8)
    image[:, :40] = 0
    image[180:, :120] = (20, 160, 60)
    image[100:140, 200:240] = 255
    image[20:30, 250:260] = 10
    mucosa = find_mucosa(image)
    assert mucosa.covers((0, 0, 40, 240)) == 0.0
    assert mucosa.covers((44, 184, 70, 50)) == 0.0
    assert mucosa.covers((204, 104, 32, 32)) == 0.0
    assert mucosa.covers((130, 150, 60, 60)) == 1.0
    assert mucosa.covers((-40, 0, 80, 240)) == 0.0


def test_burned_in_text_is_no_place() -> None:
    image = np.full((400, 500, 3), (190, 100, 80), np.uint8)
    clean = find_mucosa(image)
    for row in range(5):
        cv2.putText(image, "Name: 12/03", (10, 60 + 16 * row), cv2.FONT_HERSHEY_PLAIN, 0.9, (230, 230, 230), 1)
    assert clean.covers((20, 50, 70, 80)) == 1.0
    assert find_mucosa(image).covers((20, 50, 70, 80)) < 0.3


def test_every_free_centre_fits_and_no_other_does() -> None:
    image = np.full((120, 160, 3), (190, 100, 80), np.uint8)
    image[:, :50] = 0
    mucosa = find_mucosa(image)
    occupied = [(100.0, 40.0, 20.0, 20.0)]
    centres = mucosa.centres(20, 20, occupied)
    found = {(round(x), round(y)) for x, y in centres}
    for x in range(10, 151):
        for y in range(10, 111):
            box = (x - 10.0, y - 10.0, 20.0, 20.0)
            free = mucosa.covers(box) >= LEAST_SHARE and not boxes_meet(box, occupied[0])
            assert ((x, y) in found) == free, (x, y)


def test_margin_is_a_share_with_a_least_width() -> None:
    assert with_margin((10.0, 10.0, 100.0, 50.0)) == (0.0, 0.0, 120.0, 70.0)
    assert with_margin((10.0, 10.0, 5.0, 5.0)) == (7.0, 7.0, 11.0, 11.0)
