"""Places beside those of removed polyps: hand-computed values, runs written here, and the proposers compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Phantoms
from small_database import ColourEncoder, build

from polyp_aug.coco import read_coco, write_coco
from polyp_aug.coco.model import CocoCategory, CocoDataset, CocoImage
from polyp_aug.database.folder import ReferenceDatabase
from polyp_aug.encoders.registry import load_encoder
from polyp_aug.errors import ConfigurationError, ImageError
from polyp_aug.evaluation.centre import CentreProposer
from polyp_aug.evaluation.decoys import DECOY, decoy_set, draw_decoys, fitting_place
from polyp_aug.evaluation.emptied import EmptiedFrame, read_emptied
from polyp_aug.evaluation.intervals import mean_interval
from polyp_aug.evaluation.placement import Compared, PlacementSettings, Places, evaluate_placement
from polyp_aug.evaluation.placement_proposers import asked_again, load_compared, retrieved_once
from polyp_aug.evaluation.placement_scores import score_places
from polyp_aug.geometry import Box, IntBox, Region, boxes_meet
from polyp_aug.images import ImageArray, list_images, read_image, write_png
from polyp_aug.jsonl import append_records
from polyp_aug.keys import Key
from polyp_aug.mucosa import LEAST_SHARE, find_mucosa
from polyp_aug.proposers.random import RandomProposer
from polyp_aug.proposers.retrieval.proposer import RetrievalProposer
from polyp_aug.removal import RemoverSettings
from polyp_aug.scene import Placement, Source

#: Overlap the polyp with IoU 1, 0.5, 0.2 and 0; their centres are 0, 10, 16 and 60 px from its centre.
POLYP: IntBox = (40, 40, 40, 40)
HALF, FIFTH, FAR = (40, 40, 40, 20), (40, 40, 40, 8), (100, 40, 40, 40)
THIRD: IntBox = (100, 80, 40, 40)
OTHER: IntBox = (0, 100, 20, 20)
MUCOSA = np.full((120, 160, 3), (190, 100, 80), np.uint8)


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([[]], (0, 0, 0, np.nan, 0, 1, 0)),
        ([[POLYP]], (1, 1, 1, 0, 1, 0, 0)),
        ([[FAR, HALF]], (1, 0, 0.5, 10 / 120, 2, 0, 0)),
        ([[FIFTH]], (1, 1, 0.2, 16 / 120, 1, 0, 0)),
        ([[FAR]], (0, 0, 0, 60 / 120, 1, 0, 0)),
        # Means over keys; the distance is of the keys that give a place.
        ([[HALF], [], [FAR], [FAR, POLYP]], (0.5, 0.25, 1.5 / 4, (10 + 60 + 0) / 3 / 120, 1, 0.25, 0)),
        # Outside of the frame there is no mucosa; a twentieth may be elsewhere, and 10 % are too much.
        ([[(-4, 0, 80, 40)], [(-4, 0, 40, 40), FAR]], (0, 0, 0.0, None, 1.5, 0, 1)),
    ],
)
def test_scores_of_a_frame(boxes: list[list[Box]], expected: tuple[float | None, ...]) -> None:
    found = score_places(boxes, [POLYP], find_mucosa(MUCOSA), 0.2)
    # Without decoys the true place is always preferred, and by chance too.
    preference = (expected[0], expected[0], 0, 1)
    for name, value in zip(found.__dataclass_fields__, (*expected, *preference), strict=True):
        if value is not None:
            assert getattr(found, name) == pytest.approx(value, nan_ok=True), name


def test_the_nearest_of_several_polyps_counts() -> None:
    found = score_places([[FAR]], [POLYP, (100, 40, 40, 20)], find_mucosa(MUCOSA), 0.2)
    assert (found.hit_rate, found.best_iou, found.distance) == (1.0, 0.5, pytest.approx(10 / 120))


@pytest.mark.parametrize(
    ("boxes", "decided", "preferred", "decoy_hit_rate"),
    [
        ([[]], 0, 0, 0),
        ([[OTHER]], 0, 0, 0),
        ([[POLYP]], 1, 1, 0),
        ([[FAR, POLYP]], 1, 0, 0.5),
        ([[OTHER, POLYP, FAR]], 1, 1, 0.5),
        ([[POLYP, FAR, THIRD]], 1, 1, 1),
        # Both are hit by one place: the nearer one counts, and where both are as near the decoy.
        ([[(45, 40, 80, 40)]], 1, 1, 0.5),
        ([[(60, 40, 60, 40)]], 1, 0, 0.5),
        ([[(40, 40, 100, 40)]], 1, 0, 0.5),
        # Means over keys.
        ([[POLYP], [FAR], [THIRD], []], 0.75, 0.25, 0.25),
    ],
)
def test_the_first_place_that_is_a_hit_tells_what_is_preferred(
    boxes: list[list[Box]], decided: float, preferred: float, decoy_hit_rate: float
) -> None:
    found = score_places(boxes, [POLYP], find_mucosa(MUCOSA), 0.2, [FAR, THIRD])
    assert (found.decided, found.preferred, found.decoy_hit_rate) == (decided, preferred, decoy_hit_rate)
    assert found.chance == pytest.approx(1 / 3)


def write_run(
    folder: Path,
    removed: Sequence[Sequence[IntBox]],
    *,
    groups: Sequence[str] | None = None,
    kept: Sequence[IntBox] = (),
    task: dict[str, str] | None = None,
    image: ImageArray = MUCOSA,
    source: str = "frame_{}.png",
) -> Path:
    """A run as `remove` writes it, with frames of mucosa alone; a frame of `removed` without a box lost nothing."""
    (folder / "images").mkdir(parents=True)
    config = {"task": "remove"} if task is None else task
    (folder / "run.json").write_text(json.dumps({"config": config}))
    height, width = image.shape[:2]
    lines: list[dict[str, Any]] = []
    for number, boxes in enumerate(removed):
        name = f"{number:06d}.png"
        write_png(folder / "images" / name, image)
        objects = [{"origin": "removed", "bbox": list(box), "category": "polyp"} for box in boxes]
        objects += [{"origin": "source", "bbox": list(box), "category": "polyp"} for box in kept]
        background = {"file": source.format(number), "dataset": "test set"}
        background |= {"group": groups[number]} if groups else {}
        lines.append(
            {"sample": number, "status": "made", "file_name": name, "width": width, "height": height, "key": {},
             "background": background, "before": {}, "objects": objects, "rejections": [], "problems": [],
             "unreadable": [], "bytes": {}}
        )  # fmt: skip
    lines.append({"sample": len(lines), "status": "skipped", "reasons": ["nothing"], "unreadable": []})
    append_records(folder / "manifest.jsonl", lines)
    return folder


def always(*boxes: IntBox, until: float = np.inf) -> Places:
    """These places on every frame; from the frame `until` on, counted by its file name, none."""

    def places(_image: ImageArray, count: int, keys: Sequence[Key], _occupied: Sequence[Box]) -> list[list[Placement]]:
        frame = int(keys[0].sample.split("_")[1].removesuffix(".png"))
        shown = boxes[:count] if frame < until else ()
        regions = [Region(x, y, np.ones((h, w), np.bool_)) for x, y, w, h in shown]
        return [[Placement(region, 1.0, "always") for region in regions] for _ in keys]

    return places


def test_a_report_on_hand_made_runs(tmp_path: Path) -> None:
    # The last frame lost no polyp; every third polyp of the others stands far from the place.
    removed = [[FAR] if number % 3 == 0 else [POLYP] for number in range(24)] + [[]]
    run = write_run(tmp_path / "run", removed)
    compared = Compared(
        {"random": always(FAR, HALF), "good": always(POLYP), "seldom": always(HALF, until=18), "never": always()},
        facts={"references": {"polyps": 3}},
    )
    seen = []
    settings = PlacementSettings(top=2, repeats=3)
    result = evaluate_placement(run, compared, tmp_path / "out", settings=settings, observer=lambda *n: seen.append(n))
    report = result.report
    assert (report["frames"], report["groups"], report["removed_polyps"]) == (24, 24, 24)
    assert report["references"] == {"polyps": 3}
    assert seen == [(number, 24) for number in range(1, 25)]
    values = {
        name: {key: item and item["value"] for key, item in row.items() if isinstance(item, dict | None)}
        for name, row in report["proposers"].items()
    }
    approx = pytest.approx
    assert values["random"] == {
        "hit_rate": 1.0, "hit_rate_first": approx(1 / 3), "best_iou": approx((8 * 1 + 16 * 0.5) / 24),
        "places": 2.0, "without_any": 0.0, "distance": approx(16 * 10 / 24 / 120), "ratio": None,
    }  # fmt: skip
    assert values["good"] == {
        "hit_rate": approx(2 / 3), "hit_rate_first": approx(2 / 3), "best_iou": approx(2 / 3), "places": 1.0,
        "without_any": 0.0, "distance": approx(8 * 60 / 24 / 120), "ratio": approx(2 / 3),
    }  # fmt: skip
    assert values["seldom"] == {
        "hit_rate": approx(12 / 24), "hit_rate_first": approx(12 / 24), "best_iou": approx(6 / 24),
        "places": approx(18 / 24), "without_any": approx(6 / 24),
        "distance": approx((6 * np.hypot(60, 10) + 12 * 10) / 18 / 120), "ratio": approx(12 / 24),
    }  # fmt: skip
    assert values["never"]["distance"] is None
    assert values["never"]["without_any"] == 1.0
    assert [row["places_in_all"] for row in report["proposers"].values()] == [144, 72, 54, 0]
    hits = np.array([number % 3 != 0 for number in range(24)], np.float64)
    names = [f"frame_{number}.png" for number in range(24)]
    assert report["proposers"]["good"]["hit_rate"] == mean_interval(hits, names, seed=0, name="placement").to_dict()
    text = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "| good | 66.7 (" in text
    assert "can't be told" in text
    assert json.loads((tmp_path / "out" / "report.json").read_bytes()) == report
    assert evaluate_placement(run, compared, tmp_path / "again", settings=settings).report == report


def test_the_ratio_is_drawn_in_pairs_and_by_groups(tmp_path: Path) -> None:
    removed = [[POLYP] if number % 2 else [FAR] for number in range(40)]
    compared = Compared({"random": always(POLYP), "same": always(HALF), "both": always(POLYP, FAR)})

    def measure(name: str, groups: Sequence[str] | None) -> dict[str, Any]:
        run = write_run(tmp_path / name, removed, groups=groups)
        found: dict[str, Any] = evaluate_placement(run, compared, tmp_path / f"{name}_out").report["proposers"]
        return found

    single = measure("single", None)
    # Both hit on the very same frames: drawn in pairs, nothing is left to chance.
    assert single["same"]["ratio"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert single["both"]["ratio"]["low"] < single["both"]["ratio"]["value"] == 2.0 < single["both"]["ratio"]["high"]
    grouped = measure("grouped", [f"patient {number % 2} {number // 8}" for number in range(40)])
    widths = [row["both"]["ratio"]["high"] - row["both"]["ratio"]["low"] for row in (single, grouped)]
    assert widths[1] > widths[0]
    without = Compared({"same": always(HALF)})
    rows = evaluate_placement(tmp_path / "single", without, tmp_path / "without").report["proposers"]
    assert rows["same"]["ratio"] is None


def test_what_is_still_there_is_kept_free_and_keys_come_from_the_frame(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [[POLYP]] * 10, kept=[FAR])
    asked: list[tuple[Key, ...]] = []

    def places(image: ImageArray, count: int, keys: Sequence[Key], occupied: Sequence[Box]) -> list[list[Placement]]:
        assert (image.shape, count, list(occupied)) == ((120, 160, 3), 3, [FAR])
        asked.append(tuple(keys))
        return [[] for _ in keys]

    evaluate_placement(run, Compared({"asked": places}), tmp_path / "out", settings=PlacementSettings(seed=4))
    assert asked[3] == tuple(Key(4, "frame_3.png", draw=number) for number in range(5))
    assert len({key for keys in asked for key in keys}) == 50


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda folder: folder.mkdir(), "not a run folder"),
        (lambda folder: write_run(folder, [[POLYP]] * 12, task={}), "expected one that `polyp-aug remove` wrote"),
        (lambda folder: write_run(folder, []), "no frame of which a polyp was removed"),
        (lambda folder: write_run(folder, [[]] * 12), "no frame of which a polyp was removed"),
        (lambda folder: write_run(folder, [[POLYP]] * 9), "9 frames or patients, expected at least 10"),
        (lambda folder: write_run(folder, [[POLYP]] * 12, groups=["a", "b"] * 6), "2 frames or patients"),
    ],
)
def test_runs_that_tell_nothing_are_refused(write: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    write(tmp_path / "run")
    with pytest.raises(ConfigurationError, match=message):
        evaluate_placement(tmp_path / "run", Compared({"random": always(POLYP)}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [[POLYP]] * 10)
    write_png(run / "images" / "000004.png", MUCOSA[:-1])
    with pytest.raises(ImageError, match="160×119 pixels, expected 160×120"):
        evaluate_placement(run, Compared({"random": always(POLYP)}), tmp_path / "out")


@pytest.mark.parametrize(
    ("source", "shared"),
    [
        (Source("frame_3.png", "test set"), True),
        (Source("frame_3.png", "train set"), False),
        (Source("frame_3.png"), False),
        (Source("other.png", "test set", group="b"), True),
        (Source("other.png", "test set"), False),
    ],
)
def test_frames_that_references_come_from_are_refused(source: Source, shared: bool, tmp_path: Path) -> None:
    groups = [*"abcdefghij"] if source.group else None
    run = write_run(tmp_path / "run", [[POLYP]] * 10, groups=groups)
    compared = Compared({"random": always(POLYP)}, sources=[source])
    if not shared:
        assert evaluate_placement(run, compared, tmp_path / "out").report["frames"] == 10
        return
    with pytest.raises(ConfigurationError, match="share 1 patients, sequences or frames"):
        evaluate_placement(run, compared, tmp_path / "out")


@pytest.mark.parametrize(
    ("settings", "name"), [({"top": 0}, "top"), ({"repeats": 0}, "repeats"), ({"iou": 0.0}, "iou"), ({"iou": 2}, "iou")]
)
def test_wrong_settings_are_named(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}'"):
        PlacementSettings(**settings)


def test_no_proposer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no proposer"):
        evaluate_placement(tmp_path, Compared(), tmp_path / "out")


def test_the_centre_is_nearer_than_random_and_as_large(phantoms: Phantoms) -> None:
    distances: dict[str, list[float]] = {"random": [], "centre": []}
    for number, path in enumerate(list_images(phantoms.backgrounds)):
        image = read_image(path)
        middle = np.array(image.shape[1::-1]) / 2
        areas = []
        for proposer in (RandomProposer(), CentreProposer()):
            place = proposer.propose(image, 1, Key(1, f"{number}"))[0]
            x, y, w, h = place.region.box
            assert place.proposer == proposer.name
            distances[proposer.name].append(float(np.hypot(*(middle - (x + w / 2, y + h / 2)))))
            areas.append(place.region.area)
        # The same shape, moved by parts of a pixel.
        assert areas[0] == pytest.approx(areas[1], rel=0.02)
    assert np.mean(distances["centre"]) < 0.5 * np.mean(distances["random"])


def test_on_mucosa_alone_the_centre_is_the_centre() -> None:
    first, second = CentreProposer().propose(MUCOSA, 2, Key(1, "a"))
    x, y, w, h = first.region.box
    assert (x + w / 2, y + h / 2) == (pytest.approx(80, abs=1.5), pytest.approx(60, abs=1.5))
    assert second.region.box != first.region.box


def named(phantoms: Phantoms, folder: Path, dataset: str) -> Path:
    """The references, as a data set of this name."""
    found = read_coco(phantoms.references)
    images = tuple(type(image)(**(vars(image) | {"extra": {"dataset": dataset}})) for image in found.images)
    folder.mkdir()
    write_coco(
        CocoDataset(found.image_root, images, found.annotations, found.categories, found.licenses),
        folder / "annotations.json",
    )
    (folder / "images").symlink_to(found.image_root)
    return folder


def test_proposers_are_loaded_by_name(phantoms: Phantoms, tmp_path: Path) -> None:
    assert list(load_compared().proposers) == ["random", "centre"]
    data = named(phantoms, tmp_path / "data", "phantoms")
    compared = load_compared(references=data)
    assert list(compared.proposers) == ["random", "centre", "reference"]
    assert compared.facts["references"]["polyps"] == len(compared.sources) > 0
    assert {source.dataset for source in compared.sources} == {"phantoms"}
    assert list(load_compared(["centre"]).proposers) == ["centre"]
    run = write_run(tmp_path / "run", [[POLYP]] * 10, image=read_image(list_images(phantoms.backgrounds)[0]))
    rows = evaluate_placement(run, compared, tmp_path / "out", settings=PlacementSettings(repeats=2)).report
    for row in rows["proposers"].values():
        assert row["off_mucosa"] == 0
        assert row["places"]["value"] > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["random", "nothing"]}, r"'proposer' must be one of random, centre, .* \(got nothing\)"),
        ({"names": ["reference"]}, r"'reference' needs a reference data set, and nothing else does \(got None\)"),
        ({"names": ["random"], "database": Path("db")}, r"'retrieval' needs a reference database, .* \(got db\)"),
        ({"encoder": "some"}, "'encoder' is for 'database'"),
    ],
)
def test_proposers_without_their_inputs_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_compared(**arguments)


def test_a_proposer_is_asked_by_each_key() -> None:
    keys = [Key(0, "a", draw=number) for number in range(3)]
    rows = asked_again(RandomProposer())(MUCOSA, 2, keys, [])
    alone = [RandomProposer().propose(MUCOSA, 2, key) for key in keys]
    assert [[one.region.box for one in row] for row in rows] == [[one.region.box for one in row] for row in alone]
    assert len({row[0].region.box for row in rows}) == 3


def test_a_frame_is_retrieved_once_for_all_keys(phantoms: Phantoms, tmp_path: Path) -> None:
    build(phantoms.references, tmp_path / "db")
    proposer = RetrievalProposer(ReferenceDatabase(tmp_path / "db"), ColourEncoder())
    image = read_image(list_images(phantoms.backgrounds)[0])
    keys = [Key(0, "a", draw=number) for number in range(4)]
    occupied = [(100.0, 80.0, 40.0, 40.0)]
    rows = retrieved_once(proposer)(image, 2, keys, occupied)
    alone = [proposer.propose(image, 2, key, occupied) for key in keys]
    assert [[one.region.box for one in row] for row in rows] == [[one.region.box for one in row] for row in alone]
    assert any(rows)
    assert retrieved_once(proposer)(image[:15], 2, keys, ()) == [[], [], [], []]


def test_retrieval_is_compared_with_both_sizes(phantoms: Phantoms, tmp_path: Path) -> None:
    build(phantoms.references, tmp_path / "db", encoder=load_encoder(side=64))
    compared = load_compared(["random", "retrieval"], database=tmp_path / "db")
    assert list(compared.proposers) == ["random", "retrieval (reference)", "retrieval (cluster)"]
    assert compared.facts["database"]["references"] == len(compared.sources) == 10
    assert compared.facts["database"]["settings"]["cluster"]["extent"] == "cluster"
    run = write_run(tmp_path / "run", [[POLYP]] * 10, image=read_image(list_images(phantoms.backgrounds)[0]))
    settings = PlacementSettings(repeats=2)
    report = evaluate_placement(run, compared, tmp_path / "out", settings=settings).report
    first, second = (report["proposers"][f"retrieval ({extent})"] for extent in ("reference", "cluster"))
    assert first["places_in_all"] > 0
    assert first["best_iou"] != second["best_iou"]
    assert [row["off_mucosa"] for row in report["proposers"].values()] == [0, 0, 0]
    assert json.loads((tmp_path / "out" / "report.json").read_bytes()) == report


def test_emptied_frames_keep_their_order_and_source(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [[POLYP, FAR], [], [HALF]], kept=[FIFTH], groups=["a", "b", "c"])
    first, second = read_emptied(run)
    assert (first.removed, first.kept, first.group) == ((POLYP, FAR), (FIFTH,), "a")
    assert (second.source.file, second.source.dataset, second.path.name) == ("frame_2.png", "test set", "000002.png")


def write_decoys(folder: Path, decoys: Sequence[Sequence[IntBox]], *, image: ImageArray = MUCOSA) -> Path:
    """A run as `remove` writes it over the frames of `write_run`, in which decoys were repainted."""
    return write_run(folder, decoys, image=image, source="{:06d}.png")


def test_the_true_place_is_compared_with_decoys(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [[POLYP]] * 24)
    # Eight frames have one decoy, eight have two, and eight none.
    decoys = write_decoys(tmp_path / "decoys", [[FAR]] * 8 + [[FAR, THIRD]] * 8 + [[]] * 8)
    compared = Compared(
        {
            "random": always(FAR, POLYP),
            "good": always(OTHER, POLYP, FAR),
            "seldom": always(POLYP, until=4),
            "never": always(OTHER),
        }
    )
    settings = PlacementSettings(repeats=2)
    report = evaluate_placement(run, compared, tmp_path / "out", decoys=decoys, settings=settings).report
    assert (report["frames"], report["removed_polyps"]) == (16, 16)
    assert (report["decoys"]["places"], report["decoys"]["frames_without"]) == (24, 8)
    names = (
        "hit_rate",
        "decoy_hit_rate",
        "decided",
        "preference",
        "chance",
        "preference_to_chance",
        "preference_ratio",
    )
    values = {
        name: [row[key] and pytest.approx(row[key]["value"]) for key in names]
        for name, row in report["proposers"].items()
    }
    chance = (1 / 2 + 1 / 3) / 2
    assert values == {
        "random": [1.0, 0.75, 1.0, 0.0, chance, 0.0, None],
        # `random` never prefers the true place: how often as often as that, nobody knows.
        "good": [1.0, 0.75, 1.0, 1.0, chance, 1 / chance, None],
        "seldom": [0.25, 0.0, 0.25, None, None, None, None],
        "never": [0.0, 0.0, 0.0, None, None, None, None],
    }
    text = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "## The true place beside 24 decoys" in text
    assert "The 8 frames without a decoy" in text
    assert json.loads((tmp_path / "out" / "report.json").read_bytes()) == report
    without = evaluate_placement(run, compared, tmp_path / "without", settings=settings).report
    assert without["frames"] == 24
    assert "preference" not in without["proposers"]["good"]
    assert "decoy" not in (tmp_path / "without" / "report.md").read_text("utf-8")


def test_preferences_are_compared_by_how_often_they_are_above_chance(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [[POLYP]] * 40)
    decoys = write_decoys(tmp_path / "decoys", [[FAR], [FAR, THIRD]] * 20)

    def by_turns(image: ImageArray, count: int, keys: Sequence[Key], occupied: Sequence[Box]) -> list[list[Placement]]:
        frame = int(keys[0].sample.split("_")[1].removesuffix(".png"))
        return always(POLYP if frame % 4 < 2 else FAR)(image, count, keys, occupied)

    compared = Compared({"random": by_turns, "same": by_turns, "good": always(POLYP)})
    rows = evaluate_placement(run, compared, tmp_path / "out", decoys=decoys).report["proposers"]
    assert rows["random"]["preference"]["value"] == 0.5
    assert rows["random"]["preference"]["low"] < 0.5 < rows["random"]["preference"]["high"]
    assert rows["random"]["preference_to_chance"]["value"] == pytest.approx(0.5 / (5 / 12))
    # Drawn in pairs.
    assert rows["same"]["preference_ratio"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert rows["good"]["preference_ratio"]["value"] == pytest.approx(2.0)
    assert rows["good"]["preference_ratio"]["low"] < 2.0 < rows["good"]["preference_ratio"]["high"]


def test_decoys_of_another_run_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [[POLYP]] * 10)
    image = MUCOSA.copy()
    image[60, 60] += 1
    compared = Compared({"random": always(POLYP)})
    for name, decoys, error, message in (
        ("other", write_decoys(tmp_path / "other", [[FAR]] * 10, image=image), ConfigurationError, "it differs from"),
        ("size", write_decoys(tmp_path / "size", [[FAR]] * 10, image=MUCOSA[:-1]), ImageError, "expected 160×120"),
        ("names", write_run(tmp_path / "names", [[FAR]] * 10), ConfigurationError, "no frame that was made from one"),
        ("few", write_decoys(tmp_path / "few", [[FAR]] * 9), ConfigurationError, "9 frames or patients"),
    ):
        with pytest.raises(error, match=message):
            evaluate_placement(run, compared, tmp_path / f"{name}_out", decoys=decoys)
        assert not (tmp_path / f"{name}_out").exists()


@pytest.mark.parametrize("settings", [RemoverSettings(), RemoverSettings(margin=0.0, feather=0.0)])
def test_decoys_fit_on_mucosa_and_meet_nothing(settings: RemoverSettings, phantoms: Phantoms) -> None:
    numbers = []
    for number, path in enumerate(list_images(phantoms.backgrounds)):
        mucosa = find_mucosa(read_image(path))
        centres = mucosa.centres(40.0, 30.0, [])
        x, y = centres[len(centres) // 2].tolist()
        removed, kept = (x - 20, y - 15, 40.0, 30.0), (0.0, 0.0, 30.0, 30.0)
        boxes = draw_decoys(mucosa, removed, 3, Key(1, f"{number}"), [kept], settings)
        assert boxes == draw_decoys(mucosa, removed, 3, Key(1, f"{number}"), [kept], settings)
        assert {box[2:] for box in boxes} <= {(40.0, 30.0)}
        assert all(mucosa.covers(box) >= LEAST_SHARE for box in boxes)
        touched = [settings.touched(box, mucosa.width, mucosa.height) for box in (removed, kept, *boxes)]
        pairs = [(one, other) for index, one in enumerate(touched) for other in touched[:index] if index > 1]
        assert not any(boxes_meet(one, other) for one, other in pairs)
        numbers.append(len(boxes))
    assert max(numbers) == 3
    assert draw_decoys(find_mucosa(MUCOSA), (30, 30, 100, 60), 3, Key(1, "a"), (), settings) == []


def test_a_set_of_decoys_holds_the_frames_with_one_removed_polyp(tmp_path: Path) -> None:
    small: IntBox = (20, 20, 16, 16)
    run = write_run(tmp_path / "run", [[small], [small, (120, 80, 16, 16)], [], [(20, 20, 120, 80)], [small]])
    images = tuple(
        CocoImage(number + 1, f"{number:06d}.png", 160, 120, extra={"dataset": "test set"})
        for number in (0, 1, 2, 3, 4)
    )
    found = CocoDataset(run / "images", images, (), (CocoCategory(1, "polyp"),))
    write_coco(found, run / "annotations.json")
    decoys = decoy_set(run, count=2, seed=5)
    assert [image.file_name for image in decoys.images] == ["000000.png", "000004.png"]
    assert [image.extra["dataset"] for image in decoys.images] == ["test set"] * 2
    assert [item.image_id for item in decoys.annotations] == [1, 1, 5, 5]
    assert [category.name for category in decoys.categories] == [DECOY]
    expected = [draw_decoys(find_mucosa(MUCOSA), small, 2, Key(5, f"frame_{number}.png")) for number in (0, 4)]
    assert [item.bbox for item in decoys.annotations] == [box for boxes in expected for box in boxes]
    write_coco(decoys, tmp_path / "annotations.json")
    assert len(read_coco(tmp_path).annotations) == 4
    with pytest.raises(ConfigurationError, match="'count' must be at least 1"):
        decoy_set(run, count=0)
    with pytest.raises(ConfigurationError, match="has room for a decoy"):
        decoy_set(run, settings=RemoverSettings(margin=200.0))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        # The other frame is twice as wide and as high.
        ((40, 40, 32, 31), (20, 20, 16, 16)),
        # Beyond the border, and too large for a decoy beside it.
        ((-10, 40, 32, 32), (0, 20, 11, 16)),
        ((40, 40, 240, 160), None),
    ],
)
def test_the_place_of_a_polyp_is_moved_to_another_frame(box: Box, expected: IntBox | None) -> None:
    frame = EmptiedFrame(Path("a.png"), (320, 240), Source("a.png"), (box,), ())
    assert fitting_place(find_mucosa(MUCOSA), frame, Key(1, "a")) == expected
    dark = MUCOSA.copy()
    dark[:60] = 0
    assert fitting_place(find_mucosa(dark), frame, Key(1, "a")) is None
