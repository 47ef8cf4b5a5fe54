"""Mixing real and synthetic frames for detectors: shares of batches, schedules, and weights of the loss."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import Phantoms
from mmdet.registry import DATASETS, MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from runs import config as config_of_run

from polyp_aug.benchmark.arms import Arm
from polyp_aug.benchmark.spec import BenchmarkSpec, DetectorEntry
from polyp_aug.errors import ConfigurationError
from polyp_aug.generation.generate import generate
from polyp_aug.integrations.mmdet.browsing import training_samples
from polyp_aug.integrations.mmdet.checkpoints import read_checkpoint
from polyp_aug.integrations.mmdet.configs import read_config, settle_sampler, use_data, use_pool
from polyp_aug.integrations.mmdet.drawing import DrawnIndex, DrawnSampler
from polyp_aug.integrations.mmdet.mixing import MixingSampler
from polyp_aug.integrations.mmdet.synthesis import PolypSynthesis
from polyp_aug.integrations.mmdet.training import train_detector
from polyp_aug.integrations.mmdet.weighting import scale_gradient
from polyp_aug.online import Schedule

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "mmdet_configs"
DETECTORS = {"CenterNet": "centernet/centernet", "DINO": "dino/dino", "YOLOX": "yolo/yolox"}
FALLING = [(0.0, 0.5), (0.7, 0.5), (1.0, 0.0)]
STEP = [(0.0, 1.0), (0.5, 1.0), (0.5, 0.0), (1.0, 0.0)]

#: Changes of any detector's `_offline` config (one of them: of its `_online` one), as the documentation has them.
SAMPLER = ("train_dataloader.sampler._delete_=True", "train_dataloader.sampler.type=MixingSampler")
LINES = {
    "ratio": (*SAMPLER, "train_dataloader.sampler.share=0.25"),
    "falling, online": ("train_dataloader.dataset.pipeline.2.probability=[(0.0,0.5),(0.7,0.5),(1.0,0.0)]",),
    "falling": (*SAMPLER, "train_dataloader.sampler.share=[(0.0,0.5),(0.7,0.5),(1.0,0.0)]"),
    "curriculum": (*SAMPLER, "train_dataloader.sampler.share=[(0.0,1.0),(0.5,1.0),(0.5,0.0),(1.0,0.0)]"),
    "weight": ("model.type=Weighted{detector}", "model.train_cfg.synthetic_weight=0.5"),
}
SMALL = (
    *(f"{loader}_dataloader.{name}" for loader in ("train", "val") for name in ("num_workers=0", "batch_size=4")),
    *(f"{loader}_dataloader.persistent_workers=False" for loader in ("train", "val")),
    "train_cfg.val_interval=100",
    "default_hooks.logger.interval=1",
)


@pytest.fixture(scope="module")
def generated(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over the frames with polyps."""
    folder = tmp_path_factory.mktemp("run") / "run"
    generate(config_of_run(phantoms, backgrounds=phantoms.references, per_image=1), folder)
    return folder


class Joined:
    """Two sets of so many frames, as `ConcatDataset` shows them to a sampler."""

    def __init__(self, *sizes: int) -> None:
        self.datasets = [range(size) for size in sizes]

    def __len__(self) -> int:
        return sum(map(len, self.datasets))


def batches(sampler: Any, count: int) -> list[list[DrawnIndex]]:
    dealt = list(islice(iter(sampler), count * sampler.batch_size))
    return [dealt[k : k + sampler.batch_size] for k in range(0, len(dealt), sampler.batch_size)]


def shares(dealt: Sequence[Sequence[int]], real: int) -> list[int]:
    return [sum(index >= real for index in batch) for batch in dealt]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.25, {0.0: 0.25, 0.5: 0.25, 1.0: 0.25}),
        (1, {0.3: 1.0}),
        (FALLING, {0.0: 0.5, 0.7: 0.5, 0.85: 0.25, 1.0: 0.0}),
        (STEP, {0.0: 1.0, 0.49: 1.0, 0.5: 0.0, 0.51: 0.0, 1.0: 0.0}),
        ([[0.2, 0.4], [0.6, 0.8]], {0.0: 0.4, 0.2: 0.4, 0.4: 0.6, 0.9: 0.8}),
    ],
)
def test_a_schedule_is_linear_between_its_points(value: Any, expected: dict[float, float]) -> None:
    schedule = Schedule.of("share", value)
    assert {progress: schedule.at(progress) for progress in expected} == pytest.approx(expected)
    assert schedule.changes == (len(set(expected.values())) > 1)


