"""How well an autoencoder rebuilds real frames, at their own size: PSNR, SSIM, and colour, which both hardly see."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.intervals import CONFIDENCE, Floats, mean_interval
from polyp_aug.evaluation.report import Table, digest_of, interval_text, make_folder, versions, write_report
from polyp_aug.evaluation.sheet import pair_sheet
from polyp_aug.evaluation.similarity import WINDOW, structural_similarity
from polyp_aug.images import ImageArray, write_png
from polyp_aug.keys import Key
from polyp_aug.synthesizers.diffusion.quiet import quiet
from polyp_aug.training.crops import CropDataset
from polyp_aug.training.frames import Frame, digest_frames, read_frames
from polyp_aug.training.reconstruction import colour_difference, psnr

SHEET_NAME = "rebuilt.png"

#: Crops on the sheet: the first ones, not chosen by what came out.
SHEET_CROPS = 24

_BATCH = 8

_CLASSES = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}

Autoencoder: TypeAlias = AutoencoderKL | AutoencoderTiny

_MEASURES = {"psnr": "PSNR, dB", "ssim": "SSIM", "colour": "colour error, grey levels of 255"}

_NOTES = f"""Crops at the frames' own size, drawn by the seed, as many from each frame as possible. The latent picture
is the posterior's mean; the rebuilt crop is rounded to 8 bits. PSNR of all pixels and channels; SSIM with an
{WINDOW}×{WINDOW} Gaussian window, mean of R, G and B; colour error: mean absolute difference of the channels'
deviations from their mean, over cells of 8×8 pixels. Means over the crops, with {CONFIDENCE:.0%} bootstrap intervals
from drawing whole frames.
"""


@dataclass(frozen=True)
class Reconstruction:
    """A report, in JSON types, and its tables."""

    report: dict[str, Any]
    tables: tuple[Table, ...]


def evaluate_autoencoder(
    weights: Path,
    data: Sequence[Path],
    out: Path,
    *,
    size: int = 128,
    count: int = 256,
    seed: int = 0,
    device: str = "cpu",
    observer: Callable[[int, int], None] | None = None,
) -> Reconstruction:
    """Measure an autoencoder and write `report.json`, `report.md`, and `rebuilt.png`: crops, original and rebuilt.

    Args:
        weights: a diffusers folder of an AutoencoderKL or AutoencoderTiny with safetensors.
        data: folders of pictures or COCO data sets; frames that the network was not trained on.
        out: folder to write.
        size: side of the crops in pixels, a multiple of the network's scale, at least 11.
        count: number of crops.
        seed: the only source of randomness.
        device: where to compute.
        observer: called with the crops done and their number.

    Raises:
        ConfigurationError: an option is out of its range, the folder holds no such network, or there are fewer than ten
            frames.
        ImageError: a frame can't be read.
        StorageError: a file can't be written.
    """
    model = _load(weights).to(device)
    scale = _scale(model)
    if size < WINDOW or size % scale:
        raise ConfigurationError(f"'size' must be a multiple of {scale}, at least {WINDOW} (got {size})")
    if count < 1:
        raise ConfigurationError(f"'count' must be at least 1 (got {count})")
    frames = read_frames(data)
    chosen = _frames(frames, count, seed)
    values: dict[str, list[float]] = {name: [] for name in _MEASURES}
    pairs: list[tuple[ImageArray, ImageArray]] = []
    for start in range(0, count, _BATCH):
        numbers = range(start, min(start + _BATCH, count))
        crops = torch.stack([_crop(frames[chosen[number]].path, number, size, count, seed) for number in numbers])
        rebuilt = _rebuilt(model, crops)
        for original, found in zip(crops, rebuilt, strict=True):
            pair = _picture(original), _picture(found)
            values["psnr"].append(float(psnr(found[None], original[None])))
            values["ssim"].append(structural_similarity(*pair))
            values["colour"].append(float(colour_difference(found[None], original[None])) * 127.5)
            if len(pairs) < SHEET_CROPS:
                pairs.append(pair)
        if observer is not None:
            observer(numbers.stop, count)
    result = _result(values, [str(number) for number in chosen], weights, frames, size, seed)
    make_folder(out)
    captions = [f"{values['psnr'][k]:.1f} dB, colour {values['colour'][k]:.1f}" for k in range(len(pairs))]
    write_png(out / SHEET_NAME, pair_sheet(pairs, captions))
    write_report(out, f"Autoencoder {weights.resolve().name}", result.report, result.tables, _NOTES)
    return result


def _load(weights: Path) -> Autoencoder:
    try:
        config = json.loads((weights / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{weights}: no diffusers folder, config.json can't be read ({error})") from error
    name = config.get("_class_name")
    if name not in _CLASSES:
        raise ConfigurationError(f"{weights}: holds {name!r}, expected one of {', '.join(_CLASSES)}")
    try:
        with quiet():
            model: Autoencoder = _CLASSES[name].from_pretrained(str(weights), use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"{weights}: can't be loaded as {name} ({error})") from error
    return model.eval()


def _scale(model: Autoencoder) -> int:
    """Side of a picture over the side of its latents."""
    levels = (
        model.config.block_out_channels if isinstance(model, AutoencoderKL) else model.config.encoder_block_out_channels
    )
    return int(2 ** (len(levels) - 1))


def _frames(frames: Sequence[Frame], count: int, seed: int) -> list[int]:
    """The number of each crop's frame: all frames in random order, again and again."""
    order = Key(seed, "autoencoder").generator("frames").permutation(len(frames))
    return [int(order[number % len(order)]) for number in range(count)]


