"""Polyp-Gen's synthesizer on a tiny pipeline of the real classes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from conftest import Phantoms
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import save_file
from tiny_diffusion import pipeline, save_lora, save_original_checkpoint

from polyp_aug.augmenter import Augmenter
from polyp_aug.coco import read_coco
from polyp_aug.errors import ConfigurationError, SynthesisError
from polyp_aug.geometry import Region
from polyp_aug.images import list_images, read_image
from polyp_aug.keys import Key
from polyp_aug.proposers.random import RandomProposer
from polyp_aug.references import ReferenceBank
from polyp_aug.scene import Job, Painted, Rejection, Scene
from polyp_aug.synthesizers.base import Capabilities
from polyp_aug.synthesizers.polyp_gen import InpaintingWeights, PolypGen, Sampling, load_inpainting_weights
from polyp_aug.synthesizers.polyp_gen.windows import (
    Window,
    crop_box,
    cut_window,
    frame_size,
    match_surroundings,
    snap_mask,
)
from polyp_aug.synthesizers.registry import load_synthesizer

FAST = Sampling(num_inference_steps=2)


def region(x: int, y: int, width: int, height: int) -> Region:
    return Region(x, y, np.ones((height, width), bool))


def job(number: int = 0, prompt: str = "Polyp", place: Region | None = None) -> Job:
    image = np.random.default_rng(number).integers(60, 200, (96, 120, 3)).astype(np.uint8)
    image.setflags(write=False)
    return Job(image, place or region(30, 40, 22, 18), prompt, 3, Key(1, f"frame {number}"))


def polyp_gen(sampling: Sampling = FAST, **settings: Any) -> PolypGen:
    return PolypGen(InpaintingWeights(pipeline(), "test"), sampling, **settings)


def painted(result: Painted | Rejection) -> Painted:
    assert isinstance(result, Painted), result
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "pipeline"
    pipeline().save_pretrained(path)
    return path


def test_a_result_for_every_job_of_its_size() -> None:
    jobs = [job(number) for number in range(3)]
    for one, result in zip(jobs, polyp_gen().paint(jobs), strict=True):
        found = painted(result)
        assert found.image.shape == one.image.shape
        assert found.image.dtype == np.uint8
        x, y, w, h = found.details["window"]
        outside = np.ones(one.image.shape[:2], bool)
        outside[y : y + h, x : x + w] = False
        np.testing.assert_array_equal(found.image[outside], one.image[outside])
        assert found.details["sampler"] == "ddim"


def test_batches_change_nothing_but_rounding() -> None:
    jobs = [job(number) for number in range(5)]
    alone = [painted(result).image for one in jobs for result in polyp_gen().paint([one])]
    together = [painted(result).image for result in polyp_gen(batch_size=4).paint(jobs)]
    backwards = [painted(result).image for result in polyp_gen().paint(jobs[::-1])][::-1]
    for first, second, third in zip(alone, together, backwards, strict=True):
        assert np.abs(first.astype(int) - second).max() <= 1
        assert np.abs(first.astype(int) - third).max() <= 1


def test_another_key_and_another_prompt_paint_something_else() -> None:
    first, second = job(0), job(0, prompt="Normal")
    third = Job(first.image, first.region, "Polyp", 3, Key(2, "frame 0"))
    images = [painted(result).image for result in polyp_gen().paint([first, second, third])]
    assert (images[0] != images[1]).any()
    assert (images[0] != images[2]).any()


def test_embeddings_are_computed_once_for_each_prompt() -> None:
    weights = InpaintingWeights(pipeline(), "test")
    calls: list[str] = []
    encode = weights.pipeline.encode_prompt

    def counted(prompt: str, *arguments: Any, **options: Any) -> Any:
        if isinstance(prompt, str):
            calls.append(prompt)
        return encode(prompt, *arguments, **options)

    weights.pipeline.encode_prompt = counted
    synthesizer = PolypGen(weights, FAST, batch_size=2)
    synthesizer.paint([job(number) for number in range(5)])
    assert sorted(calls) == ["", "Polyp"]


@pytest.mark.parametrize("sampler", ["ddim", "dpm++", "lcm"])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_every_sampler_keeps_what_the_weights_say(sampler: Any, prediction_type: str) -> None:
    weights = InpaintingWeights(pipeline(prediction_type), "test")
    synthesizer = PolypGen(weights, Sampling(sampler=sampler, num_inference_steps=3))
    assert weights.pipeline.scheduler.config.prediction_type == prediction_type
    assert isinstance(synthesizer.paint([job()])[0], Painted)


@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 50), ("dpm++", 20), ("lcm", 4)])
def test_usual_numbers_of_steps(sampler: Any, steps: int) -> None:
    assert Sampling(sampler=sampler).steps == steps


def test_frame_mode_shows_the_whole_frame_and_handles_odd_sizes() -> None:
    one = job()
    odd = Job(np.ascontiguousarray(one.image[:91, :117]), one.region, "Polyp", 3, one.key)
    found = painted(polyp_gen(mode="frame").paint([odd])[0])
    assert found.details["window"] == [0, 0, 117, 91]
    assert found.image.shape == (91, 117, 3)


def test_frames_of_different_sizes_in_one_call() -> None:
    small = Job(np.full((40, 50, 3), 120, np.uint8), region(10, 10, 12, 12), "Polyp", 2, Key(1, "s"))
    results = polyp_gen(mode="frame").paint([job(), small, job(1)])
    assert [painted(result).image.shape[:2] for result in results] == [(96, 120), (40, 50), (96, 120)]


def test_a_region_that_fits_into_no_square_is_shown_with_the_whole_frame() -> None:
    wide = job(place=region(4, 20, 112, 50))
    found = painted(polyp_gen().paint([wide])[0])
    assert found.details["window"] == [0, 0, 120, 96]
    changed = (found.image != wide.image).any(axis=2)
    assert changed[20:70, 4:116].mean() > 0.9


def test_painters_that_share_weights_keep_their_samplers() -> None:
    weights = InpaintingWeights(pipeline(), "test")
    first, second = PolypGen(weights, FAST), PolypGen(weights, Sampling(sampler="lcm", num_inference_steps=2))
    alone = painted(PolypGen(InpaintingWeights(pipeline(), "test"), FAST).paint([job()])[0]).image
    second.paint([job()])
    np.testing.assert_array_equal(painted(first.paint([job()])[0]).image, alone)


class Flagging(torch.nn.Module):
    """A safety checker that flags the first picture of every batch."""

    dtype = torch.float32

    def forward(self, images: Any, clip_input: Any) -> tuple[Any, list[bool]]:
        assert clip_input is not None
        return images, [True] + [False] * (len(images) - 1)


def test_what_the_safety_checker_flags_is_rejected_and_said() -> None:
    weights = InpaintingWeights(pipeline(), "test")
    weights.pipeline.run_safety_checker = lambda image, *_: Flagging()(image, clip_input=0)
    results = PolypGen(weights, FAST).paint([job(0), job(1)])
    assert isinstance(results[0], Rejection)
    assert results[0].reason == "the safety checker blacked the picture out"
    assert isinstance(results[1], Painted)


def test_a_safety_checker_that_is_not_there_can_not_be_asked_for(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="comes without a safety checker"):
        load_inpainting_weights(str(folder), safety_checker=True)


class Start:
    """Paints a bright square, or refuses."""

    name = "start"
    revision = ""
    capabilities: ClassVar = Capabilities(output="edit", feathered=True)

    def paint(self, jobs: Sequence[Job]) -> list[Painted | Rejection]:
        results: list[Painted | Rejection] = []
        for one in jobs:
            if one.prompt == "refuse":
                results.append(Rejection("no reference fits"))
                continue
            # What lies outside of the region is nobody's business, by the contract.
            image = np.full_like(one.image, 7)
            x, y, w, h = one.region.box
            image[y : y + h, x : x + w] = 250
            results.append(Painted(image, category="adenoma", details={"reference": "a#1"}))
        return results


def test_painting_can_start_from_a_transplant() -> None:
    weak = polyp_gen(Sampling(num_inference_steps=10, strength=0.2), start=Start())
    results = weak.paint([job(0), job(1, prompt="refuse"), job(2)])
    assert [type(result) for result in results] == [Painted, Rejection, Painted]
    first = painted(results[0])
    assert first.details["start"] == {"reference": "a#1"}
    # The model may have made the polyp larger or smaller than what it started from.
    assert first.region is None
    assert first.category == "adenoma"
    normal = painted(weak.paint([job(0, prompt="Normal")])[0])
    assert "start" not in normal.details
    full = painted(polyp_gen(Sampling(num_inference_steps=10), start=Start()).paint([job(0)])[0])
    assert (full.image != painted(results[0]).image).any()
    assert "start" not in full.details


def test_a_batch_that_does_not_fit_is_halved_and_goes_on() -> None:
    weights = InpaintingWeights(pipeline(), "test")
    forward = weights.pipeline.unet.forward
    sizes: list[int] = []

    def tight(sample: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        sizes.append(len(sample))
        if len(sample) > 4:
            raise torch.OutOfMemoryError("made to fail")
        return forward(sample, *arguments, **options)

    weights.pipeline.unet.forward = tight
    results = PolypGen(weights, FAST, batch_size=8).paint([job(number) for number in range(6)])
    assert all(isinstance(result, Painted) for result in results)
    assert max(sizes) == 12
    assert sizes[-1] <= 4
    weights.pipeline.unet.forward = lambda *_, **__: (_ for _ in ()).throw(torch.OutOfMemoryError("always"))
    with pytest.raises(SynthesisError, match="doesn't fit into memory"):
        PolypGen(weights, FAST).paint([job()])


@pytest.mark.parametrize(("value", "reason"), [(float("nan"), "not finite"), (0.0, "one colour")])
def test_useless_pictures_are_rejected(value: float, reason: str) -> None:
    weights = InpaintingWeights(pipeline(), "test")
    decode = weights.pipeline.vae.decode

    def spoilt(*arguments: Any, **options: Any) -> Any:
        found = decode(*arguments, **options)
        if isinstance(found, tuple):
            return (torch.full_like(found[0], value),)
        found.sample = torch.full_like(found.sample, value)
        return found

    weights.pipeline.vae.decode = spoilt
    result = PolypGen(weights, FAST).paint([job()])[0]
    assert isinstance(result, Rejection)
    assert reason in result.reason


def test_in_the_flow_everything_outside_of_the_feather_is_kept(phantoms: Phantoms) -> None:
    augmenter = Augmenter(RandomProposer(), polyp_gen())
    for path in list_images(phantoms.backgrounds)[:2]:
        scene = Scene(path.name, read_image(path))
        result = augmenter.render([scene], [augmenter.plan(scene, Key(1, path.name))])[0]
        outside = np.ones(scene.image.shape[:2], bool)
        for item in result.objects:
            x, y, w, h = (int(value) for value in item.changed)
            outside[y : y + h, x : x + w] = False
            assert item.provenance["revision"] == "test"
            assert item.provenance["details"]["num_inference_steps"] == 2
        np.testing.assert_array_equal(result.image[outside], scene.image[outside])


def test_retrieval_augmented_painting_in_the_flow(phantoms: Phantoms) -> None:
    bank = ReferenceBank(read_coco(phantoms.references))
    start = load_synthesizer("transplant", references=bank)
    augmenter = Augmenter(RandomProposer(), polyp_gen(Sampling(num_inference_steps=5, strength=0.4), start=start))
    path = list_images(phantoms.backgrounds)[1]
    scene = Scene(path.name, read_image(path))
    result = augmenter.render([scene], [augmenter.plan(scene, Key(1, path.name))])[0]
    assert len(result.objects) + len(result.rejections) == 1


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"mode": "tile"}, "mode"),
        ({"size": 30}, "size"),
        ({"size": 0}, "size"),
        ({"context": 0.5}, "context"),
        ({"batch_size": 0}, "batch_size"),
        ({"sampling": Sampling(strength=0.5)}, "strength"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        polyp_gen(**settings)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"sampler": "euler"}, "sampler"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"sampler": "lcm", "num_inference_steps": 60}, "num_inference_steps"),
        ({"guidance_scale": 0.5}, "guidance_scale"),
        ({"strength": 0.0}, "strength"),
        ({"num_inference_steps": 4, "strength": 0.1}, "strength"),
    ],
)
def test_wrong_sampling_is_named(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Sampling(**settings)


def same_unet(first: InpaintingWeights) -> bool:
    own = pipeline().unet.state_dict()
    return all(torch.equal(weights, own[name]) for name, weights in first.pipeline.unet.state_dict().items())


def test_a_diffusers_folder_loads(folder: Path) -> None:
    found = load_inpainting_weights(str(folder))
    assert same_unet(found)
    assert len(found.revision) == 16
    assert found.pipeline.scheduler.config.prediction_type == "v_prediction"


def test_a_mislabelled_folder_loads(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    index = json.loads((copy / "model_index.json").read_text())
    index["_class_name"] = "StableDiffusionPipeline"
    (copy / "model_index.json").write_text(json.dumps(index))
    assert same_unet(load_inpainting_weights(str(copy)))


@pytest.mark.parametrize("name", ["unet", "unet_ema"])
def test_an_accelerate_checkpoint_loads_with_its_base(name: str, folder: Path, tmp_path: Path) -> None:
    pipeline().unet.save_pretrained(tmp_path / "checkpoint-7" / name)
    for source in (tmp_path / "checkpoint-7", tmp_path / "checkpoint-7" / name):
        assert same_unet(load_inpainting_weights(str(source), base=str(folder)))
        with pytest.raises(ConfigurationError, match="name a 'base'"):
            load_inpainting_weights(str(source))


@pytest.mark.parametrize(("dtype", "most"), [(torch.float16, 0.2), (torch.bfloat16, 1.0)])
def test_half_precision_paints_the_same_on_a_cpu(dtype: torch.dtype, most: float, folder: Path) -> None:
    found = load_inpainting_weights(str(folder), dtype=dtype)
    assert found.pipeline.unet.dtype == found.pipeline.vae.dtype == dtype
    jobs = [job(0), job(1)]
    for half, whole in zip(PolypGen(found, FAST).paint(jobs), polyp_gen().paint(jobs), strict=True):
        assert np.abs(painted(half).image.astype(int) - painted(whole).image).mean() < most


def test_the_order_in_memory_changes_nothing_but_rounding(folder: Path) -> None:
    found = load_inpainting_weights(str(folder), channels_last=True)
    for model in (found.pipeline.unet, found.pipeline.vae.encoder):
        assert model.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    image = painted(PolypGen(found, FAST).paint([job()])[0]).image
    assert np.abs(image.astype(int) - painted(polyp_gen().paint([job()])[0]).image).max() <= 1


def test_the_unet_is_compiled_where_that_is_asked_for(folder: Path) -> None:
    assert load_inpainting_weights(str(folder)).pipeline.unet._compiled_call_impl is None
    assert load_inpainting_weights(str(folder), compiled=True).pipeline.unet._compiled_call_impl is not None


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_lora(tmp_path_factory.mktemp("lora"))


def test_lora_weights_are_fused(lora: Path, folder: Path) -> None:
    plain = load_inpainting_weights(str(folder))
    found = [load_inpainting_weights(str(folder), lora=str(source)) for source in (lora, lora.parent)]
    assert found[0].revision == found[1].revision != plain.revision
    states = [weights.pipeline.unet.state_dict() for weights in (plain, *found)]
    assert states[0].keys() == states[1].keys()
    changed = [name for name in states[0] if not torch.equal(states[0][name], states[1][name])]
    assert changed
    assert all(part in name for name in changed for part in (".attentions.", "weight"))
    assert all(torch.equal(states[1][name], states[2][name]) for name in changed)
    assert not found[0].pipeline.get_list_adapters()
    few = Sampling(sampler="lcm", num_inference_steps=4, guidance_scale=1.0)
    images = [painted(PolypGen(weights, few).paint([job()])[0]).image for weights in (plain, found[0])]
    assert (images[0] != images[1]).any()


def test_useless_lora_weights_are_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "lora.bin").write_bytes(b"pickle")
    with pytest.raises(ConfigurationError, match=r"must be safetensors \(got \.bin\)"):
        load_inpainting_weights(str(folder), lora=str(tmp_path / "lora.bin"))
    with pytest.raises(ConfigurationError, match=r"or a folder with one \(found 0\)"):
        load_inpainting_weights(str(folder), lora=str(tmp_path))
    for name in ("conv.weight", "unet.nowhere.lora_A.weight", "elsewhere.lora_A.weight"):
        save_file({name: torch.zeros(2, 2)}, tmp_path / "a.safetensors")
        with pytest.raises(ConfigurationError, match="LoRA weights"):
            load_inpainting_weights(str(folder), lora=str(tmp_path / "a.safetensors"))


def test_a_single_file_of_the_original_layout_loads(folder: Path, tmp_path: Path) -> None:
    save_original_checkpoint(tmp_path / "model.safetensors")
    found = load_inpainting_weights(str(tmp_path / "model.safetensors"), base=str(folder))
    assert same_unet(found)
    own = pipeline()
    for part in ("vae", "text_encoder"):
        loaded = getattr(found.pipeline, part).state_dict()
        state = getattr(own, part).state_dict()
        assert loaded.keys() == state.keys()
        assert all(torch.equal(loaded[name], state[name]) for name in state)
    image = painted(PolypGen(found, FAST).paint([job()])[0]).image
    np.testing.assert_array_equal(image, painted(polyp_gen().paint([job()])[0]).image)
    save_file({"model.diffusion_model.a": torch.zeros(1)}, tmp_path / "broken.safetensors")
    with pytest.raises(ConfigurationError, match="can't be loaded as inpainting weights"):
        load_inpainting_weights(str(tmp_path / "broken.safetensors"), base=str(folder))


@pytest.mark.parametrize(
    "part",
    [
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_the_revision_covers_all_that_decides_the_pixels(part: str, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "README.md").write_text("says nothing of the pixels")
    revision = load_inpainting_weights(str(folder)).revision
    assert load_inpainting_weights(str(copy)).revision == revision
    with open(copy / part, "r+b") as file:
        data = bytearray(file.read())
        # The last value of the last tensor, or a space after the last brace.
        data = data[:-1] + bytes([data[-1] ^ 1]) if part.endswith("safetensors") else data + b" "
        file.seek(0)
        file.write(data)
    assert load_inpainting_weights(str(copy)).revision != revision


def test_the_revision_of_a_checkpoint_covers_its_base(folder: Path, tmp_path: Path) -> None:
    pipeline().unet.save_pretrained(tmp_path / "checkpoint" / "unet")
    copy = shutil.copytree(folder, tmp_path / "base")
    shutil.rmtree(copy / "unet")
    source = str(tmp_path / "checkpoint")
    revision = load_inpainting_weights(source, base=str(folder)).revision
    assert load_inpainting_weights(source, base=str(copy)).revision == revision
    config = copy / "vae" / "config.json"
    config.write_text(config.read_text() + " ")
    assert load_inpainting_weights(source, base=str(copy)).revision != revision


def test_a_base_that_is_not_needed_is_named(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds a whole pipeline; leave 'base' out"):
        load_inpainting_weights(str(folder), base=str(folder))


def test_what_is_no_inpainting_model_is_named(tmp_path: Path) -> None:
    pipeline(input_channels=4).save_pretrained(tmp_path / "text")
    with pytest.raises(ConfigurationError, match="its UNet has 4 input channels, expected 9"):
        load_inpainting_weights(str(tmp_path / "text"))


def test_other_than_safetensors_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(b"pickle")
    with pytest.raises(ConfigurationError, match=r"must be safetensors \(got \.ckpt\)"):
        load_inpainting_weights(str(tmp_path / "model.ckpt"))
    copy = shutil.copytree(folder, tmp_path / "copy")
    state = pipeline().unet.state_dict()
    torch.save(state, copy / "unet" / "diffusion_pytorch_model.bin")
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ConfigurationError, match="can't be loaded"):
        load_inpainting_weights(str(copy))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("org/model", "needs a pinned revision: org/model@COMMIT"),
        ("org/model@main", "no hub id with a commit of 40 digits"),
        ("/no/such/place", "no such folder or file"),
    ],
)
def test_sources_that_are_nothing_are_named(source: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_inpainting_weights(source)


def test_an_empty_folder_and_a_single_file_without_a_base_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="neither a diffusers pipeline nor a UNet"):
        load_inpainting_weights(str(tmp_path))
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ConfigurationError, match="name a 'base'"):
        load_inpainting_weights(str(tmp_path / "model.safetensors"))


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (region(100, 100, 20, 20), (78, 78, 64, 64)),
        (region(0, 0, 20, 20), (0, 0, 64, 64)),
        (region(300, 200, 100, 50), (250, 125, 200, 200)),
        (region(490, 380, 20, 20), (448, 358, 64, 64)),
        (region(10, 10, 490, 400), (39, 0, 432, 432)),
    ],
)
def test_crops_hold_the_region_with_context(place: Region, expected: tuple[int, ...]) -> None:
    assert crop_box(place, 512, 432, 64, 2.0) == expected


def test_a_window_keeps_every_pixel_that_the_mask_touches() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    thin = region(100, 20, 1, 100)
    window = cut_window(image, thin, (0, 0, 200, 200), (64, 64), 4)
    assert window.mask.any(axis=0).sum() >= 1
    assert window.mask[8:36].any(axis=1).all()
    assert window.restored(window.image).shape == (200, 200, 3)
    with pytest.raises(ConfigurationError, match="outside of the window"):
        cut_window(image, thin, (0, 0, 50, 50), (64, 64), 4)


@pytest.mark.parametrize(
    ("width", "height", "expected"), [(512, 432, (64, 56)), (1920, 1080, (64, 32)), (64, 64, (64, 64))]
)
def test_frames_are_seen_at_multiples(width: int, height: int, expected: tuple[int, int]) -> None:
    assert frame_size(width, height, 64, 8) == expected


@given(data=st.data(), cell=st.sampled_from([1, 4, 8]))
def test_a_snapped_mask_is_made_of_whole_cells(data: st.DataObject, cell: int) -> None:
    rows, columns = (data.draw(st.integers(1, 4)) for _ in range(2))
    shape = rows * cell, columns * cell
    mask = data.draw(arrays(np.bool_, shape))
    snapped = snap_mask(mask, cell)
    assert snapped[mask].all()
    np.testing.assert_array_equal(snap_mask(snapped, cell), snapped)
    cells = snapped.reshape(rows, cell, columns, cell).swapaxes(1, 2).reshape(rows * columns, -1)
    assert (cells.all(axis=1) == cells.any(axis=1)).all()
    touched = mask.reshape(rows, cell, columns, cell).any(axis=(1, 3))
    assert np.count_nonzero(snapped) == cell**2 * np.count_nonzero(touched)


def test_a_mask_that_is_not_of_whole_cells_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"multiples of 4 \(got 9×8\)"):
        snap_mask(np.zeros((8, 9), bool), 4)


def test_the_latents_are_masked_where_the_picture_is() -> None:
    """diffusers' own mask of the latents is the snapped mask, and blanks no other pixel."""
    made = pipeline()
    mask = snap_mask(np.random.default_rng(0).random((32, 48)) < 0.02, made.vae_scale_factor)
    assert 0.05 < mask.mean() < 0.6
    tensor = torch.from_numpy(mask.astype(np.float32))[None, None]
    latents, _ = made.prepare_mask_latents(
        tensor, torch.zeros(1, 3, 32, 48), 1, 32, 48, torch.float32, "cpu", torch.Generator(), False
    )
    coarse = latents[0, 0].numpy() > 0.5
    np.testing.assert_array_equal(coarse.repeat(4, axis=0).repeat(4, axis=1), mask)