@pytest.mark.parametrize(
    "value",
    [-0.1, 1.1, float("nan"), [], [(0.5, 0.1), (0.4, 0.1)], [(0.0, 2.0)], [(0.0,)], "half", [0.0, 0.5], [(0.0, None)]],
)
def test_what_is_no_schedule_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"'share' must be within 0 … 1, or .* \(got "):
        Schedule.of("share", value)


def test_every_batch_has_its_share_and_every_frame_its_turn() -> None:
    sampler = MixingSampler(Joined(30, 7), 8, 0.25, seed=1)
    dealt = batches(sampler, 70)
    assert all([index >= 30 for index in batch] == [False] * 6 + [True] * 2 for batch in dealt)
    real = [int(index) for batch in dealt for index in batch if index < 30]
    synthetic = [int(index) for batch in dealt for index in batch if index >= 30]
    for stream, frames in ((real, range(30)), (synthetic, range(30, 37))):
        rounds = [stream[k : k + len(frames)] for k in range(0, len(stream), len(frames))]
        assert all(sorted(own) == list(frames) for own in rounds[:-1])
        assert len({tuple(own) for own in rounds}) > 1
    # The order of the real frames is not that of the synthetic ones, and doesn't depend on how many there are.
    more = [int(index) for batch in batches(MixingSampler(Joined(30, 9), 8, 0.5, seed=1), 105) for index in batch]
    assert [index for index in more if index < 30] == real
    draws = [index.draw for batch in dealt for index in batch]
    assert draws == list(range(560))


def test_what_is_dealt_depends_on_the_seed_alone() -> None:
    first = batches(MixingSampler(Joined(11, 5), 4, 0.5, seed=3), 20)
    sampler = MixingSampler(Joined(11, 5), 4, 0.5, seed=3)
    assert batches(sampler, 20) == first
    # Begun anew it deals the same: a loop that skips what it has trained on arrives where it was.
    assert batches(sampler, 20)[13:] == first[13:]
    assert batches(MixingSampler(Joined(11, 5), 4, 0.5, seed=4), 20) != first


def test_a_rest_is_carried_to_the_next_batch() -> None:
    counts = list(islice(MixingSampler(Joined(9, 9), 8, 0.3, seed=0).synthetic_counts(), 1000))
    assert set(counts) == {2, 3}
    assert sum(counts) == 2400
    assert set(islice(MixingSampler(Joined(9, 9), 10, 0.1, seed=0).synthetic_counts(), 1000)) == {1}


def test_a_share_falls_and_steps() -> None:
    falling = MixingSampler(Joined(40, 20), 8, FALLING, iterations=100, seed=0)
    counts = shares(batches(falling, 110), 40)
    assert set(counts[:70]) == {4}
    assert counts[70:] == sorted(counts[70:], reverse=True) or max(np.diff(counts[70:])) == 1
    assert sum(counts[70:100]) == pytest.approx(8 * 0.25 * 30, abs=2.5)
    assert counts[100:] == [0] * 10
    step = MixingSampler(Joined(40, 20), 8, STEP, iterations=100, seed=0)
    assert shares(batches(step, 100), 40) == [8] * 50 + [0] * 50
    assert [batch[-1].progress for batch in batches(step, 100)] == pytest.approx([k / 100 for k in range(100)])


