"""Detectors of mmdet: every config trains for two iterations on phantoms; resuming, checkpoints, detecting."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Phantoms
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from runs import config as config_of_run

from polyp_aug.coco import read_coco, resolve_image
from polyp_aug.errors import CocoError, ConfigurationError, ImageError
from polyp_aug.generation.generate import generate
from polyp_aug.integrations.mmdet.checkpoints import read_checkpoint
from polyp_aug.integrations.mmdet.configs import read_config, stretch_schedule, use_data, use_pool, use_training_data
from polyp_aug.integrations.mmdet.inference import detect, detector_facts
from polyp_aug.integrations.mmdet.mixed_precision import ProcessorAmpOptimWrapper
from polyp_aug.integrations.mmdet.training import train_detector
from polyp_aug.integrations.mmdet.transforms import NoBorder
from polyp_aug.pool import Pool, PoolWriter

CONFIGS = Path(__file__).resolve().parents[1] / "mmdet_configs"
CENTERNET = CONFIGS / "centernet" / "centernet_mini_real.py"
ALL = sorted(path for path in CONFIGS.glob("*/*.py") if path.parent.name != "_base_")

#: Two frames at once, loaded in this process, and no measurement.
SMALL = (
    *(f"{loader}_dataloader.{name}" for loader in ("train", "val") for name in ("num_workers=0", "batch_size=2")),
    *(f"{loader}_dataloader.persistent_workers=False" for loader in ("train", "val")),
)


def iterations(count: int, validate: bool = False) -> Sequence[str]:
    return (*SMALL, f"train_cfg.max_iters={count}", f"train_cfg.val_interval={count if validate else 100}")


@pytest.fixture(scope="module")
def normal(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO set without any polyp."""
    folder = tmp_path_factory.mktemp("normal")
    names = sorted(path.name for path in phantoms.backgrounds.iterdir())
    images = [{"id": k, "file_name": name, "width": 256, "height": 216} for k, name in enumerate(names, 1)]
    document = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "polyp"}]}
    (folder / "annotations.json").write_text(json.dumps(document))
    (folder / "images").symlink_to(phantoms.backgrounds)
    return folder


