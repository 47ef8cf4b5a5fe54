"""Training CCIS-Diff: examples, the cache, what learns and what doesn't, resuming, and the pipeline that comes out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_diffusion
import torch
from captioned import save_tiny, write_phantom_captions
from conftest import Phantoms

from polyp_aug.captions.template import vocabulary
from polyp_aug.captions.writer import words
from polyp_aug.coco import read_coco
from polyp_aug.errors import ConfigurationError, RunConfigurationChanged
from polyp_aug.images import read_image
from polyp_aug.keys import Key
from polyp_aug.synthesizers.ccis_diff.prompts import tokenize
from polyp_aug.synthesizers.ccis_diff.weights import BranchSettings, load_ccis_weights
from polyp_aug.training.accelerator import make_accelerator
from polyp_aug.training.captioned import CaptionedDataset, CaptionedFrame, digest_captioned, read_captioned_frames
from polyp_aug.training.captioned_latents import CaptionedLatents, cached_latents, encode_captioned
from polyp_aug.training.ccis_diff import CCISDiffConfig, SheetSampling, _draw, train_ccis_diff
from polyp_aug.training.control import ControlDraw, ControlObjective, ControlTrainer
from polyp_aug.training.folder import TrainingProgress
from polyp_aug.training.loop import TrainingOptions
from polyp_aug.training.small_pipeline import build_text_encoder
from polyp_aug.training.small_text_encoder import (
    caption_states,
    draw_captions,
    give_small_text_encoder,
    value_directions,
    value_loss,
)

SMALL = CCISDiffConfig(size=32, count=10, steps=4, batch_size=3, learning_rate=1e-3, ema=0.5)
QUIET = TrainingOptions(save_every=2, sample_every=0, trackers=())
PARTS = ("unet", "vae", "text_encoder", "controlnet")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_diffusion.pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def captions(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom_captions(phantoms, tmp_path_factory.mktemp("captions"))


@pytest.fixture(scope="module")
def frames(phantoms: Phantoms, captions: Path) -> list[CaptionedFrame]:
    return read_captioned_frames([phantoms.references], [captions])


def train(
    out: Path,
    weights: Path,
    frames: list[CaptionedFrame],
    config: CCISDiffConfig = SMALL,
    options: TrainingOptions = QUIET,
    observer: list[TrainingProgress] | None = None,
    branch: BranchSettings | None = None,
) -> bool:
    return train_ccis_diff(
        config,
        load_ccis_weights(str(weights), branch=branch or BranchSettings()),
        frames,
        frames,
        out,
        options=options,
        sampling=SheetSampling(2, 2.0),
        observer=None if observer is None else observer.append,
    )


def digests(model: torch.nn.Module) -> dict[str, str]:
    return {
        name: hashlib.sha256(values.detach().numpy().tobytes()).hexdigest()
        for name, values in model.state_dict().items()
    }


def parts(folder: Path) -> dict[str, dict[str, str]]:
    pipeline = load_ccis_weights(str(folder)).pipeline
    return {name: digests(getattr(pipeline, name)) for name in PARTS}


@pytest.fixture(scope="module")
def trained(weights: Path, frames: list[CaptionedFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    options = replace(QUIET, cache=out / "cache", sample_every=4, trackers=("tensorboard",))
    assert train(out, weights, frames, options=options)
    return out


# Examples


def test_frames_have_the_masks_and_captions_of_their_set(
    phantoms: Phantoms, captions: Path, frames: list[CaptionedFrame]
) -> None:
    dataset = read_coco(phantoms.references)
    assert len(frames) == len(dataset.images)
    for item in frames:
        image = next(image for image in dataset.images if image.file_name == item.frame.path.name)
        assert len(item.frame.boxes) == len(dataset.by_image()[image.id])
        assert item.caption.count("polyp") == len(item.frame.boxes)
    assert digest_captioned(frames) != digest_captioned([replace(frames[0], caption="x"), *frames[1:]])
    with pytest.raises(ConfigurationError, match="2 caption files for 1 data sets"):
        read_captioned_frames([phantoms.references], [captions, captions])
    with pytest.raises(ConfigurationError, match="no such file"):
        read_captioned_frames([phantoms.references], [captions.with_name("none.jsonl")])


def test_picture_mask_and_caption_are_mirrored_together(frames: list[CaptionedFrame]) -> None:
    examples = CaptionedDataset(frames, size=64, count=40)
    plain = CaptionedDataset(frames, size=64, count=40, mirror=False)
    originals = {int(plain[number].number) // 4: plain[number] for number in range(40)}
    seen = set()
    for number in range(40):
        example = examples[number]
        frame, way = divmod(int(example.number), 4)
        flips = [axis for axis, bit in ((2, 1), (1, 2)) if way & bit]
        torch.testing.assert_close(example.image, originals[frame].image.flip(flips), rtol=0, atol=0)
        assert torch.equal(example.mask, originals[frame].mask.flip(flips))
        text, own = words(examples.caption(int(example.number))), words(frames[frame].caption)
        swapped = {"left": "right", "right": "left"} if way & 1 else {}
        swapped |= {"upper": "lower", "lower": "upper"} if way & 2 else {}
        assert text == [swapped.get(word, word) for word in own]
        seen.add(way)
    assert seen == {0, 1, 2, 3}


def test_an_example_depends_on_its_number_alone(frames: list[CaptionedFrame]) -> None:
    first, again = (CaptionedDataset(frames, size=32, count=count) for count in (20, 500))
    for number in (7, 0, 19):
        for mine, theirs in zip(first[number], again[number], strict=True):
            assert torch.equal(mine, theirs)
    other = CaptionedDataset(frames, size=32, count=20, seed=1)
    assert any(int(first[number].number) != int(other[number].number) for number in range(20))


def test_a_share_of_frames_that_are_not_there_is_named(frames: list[CaptionedFrame]) -> None:
    with pytest.raises(ConfigurationError, match=r"'polyp_frames' is 0.5, of 10 frames with polyps and 0 without"):
        CaptionedDataset(frames, size=32, count=2, polyp_frames=0.5)


def test_the_cache_gives_what_encoding_gives(weights: Path, frames: list[CaptionedFrame], tmp_path: Path) -> None:
    vae = load_ccis_weights(str(weights), branch=BranchSettings()).pipeline.vae
    # A side that is no multiple of eight: masks are packed.
    examples = CaptionedDataset(frames, size=36, count=9)
    batch = cached_latents(tmp_path, examples, {"a": 1}, vae, batch_size=4)
    numbers = [8, 0, 3]
    fresh = encode_captioned(
        vae,
        torch.no_grad,
        [torch.stack([examples[number][part] for number in numbers]) for part in range(3)],
    )
    found = batch(numbers)
    torch.testing.assert_close(found.latents, fresh.latents, rtol=2e-3, atol=2e-3)
    assert torch.equal(found.mask, fresh.mask)
    assert torch.equal(found.number, fresh.number)
    # All is there: nothing is encoded again.
    again = cached_latents(tmp_path, examples, {"a": 1}, torch.nn.Module(), batch_size=4)
    assert torch.equal(again([2]).latents, batch([2]).latents)


# What learns


@pytest.mark.parametrize("text_encoder", [False, True])
def test_frozen_parts_are_frozen(
    weights: Path, frames: list[CaptionedFrame], tmp_path: Path, *, text_encoder: bool
) -> None:
    before = load_ccis_weights(str(weights), branch=BranchSettings()).pipeline
    held = {name: digests(getattr(before, name)) for name in PARTS}
    assert train(tmp_path, weights, frames, replace(SMALL, text_encoder=text_encoder))
    after = parts(tmp_path / "pipeline")
    assert after["unet"] == held["unet"]
    assert after["vae"] == held["vae"]
    assert (after["text_encoder"] == held["text_encoder"]) is not text_encoder
    same = [name for name, digest in after["controlnet"].items() if digest == held["controlnet"][name]]
    # What lies behind layers that are still zero learns from the second step on.
    assert same == []


def test_the_branch_learns_to_read_masks(weights: Path) -> None:
    """Frames that are bright where the mask is and dark elsewhere: their noise can't be told without the mask."""
    pipeline = load_ccis_weights(str(weights), branch=BranchSettings()).pipeline
    trainer = ControlTrainer(
        pipeline,
        size=32,
        objective=ControlObjective("v_prediction"),
        accelerator=make_accelerator("no"),
        ema=0.0,
        text_encoder=False,
        gradient_checkpointing=False,
    )
    generator = torch.Generator().manual_seed(0)

    def batch() -> tuple[CaptionedLatents, ControlDraw]:
        sides = torch.randint(2, (8,), generator=generator)
        mask = torch.zeros(8, 1, 32, 32)
        for row, side in enumerate(sides):
            mask[row, 0, :, 16 * int(side) : 16 * int(side) + 16] = 1.0
        latents = torch.nn.functional.avg_pool2d(mask, 4).expand(-1, 4, -1, -1) * 4.0 - 2.0
        noise = torch.randn(latents.shape, generator=generator)
        times = torch.randint(700, 1000, (8,), generator=generator)
        return CaptionedLatents(latents, mask, torch.arange(8)), ControlDraw(noise, times, torch.ones(8).bool())

    with torch.no_grad():
        held_out = batch()
        start = float(trainer.loss(held_out[0], ["a"] * 8, held_out[1]))
    for _ in range(60):
        trainer.step(*_with_captions(batch()), rate=2e-3)
    with torch.no_grad():
        end = float(trainer.loss(held_out[0], ["a"] * 8, held_out[1]))
    assert end < 0.6 * start


