"""Training an autoencoder: crops, distances, resuming, and the network that comes out."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Phantoms
from diffusers import AutoencoderTiny

from polyp_aug.encoders.efficientnet_lite import EfficientNetLite0
from polyp_aug.errors import ConfigurationError, MissingDependencyError, RunConfigurationChanged
from polyp_aug.images import write_png
from polyp_aug.optional import require
from polyp_aug.training.autoencoder import AutoencoderConfig, train_autoencoder, whiten_colours
from polyp_aug.training.crops import CropDataset
from polyp_aug.training.folder import TrainingProgress
from polyp_aug.training.frames import read_frames
from polyp_aug.training.reconstruction import PerceptualDistance, colour_difference, gradient_difference, psnr

SMALL = AutoencoderConfig(
    channels=8,
    encoder_blocks=(1, 1),
    decoder_blocks=(1, 1),
    size=32,
    batch_size=2,
    steps=6,
    perceptual_weight=0.1,
)


def train(out: Path, phantoms: Phantoms, config: AutoencoderConfig = SMALL, seconds: float | None = None) -> bool:
    return train_autoencoder(config, [phantoms.backgrounds], [phantoms.references], out, seconds=seconds, save_every=2)


@pytest.fixture(scope="module")
def trained(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("autoencoder")
    assert train(out, phantoms)
    return out


def test_the_network_loads_as_diffusers_saves_them(trained: Path) -> None:
    network = AutoencoderTiny.from_pretrained(trained / "vae", use_safetensors=True)
    latents = network.encode(torch.zeros(1, 3, 32, 32)).latents
    assert latents.shape == (1, 4, 16, 16)
    assert network.config.scaling_factor != 1.0


def test_a_training_that_was_stopped_ends_with_the_same_weights(
    trained: Path, phantoms: Phantoms, tmp_path: Path
) -> None:
    stops = 0
    while not train(tmp_path, phantoms, seconds=0.0):
        stops += 1
        assert (tmp_path / "vae" / "config.json").is_file()
    assert stops == SMALL.steps - 1
    first, second = (AutoencoderTiny.from_pretrained(path / "vae").state_dict() for path in (trained, tmp_path))
    for name, weights in first.items():
        torch.testing.assert_close(second[name], weights, rtol=0, atol=0)


def test_a_training_can_start_from_another_s_weights(trained: Path) -> None:
    again = replace(SMALL, init=str(trained / "vae")).build().state_dict()
    for name, weights in AutoencoderTiny.from_pretrained(trained / "vae").state_dict().items():
        torch.testing.assert_close(again[name], weights, rtol=0, atol=0)
    with pytest.raises(ConfigurationError, match="not an autoencoder of this form"):
        replace(SMALL, init=str(trained / "vae"), channels=16).build()
    with pytest.raises(ConfigurationError, match="not an autoencoder of this form"):
        replace(SMALL, init=str(trained / "nothing")).build()


def test_training_reduces_the_loss(phantoms: Phantoms, tmp_path: Path) -> None:
    config = replace(SMALL, channels=16, batch_size=4, steps=60, learning_rate=2e-3, perceptual_weight=0.0, ema=0.9)
    found: list[TrainingProgress] = []
    data = [phantoms.backgrounds]
    train_autoencoder(config, data, data, tmp_path, save_every=20, observer=found.append)
    assert [progress.step for progress in found] == [20, 40, 60]
    assert found[-1].loss < 0.8 * found[0].loss
    assert found[-1].measures["psnr"] > found[0].measures["psnr"] + 0.3
    assert found[-1].measures["colour"] < found[0].measures["colour"]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 3


def test_other_settings_on_an_old_folder_are_refused(trained: Path, phantoms: Phantoms) -> None:
    with pytest.raises(RunConfigurationChanged, match="steps was 6, is 7"):
        train(trained, phantoms, replace(SMALL, steps=7))
    with pytest.raises(RunConfigurationChanged, match="data was"):
        train_autoencoder(SMALL, [phantoms.references], [phantoms.references], trained)
    assert json.loads((trained / "config.json").read_text())["steps"] == 6


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"channels": 0}, "channels"),
        ({"size": 30}, "size"),
        ({"steps": 0}, "steps"),
        ({"decoder_blocks": (1,)}, "decoder_blocks"),
        ({"colour_weight": -1.0}, "colour_weight"),
        ({"learning_rate": 2.0}, "learning_rate"),
        ({"ema": 1.0}, "ema"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, object], name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        AutoencoderConfig(**changes)  # type: ignore[arg-type]


def test_crops_depend_on_their_number_alone(phantoms: Phantoms) -> None:
    frames = [frame.path for frame in read_frames([phantoms.backgrounds, phantoms.references])]
    assert len(frames) == 16
    crops = CropDataset(frames, size=64, count=20, seed=3)
    first = [crops[number] for number in range(8)]
    for number in (5, 0, 7):
        torch.testing.assert_close(crops[number], first[number], rtol=0, atol=0)
    assert all(crop.shape == (3, 64, 64) and crop.dtype == torch.float32 for crop in first)
    assert all(-1.0 <= crop.min() < crop.max() <= 1.0 for crop in first)
    assert len({crop.numpy().tobytes() for crop in first}) == 8


def test_a_frame_smaller_than_a_crop_is_enlarged(tmp_path: Path) -> None:
    write_png(tmp_path / "small.png", np.full((20, 30, 3), 120, np.uint8))
    crop = CropDataset([tmp_path / "small.png"], size=64, count=1, seed=0)[0]
    assert crop.shape == (3, 64, 64)


def test_wrong_scales_are_named() -> None:
    with pytest.raises(ConfigurationError, match="scales"):
        CropDataset([], size=8, count=1, seed=0, scales=(0.0, 1.0))


def test_the_gradient_difference_equals_a_float64_reference() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.rand(2, 3, 16, 24, generator=generator) for _ in range(2))
    expected = 0.0
    difference = (first.double() - second.double()).numpy()
    for _ in range(3):
        expected += np.abs(np.diff(difference, axis=3)).mean() + np.abs(np.diff(difference, axis=2)).mean()
        n, c, h, w = difference.shape
        difference = difference.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5))
    assert float(gradient_difference(first, second)) == pytest.approx(expected / 3, rel=1e-5)
    assert float(gradient_difference(first, first + 0.3)) == pytest.approx(0.0, abs=1e-6)


def test_the_colour_difference_sees_hue_and_not_brightness() -> None:
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    shift = torch.tensor([0.3, 0.0, -0.3]).view(1, 3, 1, 1)
    assert float(colour_difference(picture + 0.3, picture)) == pytest.approx(0.0, abs=1e-6)
    assert float(colour_difference(picture + shift, picture)) == pytest.approx(0.2, abs=1e-6)
    speckled = shift * torch.tensor([1.0, -1.0]).repeat(8).view(1, 1, 1, 16)
    assert float(colour_difference(picture + speckled, picture)) == pytest.approx(0.0, abs=1e-6)


def test_a_whitened_network_sees_and_paints_all_colours_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.tensor([[0.30, 0.05, 0.0], [0.25, -0.03, 0.02], [0.20, -0.03, -0.02]])
    mean = torch.tensor([0.3, -0.2, -0.3]).view(1, 3, 1, 1)
    pictures = torch.einsum("ck,nkhw->nchw", mixing, torch.randn(8, 3, 32, 32, generator=generator)) + mean
    plain, white = SMALL.build(), SMALL.build()
    whiten_colours(white, pictures)

    def directions(model: AutoencoderTiny) -> torch.Tensor:
        """How much each principal colour moves the first layer's output."""
        colours = torch.linalg.svd(mixing)[0].T * torch.linalg.svd(mixing)[1][:, None]
        flat = ((mean.view(1, 3) + colours + 1) / 2)[:, :, None, None].expand(3, 3, 8, 8)
        centre = ((mean + 1) / 2).expand(1, 3, 8, 8)
        with torch.no_grad():
            moved = model.encoder.layers[0](flat) - model.encoder.layers[0](centre)
        return moved[:, :, 4, 4].norm(dim=1)

    before, after = directions(plain), directions(white)
    assert before.max() / before.min() > 4.0
    assert after.max() / after.min() < 3.0
    with torch.no_grad():
        painted = white.decode(torch.zeros(1, SMALL.latent_channels, 16, 16)).sample
    torch.testing.assert_close(painted.mean(dim=(0, 2, 3)), pictures.mean(dim=(0, 2, 3)), rtol=0, atol=0.1)


