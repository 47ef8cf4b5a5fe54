"""Training Polyp-Gen: examples, the cache of latents, the loop, resuming, LoRA, and the pipeline that comes out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_diffusion
import torch
from conftest import Phantoms
from diffusers import StableDiffusionInpaintPipeline
from safetensors.torch import load_file

from polyp_aug.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, write_coco
from polyp_aug.errors import ConfigurationError, ImageError, RunConfigurationChanged
from polyp_aug.images import read_image, write_png
from polyp_aug.synthesizers.polyp_gen import load_inpainting_weights
from polyp_aug.training.batches import ExampleOrder
from polyp_aug.training.examples import PROMPTS, Example, ExampleDataset, ExampleSettings
from polyp_aug.training.folder import TrainingProgress
from polyp_aug.training.frames import Frame, digest_frames, read_frames
from polyp_aug.training.latents import LatentCache, digest_encoders, embed_prompts, encode_examples
from polyp_aug.training.loop import TrainingOptions
from polyp_aug.training.polyp_gen import PolypGenConfig, train_polyp_gen
from polyp_aug.training.pseudo_masks import PseudoMaskSettings
from polyp_aug.training.schedule import learning_rate

SMALL = PolypGenConfig(examples=ExampleSettings(size=32), count=10, steps=6, batch_size=4, learning_rate=1e-3, ema=0.5)
QUIET = TrainingOptions(save_every=2, sample_every=0, trackers=())


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_diffusion.pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def frames(phantoms: Phantoms) -> list[Frame]:
    return read_frames([phantoms.references, phantoms.backgrounds])


def train(
    out: Path,
    weights: Path,
    frames: list[Frame],
    config: PolypGenConfig = SMALL,
    options: TrainingOptions = QUIET,
    observer: list[TrainingProgress] | None = None,
) -> bool:
    return train_polyp_gen(
        config,
        load_inpainting_weights(str(weights)),
        frames,
        frames,
        out,
        options=options,
        observer=None if observer is None else observer.append,
    )


def unet(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")


def assert_same(first: Path, second: Path, tolerance: float = 0.0) -> None:
    theirs = unet(second)
    for name, values in unet(first).items():
        torch.testing.assert_close(values, theirs[name], rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def trained(weights: Path, frames: list[Frame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    options = replace(QUIET, cache=out / "cache", sample_every=6, trackers=("tensorboard",))
    assert train(out, weights, frames, options=options)
    return out


# Examples


def white_polyps(folder: Path) -> list[Frame]:
    """Black frames with a white rectangle for a polyp."""
    (folder / "images").mkdir()
    images, annotations = [], []
    for number, (x, y, w, h) in enumerate([(30, 20, 40, 25), (60, 50, 20, 44), (5, 70, 30, 30)], start=1):
        picture = np.zeros((110, 130, 3), np.uint8)
        picture[y : y + h, x : x + w] = 255
        write_png(folder / "images" / f"{number}.png", picture)
        images.append(CocoImage(number, f"{number}.png", 130, 110))
        outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        annotations.append(CocoAnnotation(number, number, 1, (x, y, w, h), w * h, outline))
    dataset = CocoDataset(folder / "images", tuple(images), tuple(annotations), (CocoCategory(1, "polyp"),))
    write_coco(dataset, folder / "annotations.json")
    return read_frames([folder])


def test_a_polyp_is_never_left_uncovered(tmp_path: Path) -> None:
    """The released code crops image and mask apart, and leaves a part of the polyp uncovered in 66 % of the samples."""
    masks = PseudoMaskSettings(polyp_share=1.0, box_share=1.0, margin=0.0)
    settings = ExampleSettings(size=64, masks=masks, context=(1.0, 2.5))
    examples = ExampleDataset(white_polyps(tmp_path), settings, 4, 60)
    for number in range(len(examples)):
        example = examples[number]
        polyp = (example.image.mean(dim=0, keepdim=True) > 0.0).float()
        assert polyp.any()
        # Picture and mask are made smaller in different ways, which may move an edge by a pixel.
        inner = 1.0 - torch.nn.functional.max_pool2d(1.0 - polyp, 3, 1, 1)
        assert bool((example.mask >= inner).all())
        assert PROMPTS[int(example.prompt)] == "Polyp"


def test_an_example_depends_on_its_number_alone(frames: list[Frame]) -> None:
    settings = ExampleSettings(size=32)
    first = ExampleDataset(frames, settings, 4, 20)
    again = ExampleDataset(frames, settings, 4, 500)
    for number in (7, 0, 19):
        for mine, theirs in zip(first[number], again[number], strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    assert len({first[number].image.numpy().tobytes() for number in range(20)}) == 20


def test_masks_are_whole_cells_and_never_empty(frames: list[Frame]) -> None:
    examples = ExampleDataset(frames, ExampleSettings(size=64), 8, 40)
    for number in range(len(examples)):
        mask = examples[number].mask[0].reshape(8, 8, 8, 8)
        shares = mask.mean(dim=(1, 3))
        assert bool(((shares == 0) | (shares == 1)).all())
        assert bool((shares == 1).any())


@pytest.mark.parametrize(("share", "least", "most"), [(1.0, 50, 70), (0.0, 0, 0), (0.5, 20, 40)])
def test_prompts_have_their_shares(frames: list[Frame], share: float, least: int, most: int) -> None:
    examples = ExampleDataset(frames, ExampleSettings(size=32, polyp_frames=share), 4, 100)
    found = Counter(PROMPTS[int(examples[number].prompt)] for number in range(100))
    assert least <= found["Polyp"] <= most
    assert found["Polyp"] + found["Normal"] == 100


def test_outlines_take_the_place_of_boxes(phantoms: Phantoms) -> None:
    frames = read_frames([phantoms.references])
    settings = ExampleSettings(size=64, masks=PseudoMaskSettings(polyp_share=1.0, box_share=1.0), context=(1.5, 1.5))
    whole, outlined = (
        ExampleDataset(frames, replace(settings, outlines=outlines), 1, 30) for outlines in (False, True)
    )

    def filled(example: Example) -> float:
        rows, columns = np.nonzero(example.mask[0].numpy())
        return float(example.mask.sum()) / (np.ptp(rows) + 1) / (np.ptp(columns) + 1)

    assert np.mean([filled(whole[number]) for number in range(30)]) > 0.99
    assert np.mean([filled(outlined[number]) for number in range(30)]) < 0.9
    boxes = [replace(frame, segmentations=(None,) * len(frame.boxes)) for frame in frames]
    with pytest.raises(ConfigurationError, match="a mask for every polyp"):
        ExampleDataset(boxes, replace(settings, outlines=True), 1, 1)


def test_frames_of_one_kind_only_are_told(phantoms: Phantoms) -> None:
    normal = read_frames([phantoms.backgrounds])
    with pytest.raises(ConfigurationError, match="0 frames with polyps"):
        ExampleDataset(normal, ExampleSettings(size=32, polyp_frames=0.5), 4, 1)
    assert PROMPTS[int(ExampleDataset(normal, ExampleSettings(size=32), 4, 1)[0].prompt)] == "Normal"
    with pytest.raises(ConfigurationError, match="multiple of 4"):
        ExampleDataset(normal, ExampleSettings(size=30), 4, 1)


def test_frames_are_told_apart_by_their_digest(frames: list[Frame], tmp_path: Path) -> None:
    digest = digest_frames(frames)
    assert digest != digest_frames(frames[:-1])
    moved = [replace(frame, boxes=tuple((x + 1, y, w, h) for x, y, w, h in frame.boxes)) for frame in frames]
    assert digest != digest_frames(moved)
    with pytest.raises(ImageError, match=r"gone\.png"):
        digest_frames([Frame(tmp_path / "gone.png")])
    with pytest.raises(ConfigurationError, match="no pictures in"):
        read_frames([tmp_path])


# Batches and the cache


def test_every_example_is_used_once_before_any_is_used_again() -> None:
    order = ExampleOrder(count=10, batch_size=4, steps=10, seed=3)
    numbers = [number for step in range(10) for number in order.numbers(step)]
    for epoch in range(4):
        assert sorted(numbers[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert numbers[:10] != numbers[10:20]


def test_the_cache_holds_what_encoding_gives(weights: Path, frames: list[Frame], tmp_path: Path) -> None:
    pipeline = load_inpainting_weights(str(weights)).pipeline
    examples = ExampleDataset(frames, ExampleSettings(size=32), 4, 10)
    cache = LatentCache(tmp_path, examples, {"a": 1}, shard=4)
    torch.testing.assert_close(cache.fill(pipeline), embed_prompts(pipeline))
    numbers = [9, 0, 5]
    wanted = encode_examples(
        pipeline.vae, Example(*(torch.stack(part) for part in zip(*(examples[n] for n in numbers), strict=True)))
    )
    found = cache.batch(numbers)
    torch.testing.assert_close(found.latents, wanted.latents, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.masked, wanted.masked, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.mask, wanted.mask, rtol=0, atol=0)
    assert found.prompt.tolist() == wanted.prompt.tolist()
    assert found.latents.dtype == torch.float32


def test_an_interrupted_cache_encodes_only_what_is_missing(weights: Path, frames: list[Frame], tmp_path: Path) -> None:
    pipeline = load_inpainting_weights(str(weights)).pipeline
    examples = ExampleDataset(frames, ExampleSettings(size=32), 4, 10)
    done: list[int] = []
    cache = LatentCache(tmp_path, examples, {}, shard=4)
    cache.fill(pipeline, observer=lambda number, _: done.append(number))
    assert done == [4, 8, 10]
    files = sorted(cache.path.glob("0*.safetensors"))
    before = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}
    files[1].unlink()
    LatentCache(tmp_path, examples, {}, shard=4).fill(pipeline)
    for file in files:
        assert file.read_bytes() == before[file.name][1]
        assert (file.stat().st_mtime_ns == before[file.name][0]) == (file != files[1])
    # A longer training takes what is there.
    longer = LatentCache(tmp_path, ExampleDataset(frames, ExampleSettings(size=32), 4, 14), {}, shard=4)
    longer.fill(pipeline)
    assert longer.path == cache.path
    for file in files:
        assert file.read_bytes() == before[file.name][1]
    assert len(sorted(cache.path.glob("0*.safetensors"))) == 4
    other = LatentCache(tmp_path, ExampleDataset(frames, ExampleSettings(size=32, seed=1), 4, 10), {"seed": 1}, shard=4)
    assert other.path != cache.path


def test_the_cache_knows_its_encoders_and_not_the_unet(weights: Path) -> None:
    pipeline = load_inpainting_weights(str(weights)).pipeline
    digest = digest_encoders(pipeline)
    with torch.no_grad():
        pipeline.unet.conv_in.weight += 1.0
    assert digest_encoders(pipeline) == digest
    with torch.no_grad():
        next(pipeline.text_encoder.parameters())[0] += 1.0
    assert digest_encoders(pipeline) != digest


# The loop


def test_the_pipeline_loads_as_diffusers_saves_them(trained: Path, weights: Path) -> None:
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(trained / "pipeline", use_safetensors=True)
    assert pipeline.unet.config.in_channels == 9
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    before, after = unet(weights), unet(trained / "pipeline")
    assert all(not torch.equal(before[name], after[name]) for name in before if name.endswith("weight"))
    first, second = (
        load_file(path / "vae" / "diffusion_pytorch_model.safetensors") for path in (weights, trained / "pipeline")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_comes_out_names_no_path_of_this_machine(trained: Path, weights: Path) -> None:
    files = [path for path in (trained / "pipeline").rglob("*") if path.is_file()]
    assert len(files) > 6
    for file in files:
        assert str(weights).encode() not in file.read_bytes()
        assert file.stat().st_mode & 0o044 == 0o044


def test_losses_and_samples_are_logged(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert all(line["loss"] > 0 and line["validation_loss"] > 0 for line in lines)
    sheet = read_image(trained / "samples" / "000006.png")
    assert sheet.shape[0] == 3 * 32
    assert sheet.shape[1] % 32 == 0
    assert list((trained / "polyp_gen").glob("events.*"))


@pytest.mark.parametrize("cached", [True, False])
def test_a_training_that_was_stopped_ends_with_the_same_weights(
    trained: Path, weights: Path, frames: list[Frame], tmp_path: Path, cached: bool
) -> None:
    options = replace(QUIET, seconds=0.0, cache=trained / "cache" if cached else None)
    stops = 0
    while not train(tmp_path, weights, frames, options=options):
        stops += 1
        assert (tmp_path / "pipeline" / "model_index.json").is_file()
    assert stops == SMALL.steps - 1
    # What is cached was rounded to half precision.
    assert_same(trained / "pipeline", tmp_path / "pipeline", 0.0 if cached else 2e-2)


def test_micro_batches_and_checkpointing_change_rounding_only(
    trained: Path, weights: Path, frames: list[Frame], tmp_path: Path
) -> None:
    options = replace(QUIET, cache=trained / "cache", gradient_checkpointing=True)
    for name, size in (("a", 0), ("b", 3)):
        assert train(tmp_path / name, weights, frames, options=replace(options, micro_batch=size))
    assert_same(trained / "pipeline", tmp_path / "a" / "pipeline", 1e-5)
    # Adam turns rounding of the smallest gradients into steps of its own.
    first, second = unet(trained / "pipeline"), unet(tmp_path / "b" / "pipeline")
    apart = torch.cat([(first[name] - second[name]).abs().flatten() for name in first])
    assert float(apart.mean()) < 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        {"prediction_type": "epsilon", "snr_gamma": 5.0, "start": "epsilon"},
        {"prediction_type": "v_prediction", "start": "epsilon"},
        {"lesion_weight": 0.0, "prompt_dropout": 0.5, "schedule": "cosine", "warmup": 2},
    ],
)
def test_training_reduces_the_validation_loss(
    weights: Path, frames: list[Frame], tmp_path: Path, changes: dict[str, object]
) -> None:
    changes = dict(changes)
    if changes.pop("start", "") == "epsilon":
        weights = tmp_path / "epsilon"
        tiny_diffusion.pipeline("epsilon").save_pretrained(weights)
    config = replace(SMALL, steps=40, learning_rate=3e-3, **changes)  # type: ignore[arg-type]
    found: list[TrainingProgress] = []
    options = replace(QUIET, cache=tmp_path / "cache", save_every=20)
    assert train(tmp_path / "out", weights, frames, config, options, found)
    assert [progress.step for progress in found] == [20, 40]
    assert found[1].measures["validation_loss"] < 0.95 * found[0].measures["validation_loss"]
    kind = json.loads((tmp_path / "out" / "pipeline" / "scheduler" / "scheduler_config.json").read_text())
    assert kind["prediction_type"] == changes.get("prediction_type", "v_prediction")


def test_a_lora_adapter_is_written_and_fused(weights: Path, frames: list[Frame], tmp_path: Path) -> None:
    config = replace(SMALL, lora_rank=2, learning_rate=1e-2)
    for name, seconds in (("whole", None), ("parts", 0.0)):
        options = replace(QUIET, cache=tmp_path / "cache", seconds=seconds)
        while not train(tmp_path / name, weights, frames, config, options):
            pass
    assert_same(tmp_path / "whole" / "pipeline", tmp_path / "parts" / "pipeline")
    before, after = unet(weights), unet(tmp_path / "whole" / "pipeline")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(".attn" in name for name in changed)
    applied = load_inpainting_weights(str(weights), lora=str(tmp_path / "whole" / "lora")).pipeline.unet.state_dict()
    for name, values in after.items():
        torch.testing.assert_close(applied[name], values, rtol=0, atol=1e-5)


def test_objectives_that_cannot_be_sampled_are_refused(weights: Path, frames: list[Frame], tmp_path: Path) -> None:
    """The tiny pipeline has zero terminal SNR: sampling starts from pure noise."""
    with pytest.raises(ConfigurationError, match="epsilon says nothing about pure noise"):
        train(tmp_path, weights, frames, replace(SMALL, prediction_type="epsilon"))
    with pytest.raises(ConfigurationError, match="multiple of 8 for these weights"):
        train(tmp_path, weights, frames, replace(SMALL, examples=ExampleSettings(size=36)))
    assert not (tmp_path / "config.json").exists()


def test_the_pipeline_knows_the_size_that_it_was_trained_at(weights: Path, frames: list[Frame], tmp_path: Path) -> None:
    config = replace(SMALL, examples=ExampleSettings(size=64), steps=1)
    assert train(tmp_path, weights, frames, config)
    assert load_inpainting_weights(str(tmp_path / "pipeline")).native_size == 64


def test_settings_that_failed_before_the_first_step_can_be_mended(
    weights: Path, frames: list[Frame], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"steps": 99}')
    assert train(tmp_path, weights, frames, replace(SMALL, steps=1))
    assert json.loads((tmp_path / "config.json").read_bytes())["steps"] == 1


def test_half_precision_is_half_the_size(weights: Path, frames: list[Frame], tmp_path: Path) -> None:
    config = replace(SMALL, steps=1)
    assert train(tmp_path / "out", weights, frames, config, replace(QUIET, half=True))
    assert {values.dtype for values in unet(tmp_path / "out" / "pipeline").values()} == {torch.float16}


def test_other_settings_data_or_weights_on_an_old_folder_are_refused(
    trained: Path, weights: Path, frames: list[Frame], tmp_path: Path
) -> None:
    with pytest.raises(RunConfigurationChanged, match="steps was 6, is 7"):
        train(trained, weights, frames, replace(SMALL, steps=7))
    with pytest.raises(RunConfigurationChanged, match="data was"):
        train(trained, weights, frames[1:])
    with pytest.raises(RunConfigurationChanged, match="validation was"):
        train_polyp_gen(SMALL, load_inpainting_weights(str(weights)), frames, frames[1:], trained, options=QUIET)
    tiny_diffusion.pipeline("epsilon").save_pretrained(tmp_path)
    with pytest.raises(RunConfigurationChanged, match="prediction_type was 'v_prediction', is 'epsilon'"):
        train(trained, tmp_path, frames)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"steps": 0}, "steps"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"prompt_dropout": 1.0}, "prompt_dropout"),
        ({"snr_gamma": 0.0}, "snr_gamma"),
        ({"prediction_type": "sample"}, "prediction_type"),
        ({"schedule": "linear"}, "schedule"),
        ({"lora_rank": -1}, "lora_rank"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, object], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}'"):
        replace(SMALL, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"save_every": 0}, "save_every"), ({"sample_every": 3}, "sample_every"), ({"trackers": ("paper",)}, "trackers")],
)
def test_wrong_options_are_named(changes: dict[str, object], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}'"):
        replace(QUIET, **changes)  # type: ignore[arg-type]


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(1.0, step, 100, schedule="cosine", warmup=10) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates.index(max(rates)) == 9
    assert rates[100] == pytest.approx(0.1)
    assert learning_rate(2.0, 50, 100, schedule="constant") == 2.0


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights(weights: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    def command(out: Path) -> list[str]:
        values = {
            "--weights": weights,
            "--data": phantoms.references,
            "--validation": phantoms.references,
            "--out": out,
            "--cache": tmp_path / "cache",
            "--steps": 40,
            "--batch-size": 2,
            "--examples": 12,
            "--save-every": 4,
            "--sample-every": 0,
            "--tracker": "none",
        }
        words = [str(word) for pair in values.items() for word in pair]
        return [sys.executable, "-m", "polyp_aug", "train", "polyp-gen", *words]

    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    killed = subprocess.Popen(command(tmp_path / "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    state = tmp_path / "killed" / "state.pt"
    while not state.exists() and killed.poll() is None:
        time.sleep(0.01)
    time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    subprocess.run(command(tmp_path / "killed"), check=True, capture_output=True)
    assert_same(tmp_path / "whole" / "pipeline", tmp_path / "killed" / "pipeline")
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "killed")]
    steps = [[json.loads(line)["step"] for line in log.splitlines()] for log in logs]
    assert steps[0] == steps[1] == list(range(4, 41, 4))
