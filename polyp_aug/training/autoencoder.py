"""Training a small KL autoencoder (Rombach et al., 2022) for latent diffusion on endoscopy frames.

L = L1 + w_g L_gradient + w_c L_colour + w_p L_perceptual + w_kl KL(q(z|x) ‖ N(0, 1)), with an exponential moving
average of the weights.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL
from diffusers.training_utils import EMAModel
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from polyp_aug.errors import ConfigurationError, RunConfigurationChanged
from polyp_aug.images import write_bytes
from polyp_aug.training.crops import CropDataset, list_frames
from polyp_aug.training.reconstruction import PerceptualDistance, colour_difference, gradient_difference, psnr

STATE_NAME = "state.pt"
CONFIG_NAME = "config.json"
LOG_NAME = "log.jsonl"
FINAL_NAME = "vae"


@dataclass(frozen=True)
class AutoencoderConfig:
    """Settings of a training.

    Attributes:
        channels: of each level, from the finest on; each level after the first halves the side.
        layers: residual layers in a level.
        attention: whether the coarsest level attends to itself; on a CPU that takes a tenth of the time.
        latent_channels: of the latent picture.
        size: side of the crops in pixels, a multiple of 2 ** (levels − 1).
        batch_size: crops in a step.
        steps: in all.
        learning_rate: of AdamW, at the start; it falls along a cosine to a tenth.
        gradient_weight, colour_weight, perceptual_weight, kl_weight: w_g, w_c, w_p and w_kl.
        ema: decay of the moving average.
        seed: the only source of randomness.
        init: folder of an autoencoder of the same form to start from, or "" for random weights.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    channels: tuple[int, ...] = (32, 64, 96)
    layers: int = 1
    attention: bool = False
    latent_channels: int = 4
    size: int = 128
    batch_size: int = 8
    steps: int = 20_000
    learning_rate: float = 6e-4
    gradient_weight: float = 1.0
    colour_weight: float = 4.0
    perceptual_weight: float = 0.2
    kl_weight: float = 1e-6
    ema: float = 0.999
    seed: int = 0
    init: str = ""

    def __post_init__(self) -> None:
        if not self.channels or any(number % 16 for number in self.channels):
            raise ConfigurationError(f"'channels' must be multiples of 16 (got {self.channels})")
        if self.size % self.scale or self.size < 4 * self.scale:
            raise ConfigurationError(f"'size' must be a multiple of {self.scale} and at least four (got {self.size})")
        for name in ("layers", "latent_channels", "batch_size", "steps"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name!r} must be at least 1 (got {getattr(self, name)})")

    @property
    def scale(self) -> int:
        """Side of the picture over the side of its latents."""
        return int(2 ** (len(self.channels) - 1))

    def build(self) -> AutoencoderKL:
        """The network, with weights drawn from the seed or read from `init`.

        Raises:
            ConfigurationError: the network in `init` has another form.
        """
        levels = len(self.channels)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * levels,
                up_block_types=("UpDecoderBlock2D",) * levels,
                block_out_channels=self.channels,
                layers_per_block=self.layers,
                latent_channels=self.latent_channels,
                sample_size=self.size,
                norm_num_groups=16,
                mid_block_add_attention=self.attention,
            )
        if self.init:
            start = AutoencoderKL.from_pretrained(self.init, use_safetensors=True, dtype=torch.float32)
            try:
                model.load_state_dict(start.state_dict())
            except RuntimeError as error:
                raise ConfigurationError(f"'init' {self.init}: another form of network ({error})") from error
        return model


@dataclass
class TrainingProgress:
    """Where a training is."""

    step: int
    steps: int
    loss: float
    psnr: float


def train_autoencoder(
    config: AutoencoderConfig,
    data: list[Path],
    validation: list[Path],
    out: Path,
    *,
    mixed_precision: str = "no",
    seconds: float | None = None,
    save_every: int = 250,
    half: bool = False,
    observer: Callable[[TrainingProgress], None] | None = None,
) -> bool:
    """Train, or go on with a training that was begun; the same steps lead to the same weights.

    At the end, and where time runs out, the moving average is written to `out/vae`, which
    `AutoencoderKL.from_pretrained` loads.

    Args:
        config: the settings; a folder is only continued with equal ones.
        data: folders of pictures or COCO data sets to train on.
        validation: the same to measure on; never trained on.
        out: folder for the state, the log, and in the end the network.
        mixed_precision: "no", "bf16" or "fp16", as accelerate spells them.
        seconds: stop after so much time; the state is saved.
        save_every: steps between two savings and measurements.
        half: write the network in half precision.
        observer: called at each of them.

    Returns:
        Whether all steps are done; False where time ran out.

    Raises:
        RunConfigurationChanged: `out` was begun with other settings.
        ConfigurationError: there is no data, or a value is out of its range.
    """
    if mixed_precision not in ("no", "bf16", "fp16"):
        raise ConfigurationError(f"'mixed_precision' must be no, bf16 or fp16 (got {mixed_precision!r})")
    if save_every < 1:
        raise ConfigurationError(f"'save_every' must be at least 1 (got {save_every})")
    start = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    _settle(config, out)
    accelerator = Accelerator(mixed_precision=mixed_precision)
    trainer = _Trainer(config, accelerator, out, validation)
    trainer.load()
    loader = trainer.loader(list_frames(data))
    losses: list[float] = []
    for crops in loader:
        losses.append(trainer.step(crops))
        done = trainer.number == config.steps
        late = seconds is not None and time.monotonic() - start > seconds
        if trainer.number % save_every == 0 or done or late:
            progress = TrainingProgress(trainer.number, config.steps, sum(losses) / len(losses), trainer.measure())
            losses.clear()
            trainer.save(progress)
            if observer is not None:
                observer(progress)
        if late:
            break
    trainer.export(half)
    return trainer.number == config.steps


