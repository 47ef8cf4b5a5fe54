"""Adding polyps to a frame, from a pool or on the spot: what is drawn, kept, covered and refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Phantoms
from runs import config, records

from polyp_aug.errors import ConfigurationError
from polyp_aug.generation.generate import generate
from polyp_aug.geometry import Region, boxes_meet
from polyp_aug.images import read_image
from polyp_aug.keys import Key
from polyp_aug.online import Augmented, OnlineAugmenter, OnlineSettings, load_live_painter
from polyp_aug.pool import Pool, PoolVariant, ensure_pool
from polyp_aug.pool.write import PoolWriter, cut_out
from polyp_aug.scene import Scene, SceneObject

ALWAYS = OnlineSettings(probability=1.0)


@pytest.fixture(scope="module")
def pool(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """Four variants with one polyp for each of six frames."""
    folder = tmp_path_factory.mktemp("run") / "run"
    generate(config(phantoms, per_image=4, polyps_per_image=(1, 1)), folder)
    return Pool(ensure_pool(folder))


@pytest.fixture
def scene(pool: Pool, phantoms: Phantoms) -> Scene:
    """A frame of which the pool has all variants."""
    images = {path: read_image(path) for path in sorted(phantoms.backgrounds.iterdir())}
    path, image = next(item for item in images.items() if len(pool.variants_of(item[0].name, item[1])) == 4)
    image.setflags(write=False)
    return Scene(path.name, image)


def augment(pool: Pool | None, scene: Scene, draw: int = 0, masks: Any = None, **settings: Any) -> Augmented:
    found = OnlineAugmenter(pool, None, OnlineSettings(**({"probability": 1.0} | settings)))
    return found.augment(scene, Key(0, scene.id, draw=draw), masks)


def test_a_frame_gets_a_polyp_of_the_pool(pool: Pool, scene: Scene) -> None:
    found = augment(pool, scene)
    assert found.status == "changed"
    [polyp] = found.added
    x, y, w, h = (int(value) for value in polyp.box)
    changed = np.abs(found.image.astype(int) - scene.image).sum(axis=2) > 0
    assert changed[y : y + h, x : x + w].mean() > 0.4
    [variant] = [item for item in pool.variants_of(scene.id, scene.image) if item.added[0].box == polyp.box]
    outside = np.ones(changed.shape, bool)
    left, top, width, height = variant.box
    outside[top : top + height, left : left + width] = False
    assert not changed[outside].any()
    assert polyp.region is None
    masked = augment(pool, scene, masks=[])
    assert masked.added[0].region is not None
    assert np.abs(np.subtract(masked.added[0].region.box, polyp.box)).max() <= 1


def test_draws_differ_and_repeat(pool: Pool, scene: Scene) -> None:
    draws = [augment(pool, scene, draw).added[0].box for draw in range(30)]
    assert draws == [augment(pool, scene, draw).added[0].box for draw in range(30)]
    assert len(set(draws)) == len({item.added[0].box for item in pool.variants_of(scene.id, scene.image)})


def test_the_probability_is_kept(pool: Pool, scene: Scene) -> None:
    share = np.mean([augment(pool, scene, draw, probability=0.3).status == "changed" for draw in range(600)])
    assert 0.24 < share < 0.36
    never = augment(pool, scene, probability=0.0)
    assert never.status == "unchanged"
    assert never.image is scene.image


def test_several_polyps_dont_meet(pool: Pool, scene: Scene) -> None:
    numbers = set()
    for draw in range(40):
        found = augment(pool, scene, draw, polyps_per_image=(1, 4))
        boxes = [item.box for item in found.added]
        numbers.add(len(boxes))
        assert not any(boxes_meet(a, b) for i, a in enumerate(boxes) for b in boxes[:i])
        assert 1 <= len(boxes) <= 4
    assert len(numbers) > 1


def test_sizes_are_kept_to(pool: Pool, scene: Scene) -> None:
    sizes = sorted(item.added[0].diameter / 216 for item in pool.variants_of(scene.id, scene.image))
    low, high = sizes[1] - 1e-6, sizes[2] + 1e-6
    for draw in range(20):
        [polyp] = augment(pool, scene, draw, size_range=(low, high), masks=[]).added
        assert polyp.region is not None
        assert 0.97 * low <= polyp.region.equivalent_diameter / 216 <= 1.03 * high
    none = augment(pool, scene, size_range=(0.98, 1.0))
    assert none.status == "skipped"
    assert "no variant that fits" in none.reason


def _covering(scene: Scene, variant: PoolVariant, share: float) -> tuple[Scene, Region]:
    """The frame with an object of whose box the variant's polyp covers that share, from the left."""
    x, y, w, h = variant.added[0].box
    left = x + w - round(share * w)
    region = Region(int(left), int(y), np.ones((int(h), int(w)), bool))
    return replace(scene, objects=(SceneObject((left, y, w, h), "polyp"),)), region