def _with_captions(found: tuple[CaptionedLatents, ControlDraw]) -> tuple[CaptionedLatents, list[str], ControlDraw]:
    return found[0], ["a"] * 8, found[1]


def test_a_small_text_encoder_has_the_words(weights: Path) -> None:
    pipeline = load_ccis_weights(str(weights), branch=BranchSettings()).pipeline
    give_small_text_encoder(pipeline, steps=0)
    ids, own = tokenize(pipeline.tokenizer, [word for word in vocabulary() if word.isalpha()])
    assert own.sum(dim=1).tolist() == [1] * len(ids)
    assert len({int(row[1]) for row in ids}) == len(ids)
    assert pipeline.text_encoder.config.hidden_size == pipeline.unet.config.cross_attention_dim


def test_a_small_text_encoder_learns_what_captions_say(weights: Path) -> None:
    pipeline = load_ccis_weights(str(weights), branch=BranchSettings()).pipeline
    captions, values = draw_captions(Key(1, "held out"), 32)
    assert captions == draw_captions(Key(1, "held out"), 32)[0]
    found = []
    for steps in (0, 40):
        give_small_text_encoder(pipeline, steps=steps, seed=3)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            # The same draws as in training.
            width = int(pipeline.unet.config.cross_attention_dim)
            directions = value_directions(build_text_encoder(pipeline.tokenizer, width, layers=2))
        with torch.no_grad():
            states = caption_states(pipeline.text_encoder, pipeline.tokenizer, captions)
            found.append(float(value_loss(states, values, directions)))
    assert found[1] < found[0] - 0.05


