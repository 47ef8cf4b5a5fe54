"""The `retrieval` proposer: matching, clusters, the published form, and the contract of a proposer."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Phantoms
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from runs import config, digests, records
from sklearn.cluster import DBSCAN
from small_database import ColourEncoder, build

from polyp_aug.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, encode_region
from polyp_aug.database.folder import ReferenceDatabase
from polyp_aug.database.identity import digest_database
from polyp_aug.encoders.patches import PatchEncoder
from polyp_aug.encoders.registry import load_encoder
from polyp_aug.errors import ConfigurationError, DatabaseError, ImageError, RunConfigurationChanged
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.generation.generate import generate
from polyp_aug.geometry import Region, box_iou, boxes_meet
from polyp_aug.images import ImageArray, image_size, list_images, read_image, read_mask, write_png
from polyp_aug.keys import Key
from polyp_aug.mucosa import LEAST_SHARE, find_mucosa
from polyp_aug.proposers.base import with_margin
from polyp_aug.proposers.registry import load_proposer
from polyp_aug.proposers.retrieval.figure import matching_figure
from polyp_aug.proposers.retrieval.load import load_retrieval
from polyp_aug.proposers.retrieval.matching import (
    DIRECTIONS,
    Direction,
    Matches,
    count_votes,
    find_clusters,
    match_patches,
    patch_centres,
)
from polyp_aug.proposers.retrieval.proposer import RetrievalProposer
from polyp_aug.proposers.retrieval.settings import RetrievalSettings


@pytest.fixture(scope="module")
def folder(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the embedded encoder."""
    path = tmp_path_factory.mktemp("retrieval") / "db"
    build(phantoms.references, path, encoder=load_encoder(side=256), batch_size=5)
    return path


