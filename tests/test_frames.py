"""Whole frames: their masks, the run that makes them, and what it refuses."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from captioned import save_tiny, write_phantom_captions
from conftest import Phantoms
from runs import digests, records

from polyp_aug.augmenter import Augmenter
from polyp_aug.captions.dataset import read_captions
from polyp_aug.captions.facts import mask_facts
from polyp_aug.coco import decode_segmentation, read_coco
from polyp_aug.errors import ConfigurationError, RunConfigurationChanged, TooManyFailuresError
from polyp_aug.generation.frames import FramesConfig, generate_frames, prepare_frames
from polyp_aug.generation.mask_drawer import KINDS, DrawnMask, MaskDrawer, ShapeShares
from polyp_aug.generation.merge_runs import merge_runs
from polyp_aug.generation.preview import preview_sheet
from polyp_aug.generation.writing import RunLimits
from polyp_aug.geometry import boxes_meet
from polyp_aug.images import ImageArray, MaskArray, read_image
from polyp_aug.integrations.yolo import export_yolo
from polyp_aug.keys import Key
from polyp_aug.pool import ensure_pool
from polyp_aug.proposers.random import RandomProposer
from polyp_aug.references import ReferenceBank
from polyp_aug.synthesizers.frame_options import FrameOptions
from polyp_aug.synthesizers.registry import load_synthesizer

SIZE = 96


@pytest.fixture(scope="module")
def bank(phantoms: Phantoms) -> ReferenceBank:
    return ReferenceBank(read_coco(phantoms.references))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("weights"))


# Masks


def drawn(bank: ReferenceBank, count: int = 40, **control: str) -> list[DrawnMask]:
    drawer = MaskDrawer(bank, SIZE, ShapeShares(), control)
    found = [drawer.draw(Key(0, "mask", draw=number)) for number in range(count)]
    assert None not in found
    return [mask for mask in found if mask is not None]


def test_masks_are_inside_of_the_frame_and_of_all_kinds(bank: ReferenceBank) -> None:
    found = drawn(bank, 80)
    assert set(Counter(mask.kind for mask in found)) == set(KINDS)
    for mask in found:
        x, y, w, h = mask.region.box
        assert min(x, y) >= 1
        assert max(x + w, y + h) <= SIZE - 1
        assert min(w, h) >= 8
        assert mask.reference in bank.polyps
    assert len({mask.region.crop.tobytes() for mask in found}) > 60


def test_equal_keys_give_equal_masks(bank: ReferenceBank) -> None:
    for first, again in zip(drawn(bank, 10), drawn(bank, 10), strict=True):
        assert first.region.box == again.region.box
        np.testing.assert_array_equal(first.region.crop, again.region.crop)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_what_it_says(bank: ReferenceBank, kind: str) -> None:
    shares = ShapeShares(**{name: float(name == kind) for name in KINDS})
    drawer = MaskDrawer(bank, SIZE, shares)
    for number in range(12):
        found = drawer.draw(Key(3, "mask", draw=number))
        assert found is not None
        assert found.kind == kind
        own = found.reference.region()
        across, down = SIZE / found.reference.frame_size[0], SIZE / found.reference.frame_size[1]
        if kind == "reference":
            assert abs(found.region.area - own.area * across * down) < 0.15 * found.region.area + 8
        if kind == "convex":
            facts = mask_facts(found.region.to_mask(SIZE, SIZE))
            assert facts.numbers["solidity"] > 0.9


def test_masks_follow_what_is_asked_for(bank: ReferenceBank) -> None:
    for control in ({"place": "upper left"}, {"size": "small", "shape": "oval"}):
        for mask in drawn(bank, 6, **control):
            facts = mask_facts(mask.region.to_mask(SIZE, SIZE))
            assert {name: getattr(facts, name) for name in control} == control


def test_masks_do_not_meet_what_is_taken(bank: ReferenceBank) -> None:
    drawer = MaskDrawer(bank, SIZE, ShapeShares())
    taken = (0, 0, SIZE, SIZE // 2)
    for number in range(10):
        found = drawer.draw(Key(1, "mask", draw=number), [taken])
        assert found is None or not boxes_meet(found.region.box, taken)
    assert drawer.draw(Key(1, "mask"), [(0, 0, SIZE, SIZE)]) is None


@pytest.mark.parametrize("shares", [{"affine": -0.1}, dict.fromkeys(KINDS, 0.0)])
def test_wrong_shares_are_named(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        ShapeShares(**shares)


# Runs


def config(phantoms: Phantoms, weights: Path, **changes: Any) -> FramesConfig:
    making = FrameOptions(weights=str(weights), num_inference_steps=2, guidance_scale=2.0)
    settings: dict[str, Any] = {"references": phantoms.references, "count": 5, "making": making, "seed": 1}
    return FramesConfig(**(settings | {"check": False, "batch_size": 2} | changes))


@pytest.fixture(scope="module")
def run(phantoms: Phantoms, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    progress = generate_frames(config(phantoms, weights, polyps_per_image=(1, 2)), out)
    assert (progress.made, progress.skipped, progress.total) == (5, 0, 5)
    return out


def test_a_run_is_a_coco_set_of_frames_and_their_masks(run: Path) -> None:
    found = read_coco(run)
    assert (len(found.images), found.problems) == (5, ())
    assert {(image.width, image.height) for image in found.images} == {(32, 32)}
    for record, image in zip(records(run), found.images, strict=True):
        mask = np.zeros((32, 32), np.bool_)
        for item in found.by_image()[image.id]:
            mask |= decode_segmentation(item.segmentation, 32, 32)
            assert item.extra["origin"] == "synthetic"
        shown = read_image(run / "before" / record["file_name"])
        np.testing.assert_array_equal(shown.min(axis=2) > 0, mask)
        assert record["objects"][0]["provenance"]["prompt"] == record["caption"]
        assert len(record["facts"]["polyps"]) == len(record["objects"])
        assert read_image(run / "images" / record["file_name"]).std() > 0
    assert len({record["caption"] for record in records(run)}) > 1


def test_card_gallery_and_settings_speak_of_whole_frames(run: Path) -> None:
    card = (run / "README.md").read_text("utf-8")
    assert card.startswith("# Synthetic colonoscopy frames")
    assert "objects that were there before" not in card
    assert "| mask |" in card
    assert "Frames by ccis_diff with masks of polyp" in (run / "index.html").read_text("utf-8")
    described = json.loads((run / "run.json").read_text("utf-8"))
    assert described["config"]["task"] == "frames"
    assert described["inputs"]["weights"] == "whole"
    assert set(described["versions"]) >= {"torch", "diffusers"}


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    run: Path, phantoms: Phantoms, weights: Path, tmp_path: Path
) -> None:
    settings = config(phantoms, weights, polyps_per_image=(1, 2))
    size = sum(records(run)[0]["bytes"].values())
    generate_frames(settings, tmp_path / "out", limits=RunLimits(bytes=2 * size))
    assert len(records(tmp_path / "out")) < 5
    generate_frames(settings, tmp_path / "out")
    assert digests(tmp_path / "out") == digests(run)
    with pytest.raises(RunConfigurationChanged, match="seed"):
        generate_frames(replace(settings, seed=2), tmp_path / "out")


def test_attributes_are_in_every_caption_and_mask(phantoms: Phantoms, weights: Path, tmp_path: Path) -> None:
    asked = {"colour": "pale", "type": "pedunculated", "size": "small", "tone": "red"}
    generate_frames(config(phantoms, weights, attributes=asked), tmp_path / "out")
    for record in records(tmp_path / "out"):
        [polyp] = record["facts"]["polyps"]
        assert {**polyp, **record["facts"]["background"]} | asked == {**polyp, **record["facts"]["background"]}
        assert all(word in record["caption"] for word in ("pale", "pedunculated", "small", "red"))


def test_the_frames_of_a_set_are_made_anew(phantoms: Phantoms, weights: Path, tmp_path: Path) -> None:
    captions = write_phantom_captions(phantoms, tmp_path)
    generate_frames(config(phantoms, weights, count=None, captions=captions), tmp_path / "out")
    source = {image.file_name: image for image in read_coco(phantoms.references).images}
    texts = {record.file_name: record.caption for record in read_captions(captions).values()}
    found = records(tmp_path / "out")
    assert len(found) == len(source)
    for record in found:
        name = record["background"]["file"]
        assert record["caption"] == texts[name]
        assert {item["provenance"]["proposer"] for item in record["objects"]} == {"mask: own"}
        own = [item.bbox for item in read_coco(phantoms.references).by_image()[source[name].id]]
        across, down = 32 / source[name].width, 32 / source[name].height
        for item, (x, y, w, h) in zip(record["objects"], own, strict=True):
            np.testing.assert_allclose(item["bbox"], (x * across, y * down, w * across, h * down), atol=1.6)


def test_shards_of_frames_made_anew_are_merged(phantoms: Phantoms, weights: Path, tmp_path: Path) -> None:
    settings = config(phantoms, weights, count=None, captions=write_phantom_captions(phantoms, tmp_path))
    generate_frames(settings, tmp_path / "whole")
    shards = [tmp_path / f"shard{number}" for number in (1, 2)]
    for number, shard in enumerate(shards, start=1):
        generate_frames(replace(settings, shard=(number, 2)), shard)
    merge_runs(shards, tmp_path / "merged")
    assert records(tmp_path / "merged") == records(tmp_path / "whole")


class Never:
    """Sees no polyp in any frame, or only in the first of them."""

    def __init__(self, keep: int = 0) -> None:
        self._keep = keep

    def disagreements(self, image: ImageArray, masks: list[MaskArray]) -> list[str | None]:
        assert image.shape[:2] == masks[0].shape
        return [None if number < self._keep else "not there" for number in range(len(masks))]


def test_what_the_frame_does_not_agree_with_is_not_annotated(phantoms: Phantoms, weights: Path, tmp_path: Path) -> None:
    settings = config(phantoms, weights, polyps_per_image=(2, 2), check=True)
    generate_frames(settings, tmp_path / "some", check=Never(keep=1))
    for record in records(tmp_path / "some"):
        assert (len(record["objects"]), record["rejections"]) == (1, ["not there"])
    with pytest.raises(TooManyFailuresError, match="not there"):
        generate_frames(settings, tmp_path / "none", check=Never())


def test_the_other_rooms_take_a_run_or_refuse_it(run: Path, tmp_path: Path) -> None:
    exported = export_yolo({"train": [run]}, tmp_path / "yolo")
    assert exported.images == {"train": 5}
    with pytest.raises(ConfigurationError, match="a run of whole frames"):
        ensure_pool(run)


def test_a_preview_shows_masks_and_frames(phantoms: Phantoms, weights: Path) -> None:
    sheet = preview_sheet(prepare_frames(config(phantoms, weights)), 2)
    assert sheet.ndim == 3
    assert sheet[:400, :400].reshape(-1, 3).std(axis=1).max() == 0


def test_whole_frames_are_painted_into_none(weights: Path) -> None:
    synthesizer = load_synthesizer(str(weights))
    with pytest.raises(ConfigurationError, match="makes whole frames"):
        Augmenter(RandomProposer(), synthesizer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": None}, "count"),
        ({"count": 0}, "count"),
        ({"polyps_per_image": (2, 1)}, "polyps_per_image"),
        ({"seed": -1}, "seed"),
        ({"shard": (3, 2)}, "shard"),
        ({"attributes": {"colour": "blue"}}, "colour=blue"),
        ({"captions": Path("x"), "attributes": {"colour": "pale"}}, "captions"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        FramesConfig(**({"references": Path("r"), "count": 1} | changes))