@pytest.fixture(scope="module")
def trained(phantoms: Phantoms, normal: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of two iterations of CenterNet."""
    work = tmp_path_factory.mktemp("work") / "a"
    data = (phantoms.references, normal)
    return train_detector(CENTERNET, data, phantoms.references, work, options=iterations(2), seed=3)


@pytest.fixture(scope="module")
def generated(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over the frames with polyps."""
    folder = tmp_path_factory.mktemp("run") / "run"
    generate(config_of_run(phantoms, backgrounds=phantoms.references, per_image=1), folder)
    return folder


def shrunk(path: Path) -> list[str]:
    """Changes that make the pictures of a full-size config small, and its backbone begin at random."""
    config = read_config(path)
    sets = {"train_dataloader.dataset": config.train_dataloader.dataset}
    if "datasets" in config.train_dataloader.dataset:
        sets = {f"train_dataloader.dataset.datasets.{k}": own for k, own in enumerate(sets.popitem()[1].datasets)}
    sets["val_dataloader.dataset"] = config.val_dataloader.dataset
    places = [
        f"{name}.pipeline.{k}.scale=(128,128)"
        for name, own in sets.items()
        for k, transform in enumerate(own.pipeline)
        if transform.type == "Resize"
    ]
    return [*places, *(["model.backbone.init_cfg=None"] if "init_cfg" in config.model.backbone else [])]


@pytest.mark.slow
@pytest.mark.parametrize("config", ALL, ids=lambda path: path.stem)
def test_every_config_trains_and_is_measured(
    config: Path, phantoms: Phantoms, normal: Path, generated: Path, tmp_path: Path
) -> None:
    if "yolov8" in config.stem:
        pytest.importorskip("mmyolo", reason="mmyolo is GPL, and no dependency")
    arm = config.stem.rpartition("_")[2]
    options = [*iterations(2, validate=True), *(shrunk(config) if "_full_" in config.stem else [])]
    joins = "datasets" in read_config(config).train_dataloader.dataset
    if arm == "offline":
        options.append("train_dataloader.sampler.sampler.batch_size=2")
        options.append("train_dataloader.sampler.sampler.source_ratio=[1,1]")
    checkpoint = train_detector(
        config,
        (phantoms.references, normal),
        phantoms.references,
        tmp_path,
        synthetic=[generated] if joins else [],
        pool=generated if arm == "online" else None,
        options=options,
    )
    assert checkpoint == tmp_path / "iter_2.pth"
    found = read_checkpoint(checkpoint)
    assert all(torch.isfinite(value).all() for value in found["state_dict"].values())
    assert np.isfinite(found["message_hub"]["log_scalars"]["train/loss"].mean())
    [log] = tmp_path.glob("*/vis_data/scalars.json")
    assert any("coco/bbox_mAP_50" in json.loads(line) for line in log.read_text().splitlines())
    [text] = tmp_path.glob("*/*.log")
    assert ("PolypSynthesis: " in text.read_text()) == (arm == "online")


@pytest.mark.parametrize("config", [path for path in ALL if path.stem.endswith("_real")], ids=lambda path: path.stem)
def test_an_online_config_differs_by_one_line(config: Path) -> None:
    online = config.with_name(config.name.replace("_real", "_online"))
    pairs = [(config, online)]
    [own] = [line for line in config.read_text().splitlines() if "/pipelines/" in line]
    bases = config.parent / own.strip().strip('",')
    pairs.append((bases, bases.with_name(f"{bases.stem}_online.py")))
    changed = [
        [line for line in difflib.ndiff(*(path.read_text().splitlines() for path in pair)) if line[0] in "+-"]
        for pair in pairs
    ]
    assert [line[0] for line in changed[0]] == ["-", "+"]
    assert len(changed[1]) == 1
    assert "PolypSynthesis" in changed[1][0]
    real, other = (read_config(path).train_dataloader.dataset.pipeline for path in (config, online))
    assert [item for item in other if item.type != "PolypSynthesis"] == real
    assert [item.type for item in other].index("PolypSynthesis") == 2


def test_generated_frames_are_a_fixed_share_of_each_batch(phantoms: Phantoms, generated: Path) -> None:
    config = read_config(CONFIGS / "centernet" / "centernet_mini_offline.py")
    use_training_data(config, [phantoms.references], [generated])
    config.train_dataloader.num_workers, config.train_dataloader.persistent_workers = 0, False
    init_default_scope("mmdet")
    loader = Runner.build_dataloader(config.train_dataloader, seed=0)
    for batch, _ in zip(loader, range(4), strict=False):
        folders = [Path(item.img_path).parent for item in batch["data_samples"]]
        assert sorted(folder == generated / "images" for folder in folders) == [False] * 5 + [True] * 3
    for real, synthetic in (([phantoms.references], []), ([], [generated])):
        with pytest.raises(ConfigurationError, match=r"joins 2 training sets|no data set"):
            use_training_data(config, real, synthetic)
    plain = read_config(CENTERNET)
    with pytest.raises(ConfigurationError, match="joins 1 training sets, and 1 generated sets are given"):
        use_training_data(plain, [phantoms.references], [generated])
    with pytest.raises(ConfigurationError, match="no PolypSynthesis that could draw from"):
        use_pool(plain, generated)


@pytest.mark.slow
def test_what_the_synthesis_did_is_logged_and_the_pool_renewed(
    phantoms: Phantoms, generated: Path, tmp_path: Path
) -> None:
    """A refresher runs while it trains, in two workers' sight, and ends with it."""
    pool = tmp_path / "pool"
    with PoolWriter(pool) as writer:
        writer.add_run(generated)
    arguments = ["--backgrounds", str(phantoms.references), "--references", str(phantoms.references)]
    arguments += ["--batch-size", "1", "--capacity", "12"]
    hook = {"type": "PoolRefresher", "pool": str(pool), "arguments": arguments}
    config = tmp_path / "config.py"
    online = CONFIGS / "centernet" / "centernet_mini_online.py"
    hooks = [{"type": "SynthesisReportHook", "interval": 2}, hook]
    config.write_text(f"_base_ = {str(online)!r}\ncustom_hooks = {hooks!r}\n")
    options = [*SMALL, "default_hooks.logger.interval=2", "train_dataloader.num_workers=1"]
    work = tmp_path / "work"
    train_detector(
        config, [phantoms.references], phantoms.references, work, pool=pool, options=options, iterations=30, seed=1
    )
    [log] = work.glob("*/vis_data/scalars.json")
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    changed = [row["synthesis_changed"] for row in rows if "synthesis_changed" in row]
    assert changed == sorted(changed)
    assert 5 < changed[-1] < 70
    refreshed = (work / "refresh.log").read_text()
    assert "round 1: 1 added" in refreshed
    variants = Pool(pool)
    assert len(variants) == 12 or "retired" in refreshed
    # It has let go of the pool.
    with PoolWriter(pool):
        pass


def test_every_config_is_documented() -> None:
    documented = (CONFIGS.parent / "docs" / "detectors.md").read_text("utf-8")
    assert ALL
    for config in ALL:
        assert f"`{config.relative_to(CONFIGS.parent).as_posix()}`" in documented


@pytest.mark.slow
def test_a_training_goes_on_as_if_it_had_not_stopped(
    trained: Path, phantoms: Phantoms, normal: Path, tmp_path: Path
) -> None:
    arguments = (CENTERNET, (phantoms.references, normal), phantoms.references, tmp_path)
    first = train_detector(*arguments, options=iterations(1), seed=3)
    assert first.name == "iter_1.pth"
    with pytest.raises(ConfigurationError, match="holds a training already"):
        train_detector(*arguments, options=iterations(2), seed=3)
    second = train_detector(*arguments, options=iterations(2), seed=3, resume=True)
    assert second.name == "iter_2.pth"
    expected = read_checkpoint(trained)["state_dict"]
    for name, value in read_checkpoint(second)["state_dict"].items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_detecting_is_deterministic_and_in_the_pictures_own_pixels(
    trained: Path, phantoms: Phantoms, tmp_path: Path
) -> None:
    dataset = read_coco(phantoms.references)
    frames = [resolve_image(dataset.image_root, image.file_name) for image in dataset.images][:3]
    done: list[tuple[int, int]] = []
    found = detect(CENTERNET, trained, frames, batch_size=2, observer=lambda *state: done.append(state))
    assert done == [(2, 3), (3, 3)]
    for first, again, alone in zip(
        found,
        detect(CENTERNET, trained, frames, batch_size=2),
        detect(CENTERNET, trained, frames, batch_size=1),
        strict=True,
    ):
        np.testing.assert_array_equal(first.boxes, again.boxes)
        np.testing.assert_array_equal(first.scores, again.scores)
        np.testing.assert_allclose(np.sort(first.scores), np.sort(alone.scores), atol=1e-5)
    centres = np.concatenate([item.boxes[:, :2] + item.boxes[:, 2:] / 2 for item in found])
    assert (centres > -4).all()
    assert (centres < (256 + 4, 216 + 4)).all()
    # Untrained, it puts centres on a grid of 4 pixels of its 256×256 input, which the frame's sides scale differently.
    grid = centres / np.array([4.0, 4.0 * 216 / 256])
    np.testing.assert_allclose(grid, grid.round(), atol=0.02)
    assert np.abs(centres / 4.0 - (centres / 4.0).round())[:, 1].max() > 0.1
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(frames[0].read_bytes()[:500])
    with pytest.raises(ImageError, match=r"damaged\.png"):
        detect(CENTERNET, trained, [damaged])
    with pytest.raises(ConfigurationError, match="'batch_size' must be at least 1"):
        detect(CENTERNET, trained, frames, batch_size=0)
    with pytest.raises(ConfigurationError, match="'device' is 'cuda:77'"):
        detect(CENTERNET, trained, frames, device="cuda:77")
    facts = detector_facts(CENTERNET, trained)
    assert facts["config"] == "centernet_mini_real"
    assert facts["versions"]["mmdet"]


class Dangerous:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("made by a checkpoint",)


class Reaching:
    """Asks for an attribute that the history's functions don't include."""

    def __reduce__(self) -> tuple[object, tuple[object, str]]:
        return getattr, (np.ndarray, "tofile")


@pytest.mark.parametrize("content", [{"state_dict": Dangerous()}, {"state_dict": Reaching()}, {"weights": {}}, [1]])
def test_checkpoints_run_no_code(content: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, "checkpoint.pth")
    with pytest.raises(ConfigurationError, match=r"checkpoint\.pth"):
        read_checkpoint(Path("checkpoint.pth"))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pth"]


def test_weights_of_another_model_are_refused(phantoms: Phantoms, tmp_path: Path) -> None:
    torch.save({"state_dict": {"neck.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(ConfigurationError, match="weights of another model"):
        detect(CENTERNET, tmp_path / "other.pth", sorted((phantoms.references / "images").iterdir())[:1])
    with pytest.raises(ConfigurationError, match="can't be read"):
        read_checkpoint(tmp_path / "none.pth")


def test_the_border_is_the_picture() -> None:
    assert NoBorder().transform({"img_shape": (20, 30)})["border"].tolist() == [0, 20, 0, 30]
    assert repr(NoBorder()) == "NoBorder()"


def test_sets_are_put_into_a_config_and_into_what_wraps_them(phantoms: Phantoms, normal: Path) -> None:
    config = read_config(CENTERNET)
    config.train_dataloader.dataset = {"type": "RepeatDataset", "times": 2, "dataset": config.train_dataloader.dataset}
    use_data(config, [phantoms.references, normal], phantoms.references)
    wrapped = config.train_dataloader.dataset
    assert wrapped.times == 2
    assert [item.ann_file for item in wrapped.dataset.datasets] == [
        str(folder / "annotations.json") for folder in (phantoms.references, normal)
    ]
    assert all(item.filter_cfg == {"filter_empty_gt": False} for item in wrapped.dataset.datasets)
    assert config.test_evaluator.ann_file == str(phantoms.references / "annotations.json")
    assert config.test_dataloader.dataset.data_prefix.img == str(phantoms.references / "images")


def test_what_does_not_fit_is_named(normal: Path, tmp_path: Path) -> None:
    config = read_config(CENTERNET, ["train_cfg.max_iters=7", "param_scheduler.0.end=3"])
    assert config.train_cfg.max_iters == 7
    assert config.param_scheduler[0].end == 3
    for option in ("max_iters", "=3", "--resume=1"):
        with pytest.raises(ConfigurationError, match="expected key=value"):
            read_config(CENTERNET, [option])
    with pytest.raises(ConfigurationError, match="can't be read as a config"):
        read_config(tmp_path / "none.py")
    with pytest.raises(ConfigurationError, match="no data set"):
        use_data(config, [], normal)
    with pytest.raises(CocoError, match="can't be read"):
        use_data(config, [tmp_path / "none"], normal)
    document = json.loads((normal / "annotations.json").read_text("utf-8"))
    flaws = {
        "no category 'polyp'": {"categories": [{"id": 1, "name": "adenoma"}]},
        "has no picture": {"images": []},
        "is missing": {"images": [{**document["images"][0], "file_name": "lost.png"}]},
    }
    for message, flaw in flaws.items():
        (tmp_path / "annotations.json").write_text(json.dumps(document | flaw))
        with pytest.raises(ConfigurationError, match=message):
            use_data(config, [tmp_path], normal)


def test_a_schedule_is_stretched_by_its_shares() -> None:
    config = read_config(CENTERNET)
    warming, falling = config.param_scheduler
    assert (config.train_cfg.max_iters, warming.end, falling.T_max) == (1500, 100, 1400)
    stretch_schedule(config, 3000)
    assert (config.train_cfg.max_iters, config.train_cfg.val_interval) == (3000, 1000)
    assert (warming.begin, warming.end) == (0, 200)
    assert (falling.begin, falling.end, falling.T_max) == (200, 3000, 2800)
    assert config.default_hooks.checkpoint.interval == 1000
    stretch_schedule(config, 2)
    assert (config.train_cfg.max_iters, warming.end, falling.T_max) == (2, 1, 2)
    with pytest.raises(ConfigurationError, match="'iterations' must be at least 1"):
        stretch_schedule(config, 0)
    epochs = read_config(CENTERNET)
    epochs.train_cfg = {"type": "EpochBasedTrainLoop", "max_epochs": 12}
    for other in (epochs, read_config(CENTERNET, ["param_scheduler.0.by_epoch=True"])):
        with pytest.raises(ConfigurationError, match=r"centernet_mini_real\.py: counts epochs"):
            stretch_schedule(other, 10)


@pytest.mark.slow
def test_a_processor_trains_in_mixed_precision_as_long_as_it_is_told(phantoms: Phantoms, tmp_path: Path) -> None:
    sets = ([phantoms.references], phantoms.references)
    checkpoint = train_detector(CENTERNET, *sets, tmp_path, options=SMALL, iterations=2, amp=True)
    assert checkpoint.name == "iter_2.pth"
    weights = read_checkpoint(checkpoint)["state_dict"].values()
    assert {value.dtype for value in weights} == {torch.float32, torch.int64}
    assert all(torch.isfinite(value).all() for value in weights)
    used = read_config(tmp_path / CENTERNET.name)
    assert used.optim_wrapper.type == "ProcessorAmpOptimWrapper"
    assert used.train_cfg.max_iters == 2


def test_mixed_precision_on_a_processor_is_bfloat16() -> None:
    layer = torch.nn.Linear(2, 2)
    wrapper = ProcessorAmpOptimWrapper(torch.optim.SGD(layer.parameters(), lr=1.0))
    with wrapper.optim_context(layer):
        found = layer(torch.ones(1, 2))
    assert found.dtype == torch.bfloat16
    wrapper.update_params(found.float().sum())
    assert layer.weight.dtype == torch.float32
