"""The adversary: what it learns, what its gradient weighs, and the trainings that take part in it."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_diffusion
import torch
from conftest import Phantoms
from diffusers import AutoencoderTiny
from safetensors.torch import load_file

from polyp_aug.errors import ConfigurationError
from polyp_aug.synthesizers.polyp_gen import load_inpainting_weights
from polyp_aug.training.accelerator import make_accelerator
from polyp_aug.training.adversary import WARMUP, Adversary, PatchDiscriminator, balanced
from polyp_aug.training.autoencoder import AutoencoderConfig, train_autoencoder
from polyp_aug.training.examples import ExampleSettings
from polyp_aug.training.frames import read_frames
from polyp_aug.training.loop import TrainingOptions
from polyp_aug.training.polyp_gen import PolypGenConfig, train_polyp_gen

DECODER = AutoencoderConfig(
    channels=8,
    encoder_blocks=(1, 1),
    decoder_blocks=(1, 1),
    size=32,
    batch_size=2,
    steps=4,
    perceptual_weight=0.0,
)


def adversary() -> Adversary:
    return Adversary(3, 8, 2, seed=0, accelerator=make_accelerator("no"))


@pytest.mark.parametrize(("levels", "patch"), [(2, 18), (3, 38)])
def test_a_judgement_sees_a_patch_and_nothing_else(levels: int, patch: int) -> None:
    torch.manual_seed(0)
    picture = torch.rand(1, 2, 96, 96, requires_grad=True)
    judged = PatchDiscriminator(2, 8, levels).eval()(picture)
    assert judged.shape == (1, 1, 96 // 2**levels, 96 // 2**levels)
    middle = judged.shape[-1] // 2
    judged[0, 0, middle, middle].backward()
    assert picture.grad is not None
    rows = picture.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == patch


def test_it_learns_to_tell_smooth_from_rough() -> None:
    rival = adversary()
    generator = torch.Generator().manual_seed(1)
    rough = torch.rand(8, 3, 32, 32, generator=generator) * 2 - 1
    smooth = torch.nn.functional.avg_pool2d(rough, 5, 1, 2)
    before = float(rival.judge(smooth) - rival.judge(rough))
    for _ in range(60):
        rival.learn(rough, smooth)
    assert float(rival.judge(smooth) - rival.judge(rough)) > before + 0.5


def test_judging_teaches_the_other_network_alone() -> None:
    rival = adversary()
    first = {name: values.clone() for name, values in rival.state()["network"].items() if name.endswith("original")}
    made = torch.zeros(2, 3, 32, 32, requires_grad=True)
    rival.judge(made).backward()
    assert made.grad is not None
    assert float(made.grad.abs().sum()) > 0
    rival.learn(torch.ones(2, 3, 32, 32), made)
    made.grad = None
    rival.learn(torch.ones(2, 3, 32, 32), made)
    assert made.grad is None
    assert first
    for name, values in first.items():
        assert not torch.equal(values, rival.state()["network"][name])


def test_it_goes_on_from_its_state() -> None:
    first, second = adversary(), adversary()
    real, made = torch.rand(4, 3, 32, 32), torch.zeros(4, 3, 32, 32)
    first.learn(real, made)
    second.load(copy.deepcopy(first.state()))
    for rival in (first, second):
        rival.learn(real, made)
    torch.testing.assert_close(first.judge(made), second.judge(made), rtol=0, atol=0)


@pytest.mark.parametrize(("step", "share"), [(0, 0.0), (WARMUP // 2, 0.5), (WARMUP, 1.0), (10 * WARMUP, 1.0)])
def test_its_gradient_has_the_length_that_was_asked_for(step: int, share: float) -> None:
    last = torch.tensor([1.0, -2.0, 0.5], requires_grad=True)
    loss, rival = (last**2).sum(), 1000.0 * last.sum()
    ours = torch.autograd.grad(loss, last, retain_graph=True)[0]
    (whole,) = torch.autograd.grad(balanced(loss, rival, last, 0.3, step), last)
    added = whole - ours
    assert float(added.norm()) == pytest.approx(0.3 * share * float(ours.norm()), rel=1e-5, abs=1e-7)


def test_a_decoder_is_trained_on_while_its_latents_stay(phantoms: Phantoms, tmp_path: Path) -> None:
    data = [phantoms.backgrounds]
    train_autoencoder(DECODER, data, data, tmp_path / "start")
    config = replace(DECODER, init=str(tmp_path / "start" / "vae"), decoder_only=True, adversarial_weight=0.5)
    assert train_autoencoder(config, data, data, tmp_path / "whole")
    while not train_autoencoder(config, data, data, tmp_path / "parts", seconds=0.0):
        pass
    start, whole, parts = (
        AutoencoderTiny.from_pretrained(tmp_path / name / "vae") for name in ("start", "whole", "parts")
    )
    assert whole.config.scaling_factor == start.config.scaling_factor
    for name, values in whole.state_dict().items():
        torch.testing.assert_close(values, parts.state_dict()[name], rtol=0, atol=0)
        assert torch.equal(values, start.state_dict()[name]) == name.startswith("encoder")


def test_a_random_encoder_is_not_kept() -> None:
    with pytest.raises(ConfigurationError, match="'decoder_only' needs 'init'"):
        replace(DECODER, decoder_only=True)


def test_a_denoiser_trained_against_one_resumes_to_the_same_weights(phantoms: Phantoms, tmp_path: Path) -> None:
    for kind in ("v_prediction", "epsilon"):
        tiny_diffusion.pipeline(kind).save_pretrained(tmp_path / kind)
    frames = read_frames([phantoms.references, phantoms.backgrounds])
    plain = PolypGenConfig(
        examples=ExampleSettings(size=32), count=8, steps=4, batch_size=4, learning_rate=1e-3, ema=0.5
    )
    config = replace(plain, adversarial_weight=0.5)

    def train(
        name: str,
        config: PolypGenConfig = config,
        kind: str = "v_prediction",
        seconds: float | None = None,
        micro_batch: int = 0,
    ) -> bool:
        options = TrainingOptions(
            cache=tmp_path / "cache", seconds=seconds, sample_every=0, trackers=(), micro_batch=micro_batch
        )
        weights = load_inpainting_weights(str(tmp_path / kind))
        return train_polyp_gen(config, weights, frames, frames, tmp_path / name, options=options)

    assert train("whole")
    while not train("parts", seconds=0.0):
        pass
    assert train("plain", plain)
    whole, parts, without = (
        load_file(tmp_path / name / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors")
        for name in ("whole", "parts", "plain")
    )
    for name, values in whole.items():
        torch.testing.assert_close(values, parts[name], rtol=0, atol=0)
    assert any(not torch.equal(values, without[name]) for name, values in whole.items())
    with pytest.raises(ConfigurationError, match="'micro_batch' must be 0"):
        train("refused", micro_batch=2)
    with pytest.raises(ConfigurationError, match="needs the 'prediction_type' v_prediction"):
        train("refused", kind="epsilon")
    with pytest.raises(ConfigurationError, match="'lora_rank' must be 0"):
        replace(config, lora_rank=2)