@pytest.mark.parametrize("share", [0.25, 0.3, FALLING])
def test_processes_share_the_frames(share: Any) -> None:
    def process(rank: int, world_size: int, size: int) -> list[list[DrawnIndex]]:
        sampler = MixingSampler(Joined(24, 12), size, share, iterations=30, seed=5, rank=rank, world_size=world_size)
        return batches(sampler, 30)

    parts = [process(rank, 3, 4) for rank in range(3)]
    assert shares(parts[0], 24) == shares(parts[1], 24) == shares(parts[2], 24)
    for low, high in ((0, 24), (24, 36)):
        stream = [[int(index) for index in part[k] if low <= index < high] for k in range(30) for part in parts]
        dealt = [index for own in stream for index in own]
        rounds = [dealt[k : k + high - low] for k in range(0, len(dealt), high - low)]
        assert all(sorted(own) == list(range(low, high)) for own in rounds[:-1])
        assert len(set(rounds[-1])) == len(rounds[-1])
    draws = sorted(index.draw for part in parts for batch in part for index in batch)
    assert draws == list(range(3 * 30 * 4))
    if share == 0.25:
        # Three processes with batches of 4 see, batch by batch, what one with batches of 12 sees.
        alone = process(0, 1, 12)
        assert [sorted(map(int, batch)) for batch in alone] == [
            sorted(int(index) for part in parts for index in part[k]) for k in range(30)
        ]


def test_epochs_go_on_where_the_last_one_ended() -> None:
    endless = MixingSampler(Joined(13, 6), 4, FALLING, iterations=12, seed=2)
    sampler = MixingSampler(Joined(13, 6), 4, FALLING, iterations=12, batches_per_epoch=3, seed=2)
    assert len(sampler) == 12
    assert len(endless) == 19
    found = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        own = list(sampler)
        assert [index.draw for index in own] == list(range(12))
        assert {index.epoch for index in own} == {epoch}
        found += own
    endless.set_epoch(5)
    assert list(islice(iter(endless), 48)) == found
    sampler.set_epoch(2)
    assert list(sampler) == found[24:36]
    assert [index.progress for index in sampler][::4] == pytest.approx([6 / 12, 7 / 12, 8 / 12])


