"""The flow: plans by key, composition, annotation of what was painted."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest
from conftest import Phantoms

from polyp_aug.augmenter import Augmenter, AugmenterSettings
from polyp_aug.coco import read_coco
from polyp_aug.errors import ConfigurationError
from polyp_aug.geometry import Box, Region, boxes_meet, mask_box
from polyp_aug.images import ImageArray, list_images, read_image
from polyp_aug.keys import Key
from polyp_aug.proposers.random import RandomProposer
from polyp_aug.references import ReferenceBank
from polyp_aug.scene import Job, Painted, Placement, Plan, Rejection, Scene, SceneObject, Synthetic
from polyp_aug.synthesizers.base import Capabilities
from polyp_aug.synthesizers.registry import REFERENCE_SYNTHESIZERS, load_synthesizer


@dataclasses.dataclass
class Tint:
    """A synthesizer of another kind: it repaints the whole place and doesn't say where its object is."""

    strength: int = 70
    name: str = "tint"
    revision: str = "r1"
    capabilities: ClassVar = Capabilities(output="edit", feathered=True)
    batches: list[int] = dataclasses.field(default_factory=list)

    def paint(self, jobs: Sequence[Job]) -> list[Painted | Rejection]:
        self.batches.append(len(jobs))
        assert len({job.image.shape for job in jobs}) == 1
        results: list[Painted | Rejection] = []
        for job in jobs:
            image = job.image.astype(int)
            x, y, w, h = job.region.box
            image[y + h // 4 : y + h - h // 4, x + w // 4 : x + w - w // 4] += self.strength
            results.append(Painted(np.clip(image, 0, 255).astype(np.uint8), details={"steps": 3}))
        return results


@dataclasses.dataclass
class Broken:
    """A synthesizer that returns what is not asked for."""

    results: list[Painted | Rejection]
    name: str = "broken"
    revision: str = ""
    capabilities: ClassVar = Capabilities(output="edit", feathered=False)

    def paint(self, jobs: Sequence[Job]) -> list[Painted | Rejection]:
        return self.results * len(jobs)


@dataclasses.dataclass
class Fixed:
    """A proposer that always names the same places, overlapping or not."""

    boxes: tuple[tuple[int, int, int, int], ...]
    name: str = "fixed"

    def propose(self, image: ImageArray, count: int, key: Key, occupied: Sequence[Box] = ()) -> list[Placement]:
        return [Placement(Region(x, y, np.ones((h, w), bool)), 1.0, self.name) for x, y, w, h in self.boxes]


@pytest.fixture(scope="module")
def scenes(phantoms: Phantoms) -> list[Scene]:
    found = [Scene(path.name, read_image(path)) for path in list_images(phantoms.backgrounds)]
    for scene in found:
        scene.image.setflags(write=False)
    return found


@pytest.fixture(params=(*REFERENCE_SYNTHESIZERS, "tint"))
def augmenter(request: pytest.FixtureRequest, phantoms: Phantoms) -> Augmenter:
    settings = AugmenterSettings(polyps_per_image=(1, 3))
    if request.param == "tint":
        return Augmenter(RandomProposer(), Tint(), settings)
    bank = ReferenceBank(read_coco(phantoms.references))
    return Augmenter(RandomProposer(), load_synthesizer(request.param, references=bank), settings)


def keys(scenes: Sequence[Scene]) -> list[Key]:
    return [Key(7, scene.id) for scene in scenes]


def render(augmenter: Augmenter, scenes: Sequence[Scene]) -> list[Synthetic]:
    plans = [augmenter.plan(scene, key) for scene, key in zip(scenes, keys(scenes), strict=True)]
    return augmenter.render(scenes, plans)


def described(plan: Plan) -> list[tuple[object, ...]]:
    return [(p.placement.region.box, p.placement.region.crop.tobytes(), p.feather, p.key) for p in plan.polyps]


def test_plans_depend_on_the_key_alone(augmenter: Augmenter, scenes: list[Scene]) -> None:
    forward = [described(augmenter.plan(scene, key)) for scene, key in zip(scenes, keys(scenes), strict=True)]
    for index in np.random.default_rng(0).permutation(len(scenes)):
        assert described(augmenter.plan(scenes[index], keys(scenes)[index])) == forward[index]
    assert described(augmenter.plan(scenes[0], Key(8, scenes[0].id))) != forward[0]


class Wide(Tint):
    """A synthesizer that wants a margin."""

    capabilities: ClassVar = Capabilities(output="edit", feathered=True, margin=20.0)

    def paint(self, jobs: Sequence[Job]) -> list[Painted | Rejection]:
        results: list[Painted | Rejection] = []
        for job in jobs:
            image = job.image.astype(int)
            x, y, w, h = job.repainted.box
            image[y : y + h, x : x + w] += self.strength
            results.append(Painted(np.clip(image, 0, 255).astype(np.uint8)))
        return results


def test_a_margin_is_repainted_and_not_annotated() -> None:
    scene = Scene("grey", np.full((256, 512, 3), 120, np.uint8))
    boxes = ((100, 80, 60, 50), (195, 80, 60, 50), (440, 200, 60, 50))
    augmenter = Augmenter(Fixed(boxes), Wide(), AugmenterSettings(polyps_per_image=(3, 3)))
    plan = augmenter.plan(scene, Key(1, scene.id))
    # The second is 35 pixels away from the first, whose margin leaves room for a soft edge alone; the third reaches
    # over the frame's border, which is no neighbour.
    assert [(polyp.placement.region.box, polyp.margin) for polyp in plan.polyps] == [
        (boxes[0], 20),
        (boxes[1], 0),
        (boxes[2], 20),
    ]
    dark = scene.image.copy()
    dark[:, :90] = 0
    dark[:, 535 - 40 :] = 0
    bordered = augmenter.plan(Scene("dark", dark), Key(1, scene.id))
    assert [polyp.margin for polyp in bordered.polyps] == [10, 10, 0]
    result = augmenter.render([scene], [plan])[0]
    assert [item.region.box for item in result.objects] == list(boxes)
    changed = (result.image != scene.image).any(axis=2)
    assert changed[85, 85]
    assert not changed[70:140, 60:75].any()
    assert [item.provenance.get("margin") for item in result.objects] == [20, None, 20]


def test_batches_do_not_matter(augmenter: Augmenter, scenes: list[Scene]) -> None:
    together = render(augmenter, scenes)
    for scene, expected in zip(scenes, together, strict=True):
        alone = render(augmenter, [scene])[0]
        np.testing.assert_array_equal(alone.image, expected.image)
        assert [item.region.box for item in alone.objects] == [item.region.box for item in expected.objects]


def test_pixels_outside_of_the_changed_boxes_are_the_frame_s(augmenter: Augmenter, scenes: list[Scene]) -> None:
    for scene, result in zip(scenes, render(augmenter, scenes), strict=True):
        outside = np.ones(scene.image.shape[:2], bool)
        for item in result.objects:
            x, y, w, h = (int(value) for value in item.changed)
            outside[y : y + h, x : x + w] = False
        np.testing.assert_array_equal(result.image[outside], scene.image[outside])


def test_annotations_agree_with_the_pixels_that_changed(augmenter: Augmenter, scenes: list[Scene]) -> None:
    made = 0
    for scene, result in zip(scenes, render(augmenter, scenes), strict=True):
        changed = np.abs(result.image.astype(int) - scene.image).max(axis=2) > 0
        for item in result.objects:
            made += 1
            x, y, w, h = (int(value) for value in item.changed)
            here = np.zeros_like(changed)
            here[y : y + h, x : x + w] = changed[y : y + h, x : x + w]
            mask = item.region.to_mask(*changed.shape)
            assert mask_box(mask) == item.region.box
            assert (here & mask).sum() / mask.sum() > (0.8 if augmenter.synthesizer.name == "tint" else 0.9)
            found = mask_box(here)
            assert found is not None
            reach = item.provenance["feather"] + 2
            if augmenter.synthesizer.name != "tint":
                assert found[0] >= item.region.x - reach
                assert found[1] >= item.region.y - reach
                assert found[0] + found[2] <= item.region.x + item.region.box[2] + reach
                assert found[1] + found[3] <= item.region.y + item.region.box[3] + reach
    assert made >= 6


def test_polyps_of_a_frame_do_not_meet(augmenter: Augmenter, scenes: list[Scene]) -> None:
    for result in render(augmenter, scenes):
        boxes = [item.changed for item in result.objects]
        assert not any(boxes_meet(first, second) for n, first in enumerate(boxes) for second in boxes[:n])


def test_an_existing_polyp_is_never_painted_over(augmenter: Augmenter, scenes: list[Scene]) -> None:
    existing: Box = (90.0, 70.0, 60.0, 50.0)
    for scene in scenes:
        busy = dataclasses.replace(scene, objects=(SceneObject(existing, "polyp"),))
        result = render(augmenter, [busy])[0]
        np.testing.assert_array_equal(result.image[70:120, 90:150], scene.image[70:120, 90:150])


def test_provenance_tells_how_it_was_made(augmenter: Augmenter, scenes: list[Scene]) -> None:
    item = next(item for result in render(augmenter, scenes) for item in result.objects)
    assert item.provenance["synthesizer"] == augmenter.synthesizer.name
    assert item.provenance["proposer"] == "random"
    assert Key(**item.provenance["key"]).seed == 7
    assert item.provenance["details"]


def test_frames_of_one_size_are_one_batch(scenes: list[Scene]) -> None:
    tint = Tint()
    cut = [Scene(f"cut {scene.id}", np.ascontiguousarray(scene.image[:, :250])) for scene in scenes]
    mixed = [scene for pair in zip(scenes, cut, strict=True) for scene in pair]
    augmenter = Augmenter(Fixed(((100, 90, 40, 40),)), tint)
    results = render(augmenter, mixed)
    assert tint.batches == [len(scenes), len(scenes)]
    assert [result.scene_id for result in results] == [scene.id for scene in mixed]
    assert all(len(result.objects) == 1 for result in results)
    assert results[0].objects[0].provenance["revision"] == "r1"


def test_what_was_painted_is_annotated_not_what_was_asked() -> None:
    scene = Scene("a", np.full((120, 160, 3), (150, 80, 60), np.uint8))
    augmenter = Augmenter(Fixed(((40, 40, 40, 40),)), Tint())
    result = render(augmenter, [scene])[0]
    assert result.objects[0].region.box == pytest.approx((50, 50, 20, 20), abs=3)


def test_overlapping_places_of_a_proposer_are_dropped() -> None:
    scene = Scene("a", np.full((120, 160, 3), (150, 80, 60), np.uint8), (SceneObject((100, 60, 30, 30), "polyp"),))
    fixed = Fixed(((20, 20, 30, 30), (40, 40, 30, 30), (90, 50, 20, 20)))
    plan = Augmenter(fixed, Tint()).plan(scene, Key(1, "a"))
    assert [polyp.placement.region.box for polyp in plan.polyps] == [(20, 20, 30, 30)]


PLAIN = np.full((120, 160, 3), (150, 80, 60), np.uint8)
CHANGED = np.full((120, 160, 3), (250, 180, 160), np.uint8)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (Rejection("black picture"), "black picture"),
        (Painted(PLAIN[:50]), r"synthesizer returned uint8 \(50, 160, 3\), expected \(120, 160, 3\)"),
        (Painted(PLAIN.astype(float)), "synthesizer returned float64"),
        (Painted(PLAIN), "nothing was painted"),
        (Painted(CHANGED, Region(10, 10, np.ones((20, 20), bool))), "leaves the place"),
        (Painted(CHANGED, Region(500, 10, np.ones((20, 20), bool))), "nothing was painted"),
        (Painted(CHANGED, Region(45, 45, np.ones((4, 30), bool))), "30×4 px, too small"),
        (Painted(PLAIN + np.uint8(1), Region(45, 45, np.ones((20, 20), bool))), "can't be seen: mean change of 1.0"),
    ],
)
def test_a_useless_result_is_rejected_and_the_frame_stays(result: Painted | Rejection, reason: str) -> None:
    augmenter = Augmenter(Fixed(((40, 40, 40, 40),)), Broken([result]))
    found = render(augmenter, [Scene("a", PLAIN)])[0]
    assert found.objects == ()
    assert len(found.rejections) == 1
    assert re.search(reason, found.rejections[0].reason)
    np.testing.assert_array_equal(found.image, PLAIN)


def test_plans_and_scenes_must_belong_together(scenes: list[Scene]) -> None:
    augmenter = Augmenter(RandomProposer(), Tint())
    plans = [augmenter.plan(scene, Key(1, scene.id)) for scene in scenes[:2]]
    with pytest.raises(ConfigurationError, match="must name the scenes"):
        augmenter.render(scenes[:2], plans[::-1])


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"polyps_per_image": (0, 1)}, "polyps_per_image"),
        ({"polyps_per_image": (3, 2)}, "polyps_per_image"),
        ({"polyps_per_image": (1, 21)}, "polyps_per_image"),
        ({"feather": -0.1}, "feather"),
        ({"smallest_side": 0}, "smallest_side"),
        ({"least_change": -1.0}, "least_change"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, object], name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        AugmenterSettings(**settings)  # type: ignore[arg-type]
