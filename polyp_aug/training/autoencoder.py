"""Training a small autoencoder for latent diffusion (Rombach et al., 2022) on endoscopy frames.

The networks have no normalisation (diffusers' `AutoencoderTiny`): group normalisation takes away what is constant over
a picture, such as its hue. The posterior is q(z|x) = N(μ(x), σ²) with a fixed σ, so that the divergence from N(0, 1)
is μ² / 2 and a constant:

    L = L1 + w_g L_gradient + w_c L_colour + w_p L_perceptual + w_kl mean(μ²) / 2.

At the end the decoder alone may be trained on against a discriminator (`adversary`): its pictures get texture back,
and what works on the latents stays valid.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import AutoencoderTiny
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from polyp_aug.errors import ConfigurationError
from polyp_aug.training.accelerator import make_accelerator
from polyp_aug.training.adversary import Adversary, balanced
from polyp_aug.training.crops import CropDataset
from polyp_aug.training.folder import TrainingFolder, TrainingProgress
from polyp_aug.training.frames import Frame, digest_frames, read_frames
from polyp_aug.training.learner import Learner
from polyp_aug.training.reconstruction import PerceptualDistance, colour_difference, gradient_difference, psnr
from polyp_aug.training.schedule import learning_rate

FINAL_NAME = "vae"

#: Crops of the validation frames that are measured.
VALIDATION_CROPS = 64


@dataclass(frozen=True)
class AutoencoderConfig:
    """Settings of a training.

    Attributes:
        channels: of every layer.
        encoder_blocks: residual blocks at each scale of the encoder, from the picture's own on; each scale after the
            first halves the side.
        decoder_blocks: of the decoder, from the latents' scale on; as many scales.
        latent_channels: of the latent picture.
        noise: σ, standard deviation of the posterior.
        size: side of the crops in pixels, a multiple of 2 ** (scales − 1).
        batch_size: crops in a step.
        steps: in all.
        learning_rate: of AdamW, at the start; it falls along a cosine to a tenth.
        gradient_weight, colour_weight, perceptual_weight, kl_weight: w_g, w_c, w_p and w_kl.
        adversarial_weight: length of the adversary's gradient over that of all others; 0 is without.
        decoder_only: leave the encoder as it is in `init`.
        ema: decay of the moving average.
        seed: the only source of randomness.
        init: folder of an autoencoder of the same form to start from, or "" for random weights.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    channels: int = 48
    encoder_blocks: tuple[int, ...] = (1, 2, 2)
    decoder_blocks: tuple[int, ...] = (3, 2, 1)
    latent_channels: int = 4
    noise: float = 0.05
    size: int = 128
    batch_size: int = 8
    steps: int = 20_000
    learning_rate: float = 6e-4
    gradient_weight: float = 1.0
    colour_weight: float = 1.0
    perceptual_weight: float = 0.2
    kl_weight: float = 1e-3
    adversarial_weight: float = 0.0
    decoder_only: bool = False
    ema: float = 0.999
    seed: int = 0
    init: str = ""

    def __post_init__(self) -> None:
        for name in ("channels", "latent_channels", "batch_size", "steps"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name!r} must be at least 1 (got {getattr(self, name)})")
        for name in ("noise", *(field.name for field in fields(self) if field.name.endswith("_weight"))):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name!r} must not be negative (got {getattr(self, name)})")
        if not 0.0 < self.learning_rate < 1.0:
            raise ConfigurationError(f"'learning_rate' must be within (0, 1) (got {self.learning_rate})")
        if not 0.0 <= self.ema < 1.0:
            raise ConfigurationError(f"'ema' must be within [0, 1) (got {self.ema})")
        if self.decoder_only and not self.init:
            raise ConfigurationError("'decoder_only' needs 'init': an encoder with random weights would stay random")
        blocks = (*self.encoder_blocks, *self.decoder_blocks)
        if len(self.encoder_blocks) != len(self.decoder_blocks) or not blocks or min(blocks) < 0:
            raise ConfigurationError(
                f"'encoder_blocks' and 'decoder_blocks' must have one number for each scale "
                f"(got {self.encoder_blocks} and {self.decoder_blocks})"
            )
        if self.size % self.scale or self.size < 4 * self.scale:
            raise ConfigurationError(f"'size' must be a multiple of {self.scale} and at least four (got {self.size})")

    @property
    def scale(self) -> int:
        """Side of the picture over the side of its latents."""
        return int(2 ** (len(self.encoder_blocks) - 1))

    def build(self) -> AutoencoderTiny:
        """The network, with weights drawn from the seed or read from `init`.

        Raises:
            ConfigurationError: the network in `init` can't be read or has another form.
        """
        scales = len(self.encoder_blocks)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = AutoencoderTiny(
                encoder_block_out_channels=(self.channels,) * scales,
                decoder_block_out_channels=(self.channels,) * scales,
                num_encoder_blocks=self.encoder_blocks,
                num_decoder_blocks=self.decoder_blocks,
                latent_channels=self.latent_channels,
            )
        if self.init:
            try:
                start = AutoencoderTiny.from_pretrained(self.init, use_safetensors=True, dtype=torch.float32)
                model.load_state_dict(start.state_dict())
                model.register_to_config(scaling_factor=start.config.scaling_factor)
            except (OSError, ValueError, RuntimeError) as error:
                raise ConfigurationError(f"'init' {self.init}: not an autoencoder of this form ({error})") from error
        return model


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
    `AutoencoderTiny.from_pretrained` loads.

    Args:
        config: the settings; a folder is only continued with equal ones, and equal data.
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
        RunConfigurationChanged: `out` was begun with other settings or data.
        ConfigurationError: there is no data, a value is out of its range, or there are several processes.
    """
    if save_every < 1:
        raise ConfigurationError(f"'save_every' must be at least 1 (got {save_every})")
    start = time.monotonic()
    frames, held_out = read_frames(data), read_frames(validation)
    accelerator = make_accelerator(mixed_precision)
    inputs = {"data": digest_frames(frames), "validation": digest_frames(held_out)}
    folder = TrainingFolder(out, asdict(config) | inputs | {"mixed_precision": mixed_precision})
    trainer = _Trainer(config, accelerator, frames, held_out)
    state = folder.load()
    if state is not None:
        trainer.load(state)
        del state
    losses: list[float] = []
    for crops in trainer.batches():
        losses.append(trainer.step(crops))
        done = trainer.number == config.steps
        late = seconds is not None and time.monotonic() - start > seconds
        if trainer.number % save_every == 0 or done or late:
            progress = TrainingProgress(trainer.number, config.steps, sum(losses) / len(losses), trainer.measure())
            losses.clear()
            folder.save(trainer.state(), progress)
            if observer is not None:
                observer(progress)
        if late:
            break
    model = trainer.finish()
    folder.replace(FINAL_NAME, (model.half() if half else model).save_pretrained)
    return trainer.number == config.steps


def whiten_colours(model: AutoencoderTiny, pictures: Tensor) -> None:
    """Let a network with random weights see and paint all colours alike.

    Mucosa differs in brightness much more than in hue, so that random filters, and the latents behind them, hold
    brightness alone, and hues are learned late or never. With the mean μ and the covariance C = U Λ Uᵀ of the pixels,
    the first convolution is made to see Λ^(−1/2) Uᵀ (x − μ), and the last one to give μ + U Λ^(1/2) y.

    Args:
        model: written in place; its layers work on pictures in [0, 1].
        pictures: float (N, 3, H, W) in [−1, 1].
    """
    pixels = (pictures.permute(1, 0, 2, 3).flatten(1).double() + 1.0) / 2.0
    mean = pixels.mean(dim=1)
    values, vectors = torch.linalg.eigh(torch.cov(pixels))
    spread = values.clamp_min(1e-6).sqrt()
    first, last = model.encoder.layers[0], model.decoder.layers[-1]
    with torch.no_grad():
        seen = torch.einsum("okhw,kc->ochw", first.weight.double(), (vectors / spread).T)
        first.bias -= torch.einsum("ochw,c->o", seen, mean)
        first.weight.copy_(seen)
        last.weight.copy_(torch.einsum("ck,kihw->cihw", vectors * spread, last.weight.double()))
        last.bias.copy_(mean + (vectors * spread) @ last.bias.double())


class _Trainer:
    def __init__(
        self, config: AutoencoderConfig, accelerator: Accelerator, frames: Sequence[Frame], held_out: Sequence[Frame]
    ) -> None:
        self._config = config
        self._accelerator = accelerator
        self._frames = [frame.path for frame in frames]
        self._held_out = CropDataset(
            [frame.path for frame in held_out],
            size=config.size,
            count=VALIDATION_CROPS,
            seed=config.seed + 1,
            scales=(1.0, 1.0),
        )
        model = config.build()
        if not config.init:
            crops = CropDataset(self._frames, size=config.size, count=128, seed=config.seed + 2)
            whiten_colours(model, torch.stack([crops[number] for number in range(len(crops))]))
        self._model = model.to(accelerator.device, memory_format=torch.channels_last)
        self._model.encoder.requires_grad_(not config.decoder_only)
        weights = [weight for weight in self._model.parameters() if weight.requires_grad]
        optimizer = accelerator.prepare(torch.optim.AdamW(weights, betas=(0.9, 0.99), weight_decay=1e-4))
        self._learner = Learner(weights, optimizer, config.ema, accelerator)
        self._perceptual = PerceptualDistance().to(accelerator.device) if config.perceptual_weight else None
        self._adversary = (
            Adversary(3, 32, 3, seed=config.seed, accelerator=accelerator) if config.adversarial_weight else None
        )
        self.number = 0

    def batches(self) -> DataLoader[Tensor]:
        """The batches that are still to come."""
        size = self._config.batch_size
        crops = CropDataset(
            self._frames, size=self._config.size, count=self._config.steps * size, seed=self._config.seed
        )
        rest = Subset(crops, range(self.number * size, len(crops)))
        return DataLoader(rest, batch_size=size, num_workers=1, prefetch_factor=4)

    def step(self, crops: Tensor) -> float:
        """One step of training; its loss."""
        config = self._config
        pictures = crops.to(self._accelerator.device, memory_format=torch.channels_last)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + self.number)
        with self._accelerator.autocast():
            latents = self._model.encode(pictures).latents
            noise = torch.randn(latents.shape, generator=generator).to(latents)
            rebuilt = self._model.decode(latents + config.noise * noise).sample
            loss = (rebuilt - pictures).abs().mean()
            loss = loss + config.gradient_weight * gradient_difference(rebuilt, pictures)
            loss = loss + config.colour_weight * colour_difference(rebuilt, pictures)
            if self._perceptual is not None:
                loss = loss + config.perceptual_weight * self._perceptual(rebuilt, pictures)
            loss = loss + config.kl_weight * latents.float().square().mean() / 2.0
            if self._adversary is not None:
                rival, last = self._adversary.judge(rebuilt), self._model.decoder.layers[-1].weight
                loss = balanced(loss, rival, last, config.adversarial_weight, self.number)
        self._accelerator.backward(loss)
        self._learner.update(learning_rate(config.learning_rate, self.number, config.steps, schedule="cosine"))
        if self._adversary is not None:
            self._adversary.learn(pictures, rebuilt)
        self.number += 1
        return float(loss.detach())

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """PSNR in dB and colour difference of the moving average, in float32, on crops of the validation frames."""
        ratios, colours = [], []
        with self._learner.averaged():
            for crops in DataLoader(self._held_out, batch_size=16):
                pictures = crops.to(self._accelerator.device)
                rebuilt = self._model.decode(self._model.encode(pictures).latents).sample.clamp(-1, 1)
                ratios.append(psnr(rebuilt, pictures))
                colours.append(colour_difference(rebuilt, pictures))
        return {"psnr": float(torch.cat(ratios).mean()), "colour": float(torch.stack(colours).mean())}

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        rival = {} if self._adversary is None else {"adversary": self._adversary.state()}
        return self._learner.state() | {"step": self.number} | rival

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        self._learner.load(state)
        if self._adversary is not None:
            self._adversary.load(state["adversary"])
        self.number = state["step"]

    @torch.no_grad()
    def finish(self) -> AutoencoderTiny:
        """The moving average, with the factor that scales latents to unit variance. No step may follow."""
        self._learner.finish()
        if self._config.decoder_only:
            return self._model
        latents = [
            self._model.encode(crops.to(self._accelerator.device)).latents.flatten()
            for crops in DataLoader(self._held_out, batch_size=16)
        ]
        self._model.register_to_config(scaling_factor=round(1.0 / float(torch.cat(latents).std()), 5))
        return self._model