@pytest.mark.parametrize(
    ("sizes", "changes", "message"),
    [
        ((5, 5), {"batch_size": 0}, "'batch_size' must be at least 1"),
        ((5, 5), {"iterations": 0}, "'iterations' must be at least 1"),
        ((5, 5), {"batches_per_epoch": -1}, "'batches_per_epoch' must be at least 1"),
        ((5, 5), {"share": 1.5}, "'share' must be within 0 … 1"),
        ((5, 5), {"share": FALLING}, "needs 'iterations'"),
        ((5,), {}, r"must join a real and a synthetic set, .* \(got sets of \[5\] frames"),
        ((5, 0), {}, "none of them empty"),
        ((), {}, "must join"),
    ],
)
def test_a_sampler_that_can_not_deal_is_refused(sizes: tuple[int, ...], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        MixingSampler(Joined(*sizes), **({"batch_size": 4, "share": 0.5, "seed": 0} | changes))


def loaded(config: Config, workers: int, count: int) -> list[list[tuple[str, bool, int]]]:
    """Path, mark and checksum of the frames of batches, as a loader of mmengine gives them."""
    init_default_scope("mmdet")
    config.train_dataloader.num_workers = workers
    config.train_dataloader.persistent_workers = workers > 0
    pipeline = [item for item in pipelines(config)[0] if item.type in ("LoadImageFromFile", "LoadAnnotations")]
    pipeline += [item for item in pipelines(config)[0] if item.type in ("PolypSynthesis", "PackDetInputs")]
    for own in pipelines(config):
        own[:] = pipeline
    loader = Runner.build_dataloader(config.train_dataloader, seed=5)
    return [
        [
            (item.img_path, item.synthetic, int(image.long().sum()))
            for item, image in zip(batch["data_samples"], batch["inputs"], strict=True)
        ]
        for batch in islice(loader, count)
    ]


def pipelines(config: Config) -> list[Any]:
    dataset = config.train_dataloader.dataset
    return [own.pipeline for own in dataset.get("datasets", [dataset])]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_loader_mixes_and_marks_the_same_for_any_workers(phantoms: Phantoms, generated: Path) -> None:
    def mixed(workers: int) -> list[list[tuple[str, bool, int]]]:
        config = read_config(CONFIGS / "centernet" / "centernet_mini_falling.py", ["train_cfg.max_iters=20"])
        use_data(config, [phantoms.references], phantoms.references, [generated])
        settle_sampler(config)
        return loaded(config, workers, 20)

    expected = mixed(0)
    assert mixed(2) == expected
    for batch in expected:
        assert [mark for _, mark, _ in batch] == [Path(path).is_relative_to(generated) for path, _, _ in batch]
    counts = [sum(mark for _, mark, _ in batch) for batch in expected]
    assert counts[:14] == [4] * 14
    assert counts[-1] <= 1


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_an_online_probability_falls_in_workers_that_stay(phantoms: Phantoms, generated: Path) -> None:
    def online(workers: int, seed: int = 0) -> list[list[tuple[str, bool, int]]]:
        options = ["train_cfg.max_iters=12", f"train_dataloader.dataset.pipeline.2.seed={seed}"]
        options.append("train_dataloader.dataset.pipeline.2.probability=[(0.0,1.0),(0.5,1.0),(0.5,0.0),(1.0,0.0)]")
        config = read_config(CONFIGS / "centernet" / "centernet_mini_online.py", options)
        use_data(config, [phantoms.references], phantoms.references)
        use_pool(config, generated)
        settle_sampler(config)
        return loaded(config, workers, 12)

    expected = online(0)
    assert online(2) == expected
    counts = [sum(mark for _, mark, _ in batch) for batch in expected]
    assert all(count >= 4 for count in counts[:6])
    assert counts[6:] == [0] * 6


def test_progress_is_carried_by_the_index(generated: Path) -> None:
    order = {"type": "mmengine.DefaultSampler", "shuffle": True}
    sampler = DrawnSampler(list(range(8)), order, seed=1, batch_size=4, iterations=4)
    assert [index.progress for index in sampler] == [0.0] * 4 + [0.25] * 4
    sampler.set_epoch(1)
    assert [index.progress for index in sampler] == [0.5] * 4 + [0.75] * 4
    sampler.set_epoch(9)
    assert {index.progress for index in sampler} == {1.0}
    assert (DrawnIndex(7, 1, 2, 0.5) - 3).progress == 0.5
    assert {index.progress for index in DrawnSampler(list(range(8)), order, seed=1)} == {None}
    for given, message in (({"iterations": 3}, "needs 'batch_size'"), ({"batch_size": 0}, "at least 1")):
        with pytest.raises(ConfigurationError, match=message):
            DrawnSampler(list(range(8)), order, seed=1, **given)
    transform = PolypSynthesis(str(generated), probability=FALLING)
    frame = {"img_path": "a.png", "img": np.zeros((8, 8, 3), np.uint8), "gt_bboxes": _boxes(0), "sample_idx": 3}
    with pytest.raises(ConfigurationError, match=r"'probability' changes .* needs DrawnSampler with 'batch_size'"):
        transform(frame)
    assert transform(frame | {"sample_idx": DrawnIndex(3, 0, 0, 1.0)})["polyp_synthesis"] == "unchanged"
    with pytest.raises(ConfigurationError, match="'probability' must be within"):
        PolypSynthesis(str(generated), probability=2.0)
    assert f"probability={FALLING}" in repr(transform)


def _boxes(count: int) -> Any:
    from mmdet.structures.bbox import HorizontalBoxes

    return HorizontalBoxes(torch.zeros((count, 4)))


def test_browsing_shows_the_beginning_of_a_schedule(phantoms: Phantoms, generated: Path) -> None:
    place = "train_dataloader.dataset.pipeline.2.probability"
    found = {}
    for name, points in {"plain": "0.0", "falling": "[(0.0,0.0),(1.0,1.0)]"}.items():
        found[name] = training_samples(
            CONFIGS / "centernet" / "centernet_mini_online.py",
            [phantoms.references],
            pool=generated,
            count=3,
            options=[f"{place}={points}"],
        )
    for plain, falling in zip(found["plain"], found["falling"], strict=True):
        np.testing.assert_array_equal(plain.image, falling.image)


def test_a_frame_is_synthetic_if_one_of_its_objects_is(phantoms: Phantoms, tmp_path: Path) -> None:
    init_default_scope("mmdet")
    document = json.loads((phantoms.references / "annotations.json").read_text())
    ids = [item["id"] for item in document["images"]]
    first = {number: next(a for a in document["annotations"] if a["image_id"] == number) for number in ids[:3]}
    first[ids[0]]["origin"], first[ids[1]]["origin"] = "synthetic", "source"
    document["annotations"].append(first[ids[2]] | {"id": 999, "origin": "synthetic"})
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    dataset = DATASETS.build(
        {
            "type": "OriginCocoDataset",
            "metainfo": {"classes": ("polyp",)},
            "ann_file": str(tmp_path / "annotations.json"),
            "data_prefix": {"img": str(phantoms.references / "images")},
        }
    )
    marks = {item["img_id"]: item["synthetic"] for item in map(dataset.get_data_info, range(len(dataset)))}
    assert marks == {number: number in (ids[0], ids[2]) for number in ids}


def frames(synthetic: Sequence[bool]) -> tuple[torch.Tensor, list[DetDataSample]]:
    """Noise of 128×128 pixels with one or two boxes each, the last one with none."""
    generator = torch.Generator().manual_seed(3)
    samples = []
    for number, mark in enumerate(synthetic):
        boxes = torch.tensor([[10.0, 20.0, 60.0, 70.0], [70.0, 50.0, 118.0, 110.0]])[: 1 + number % 2] + number
        boxes = boxes[: 0 if number == len(synthetic) - 1 else 2]
        sample = DetDataSample(
            gt_instances=InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long))
        )
        sample.set_metainfo({"img_shape": (128, 128), "batch_input_shape": (128, 128), "pad_shape": (128, 128)})
        sample.set_metainfo({"img_path": f"{number}.png", "synthetic": mark})
        samples.append(sample)
    return torch.randn((len(samples), 3, 128, 128), generator=generator), samples