def test_psnr_of_a_known_error() -> None:
    first = torch.zeros(2, 3, 8, 8)
    assert psnr(first, first + 0.2).tolist() == pytest.approx([20.0, 20.0], abs=1e-4)


def test_the_perceptual_distance_is_zero_for_equals_and_grows_with_blur() -> None:
    distance = PerceptualDistance()
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    blurred = [torch.nn.functional.avg_pool2d(picture, size, 1, size // 2) for size in (3, 7)]
    values = [float(distance(other, picture)) for other in (picture, *blurred)]
    assert values[0] == pytest.approx(0.0, abs=1e-6)
    assert values[0] < values[1] < values[2]
    free = picture.clone().requires_grad_()
    distance(free, blurred[0]).backward()
    assert free.grad is not None
    assert free.grad.abs().sum() > 0


def test_the_encoder_stays_frozen_and_gives_the_stated_strides() -> None:
    encoder = EfficientNetLite0((0, 2, 4, 10, 15))
    encoder.train()
    assert not encoder.training
    assert not any(weights.requires_grad for weights in encoder.parameters())
    features = encoder(torch.rand(1, 3, 64, 64))
    assert [64 // item.shape[-1] for item in features] == [2, 4, 8, 16, 32]
    assert features[3].shape[1] == 112


@pytest.mark.parametrize("blocks", [(), (3, 1), (1, 1), (16,)])
def test_wrong_blocks_are_named(blocks: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError, match="blocks"):
        EfficientNetLite0(blocks)


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'polyp_aug\[encoders\]'"):
        EfficientNetLite0((0,))
    assert require("json", "none") is json