def _crop(frame: Path, number: int, size: int, count: int, seed: int) -> Tensor:
    return CropDataset([frame], size=size, count=count, seed=seed, scales=(1.0, 1.0))[number]


@torch.no_grad()
def _rebuilt(model: Autoencoder, crops: Tensor) -> Tensor:
    """The crops from their latents' mean, in [−1, 1], rounded to what 8 bits can hold."""
    encoded = model.encode(crops.to(model.device))
    latents = encoded.latent_dist.mean if isinstance(model, AutoencoderKL) else encoded.latents
    found: Tensor = model.decode(latents).sample
    return ((found.clamp(-1.0, 1.0) * 127.5 + 127.5).round() / 127.5 - 1.0).cpu()


def _picture(values: Tensor) -> ImageArray:
    return (values * 127.5 + 127.5).round().permute(1, 2, 0).numpy().astype(np.uint8)


def _result(
    values: dict[str, list[float]], groups: list[str], weights: Path, frames: Sequence[Frame], size: int, seed: int
) -> Reconstruction:
    arrays: dict[str, Floats] = {name: np.asarray(values[name]) for name in _MEASURES}
    means = {name: mean_interval(array, groups, seed=seed, name="frames").to_dict() for name, array in arrays.items()}
    lowest = {name: float(f"{array.min():.8g}") for name, array in arrays.items()}
    highest = {name: float(f"{array.max():.8g}") for name, array in arrays.items()}
    report = {
        "weights": {"name": weights.resolve().name, "sha256": digest_of(sorted(weights.glob("*.safetensors")))},
        "frames": {"given": len(frames), "used": len(set(groups)), "digest": digest_frames(frames)},
        "crops": {"count": len(groups), "size": size, "seed": seed},
        "mean": means,
        "lowest": lowest,
        "highest": highest,
        "versions": versions(("torch", "diffusers", "numpy")),
    }
    rows = [
        (title, interval_text(means[name], 3), f"{lowest[name]:.3f}", f"{highest[name]:.3f}")
        for name, title in _MEASURES.items()
    ]
    title = f"{len(groups)} crops of {size} px from {len(set(groups))} frames"
    return Reconstruction(report, (Table(title, ("measure", "mean (95 %)", "lowest", "highest"), rows),))