MARKS = (False, True, False, True, True, False)


def detectors(name: str, weight: float) -> tuple[Any, Any]:
    """mmdet's detector and the weighing one, with equal weights, as in training."""
    init_default_scope("mmdet")
    # Building a detector changes its config.
    path = CONFIGS / f"{DETECTORS[name]}_mini_real.py"
    torch.manual_seed(0)
    plain = MODELS.build(read_config(path).model).train()
    # DINO's embeddings hold whatever the memory held before.
    plain.init_weights()
    settings = read_config(path).model
    weighed = MODELS.build(
        settings | {"type": f"Weighted{name}", "train_cfg": dict(settings.train_cfg or {}, synthetic_weight=weight)}
    ).train()
    weighed.load_state_dict(plain.state_dict(), strict=True)
    return plain, weighed


def gradients(model: Any, losses: Any) -> tuple[dict[str, Any], torch.Tensor]:
    """The logged values, and the gradients of all parameters in one vector."""
    total, values = model.parse_losses(losses)
    model.zero_grad()
    total.backward()
    kept = [parameter for parameter in model.parameters() if parameter.requires_grad]
    parts = [parameter.grad if parameter.grad is not None else torch.zeros_like(parameter) for parameter in kept]
    return values, torch.cat([part.flatten() for part in parts])


def seeded_loss(model: Any, images: torch.Tensor, samples: Any) -> tuple[dict[str, Any], torch.Tensor]:
    torch.manual_seed(7)  # DINO's noise
    return gradients(model, model.loss(images, samples))


def real_part(model: Any, images: torch.Tensor, samples: Any) -> torch.Tensor:
    """Gradients of mmdet's own loss of the real frames alone, whose features were made in the whole batch."""
    torch.manual_seed(7)
    kept = [number for number, sample in enumerate(samples) if not sample.synthetic]
    part = [samples[number] for number in kept]
    features = model.extract_feat(images)
    head = model.bbox_head
    if type(model).__name__ == "DINO":
        found = model.forward_transformer(features, samples)
        losses = head.loss(
            hidden_states=found["hidden_states"][:, kept],
            references=[item[kept] for item in found["references"]],
            enc_outputs_class=found["enc_outputs_class"][kept],
            enc_outputs_coord=found["enc_outputs_coord"][kept],
            batch_data_samples=part,
            dn_meta=found["dn_meta"],
        )
    else:
        outputs = [[level[kept] for level in levels] for levels in head(features)]
        losses = head.loss_by_feat(
            *outputs, [sample.gt_instances for sample in part], [sample.metainfo for sample in part]
        )
    return gradients(model, losses)[1]


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal up to float32's rounding, measured by the length of the vector."""
    assert expected.norm() > 0
    assert (found - expected).norm() <= 1e-4 * expected.norm()