def _settle(config: AutoencoderConfig, out: Path) -> None:
    file = out / CONFIG_NAME
    settings = json.loads(json.dumps(asdict(config)))
    if file.exists():
        old = json.loads(file.read_bytes())
        changed = [
            f"{name} was {old.get(name)!r}, is {settings[name]!r}"
            for name in settings
            if old.get(name) != settings[name]
        ]
        if changed:
            raise RunConfigurationChanged(f"{out}: begun with other settings ({'; '.join(changed)})")
    else:
        write_bytes(file, json.dumps(settings, indent=2).encode())


class _Trainer:
    def __init__(self, config: AutoencoderConfig, accelerator: Accelerator, out: Path, validation: list[Path]) -> None:
        self._config = config
        self._accelerator = accelerator
        self._out = out
        model = config.build()
        self.ema = EMAModel(model.parameters(), decay=config.ema, model_cls=AutoencoderKL, model_config=model.config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.ema.to(accelerator.device)
        self._perceptual = PerceptualDistance().to(accelerator.device) if config.perceptual_weight else None
        self.number = 0
        self._validation = CropDataset(
            list_frames(validation), size=config.size, count=64, seed=config.seed + 1, scales=(1.0, 1.0)
        )

    def loader(self, frames: list[Path]) -> DataLoader[Tensor]:
        """The batches that are still to come."""
        size = self._config.batch_size
        crops = CropDataset(frames, size=self._config.size, count=self._config.steps * size, seed=self._config.seed)
        rest = Subset(crops, range(self.number * size, len(crops)))
        return DataLoader(rest, batch_size=size, num_workers=1, prefetch_factor=4)

    def step(self, crops: Tensor) -> float:
        """One step of training; its loss."""
        config = self._config
        progress = self.number / config.steps
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * (0.55 + 0.45 * float(torch.cos(torch.tensor(torch.pi * progress))))
        pictures = crops.to(self._accelerator.device)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + self.number)
        with self._accelerator.autocast():
            posterior = self._unwrapped().encode(pictures).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=generator).to(posterior.mean)
            rebuilt = self._unwrapped().decode(posterior.mean + posterior.std * noise).sample
            loss = (rebuilt - pictures).abs().mean()
            loss = loss + config.gradient_weight * gradient_difference(rebuilt, pictures)
            loss = loss + config.colour_weight * colour_difference(rebuilt, pictures)
            if self._perceptual is not None:
                loss = loss + config.perceptual_weight * self._perceptual(rebuilt, pictures)
            loss = loss + config.kl_weight * posterior.kl().mean()
        self._accelerator.backward(loss)
        self._accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.step(self.model.parameters())
        self.number += 1
        return float(loss.detach())

    @torch.no_grad()
    def measure(self) -> float:
        """Mean PSNR in dB of the moving average on 64 fixed crops of the validation frames, at their own size."""
        model = self._unwrapped()
        self.ema.store(model.parameters())
        self.ema.copy_to(model.parameters())
        ratios = []
        for crops in DataLoader(self._validation, batch_size=16):
            pictures = crops.to(self._accelerator.device)
            with self._accelerator.autocast():
                rebuilt = model.decode(model.encode(pictures).latent_dist.mean).sample
            ratios.append(psnr(rebuilt.clamp(-1, 1), pictures))
        self.ema.restore(model.parameters())
        return float(torch.cat(ratios).mean())

    def save(self, progress: TrainingProgress) -> None:
        """Save the state, atomically, and add a line to the log."""
        state = {
            "step": self.number,
            "model": self._unwrapped().state_dict(),
            "ema": self.ema.shadow_params,
            "ema_steps": self.ema.optimization_step,
            "optimizer": self.optimizer.state_dict(),
        }
        temporary = self._out / f".{STATE_NAME}.tmp"
        torch.save(state, temporary)
        temporary.replace(self._out / STATE_NAME)
        with open(self._out / LOG_NAME, "a", encoding="ascii") as stream:
            stream.write(json.dumps(asdict(progress)) + "\n")

    def load(self) -> None:
        """Take up a saved state, if there is one."""
        file = self._out / STATE_NAME
        if not file.exists():
            return
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        self._unwrapped().load_state_dict(state["model"])
        for own, saved in zip(self.ema.shadow_params, state["ema"], strict=True):
            own.copy_(saved)
        self.ema.optimization_step = state["ema_steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.number = state["step"]

    @torch.no_grad()
    def export(self, half: bool) -> None:
        """Write the moving average as a diffusers folder, with the factor that scales latents to unit variance.

        The live weights are overwritten: no step may follow.
        """
        model = self._unwrapped()
        self.ema.copy_to(model.parameters())
        spread = torch.cat(
            [
                model.encode(crops.to(model.device)).latent_dist.mean.flatten().cpu()
                for crops in DataLoader(self._validation, batch_size=16)
            ]
        )
        model.register_to_config(scaling_factor=round(1.0 / float(spread.std()), 5))
        (model.half() if half else model).save_pretrained(self._out / FINAL_NAME)

    def _unwrapped(self) -> AutoencoderKL:
        return self._accelerator.unwrap_model(self.model)
