"""SSIM against its definition, and the report on an autoencoder."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.reconstruction import evaluate_autoencoder
from polyp_aug.evaluation.similarity import structural_similarity
from polyp_aug.images import ImageArray, read_image, write_png
from polyp_aug.phantom import write_phantom_dataset


def slow(first: ImageArray, second: ImageArray) -> float:
    """The definition, window by window."""
    window = np.array([[math.exp(-(x * x + y * y) / 4.5) for x in range(-5, 6)] for y in range(-5, 6)])
    window /= window.sum()
    c1, c2 = 6.5025, 58.5225
    values = []
    for channel in range(3):
        a, b = first[..., channel].astype(float), second[..., channel].astype(float)
        for y in range(a.shape[0] - 10):
            for x in range(a.shape[1] - 10):
                p, q = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                cov = (window * (p - mp) * (q - mq)).sum()
                values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return float(np.mean(values))


def noise(seed: int, height: int = 24, width: int = 31) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_ssim_equals_its_definition(share: float) -> None:
    first = noise(1)
    second = np.round((1 - share) * first + share * noise(2)).astype(np.uint8)
    assert structural_similarity(first, second) == pytest.approx(slow(first, second), abs=1e-10)


def test_ssim_of_known_pictures() -> None:
    assert structural_similarity(noise(1), noise(1)) == 1.0
    assert structural_similarity(noise(1), 255 - noise(1)) < 0.0
    dark, light = np.full((20, 20, 3), 50, np.uint8), np.full((20, 20, 3), 100, np.uint8)
    assert structural_similarity(dark, light) == pytest.approx((2 * 5000 + 6.5025) / (2500 + 10000 + 6.5025))


@pytest.mark.parametrize("shapes", [((10, 20, 3), (10, 20, 3)), ((20, 20, 3), (20, 21, 3))])
def test_ssim_refuses_other_shapes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ConfigurationError, match="SSIM"):
        structural_similarity(*(np.zeros(shape, np.uint8) for shape in shapes))


@pytest.fixture(scope="module", params=["AutoencoderKL", "AutoencoderTiny"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of each kind with random weights, which halves the side once."""
    path = tmp_path_factory.mktemp("network") / "vae"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if request.param == "AutoencoderKL":
            model = AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                block_out_channels=(16, 16),
                norm_num_groups=4,
            )
        else:
            model = AutoencoderTiny(
                encoder_block_out_channels=(16, 16),
                decoder_block_out_channels=(16, 16),
                num_encoder_blocks=(1, 1),
                num_decoder_blocks=(1, 1),
            )
    model.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("frames")
    return write_phantom_dataset(root, count=11, seed=30, polyps=None, width=96, height=80) / "images"


def test_the_report_is_whole_and_repeats(network: Path, frames: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = [
        evaluate_autoencoder(
            network, [frames], tmp_path / name, size=32, count=27, seed=4, observer=lambda *at: seen.append(at)
        )
        for name in ("a", "b")
    ]
    assert found[0] == found[1]
    assert seen[:4] == [(8, 27), (16, 27), (24, 27), (27, 27)]
    names = ["rebuilt.png", "report.json", "report.md"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == names
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    report = json.loads((tmp_path / "a" / "report.json").read_bytes())
    assert report == found[0].report
    assert (report["frames"]["given"], report["frames"]["used"]) == (11, 11)
    for name in ("psnr", "ssim", "colour"):
        mean = report["mean"][name]
        assert report["lowest"][name] < mean["low"] < mean["value"] < mean["high"] < report["highest"][name]
    assert str(tmp_path) not in (tmp_path / "a" / "report.json").read_text("utf-8")
    assert "27 crops of 32 px from 11 frames" in (tmp_path / "a" / "report.md").read_text("utf-8")
    assert read_image(tmp_path / "a" / "rebuilt.png").shape == (6 * (32 + 22) + 5 * 8, 4 * 66 + 3 * 8, 3)


def test_psnr_and_colour_of_flat_frames_are_those_of_the_rebuilt_colour(network: Path, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for number in range(10):
        write_png(tmp_path / "frames" / f"{number}.png", np.full((40, 40, 3), (120, 60, 50), np.uint8))
    found = evaluate_autoencoder(network, [tmp_path / "frames"], tmp_path / "out", size=32, count=10)
    sheet = read_image(tmp_path / "out" / "rebuilt.png").astype(float)
    original, rebuilt = sheet[22:54, :32], sheet[22:54, 34:66]
    assert (original == (120, 60, 50)).all()
    expected = 10 * math.log10(255**2 / ((original - rebuilt) ** 2).mean())
    assert found.report["mean"]["psnr"]["value"] == pytest.approx(expected, abs=1e-3)
    chroma = (rebuilt - original) - (rebuilt - original).mean(axis=2, keepdims=True)
    cells = np.abs(chroma.reshape(4, 8, 4, 8, 3).mean(axis=(1, 3))).mean()
    assert found.report["mean"]["colour"]["value"] == pytest.approx(cells, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 33}, "multiple of 2"),
        ({"size": 8}, "at least 11"),
        ({"count": 0}, "count"),
        ({"count": 9}, "9 frames"),
    ],
)
def test_wrong_options_are_named(
    options: dict[str, int], message: str, network: Path, frames: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        evaluate_autoencoder(network, [frames], tmp_path / "out", **{"size": 32, "count": 20, **options})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, r"config\.json can't be read"),
        ("{", r"config\.json can't be read"),
        ('{"_class_name": "UNet2DConditionModel"}', "holds 'UNet2DConditionModel', expected one of AutoencoderKL"),
        ('{"_class_name": "AutoencoderKL"}', "can't be loaded as AutoencoderKL"),
    ],
)
def test_a_folder_without_a_network_is_named(config: str | None, message: str, frames: Path, tmp_path: Path) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(ConfigurationError, match=message):
        evaluate_autoencoder(tmp_path, [frames], tmp_path / "out")