@pytest.mark.parametrize("name", DETECTORS)
def test_a_weight_of_one_is_the_plain_training(name: str) -> None:
    plain, weighed = detectors(name, 1.0)
    images, samples = frames(MARKS)
    values, expected = seeded_loss(plain, images, samples)
    own, found = seeded_loss(weighed, images, samples)
    assert own == values
    assert torch.isfinite(found).all()
    close(found, expected)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_weight_of_zero_trains_on_the_real_part(name: str) -> None:
    plain, weighed = detectors(name, 0.0)
    images, samples = frames(MARKS)
    values, _ = seeded_loss(plain, images, samples)
    own, found = seeded_loss(weighed, images, samples)
    assert own == values
    expected = real_part(plain, images, samples)
    counts = [len(sample.gt_instances) for sample in samples]
    real = sum(count for count, mark in zip(counts, MARKS, strict=True) if not mark)
    factor = float(found @ expected / (expected @ expected))
    if name != "YOLOX":
        # Divided by the objects of the whole batch; YOLOX divides by the places it assigns to them.
        assert factor == pytest.approx(real / sum(counts), rel=1e-4)
    assert 0.05 < factor < 0.95
    close(found, factor * expected)


@pytest.mark.parametrize("name", DETECTORS)
def test_gradients_are_linear_in_the_weight(name: str) -> None:
    _, weighed = detectors(name, 0.0)
    found = []
    for weight in (0.0, 1.0, 2.5):
        weighed.train_cfg["synthetic_weight"] = weight
        found.append(seeded_loss(weighed, *frames(MARKS))[1])
    none, full, more = found
    assert (full - none).norm() > 0.05 * full.norm()
    close(more, none + 2.5 * (full - none))
    weighed.train_cfg["synthetic_weight"] = 0.0
    close(seeded_loss(weighed, *frames([False] * len(MARKS)))[1], full)


def test_gradients_are_scaled_frame_by_frame() -> None:
    values = torch.randn((2, 3, 4), requires_grad=True)
    weights = torch.tensor([0.0, 0.5, 2.0])
    [[found]] = scale_gradient(([values],), weights, dim=1)
    assert torch.equal(found, values)
    found.sum().backward()
    assert torch.equal(values.grad, weights[None, :, None].expand(2, 3, 4))


@pytest.mark.parametrize("name", DETECTORS)
def test_what_a_weight_needs_is_named(name: str) -> None:
    _, weighed = detectors(name, 0.5)
    images, samples = frames(MARKS)
    samples[1] = DetDataSample(gt_instances=samples[1].gt_instances, metainfo={"img_path": "b.png"})
    with pytest.raises(ConfigurationError, match=r"b\.png: doesn't say whether it is synthetic; .*OriginCocoDataset"):
        weighed.loss(images, samples)
    for wrong in (-1.0, float("nan"), float("inf"), None, "half"):
        weighed.train_cfg["synthetic_weight"] = wrong
        with pytest.raises(
            ConfigurationError, match="'synthetic_weight' in the model's 'train_cfg' must be at least 0"
        ):
            weighed.loss(images, samples)


def logged(work: Path, name: str) -> list[float]:
    [log] = work.glob("*/vis_data/scalars.json")
    return [row[name] for row in map(json.loads, log.read_text().splitlines()) if name in row]


@pytest.mark.slow
@pytest.mark.parametrize("what", LINES)
@pytest.mark.parametrize("name", DETECTORS)
def test_the_documented_lines_work_with_every_detector(
    name: str, what: str, phantoms: Phantoms, generated: Path, tmp_path: Path
) -> None:
    lines = [line.format(detector=name) for line in LINES[what]]
    online = what == "falling, online"
    # A weight goes with any of them; here with a ratio.
    more = LINES["ratio"] if what == "weight" else ()
    train_detector(
        CONFIGS / f"{DETECTORS[name]}_mini_{'online' if online else 'offline'}.py",
        [phantoms.references],
        phantoms.references,
        tmp_path,
        synthetic=[] if online else [generated],
        pool=generated if online else None,
        options=[*SMALL, *more, *lines, "train_cfg.max_iters=2"],
    )
    weights = read_checkpoint(tmp_path / "iter_2.pth")["state_dict"]
    assert all(torch.isfinite(value).all() for value in weights.values())
    found = logged(tmp_path, "synthetic_share")
    expected = {"ratio": [0.25, 0.25], "falling": [0.5, 0.5], "curriculum": [1.0, 0.0], "weight": [0.25, 0.25]}
    assert len(found) == 2 if online else found == expected[what]


