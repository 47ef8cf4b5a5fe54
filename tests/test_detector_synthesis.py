"""`PolypSynthesis` in mmdet's pipelines: consistent annotations, the same for any workers, counted, never None."""

from __future__ import annotations

import inspect
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Phantoms
from mmdet.registry import DATASETS, TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from runs import config
from typer.testing import CliRunner

from polyp_aug.cli.app import app
from polyp_aug.coco import read_coco, resolve_image
from polyp_aug.errors import ConfigurationError
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.generation.generate import generate
from polyp_aug.integrations.mmdet.drawing import DrawnIndex, DrawnSampler
from polyp_aug.integrations.mmdet.synthesis import PolypSynthesis
from polyp_aug.pool import Pool, PoolWriter, ensure_pool


@pytest.fixture(scope="module")
def frames(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO set of all phantoms: six frames without polyps, ten with one or two, one of which is to be ignored."""
    folder = tmp_path_factory.mktemp("frames") / "set"
    (folder / "images").mkdir(parents=True)
    document = json.loads((phantoms.references / "annotations.json").read_text())
    shutil.copytree(phantoms.references / "images", folder / "images", dirs_exist_ok=True)
    for number, path in enumerate(sorted(phantoms.backgrounds.iterdir()), start=100):
        shutil.copy(path, folder / "images" / f"normal_{path.name}")
        document["images"].append({"id": number, "file_name": f"normal_{path.name}", "width": 256, "height": 216})
    document["annotations"][0]["iscrowd"] = 1
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def run(frames: Path, phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two samples of each frame."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    generate(config(phantoms, backgrounds=frames, per_image=2), folder)
    return folder


def dataset(frames: Path, *transforms: dict[str, Any], masks: bool = True, **more: Any) -> Any:
    init_default_scope("mmdet")
    return DATASETS.build(
        dict(
            type="CocoDataset",
            metainfo={"classes": ("polyp",)},
            ann_file=str(frames / "annotations.json"),
            data_prefix={"img": str(frames / "images")},
            filter_cfg={"filter_empty_gt": False},
            pipeline=[
                {"type": "LoadImageFromFile"},
                {"type": "LoadAnnotations", "with_bbox": True, "with_mask": masks},
                *transforms,
            ],
            **more,
        )
    )


def synthesis(run: Path, **settings: Any) -> dict[str, Any]:
    return {"type": "PolypSynthesis", "pool": str(run)} | {"probability": 1.0} | settings


@pytest.mark.parametrize("masks", [True, False])
def test_annotations_stay_consistent(frames: Path, run: Path, masks: bool) -> None:
    plain, changed = dataset(frames, masks=masks), dataset(frames, synthesis(run), masks=masks)
    pool = Pool(ensure_pool(run))
    seen = set()
    for index in range(len(plain)):
        before, after = plain[index], changed[index]
        seen.add(after["polyp_synthesis"])
        old, new = len(before["gt_bboxes"]), len(after["gt_bboxes"])
        assert after["img"].dtype == np.uint8
        assert after["img"].shape == before["img"].shape
        assert isinstance(after["gt_bboxes"], HorizontalBoxes)
        assert after["gt_bboxes"].tensor.dtype == torch.float32
        assert len(after["gt_bboxes_labels"]) == len(after["gt_ignore_flags"]) == new
        assert after["gt_bboxes_labels"].dtype == np.int64
        assert after["gt_ignore_flags"].dtype == bool
        if after["polyp_synthesis"] == "skipped":
            np.testing.assert_array_equal(after["img"], before["img"])
            continue
        assert after["polyp_synthesis"] == "changed"
        assert new == old + 1
        np.testing.assert_array_equal(after["gt_bboxes"].tensor[:old], before["gt_bboxes"].tensor)
        np.testing.assert_array_equal(after["gt_ignore_flags"][:old], before["gt_ignore_flags"])
        assert not after["gt_ignore_flags"][-1]
        assert after["gt_bboxes_labels"][-1] == 0
        x, y, right, bottom = after["gt_bboxes"].tensor[-1].int().tolist()
        difference = np.abs(after["img"].astype(int) - before["img"]).sum(axis=2) > 0
        assert difference[y:bottom, x:right].mean() > 0.3
        [variant] = [
            item
            for item in pool.variants_of(Path(after["img_path"]).name, before["img"][:, :, ::-1])
            if [round(value) for value in item.added[0].box] == [x, y, right - x, bottom - y]
        ]
        # BGR, as mmdet has it, of the pool's RGB.
        left, top, width, height = variant.box
        part = after["img"][top : top + height, left : left + width, ::-1]
        np.testing.assert_array_equal(part, pool.picture(variant))
        if masks:
            assert isinstance(after["gt_masks"], BitmapMasks)
            assert len(after["gt_masks"]) == new
            tight = after["gt_masks"].get_bboxes("hbox").tensor
            assert (tight[-1] - after["gt_bboxes"].tensor[-1]).abs().max() <= 1
        else:
            assert "gt_masks" not in after
    assert "changed" in seen
    empty = [index for index in range(len(plain)) if not len(plain[index]["gt_bboxes"])]
    assert len(empty) == 6
    assert any(changed[index]["polyp_synthesis"] == "changed" for index in empty)


def test_what_a_new_polyp_hides_is_taken_from_the_masks(frames: Path, run: Path) -> None:
    pool = Pool(ensure_pool(run))
    transform = PolypSynthesis(
        str(run), probability=1.0, polyps_per_image=(1, 2), largest_overlap=1.0, smallest_visible=0.0
    )
    for index in range(16):
        results = dataset(frames)[index]
        name = Path(results["img_path"]).name
        if len(results["gt_bboxes"]) or not pool.variants_of(name, results["img"][:, :, ::-1]):
            continue
        height, width = results["img"].shape[:2]
        # An object that fills the frame's lower half and one of a single pixel column far from any polyp.
        masks = np.zeros((1, height, width), np.uint8)
        masks[0, height // 2 :] = 1
        results["gt_masks"] = BitmapMasks(masks, height, width)
        results["gt_bboxes"] = HorizontalBoxes(torch.tensor([[0.0, height // 2, width, height]]))
        results["gt_bboxes_labels"] = np.array([0])
        results["gt_ignore_flags"] = np.array([False])
        after = transform(results)
        assert after["polyp_synthesis"] == "changed"
        below, *others = after["gt_masks"].masks.astype(bool)
        above = np.any(others, axis=0)
        assert not (below & above).any()
        np.testing.assert_array_equal(below | above, masks[0].astype(bool) | above)


def test_a_frame_with_polygons_gets_bitmaps(frames: Path, run: Path) -> None:
    data = dataset(frames)
    data.pipeline.transforms[1].poly2mask = False
    transform = PolypSynthesis(str(run), probability=1.0)
    found = [transform(data[index]) for index in range(len(data))]
    assert any(item["polyp_synthesis"] == "changed" for item in found)
    for item in found:
        assert len(item["gt_masks"]) == len(item["gt_bboxes"])


def signature(results: dict[str, Any]) -> tuple[Any, ...]:
    image = results["img"].astype(np.int64)
    return (results["img_path"], int(image.sum()), int((image * np.arange(image.size).reshape(image.shape)).sum()))


def loaded(frames: Path, run: Path, workers: int, epochs: int = 2, seed: int = 3) -> list[tuple[Any, ...]]:
    """What a loader of mmengine gives, two epochs long, sample by sample."""
    loader = Runner.build_dataloader(
        {
            "batch_size": 4,
            "num_workers": workers,
            "persistent_workers": workers > 0,
            "sampler": {"type": "DrawnSampler", "sampler": {"type": "DefaultSampler", "shuffle": True}},
            "dataset": dataset(frames, synthesis(run, probability=0.7, seed=seed)),
            "collate_fn": list,
        },
        seed=5,
    )
    found = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        found += [signature(item) for batch in loader for item in batch]
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_the_same_for_any_number_of_workers(frames: Path, run: Path) -> None:
    expected = loaded(frames, run, 0)
    assert loaded(frames, run, 1) == expected
    assert loaded(frames, run, 3) == expected
    assert loaded(frames, run, 2, seed=4) != expected
    first, second = sorted(expected[:16]), sorted(expected[16:])
    assert [item[0] for item in first] == [item[0] for item in second]
    assert first != second


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_are_counted(frames: Path, run: Path) -> None:
    data = dataset(frames, synthesis(run, probability=0.5))
    sampler = {"type": "DefaultSampler", "shuffle": False}
    loader = Runner.build_dataloader(
        {"batch_size": 2, "num_workers": 3, "sampler": sampler, "dataset": data, "collate_fn": list}, seed=0
    )
    states = [item["polyp_synthesis"] for batch in loader for item in batch]
    transform = loader.dataset.pipeline.transforms[-1]
    assert transform.counts.totals() == {name: states.count(name) for name in transform.counts.names}
    assert sum(transform.counts.totals().values()) == 16


def test_an_index_keeps_its_draw_through_joined_sets(frames: Path, run: Path) -> None:
    init_default_scope("mmdet")
    joined = DATASETS.build({"type": "ConcatDataset", "datasets": [dataset(frames), dataset(frames, synthesis(run))]})
    index = DrawnIndex(len(joined) - 1, 2, 9)
    results = joined[index]
    assert results["sample_idx"] == 15
    assert (results["sample_idx"].epoch, results["sample_idx"].draw) == (2, 9)
    again = pickle.loads(pickle.dumps(index))  # noqa: S301 - our own bytes
    assert (again, again.epoch, again.draw) == (index, 2, 9)


def test_a_sampler_counts_over_all_ranks() -> None:
    sampler = DrawnSampler(list(range(5)), {"type": "mmengine.DefaultSampler", "shuffle": True}, seed=1)
    sampler.set_epoch(3)
    found = list(sampler)
    assert sorted(found) == list(range(5))
    assert [item.draw for item in found] == list(range(5))
    assert {item.epoch for item in found} == {3}
    assert len(sampler) == 5
    sampler.sampler.rank, sampler.sampler.world_size = 1, 3
    assert [item.draw for item in sampler] == [1 + 3 * number for number in range(len(list(sampler.sampler)))]


@pytest.mark.parametrize(
    "name",
    [
        "PolypSynthesis",
        "mmdet.PolypSynthesis",
        "polyp_aug.PolypSynthesis",
        "polyp_aug.integrations.mmdet.synthesis.PolypSynthesis",
    ],
)
def test_every_name_finds_it(name: str, run: Path) -> None:
    init_default_scope("mmdet")
    assert isinstance(TRANSFORMS.build({"type": name, "pool": str(run)}), PolypSynthesis)


def test_our_scope_needs_no_import(tmp_path: Path, run: Path) -> None:
    """In a process that imported nothing of ours."""
    code = (
        "from mmengine.registry import init_default_scope\n"
        "init_default_scope('mmdet')\n"
        "from mmdet.registry import TRANSFORMS\n"
        f"print(TRANSFORMS.build(dict(type='polyp_aug.PolypSynthesis', pool={str(run)!r})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.startswith("PolypSynthesis(pool=")


def test_its_text_holds_every_setting(run: Path) -> None:
    text = repr(PolypSynthesis(str(run), probability=0.25, existing="skip"))
    for name in inspect.signature(PolypSynthesis).parameters:
        assert f"{name}=" in text
    assert "probability=0.25" in text


def test_without_a_pool_it_moves_polyps(frames: Path, phantoms: Phantoms) -> None:
    data = dataset(
        frames,
        {
            "type": "PolypSynthesis",
            "synthesizer": "transplant",
            "references": str(phantoms.references),
            "probability": 1.0,
        },
    )
    states = [data[index]["polyp_synthesis"] for index in range(len(data))]
    assert states.count("changed") > 8
    with pytest.raises(ConfigurationError, match="'pool' or 'synthesizer' must be given"):
        PolypSynthesis()
    with pytest.raises(ConfigurationError, match="neither a pool"):
        PolypSynthesis(str(phantoms.backgrounds))


@pytest.mark.slow
def test_a_diffusion_model_paints_in_this_process_only(frames: Path) -> None:
    data = dataset(frames, {"type": "PolypSynthesis", "synthesizer": "polyp_gen", "probability": 1.0})
    empty = [index for index in range(len(data)) if not len(data.get_data_info(index)["instances"])]
    assert data[empty[0]]["polyp_synthesis"] == "changed"
    sampler = {"type": "DefaultSampler", "shuffle": False}
    loader = Runner.build_dataloader({"batch_size": 1, "num_workers": 1, "sampler": sampler, "dataset": data}, seed=0)
    with pytest.raises(ConfigurationError, match="can't paint in a data loader's worker; set num_workers=0"):
        next(iter(loader))


def test_what_fails_is_left_as_it_is_and_said_once(
    frames: Path, run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pool = tmp_path / "pool"
    with PoolWriter(pool) as writer:
        writer.add_run(run)
    for path in (pool / "pictures").iterdir():
        path.write_bytes(b"no picture")
    plain, data = dataset(frames), dataset(frames, synthesis(pool))
    for _ in range(2):
        for index in range(len(data)):
            results = data[index]
            assert results["polyp_synthesis"] in ("failed", "skipped")
            np.testing.assert_array_equal(results["img"], plain[index]["img"])
    counts = data.pipeline.transforms[-1].counts.totals()
    assert counts["failed"] > 8
    told = [record.getMessage() for record in caplog.records if "left a frame as it was" in record.getMessage()]
    assert len(told) == len(set(told)) <= 20


def test_real_frames_get_their_own_polyps(real_data: Path, tmp_path: Path) -> None:
    """JPEG frames, decoded by mmcv here and by Pillow where the pool was made."""
    prepare = [
        "prepare",
        "manifest",
        str(real_data),
        "--split",
        "val",
        "--kind",
        "polyp",
        "--out",
        str(tmp_path / "val"),
    ]
    assert CliRunner().invoke(app, prepare).exit_code == 0
    run = tmp_path / "run"
    frames = tmp_path / "val"
    generate(GenerateConfig(backgrounds=frames, references=frames, count=12, synthesizer="copy_paste"), run)
    transform = PolypSynthesis(str(run), probability=1.0)
    names = {json.loads(line)["source"]["file"] for line in (run / "pool" / "pool.jsonl").read_text().splitlines()}
    source = read_coco(tmp_path / "val")
    data = dataset(tmp_path / "val")
    for image in source.images:
        if image.file_name in names:
            [index] = [k for k in range(len(data)) if data.get_data_info(k)["img_id"] == image.id]
            assert Path(data.get_data_info(index)["img_path"]) == resolve_image(source.image_root, image.file_name)
            assert transform(data[index])["polyp_synthesis"] == "changed"
