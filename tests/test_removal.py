"""Removing polyps: the pure part, and the run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from conftest import Phantoms
from runs import digests, records
from tiny_diffusion import pipeline

from polyp_aug import Remover
from polyp_aug.coco import read_coco
from polyp_aug.errors import ConfigurationError, RunConfigurationChanged, TooManyFailuresError
from polyp_aug.generation.merge_runs import merge_runs
from polyp_aug.generation.remove import RemoveConfig, remove
from polyp_aug.generation.writing import RunLimits
from polyp_aug.geometry import outer_box
from polyp_aug.images import read_image, write_png
from polyp_aug.keys import Key
from polyp_aug.removal import Removed, RemoverSettings
from polyp_aug.scene import Job, Painted, Rejection, Scene, SceneObject
from polyp_aug.synthesizers.base import Capabilities
from polyp_aug.synthesizers.options import PaintingOptions
from polyp_aug.synthesizers.registry import load_synthesizer

FAST = PaintingOptions(num_inference_steps=2, batch_size=3)


@dataclass
class Eraser:
    """Paints everything in one colour, refuses, or gives the frame back."""

    colour: int | None = 200
    refusal: str = ""
    name: str = "eraser"
    revision: str = "r1"
    capabilities: ClassVar = Capabilities(output="edit", feathered=True, removes=True)
    jobs: list[Job] = field(default_factory=list)

    def paint(self, jobs: Sequence[Job]) -> list[Painted | Rejection]:
        assert len({job.image.shape for job in jobs}) == 1
        self.jobs.extend(jobs)
        if self.refusal:
            return [Rejection(self.refusal)] * len(jobs)
        return [
            Painted(job.image.copy() if self.colour is None else np.full_like(job.image, self.colour)) for job in jobs
        ]


def scene(*boxes: tuple[float, float, float, float], size: tuple[int, int] = (512, 400), **categories: str) -> Scene:
    image = np.random.default_rng(1).integers(40, 90, (size[1], size[0], 3)).astype(np.uint8)
    image.setflags(write=False)
    objects = tuple(SceneObject(box, categories.get(f"c{index}", "polyp")) for index, box in enumerate(boxes))
    return Scene("a.png", image, objects)


def removed(found: Scene, eraser: Eraser | None = None, **settings: Any) -> Removed:
    remover = Remover(eraser or Eraser(), RemoverSettings(**settings))
    return remover.remove([found], [Key(1, found.id)])[0]


def test_the_whole_box_with_its_margin_is_repainted_and_nothing_else() -> None:
    found = scene((100, 120, 60, 40))
    eraser = Eraser()
    result = removed(found, eraser)
    assert [place.box for place in result.places] == [(85, 105, 90, 70)]
    assert (result.kept, result.rejections) == ((), ())
    assert (result.image[105:175, 85:175] == 200).all()
    x, y, w, h = result.places[0].changed
    outside = np.ones(found.image.shape[:2], bool)
    outside[y : y + h, x : x + w] = False
    assert outside.mean() > 0.9
    np.testing.assert_array_equal(result.image[outside], found.image[outside])
    assert [job.prompt for job in eraser.jobs] == ["Normal"]
    assert eraser.jobs[0].region.crop.all()
    assert result.places[0].provenance["revision"] == "r1"
    assert json.loads(json.dumps(result.places[0].provenance)) == result.places[0].provenance


@pytest.mark.parametrize(("size", "grown"), [((1024, 800), 30), ((512, 400), 15), ((256, 200), 8)])
def test_the_margin_grows_with_the_frame(size: tuple[int, int], grown: int) -> None:
    result = removed(scene((100, 80, 60, 40), size=size))
    x, y, w, h = result.places[0].box
    assert (x, y, w, h) == (100 - grown, 80 - grown, 60 + 2 * grown, 40 + 2 * grown)


def test_places_that_meet_become_one_and_others_follow_each_other() -> None:
    found = scene((20, 20, 30, 30), (70, 25, 30, 30), (300, 200, 60, 60), (119, 40, 20, 20))
    eraser = Eraser()
    result = removed(found, eraser)
    assert [place.objects for place in result.places] == [(0, 1, 3), (2,)]
    assert result.places[0].box == (5, 5, 149, 70)
    # The second place is painted on what the first made of the frame.
    assert (eraser.jobs[1].image[10:70, 10:140] == 200).all()
    assert eraser.jobs[0].key != eraser.jobs[1].key


def test_batches_and_sizes_do_not_matter() -> None:
    scenes = [scene((20, 20, 30, 30), (300, 200, 60, 60)), scene((60, 50, 40, 40), size=(300, 280)), scene()]
    keys = [Key(1, str(number)) for number in range(3)]
    together = Remover(Eraser()).remove(scenes, keys)
    for found, key, result in zip(scenes, keys, together, strict=True):
        alone = Remover(Eraser()).remove([found], [key])[0]
        np.testing.assert_array_equal(alone.image, result.image)
        assert [place.provenance for place in alone.places] == [place.provenance for place in result.places]
    assert together[2].places == ()
    np.testing.assert_array_equal(together[2].image, scenes[2].image)


@pytest.mark.parametrize(
    ("eraser", "reason"),
    [
        (Eraser(colour=None), "an object is still there: mean change of 0.0 grey levels"),
        (Eraser(refusal="the model gave one colour"), "the model gave one colour"),
    ],
)
def test_what_is_still_there_stays(eraser: Eraser, reason: str) -> None:
    found = scene((100, 120, 60, 40))
    result = removed(found, eraser)
    np.testing.assert_array_equal(result.image, found.image)
    assert (result.places, result.kept) == ((), (0,))
    assert [rejection.reason for rejection in result.rejections] == [reason]


def test_only_the_categories_that_are_asked_for_are_removed() -> None:
    found = scene((100, 120, 60, 40), (300, 200, 50, 50), c1="instrument")
    result = removed(found, categories=("polyp",))
    assert (result.kept, result.rejections) == ((1,), ())
    meeting = scene((100, 120, 60, 40), (170, 120, 50, 50), c1="instrument")
    result = removed(meeting, categories=("polyp",))
    assert result.kept == (0, 1)
    assert "meets an object that stays" in result.rejections[0].reason


def test_a_place_that_leaves_nothing_to_go_by_is_left_alone() -> None:
    result = removed(scene((20, 20, 450, 350)))
    assert result.kept == (0,)
    assert result.rejections[0].reason == "a place of 480×380 px takes 89% of the frame"


def test_a_box_outside_of_the_frame_is_named() -> None:
    result = removed(scene((600, 20, 10, 10)))
    assert "lies outside of the frame" in result.rejections[0].reason


def test_a_picture_of_another_size_is_refused() -> None:
    class Shrinking(Eraser):
        def paint(self, jobs: Sequence[Job]) -> list[Painted | Rejection]:
            return [Painted(job.image[:-1]) for job in jobs]

    assert "synthesizer returned uint8" in removed(scene((100, 120, 60, 40)), Shrinking()).rejections[0].reason


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"margin": -1}, "margin"),
        ({"feather": 0.6}, "feather"),
        ({"largest_share": 0}, "largest_share"),
        ({"least_change": -1}, "least_change"),
    ],
)
def test_wrong_settings_of_a_remover_are_named(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}'"):
        RemoverSettings(**settings)


def test_who_can_not_remove_and_missing_keys_are_named() -> None:
    eraser = Eraser()
    eraser.capabilities = Capabilities(output="edit", feathered=True)  # type: ignore[misc]
    with pytest.raises(ConfigurationError, match="the synthesizer eraser can't remove polyps"):
        Remover(eraser)
    with pytest.raises(ConfigurationError, match=r"one for each of 1 scenes \(got 0\)"):
        Remover(Eraser()).remove([scene()], [])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "pipeline"
    pipeline().save_pretrained(path)
    return path


def removal(phantoms: Phantoms, weights: Path, **changes: Any) -> RemoveConfig:
    settings: dict[str, Any] = {"data": phantoms.references, "synthesizer": str(weights), "painting": FAST, "seed": 1}
    return RemoveConfig(**(settings | {"batch_size": 4} | changes))


@pytest.fixture(scope="module")
def run(phantoms: Phantoms, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    progress = remove(removal(phantoms, weights), out)
    assert (progress.made, progress.skipped, progress.total) == (10, 0, 10)
    return out


def test_a_run_writes_the_frames_without_their_polyps(run: Path, phantoms: Phantoms) -> None:
    source, result = read_coco(phantoms.references), read_coco(run)
    assert (len(result.images), result.annotations, result.problems) == (10, (), ())
    by_name = {image.file_name: source.by_image()[image.id] for image in source.images}
    for record in records(run):
        name = record["background"]["file"]
        before, after = (
            read_image(phantoms.references / "images" / name),
            read_image(run / "images" / record["file_name"]),
        )
        gone = [item for item in record["objects"] if item["origin"] == "removed"]
        assert sorted(tuple(item["bbox"]) for item in gone) == sorted(item.bbox for item in by_name[name])
        x, y, w, h = record["before"]["box"]
        restored = after.copy()
        restored[y : y + h, x : x + w] = read_image(run / "before" / record["before"]["file_name"])
        np.testing.assert_array_equal(restored, before)
        for item in gone:
            left, top, width, height = outer_box(item["bbox"], 0, 256, 216)
            part = np.s_[top : top + height, left : left + width]
            assert (after[part] != before[part]).any(axis=2).mean() > 0.9


def test_card_and_gallery_speak_of_removal(run: Path) -> None:
    card = (run / "README.md").read_text("utf-8")
    count = sum(item["origin"] == "removed" for record in records(run) for item in record["objects"])
    assert card.startswith("# Colonoscopy frames without their polyps")
    assert f"| removed polyps | {count} |" in card
    assert "| annotation | polyp_gen |" in card
    assert "new polyp" not in card
    gallery = (run / "index.html").read_text("utf-8")
    assert '<span class="new">removed polyp</span>' in gallery
    assert '"noun":"removed polyp"' in gallery
    assert "without polyps by polyp_gen" in gallery


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    run: Path, phantoms: Phantoms, weights: Path, tmp_path: Path
) -> None:
    limit = RunLimits(bytes=sum(sum(record["bytes"].values()) for record in records(run)[:6]))
    assert remove(removal(phantoms, weights), tmp_path / "out", limits=limit).limited
    (tmp_path / "out" / "before" / "000002.png").unlink()
    assert remove(removal(phantoms, weights), tmp_path / "out").made == 10
    assert digests(tmp_path / "out") == digests(run)
    with pytest.raises(RunConfigurationChanged, match=r"config\.margin was 15\.0, is 9\.0"):
        remove(removal(phantoms, weights, margin=9.0), tmp_path / "out")


def test_merged_shards_are_the_run_up_to_rounding(run: Path, phantoms: Phantoms, weights: Path, tmp_path: Path) -> None:
    for index in (1, 2):
        remove(removal(phantoms, weights, shard=(index, 2)), tmp_path / f"{index}")
    merge_runs([tmp_path / "1", tmp_path / "2"], tmp_path / "out")
    for first, second in zip(records(run), records(tmp_path / "out"), strict=True):
        assert first | {"bytes": 0} == second | {"bytes": 0}
        images = [read_image(folder / "images" / first["file_name"]).astype(int) for folder in (run, tmp_path / "out")]
        assert np.abs(images[0] - images[1]).max() <= 2


def test_frames_without_such_objects_are_left_out_and_bad_ones_are_named(
    phantoms: Phantoms, weights: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(phantoms.references, tmp_path / "data")
    document = json.loads((folder / "annotations.json").read_text("utf-8"))
    first, second, third = (image["id"] for image in document["images"][:3])
    document["annotations"] = [item for item in document["annotations"] if item["image_id"] != first]
    document["categories"].append({"id": 9, "name": "instrument"})
    for item in document["annotations"]:
        item["category_id"] = 9 if item["image_id"] == second else item["category_id"]
    (folder / "annotations.json").write_text(json.dumps(document))
    name = next(image["file_name"] for image in document["images"] if image["id"] == third)
    (folder / "images" / name).write_bytes(b"no picture")
    progress = remove(removal(Phantoms(folder, folder), weights, categories=("polyp",)), tmp_path / "out")
    assert (progress.total, progress.made, progress.skipped) == (8, 7, 1)
    assert json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))["inputs"]["frames_without_such_objects"] == 2
    assert name in (tmp_path / "out" / "README.md").read_text("utf-8")
    with pytest.raises(ConfigurationError, match="none of 10 frames holds an object of adenoma"):
        remove(removal(Phantoms(folder, folder), weights, categories=("adenoma",)), tmp_path / "none")


def test_frames_of_which_nothing_could_be_removed_are_skipped(weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    write_png(folder / "images" / "a.png", np.full((100, 100, 3), 90, np.uint8))
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 95, 95], "area": 9025, "iscrowd": 0}
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 100}],
        "annotations": [row | {"segmentation": []}],
        "categories": [{"id": 1, "name": "polyp"}],
    }
    (folder / "annotations.json").write_text(json.dumps(document))
    with pytest.raises(TooManyFailuresError, match="takes 100% of the frame"):
        remove(removal(Phantoms(folder, folder), weights), tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"synthesizer": "transplant", "painting": None}, "transplant can't remove polyps"),
        ({"painting": PaintingOptions(strength=0.5)}, "'strength' must be 1"),
        ({"batch_size": 0}, "'batch_size'"),
        ({"seed": -1}, "'seed'"),
        ({"shard": (3, 2)}, "'shard'"),
        ({"margin": -1.0}, "'margin'"),
    ],
)
def test_wrong_settings_of_a_run_are_named(
    changes: dict[str, Any], message: str, phantoms: Phantoms, weights: Path
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        removal(phantoms, weights, **changes)


def test_polyp_gen_says_that_it_removes(weights: Path) -> None:
    assert load_synthesizer(str(weights)).capabilities.removes