@pytest.fixture(scope="module")
def native(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with frames in their own size."""
    path = tmp_path_factory.mktemp("native") / "db"
    build(phantoms.references, path, encoder=load_encoder(side=0), batch_size=5)
    return path


@pytest.fixture(scope="module")
def proposer(folder: Path) -> RetrievalProposer:
    return load_retrieval(folder)


@pytest.fixture(scope="module")
def frames(phantoms: Phantoms) -> list[ImageArray]:
    return [read_image(path) for path in list_images(phantoms.backgrounds)]


def boxes(proposer: RetrievalProposer, image: ImageArray, key: Key, count: int = 3) -> list[tuple[int, ...]]:
    return [placement.region.box for placement in proposer.propose(image, count, key)]


# Matching and clusters


@given(
    query=arrays(np.float32, st.tuples(st.integers(1, 30), st.just(4)), elements=st.integers(-5, 5)),
    reference=arrays(np.float32, st.tuples(st.integers(1, 12), st.just(4)), elements=st.integers(-5, 5)),
    direction=st.sampled_from(DIRECTIONS),
    closest=st.integers(1, 40),
)
def test_matches_are_those_of_two_loops(
    query: np.ndarray, reference: np.ndarray, direction: Direction, closest: int
) -> None:
    pairs = []
    forwards = direction == "query_to_reference"
    for number, source in enumerate(query if forwards else reference):
        distances = [float(np.linalg.norm(source - other)) for other in (reference if forwards else query)]
        nearest = distances.index(min(distances))
        pairs.append((distances[nearest], *((number, nearest) if forwards else (nearest, number))))
    # Sorting is stable: of equal distances the first patch comes first.
    pairs = sorted(pairs, key=lambda pair: pair[0])[:closest]
    found = match_patches(query, reference, direction, closest)
    assert found.query.tolist() == [pair[1] for pair in pairs]
    assert found.reference.tolist() == [pair[2] for pair in pairs]
    np.testing.assert_allclose(found.distance, [pair[0] for pair in pairs], atol=1e-5)


CENTRES = [(8, 8), (24, 8), (8, 24), (200, 8), (200, 24), (100, 100)]


@pytest.mark.parametrize(
    ("radius", "least", "members", "box"),
    [
        (17, 1, [[0, 1, 2], [3, 4], [5]], (0, 0, 32, 32)),
        (10, 1, [[0], [1], [2], [3], [4], [5]], (0, 0, 16, 16)),
        (17, 2, [[0, 1, 2], [3, 4]], (0, 0, 32, 32)),
        (17, 4, [], None),
        (400, 1, [[0, 1, 2, 3, 4, 5]], (0, 0, 208, 108)),
    ],
)
def test_clusters_are_sorted_by_size_then_by_the_closest_match(
    radius: float, least: int, members: list[list[int]], box: tuple[int, ...] | None
) -> None:
    found = find_clusters(np.array(CENTRES, np.float64), (16.0, 16.0), radius, least)
    assert [cluster.members.tolist() for cluster in found] == members
    assert [cluster.box for cluster in found[:1]] == ([box] if box else [])
    # The closest match comes first; it decides between clusters of one size.
    order = [3, 4, 0, 2, 5]
    found = find_clusters(np.array(CENTRES, np.float64)[order], (16.0, 16.0), 17, 1)
    assert [cluster.members.tolist() for cluster in found] == [[0, 1], [2, 3], [4]]


def test_patches_that_are_not_square_keep_their_sides() -> None:
    centres = patch_centres(np.array([0, 5, 11]), 4, (10.0, 20.0))
    assert centres.tolist() == [[5, 10], [15, 30], [35, 50]]
    assert find_clusters(centres[:2], (10.0, 20.0), 41.0, 1)[0].box == (0, 0, 20, 40)


def test_votes_count_every_match() -> None:
    found = [
        Matches(np.array(query), np.zeros(len(query), np.int64), np.zeros(len(query), np.float32))
        for query in ([0, 0, 5], [5])
    ]
    assert count_votes(found, 2, 3).tolist() == [[2, 0, 0], [0, 0, 2]]
    assert count_votes([], 2, 3).sum() == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"candidates": 0}, r"'candidates' must be at least 1 \(got 0\)"),
        ({"closest": 0}, "'closest'"),
        ({"least": 0}, "'least'"),
        ({"radius": -1.0}, "'radius' must not be negative"),
        ({"temperature": -0.1}, "'temperature'"),
        ({"direction": "both"}, "'direction' must be one of reference_to_query, query_to_reference"),
        ({"extent": "x"}, "'extent' must be one of cluster, reference"),
        ({"search": "x"}, "'search' must be one of exact, faiss"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        RetrievalSettings(**settings)


def test_settings_are_plain_data() -> None:
    settings = RetrievalSettings.published()
    assert RetrievalSettings(**json.loads(json.dumps(settings.to_dict()))) == settings


# The published form


def published_mask(
    image: ImageArray, references: list[tuple[ImageArray, np.ndarray]], encoder: PatchEncoder
) -> np.ndarray:
    """The mask of a proposal, from the paper's equations and the settings of the authors' code, for one reference."""
    patch = encoder.patch

    def patches(picture: np.ndarray) -> np.ndarray:
        rows, columns = picture.shape[0] // patch, picture.shape[1] // patch
        return picture[: rows * patch, : columns * patch].reshape(rows, patch, columns, patch).mean(axis=(1, 3))

    def features(picture: ImageArray) -> np.ndarray:
        return encoder.encode([picture])[0].local.astype(np.float64)

    query = features(image)
    columns = query.shape[1]
    pooled = [features(normal).mean(axis=(0, 1)) for normal, _ in references]
    nearest = int(np.argmin([np.linalg.norm(query.mean(axis=(0, 1)) - other) for other in pooled]))
    normal, mask = references[nearest]
    # A database keeps local features in half precision.
    masked = features(normal)[patches(mask) >= 0.5].astype(np.float16).astype(np.float64)
    distances = [min(np.linalg.norm(one - other) for other in masked) for one in query.reshape(-1, query.shape[2])]
    closest = np.argsort(distances, kind="stable")[:30]
    points = np.array([((j % columns + 0.5) * patch, (j // columns + 0.5) * patch) for j in closest])
    labels = DBSCAN(eps=2 * patch + 1, min_samples=1).fit_predict(points)
    cluster = points[labels == np.bincount(labels).argmax()]
    left, top = (cluster.min(axis=0) - patch / 2).astype(int)
    right, bottom = (cluster.max(axis=0) + patch / 2).astype(int)
    result = np.zeros(image.shape[:2], np.bool_)
    result[top:bottom, left:right] = True
    return result


def assert_published(path: Path, images: list[ImageArray]) -> int:
    """Compare the masks of the proposer with those of `published_mask`; the number of those that lie on mucosa."""
    encoder = load_encoder(side=0)
    database = ReferenceDatabase(path)
    proposer = RetrievalProposer(database, encoder, RetrievalSettings.published())
    references = [
        (database.image(index), item.region().to_mask(*item.frame_size[::-1]))
        for index, item in enumerate(database.references)
    ]
    placed = 0
    for image, retrieval in zip(images, proposer.retrieve(images), strict=True):
        expected = published_mask(image, references, encoder)
        x, y, w, h = (int(value) for value in retrieval.proposals[0].box)
        assert (x, y, w, h) == retrieval.proposals[0].box
        np.testing.assert_array_equal(Region(x, y, np.ones((h, w), np.bool_)).to_mask(*image.shape[:2]), expected)
        places = proposer.place(retrieval, 1, Key(1, "a"))
        if find_mucosa(image).covers((x, y, w, h)) >= LEAST_SHARE and min(w, h) >= 12:
            np.testing.assert_array_equal(places[0].region.to_mask(*image.shape[:2]), expected)
            placed += 1
    return placed


def test_published_settings_give_the_masks_of_the_paper(native: Path, frames: list[ImageArray]) -> None:
    assert assert_published(native, [*frames, frames[0][:190, :201]]) >= 1


def test_published_settings_give_the_masks_of_the_paper_on_real_frames(real_data: Path, tmp_path: Path) -> None:
    with open(real_data / "manifest.csv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    polyps = [row for row in rows if row["kind"] == "polyp" and row["split"] == "train"][10:14]
    normals = [row for row in rows if row["kind"] == "normal" and row["split"] == "test"][:3]
    images, annotations = [], []
    for number, row in enumerate(polyps, start=1):
        width, height = image_size(real_data / row["file"])
        region = Region.from_mask(read_mask(real_data / row["mask"]))
        assert region is not None
        images.append(CocoImage(number, row["file"], width, height, extra={"split": "train"}))
        segmentation = encode_region(region, width, height)
        box = tuple(float(value) for value in region.box)
        annotations.append(CocoAnnotation(number, number, 1, box, float(region.area), segmentation))  # type: ignore[arg-type]
    data = CocoDataset(real_data, tuple(images), tuple(annotations), (CocoCategory(1, "polyp"),))
    found = build(data, tmp_path / "db", encoder=load_encoder(side=0))
    assert found.added >= 3
    assert_published(tmp_path / "db", [read_image(real_data / row["file"]) for row in normals])


# What is found


def test_a_frame_gets_the_places_of_its_own_polyps_back(tmp_path: Path) -> None:
    """Each with the size of the polyp that was there, though both stand on one frame."""
    rows, columns = np.mgrid[:320, :480]
    image = np.stack([120 + columns / 5, 60 + rows / 8, 50 + (columns * rows) % 97 / 8], axis=2).astype(np.uint8)
    (tmp_path / "data" / "images").mkdir(parents=True)
    write_png(tmp_path / "data" / "images" / "1.png", image)
    there = [(48, 48, 48, 48), (288, 128, 128, 96)]
    annotations = tuple(
        CocoAnnotation(number, 1, 1, tuple(map(float, box)), 1.0)  # type: ignore[arg-type]
        for number, box in enumerate(there, start=1)
    )
    data = CocoDataset(
        tmp_path / "data" / "images", (CocoImage(1, "1.png", 480, 320),), annotations, (CocoCategory(1, "polyp"),)
    )
    assert build(data, tmp_path / "db").added == 1
    database = ReferenceDatabase(tmp_path / "db")
    settings = RetrievalSettings(closest=100, temperature=0.0)
    proposer = RetrievalProposer(database, ColourEncoder(), settings)
    retrieval = proposer.retrieve([database.image(0)])[0]
    assert [candidate.distance for candidate in retrieval.candidates] == [0.0]
    assert [proposal.polyp.id for proposal in retrieval.proposals] == ["1.png#2", "1.png#1"]
    for proposal, box in zip(retrieval.proposals, reversed(there), strict=True):
        assert box_iou(proposal.box, box) > 0.8
        assert proposal.box[2:] == box[2:]
    assert sum(proposal.score for proposal in retrieval.proposals) == pytest.approx(1.0)
    assert retrieval.votes.sum() == len(database.local(0)[0])
    # The largest cluster of a candidate comes first, however close the others' features are.
    bluer = database.image(0)
    bluer[112:, :, 2] += 20
    bluer[:112, 112:, 2] += 20
    farther = proposer.retrieve([bluer])[0].proposals
    assert [proposal.polyp.id for proposal in farther[:2]] == ["1.png#2", "1.png#1"]
    assert box_iou(farther[0].box, there[1]) > 0.6
    larger = np.repeat(np.repeat(database.image(0), 2, axis=0), 2, axis=1)
    assert proposer.retrieve([larger])[0].proposals[0].box[2:] == (256, 192)
    clusters = RetrievalProposer(database, ColourEncoder(), RetrievalSettings(closest=100, extent="cluster"))
    assert [found.box for found in clusters.retrieve([database.image(0)])[0].proposals] == [
        (288, 128, 128, 96),
        (48, 48, 48, 48),
    ]


def test_proposals_are_ranked_and_candidates_sorted(proposer: RetrievalProposer, frames: list[ImageArray]) -> None:
    for retrieval in proposer.retrieve(frames):
        distances = [candidate.distance for candidate in retrieval.candidates]
        assert len(distances) == 8
        assert distances == sorted(distances)
        scores = [proposal.score for proposal in retrieval.proposals]
        assert scores == sorted(scores, reverse=True)
        assert all(0.0 < score <= 1.0 for score in scores)
        for number, candidate in enumerate(retrieval.candidates):
            own = [proposal.cluster for proposal in retrieval.proposals if proposal.candidate == number]
            assert own == list(range(len(candidate.clusters)))
            assert sum(len(cluster.members) for cluster in candidate.clusters) == len(candidate.matches.query) <= 30
        assert retrieval.votes.sum() == sum(len(candidate.matches.query) for candidate in retrieval.candidates)


@pytest.mark.parametrize("search", ["exact", "faiss"])
def test_more_candidates_than_references_are_all(search: str, folder: Path, frames: list[ImageArray]) -> None:
    pytest.importorskip("faiss")
    proposer = load_retrieval(folder, settings=RetrievalSettings(candidates=50, search=search))
    found = proposer.retrieve(frames[:1])[0].candidates
    assert sorted(candidate.reference for candidate in found) == list(range(10))


# The contract of a proposer


def test_places_lie_on_mucosa_and_apart(proposer: RetrievalProposer, frames: list[ImageArray]) -> None:
    found = 0
    for number, image in enumerate(frames):
        occupied = [(100.0, 80.0, 40.0, 40.0)]
        mucosa = find_mucosa(image)
        placements = proposer.propose(image, 3, Key(1, f"frame {number}"), occupied)
        found += len(placements)
        taken = [with_margin(box) for box in occupied]
        for placement in placements:
            x, y, w, h = placement.region.box
            assert min(x, y) >= 0
            assert x + w <= image.shape[1]
            assert y + h <= image.shape[0]
            assert min(w, h) >= 12
            assert mucosa.covers(placement.region.box) >= LEAST_SHARE
            assert not any(boxes_meet(with_margin((x, y, w, h)), other) for other in taken)
            assert (placement.proposer, placement.reference) == ("retrieval", None)
            assert placement.details["database_reference"].startswith(placement.details["database_source"]["file"])
            assert json.loads(json.dumps(placement.details)) == placement.details
            taken.append(with_margin(placement.region.box))
        scores = [placement.score for placement in placements]
        assert scores == sorted(scores, reverse=True)
    assert found >= 6


@pytest.mark.parametrize("on_mucosa", [True, False])
def test_patches_off_the_mucosa_are_matched_only_where_that_is_asked_for(
    folder: Path, frames: list[ImageArray], on_mucosa: bool
) -> None:
    boxed = frames[0].copy()
    boxed[-80:, :90] = 0
    proposer = load_retrieval(folder, settings=RetrievalSettings(on_mucosa=on_mucosa, closest=300))
    retrieval = proposer.retrieve([boxed])[0]
    region = retrieval.mucosa.region()
    assert region is not None
    off = ~retrieval.features.inside(region)
    assert off[-2:, :2].all()
    matched = np.unique(np.concatenate([candidate.matches.query for candidate in retrieval.candidates]))
    assert off.flat[matched].any() == (not on_mucosa)


def test_keys_decide_the_places(proposer: RetrievalProposer, folder: Path, frames: list[ImageArray]) -> None:
    keys = [Key(seed, "a") for seed in range(4)]
    drawn = [[boxes(proposer, image, key) for image in frames[:3]] for key in keys]
    assert [[boxes(proposer, image, key) for image in frames[:3]] for key in keys] == drawn
    assert all(one != other for one in drawn for other in drawn if one is not other)
    best = load_retrieval(folder, settings=RetrievalSettings(temperature=0.0))
    fixed = [[boxes(best, image, key) for image in frames[:3]] for key in keys]
    assert all(one == fixed[0] for one in fixed)


def test_many_frames_together_get_the_places_that_each_gets_alone(
    proposer: RetrievalProposer, frames: list[ImageArray]
) -> None:
    images = [*frames, frames[0][:150, :200], np.full((9, 7, 3), 150, np.uint8), np.zeros((216, 256, 3), np.uint8)]
    keys = [Key(3, str(number)) for number in range(len(images))]
    occupied = [[(100.0, 80.0, 40.0, 40.0)], *[[] for _ in images[1:]]]
    together = proposer.propose_many(images, 3, keys, occupied)
    for image, key, taken, found in zip(images, keys, occupied, together, strict=True):
        alone = proposer.propose(image, 3, key, taken)
        assert [place.region.box for place in found] == [place.region.box for place in alone]
        assert [place.score for place in found] == pytest.approx([place.score for place in alone], rel=1e-3)
        assert [place.details for place in found] == [place.details for place in alone]
    assert together[-2:] == [[], []]
    assert proposer.propose_many([], 3, []) == []
    with pytest.raises(ConfigurationError, match=r"'keys' must be one for each of 1 frames \(got 0\)"):
        proposer.propose_many(frames[:1], 3, [])
    with pytest.raises(ConfigurationError, match=r"'occupied' must be one for each of 1 frames \(got 2\)"):
        proposer.propose_many(frames[:1], 3, keys[:1], [[], []])


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((120, 160, 3), np.uint8),
        np.full((120, 160, 3), 255, np.uint8),
        np.full((120, 160, 3), (20, 160, 40), np.uint8),
        np.full((9, 7, 3), (180, 90, 70), np.uint8),
        np.full((16, 16, 3), (180, 90, 70), np.uint8),
        np.full((1, 1, 3), (180, 90, 70), np.uint8),
    ],
    ids=["black", "white", "green", "smaller than a patch", "a patch", "one pixel"],
)
def test_a_frame_without_room_gives_no_or_valid_places(proposer: RetrievalProposer, image: ImageArray) -> None:
    for placement in proposer.propose(image, 2, Key(1, "a")):
        assert image.shape == (16, 16, 3)
        assert find_mucosa(image).covers(placement.region.box) >= LEAST_SHARE


def test_fewer_places_rather_than_bad_ones(proposer: RetrievalProposer, frames: list[ImageArray]) -> None:
    assert proposer.propose(frames[0], 3, Key(1, "a"), [(0.0, 0.0, 256.0, 216.0)]) == []
    assert proposer.propose(frames[0], 0, Key(1, "a")) == []
    many = proposer.propose(frames[0], 100, Key(1, "a"))
    assert 1 <= len(many) < 100
    with pytest.raises(ImageError, match="smaller than a patch"):
        proposer.retrieve([np.zeros((9, 7, 3), np.uint8)])


@pytest.mark.parametrize("search", ["exact", "faiss"])
def test_a_proposer_is_pickled(search: str, folder: Path, frames: list[ImageArray]) -> None:
    pytest.importorskip("faiss")
    proposer = load_retrieval(folder, settings=RetrievalSettings(search=search))
    before = [boxes(proposer, image, Key(1, "a")) for image in frames[:2]]
    copy = pickle.loads(pickle.dumps(proposer))  # noqa: S301
    assert [boxes(copy, image, Key(1, "a")) for image in frames[:2]] == before


def test_a_database_of_another_encoder_is_refused(folder: Path, tmp_path: Path, phantoms: Phantoms) -> None:
    with pytest.raises(DatabaseError, match="made with the encoder efficientnet_lite0 block 10, revision"):
        RetrievalProposer(ReferenceDatabase(folder), load_encoder(side=64))
    build(phantoms.references, tmp_path / "db")
    with pytest.raises(DatabaseError, match="made with colours weights in a folder: give that as 'encoder'"):
        load_retrieval(tmp_path / "db")


# Through the doors


def test_a_proposer_by_name(folder: Path, frames: list[ImageArray], proposer: RetrievalProposer) -> None:
    loaded = load_proposer("retrieval", database=folder)
    assert loaded.name == "retrieval"
    assert [place.region.box for place in loaded.propose(frames[0], 3, Key(1, "a"))] == boxes(
        proposer, frames[0], Key(1, "a")
    )
    with pytest.raises(ConfigurationError, match="searches a reference database: give its folder"):
        load_proposer("retrieval")
    with pytest.raises(DatabaseError, match="no reference database"):
        load_proposer("retrieval", database=folder / "images")


def test_generate_records_places_and_database(folder: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    settings = config(phantoms, proposer="retrieval", database=folder, count=4)
    assert generate(settings, tmp_path / "out").made == 4
    run = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))
    assert run["config"]["proposer"] == "retrieval"
    assert (run["inputs"]["database"], run["inputs"]["database_sha256"]) == ("db", digest_database(folder))
    names = {polyp.id for item in ReferenceDatabase(folder).references for polyp in item.polyps}
    made = [
        item for record in records(tmp_path / "out") for item in record["objects"] if item["origin"] != "background"
    ]
    assert len(made) >= 4
    for item in made:
        assert item["provenance"]["proposer"] == "retrieval"
        assert item["provenance"]["place"]["database_reference"] in names
        assert item["provenance"]["place"]["database_source"]["licence"] == "CC0-1.0"
    before = digests(tmp_path / "out")
    assert generate(settings, tmp_path / "out").made == 4
    assert digests(tmp_path / "out") == before
    other = tmp_path / "db"
    build(phantoms.references, other, encoder=load_encoder(side=256), seed=1)
    with pytest.raises(RunConfigurationChanged, match="database_sha256"):
        generate(config(phantoms, proposer="retrieval", database=other, count=4), tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proposer": "retrieval"}, r"'database' is for the proposer retrieval, .*\(got 'retrieval' and None\)"),
        ({"database": Path("db")}, r"'database' is for the proposer retrieval, .*\(got 'random' and db\)"),
        ({"encoder": "folder"}, r"'encoder' is for 'database' \(got 'folder' alone\)"),
        (
            {"proposer": "retrieval", "database": Path("db"), "size_range": (0.1, 0.2)},
            "'size_range' is for the proposer random",
        ),
    ],
)
def test_settings_that_do_not_belong_together_are_named(
    changes: dict[str, Any], message: str, phantoms: Phantoms
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        config(phantoms, **changes)
    assert isinstance(config(phantoms, proposer="retrieval", database=Path("db"), encoder="folder"), GenerateConfig)


# The figure


@pytest.mark.parametrize("height", [200, 300])
def test_the_figure_shows_reference_matches_and_places(
    height: int, proposer: RetrievalProposer, frames: list[ImageArray]
) -> None:
    image = frames[1]
    retrieval = proposer.retrieve([image])[0]
    places = proposer.place(retrieval, 3, Key(1, "a"))
    assert places
    figure = matching_figure(image, retrieval, proposer.database, places, height=height)
    width = round(256 * height / 216)
    assert (figure.shape, figure.dtype) == ((height, 3 * width + 24, 3), np.uint8)
    without = matching_figure(image, retrieval, proposer.database, [], height=height)
    other = matching_figure(image, retrieval, proposer.database, places, candidate=1, height=height)
    middle = np.s_[:, width + 12 : 2 * width + 12]
    assert (figure[middle] != without[middle]).any()
    assert (figure[:, :width] != other[:, :width]).mean() > 0.1
    # The frame stands in the middle, where no line or place is drawn.
    assert np.median(np.abs(without[middle].astype(int) - np.asarray(_resized(image, width, height)).astype(int))) <= 2
    # Outline, places and lines have their colours.
    for colour, part in (((80, 255, 120), np.s_[:, :width]), ((255, 220, 40), middle), ((90, 200, 255), middle)):
        assert (np.abs(figure[part].astype(int) - colour).max(axis=2) < 40).sum() > 20


def _resized(image: ImageArray, width: int, height: int) -> ImageArray:
    import cv2

    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