def test_objects_are_not_covered_beyond_the_limits(pool: Pool, scene: Scene) -> None:
    variant = pool.variants_of(scene.id, scene.image)[0]
    boxed, region = _covering(scene, variant, 0.5)

    def covers(masks: Any = None, **limits: Any) -> bool:
        found = (augment(pool, boxed, draw, masks, **limits) for draw in range(40))
        return any(variant.added[0].box == polyp.box for item in found for polyp in item.added)

    assert not covers()
    assert not covers(largest_overlap=0.45, smallest_visible=0.0)
    assert not covers(largest_overlap=0.6, smallest_visible=0.6)
    assert covers(largest_overlap=0.6, smallest_visible=0.4)
    # By its mask, of which half of the covered part is empty, more of the object stays in sight.
    thin = Region(region.x + region.crop.shape[1] - 3, region.y, np.ones((region.crop.shape[0], 3), bool))
    assert covers([thin], largest_overlap=0.6, smallest_visible=0.9)


def test_frames_with_polyps_may_be_left_alone(pool: Pool, scene: Scene) -> None:
    busy = replace(scene, objects=(SceneObject((1.0, 1.0, 5.0, 5.0), "polyp"),))
    assert augment(pool, busy, existing="skip").status == "unchanged"
    assert augment(pool, scene, existing="skip").status == "changed"
    assert augment(pool, busy, existing="keep").removed == ()


def test_polyps_are_replaced_where_the_pool_knows_the_frame_without_them(phantoms: Phantoms, tmp_path: Path) -> None:
    """A run of polyps over an emptied frame, and the removal, laid over the original one after the other."""
    made = tmp_path / "made"
    generate(config(phantoms, count=1, polyps_per_image=(1, 1)), made)
    [record] = records(made)
    emptied = read_image(phantoms.backgrounds / record["background"]["file"])
    frame = read_image(made / "images" / record["file_name"])
    name = record["background"]["file"]
    pool = tmp_path / "pool"
    with PoolWriter(pool) as writer:
        writer.add_run(made)
        x, y, w, h = record["before"]["box"]
        gone = record | {"objects": [item | {"origin": "removed"} for item in record["objects"]], "sample": 7}
        writer.add(iter([cut_out(gone, "removal", emptied, frame[y : y + h, x : x + w])]))
    box = tuple(float(value) for value in record["objects"][0]["bbox"])
    scene = Scene(name, frame, (SceneObject((1.0, 1.0, 4.0, 4.0), "polyp"), SceneObject(box, "polyp")))  # type: ignore[arg-type]
    found = augment(Pool(pool), scene, existing="replace")
    assert found.status == "changed"
    assert found.removed == (1,)
    assert [item.box for item in found.added] == [box]
    np.testing.assert_array_equal(found.image, frame)
    kept = augment(Pool(pool), scene, existing="keep")
    assert kept.status == "skipped"
    unknown = augment(Pool(pool), replace(scene, image=emptied), existing="replace")
    assert unknown.status == "skipped"
    assert "no variant without its polyps" in unknown.reason


def test_a_frame_that_no_pool_knows_is_painted_on_the_spot(pool: Pool, phantoms: Phantoms, scene: Scene) -> None:
    painter = load_live_painter("transplant", phantoms.references)
    strange = Scene("strange.png", np.ascontiguousarray(scene.image[:, ::-1]))
    assert augment(pool, strange).status == "skipped"
    assert "not in the pool" in augment(pool, strange).reason
    for where in (pool, None):
        found = OnlineAugmenter(where, painter, ALWAYS).augment(strange, Key(0, strange.id))
        assert found.status == "changed"
        [polyp] = found.added
        assert polyp.region is not None
        assert (found.image != strange.image).any()
    again = OnlineAugmenter(None, painter, ALWAYS).augment(strange, Key(0, strange.id))
    np.testing.assert_array_equal(again.image, found.image)
    dark = Scene("dark.png", np.zeros((216, 256, 3), np.uint8))
    nowhere = OnlineAugmenter(None, painter, ALWAYS).augment(dark, Key(0, dark.id))
    assert (nowhere.status, nowhere.reason) == ("skipped", "dark.png: no place for a polyp")


def test_a_picture_that_is_gone_fails_and_changes_nothing(pool: Pool, scene: Scene, tmp_path: Path) -> None:
    copy = tmp_path / "pool"
    with PoolWriter(copy) as writer:
        writer.add_run(pool.path.parent)
    for path in (copy / "pictures").iterdir():
        path.unlink()
    found = augment(Pool(copy), scene)
    assert found.status == "failed"
    assert found.image is scene.image
    assert ".png" in found.reason
    reader = Pool(copy)
    (copy / "pool.jsonl").unlink()
    assert augment(reader, scene).status == "failed"
    (copy / "pool.jsonl").write_text("{")
    assert "can't be read as a pool's index" in augment(reader, scene).reason


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("probability", 1.1),
        ("probability", -0.1),
        ("polyps_per_image", (0, 1)),
        ("polyps_per_image", (3, 2)),
        ("size_range", (0.5, 0.4)),
        ("size_range", (0.1, 1.2)),
        ("largest_overlap", 2.0),
        ("smallest_visible", -1.0),
        ("existing", "erase"),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}'"):
        OnlineSettings(**{name: value})


def test_a_painter_needs_references() -> None:
    with pytest.raises(ConfigurationError, match="'references' must be given, for the synthesizer transplant"):
        load_live_painter("transplant", None)