@pytest.mark.parametrize("shift", [(0.06, -0.03, 0.02), (-0.1, 0.0, 0.1)])
def test_a_shift_of_colour_is_taken_out_of_the_painted_place(shift: tuple[float, float, float]) -> None:
    generator = np.random.default_rng(0)
    image = np.full((64, 64, 3), (170, 110, 90), np.uint8) + generator.integers(0, 20, (64, 64, 3)).astype(np.uint8)
    mask = np.zeros((64, 64), np.bool_)
    mask[16:48, 20:52] = True
    wanted = image.astype(np.float32) / 255.0
    wanted[mask] = (0.7, 0.3, 0.3)
    painted = np.asarray(wanted + np.array(shift), dtype=np.float32)
    found = match_surroundings(painted, Window((0, 0, 64, 64), image, mask))
    assert np.abs(found - wanted).max() < 0.01


def test_where_nothing_is_known_nothing_is_matched() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    painted = np.full((32, 32, 3), 0.6, np.float32)
    found = match_surroundings(painted, Window((0, 0, 32, 32), image, np.ones((32, 32), np.bool_)))
    assert np.array_equal(found, painted)


def test_a_large_shift_is_limited() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    painted = np.full((32, 32, 3), 0.6, np.float32)
    mask = np.zeros((32, 32), np.bool_)
    mask[8:24, 8:24] = True
    found = match_surroundings(painted, Window((0, 0, 32, 32), image, mask))
    assert found.min() == pytest.approx(0.45)