def test_the_lines_are_documented() -> None:
    text = (ROOT / "docs" / "detectors.md").read_text("utf-8")
    section = text.split("## Mixing real and synthetic\n")[1].split("\n## ")[0]
    for lines in LINES.values():
        for line in lines:
            assert line.format(detector="DINO") in section
    for name in DETECTORS:
        assert f"Weighted{name}" in section


def test_arms_of_a_benchmark_take_the_lines_as_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    section = (ROOT / "docs" / "detectors.md").read_text("utf-8").split("**In a benchmark**")[1].split("\n## ")[0]
    block = "\n".join(line for line in section.splitlines() if line.startswith("    "))
    document = yaml.safe_load(block)
    detectors = {name: DetectorEntry(**entry) for name, entry in document["detectors"].items()}
    arms = {name: Arm(**entry) for name, entry in document["arms"].items()}
    spec = BenchmarkSpec(("R",), "V", {"T": "T"}, (4,), (0,), detectors, arms)
    found = {}
    for run in spec.runs():
        detector, arm = spec.detectors[run.detector], spec.arms[run.arm]
        config = read_config(detector.config(arm.mode), [*detector.options, *arm.options])
        settle_sampler(config)
        sampler = config.train_dataloader.sampler
        found[run.arm] = (config.model.type, config.model.train_cfg.synthetic_weight, sampler.get("share"))
        assert sampler.type == ("MixingSampler" if run.arm == "ratio" else "DrawnSampler")
        assert (sampler.batch_size, sampler.iterations) == (8, 1500)
    dino = "WeightedDINO"
    assert found == {"real": (dino, 1.0, None), "ratio": (dino, 1.0, 0.25), "half": (dino, 0.5, None)}


def test_a_ready_config_says_what_the_lines_say() -> None:
    base = CONFIGS / "centernet" / "centernet_mini_offline.py"
    for ready, what in {"ratio": "ratio", "falling": "falling", "curriculum": "curriculum"}.items():
        config = read_config(CONFIGS / "centernet" / f"centernet_mini_{ready}.py")
        lines = read_config(base, LINES[what])
        for own in (config, lines):
            settle_sampler(own)
        # Command lines give tuples as lists.
        assert json.dumps(config.train_dataloader.sampler, sort_keys=True) == json.dumps(
            lines.train_dataloader.sampler, sort_keys=True
        )
    weighted = read_config(CONFIGS / "centernet" / "centernet_mini_weighted.py")
    assert weighted.model == read_config(base, [line.format(detector="CenterNet") for line in LINES["weight"]]).model


@pytest.mark.slow
def test_a_curriculum_of_epochs_goes_on_where_it_stopped(phantoms: Phantoms, generated: Path, tmp_path: Path) -> None:
    """Two epochs of two batches, the first all synthetic; once in one go, and once stopped after the first."""
    config = tmp_path / "epochs.py"
    curriculum = str(CONFIGS / "centernet" / "centernet_mini_curriculum.py")
    config.write_text(
        f"_base_ = {curriculum!r}\n"
        "train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=2, val_interval=100)\n"
        "param_scheduler = [dict(type='ConstantLR', by_epoch=True, factor=1.0, begin=0, end=2)]\n"
        "default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1, max_keep_ckpts=9))\n"
        "train_dataloader = dict(sampler=dict(batches_per_epoch=2))\n"
    )
    small = [option for option in SMALL if "val_interval" not in option]
    data = ([phantoms.references], phantoms.references)
    whole = train_detector(config, *data, tmp_path / "a", synthetic=[generated], options=small, seed=3)
    assert whole.name == "epoch_2.pth"
    assert logged(tmp_path / "a", "synthetic_share") == [1.0, 1.0, 0.0, 0.0]
    stopped(tmp_path / "a" / "epoch_1.pth", tmp_path / "b")
    train_detector(config, *data, tmp_path / "b", synthetic=[generated], options=small, seed=3, resume=True)
    assert logged(tmp_path / "b", "synthetic_share") == [0.0, 0.0]
    endless = [*small, "train_dataloader.sampler.batches_per_epoch=None", "train_dataloader.sampler.share=0.5"]
    with pytest.raises(ConfigurationError, match="MixingSampler needs 'batches_per_epoch'"):
        train_detector(config, *data, tmp_path / "c", synthetic=[generated], options=endless)