# The loop


def test_a_training_leaves_a_pipeline_a_log_and_sheets(trained: Path) -> None:
    pipeline = load_ccis_weights(str(trained / "pipeline")).pipeline
    mask = np.zeros((32, 32), np.bool_)
    mask[8:20, 8:20] = True
    [frame] = pipeline([mask], ["red"], num_inference_steps=2, generators=[torch.Generator().manual_seed(0)])
    assert frame.shape == (32, 32, 3)
    assert len((trained / "log.jsonl").read_text().splitlines()) == 2
    assert read_image(trained / "samples" / "000004.png").shape == (96, 192, 3)
    assert list(trained.rglob("events.out.tfevents.*"))


def test_a_stopped_training_takes_the_same_steps(
    trained: Path, weights: Path, frames: list[CaptionedFrame], tmp_path: Path
) -> None:
    options = replace(QUIET, cache=trained / "cache", seconds=0.0)
    stops = 0
    while not train(tmp_path, weights, frames, options=options):
        stops += 1
    assert stops == 3
    assert parts(tmp_path / "pipeline") == parts(trained / "pipeline")


def test_without_a_cache_the_same_comes_out_up_to_rounding(
    trained: Path, weights: Path, frames: list[CaptionedFrame], tmp_path: Path
) -> None:
    assert train(tmp_path, weights, frames)
    mine, theirs = (load_ccis_weights(str(folder / "pipeline")).pipeline for folder in (tmp_path, trained))
    for name, values in mine.controlnet.state_dict().items():
        torch.testing.assert_close(values, theirs.controlnet.state_dict()[name], rtol=0, atol=5e-3)


def test_other_settings_on_an_old_folder_are_refused(
    trained: Path, weights: Path, frames: list[CaptionedFrame], tmp_path: Path
) -> None:
    with pytest.raises(RunConfigurationChanged, match="learning_rate"):
        train(trained, weights, frames, replace(SMALL, learning_rate=1e-4))
    with pytest.raises(RunConfigurationChanged, match="branch"):
        train(trained, weights, frames, branch=BranchSettings(text_aware=False))
    with pytest.raises(RunConfigurationChanged, match="data"):
        train(trained, weights, [replace(frames[0], caption="other"), *frames[1:]])
    assert not list(tmp_path.iterdir())


def test_a_trained_branch_is_trained_on(frames: list[CaptionedFrame], tmp_path: Path) -> None:
    whole = save_tiny(tmp_path)
    assert train(tmp_path / "out", whole, frames, replace(SMALL, steps=1))
    with pytest.raises(ConfigurationError, match="'blur_mask' True"):
        load_ccis_weights(str(whole), branch=BranchSettings(blur_mask=False))
    renewed = load_ccis_weights(str(whole), branch=BranchSettings(blur_mask=False), renew=True).pipeline
    assert not renewed.controlnet.config.blur_mask


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"steps": 0}, "steps"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"prompt_dropout": 1.0}, "prompt_dropout"),
        ({"polyp_frames": 1.5}, "polyp_frames"),
        ({"snr_gamma": 0.0}, "snr_gamma"),
        ({"lesion_weight": -1.0}, "lesion_weight"),
        ({"schedule": "linear"}, "schedule"),
    ],
)
def test_wrong_settings_are_named(changes: Mapping[str, object], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}'"):
        replace(SMALL, **changes)


def test_a_size_that_does_not_fit_is_named(weights: Path, frames: list[CaptionedFrame], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'size' must be a multiple of 8"):
        train(tmp_path, weights, frames, replace(SMALL, size=36))


def test_captions_are_dropped_by_the_step() -> None:
    """About half of them, others in each step, and the same again."""
    config = replace(SMALL, batch_size=400)
    first, second = (_draw(config, step, torch.zeros(400, 4, 8, 8), 1000).dropped for step in (0, 1))
    assert 150 < int(first.sum()) < 250
    assert not torch.equal(first, second)
    assert torch.equal(first, _draw(config, 0, torch.zeros(400, 4, 8, 8), 1000).dropped)