def stopped(checkpoint: Path, work: Path) -> None:
    """A folder in which a training stopped at another's checkpoint."""
    work.mkdir()
    checkpoint.rename(work / checkpoint.name)
    (work / "last_checkpoint").write_text(str(work / checkpoint.name))


@pytest.mark.slow
def test_a_curriculum_of_iterations_goes_on_as_if_it_had_not_stopped(
    phantoms: Phantoms, generated: Path, tmp_path: Path
) -> None:
    config = CONFIGS / "centernet" / "centernet_mini_curriculum.py"
    options = [*SMALL, "train_cfg.max_iters=2", "default_hooks.checkpoint.interval=1"]
    data = ([phantoms.references], phantoms.references)
    whole = train_detector(config, *data, tmp_path / "a", synthetic=[generated], options=options, seed=3)
    assert logged(tmp_path / "a", "synthetic_share") == [1.0, 0.0]
    stopped(tmp_path / "a" / "iter_1.pth", tmp_path / "b")
    resumed = train_detector(config, *data, tmp_path / "b", synthetic=[generated], options=options, seed=3, resume=True)
    assert logged(tmp_path / "b", "synthetic_share") == [0.0]
    expected = read_checkpoint(whole)["state_dict"]
    for name, value in read_checkpoint(resumed)["state_dict"].items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("train_dataloader.sampler.iterations=7", "'iterations' of MixingSampler is 7, the training's is 2"),
        ("train_dataloader.sampler.batch_size=8", "'batch_size' of MixingSampler is 8, the training's is 4"),
    ],
)
def test_a_sampler_that_expects_another_training_is_refused(
    option: str, message: str, phantoms: Phantoms, generated: Path, tmp_path: Path
) -> None:
    """As where mmdet's own program trains, which doesn't tell the sampler."""
    options = [*SMALL, "train_cfg.max_iters=2", "model.backbone.type=MobileNetV2"]
    config = read_config(CONFIGS / "centernet" / "centernet_mini_falling.py", options)
    use_data(config, [phantoms.references], phantoms.references, [generated])
    settle_sampler(config)
    name, _, value = option.partition("=")
    config.merge_from_dict({name: int(value)})
    config.work_dir = str(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        Runner.from_cfg(config).train()


@pytest.mark.slow
def test_two_stages_begin_where_the_first_one_ended(phantoms: Phantoms, generated: Path, tmp_path: Path) -> None:
    """Trained on generated frames, then, at a rate of 0, on real ones: the weights are those of the first stage."""
    real = CONFIGS / "centernet" / "centernet_mini_real.py"
    options = [*SMALL, "train_cfg.max_iters=2"]
    first = train_detector(real, [generated], phantoms.references, tmp_path / "a", options=options)
    options += [f"load_from={first}", "optim_wrapper.optimizer.lr=0.0", "model.type=WeightedCenterNet"]
    options += ["model.train_cfg.synthetic_weight=0.5"]
    second = train_detector(real, [phantoms.references], phantoms.references, tmp_path / "b", options=options)
    before, after = (read_checkpoint(path)["state_dict"] for path in (first, second))
    assert before.keys() == after.keys()
    learned = [name for name in before if name.endswith(("weight", "bias"))]
    assert len(learned) > 100
    assert all(torch.equal(before[name], after[name]) for name in learned)
    assert logged(tmp_path / "a", "synthetic_share") == [1.0, 1.0]
    assert logged(tmp_path / "b", "synthetic_share") == [0.0, 0.0]
