"""Training CCIS-Diff: the control branch of a diffusion model, on frames with masks and captions.

UNet and autoencoder stay as they are. In each step half of the captions are replaced by the empty prompt, so that the
branch learns to read the mask alone, and guidance has something to differ from. Every random number comes from the
seed and the number of the step, so that a training that was stopped takes the same steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from polyp_aug.errors import ConfigurationError
from polyp_aug.images import ImageArray
from polyp_aug.keys import Key
from polyp_aug.synthesizers.ccis_diff.pipeline import CCISDiffPipeline
from polyp_aug.synthesizers.ccis_diff.weights import CCISWeights
from polyp_aug.synthesizers.diffusion.quiet import quiet
from polyp_aug.training.accelerator import make_accelerator
from polyp_aug.training.batches import ExampleOrder
from polyp_aug.training.captioned import CaptionedDataset, CaptionedFrame, digest_captioned
from polyp_aug.training.captioned_latents import CaptionedLatents, cached_latents, encode_captioned
from polyp_aug.training.checks import check_learning
from polyp_aug.training.control import ControlDraw, ControlObjective, ControlTrainer
from polyp_aug.training.folder import TrainingFolder, TrainingProgress
from polyp_aug.training.frames import digest_frames
from polyp_aug.training.latents import Autocast, digest_autoencoder
from polyp_aug.training.loop import Steps, TrainingOptions, run_steps
from polyp_aug.training.objective import ends_in_noise
from polyp_aug.training.schedule import ScheduleName, learning_rate

FINAL_NAME = "pipeline"
TRACKED_NAME = "ccis_diff"

#: Examples of the validation frames that the loss is measured on, and that a sheet shows.
VALIDATION_EXAMPLES = 64
SHEET_EXAMPLES = 6


@dataclass(frozen=True)
class CCISDiffConfig:
    """Settings of a training; the defaults are the paper's.

    Attributes:
        size: side of the pictures in pixels.
        count: number of different examples; they are used over and over again.
        steps: in all.
        batch_size: examples in a step.
        learning_rate: of AdamW.
        schedule: of the learning rate.
        warmup: steps in which the learning rate rises.
        prompt_dropout: share of captions that are replaced by the empty prompt.
        polyp_frames: share of examples from frames with polyps; None takes every frame equally often.
        mirror: mirror frames and their captions.
        lesion_weight: λ of a lesion-guided loss; the paper has none.
        tone_weight: factor of a loss of the mean colour of polyps and mucosa (`tone_loss`); the paper has none. With
            it a small model learns what captions say of colour in far fewer steps.
        snr_gamma: γ of min-SNR, or None for equal weights.
        ema: decay of the moving average.
        text_encoder: train the text encoder too, for one that has to learn its words first.
        seed: the only source of randomness.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    size: int
    count: int = 20_000
    steps: int = 20_000
    batch_size: int = 4
    learning_rate: float = 1e-5
    schedule: ScheduleName = "constant"
    warmup: int = 0
    prompt_dropout: float = 0.5
    polyp_frames: float | None = None
    mirror: bool = True
    lesion_weight: float = 0.0
    tone_weight: float = 0.0
    snr_gamma: float | None = None
    ema: float = 0.999
    text_encoder: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_learning(self)
        if self.size < 1:
            raise ConfigurationError(f"'size' must be at least 1 (got {self.size})")
        if self.tone_weight < 0.0:
            raise ConfigurationError(f"'tone_weight' must not be negative (got {self.tone_weight})")
        if self.polyp_frames is not None and not 0.0 <= self.polyp_frames <= 1.0:
            raise ConfigurationError(f"'polyp_frames' must be within 0 … 1 (got {self.polyp_frames})")


@dataclass(frozen=True)
class SheetSampling:
    """How the sheets of samples are made.

    Attributes:
        steps: denoising steps.
        guidance_scale: weight of the caption.
    """

    steps: int = 20
    guidance_scale: float = 7.0


def train_ccis_diff(
    config: CCISDiffConfig,
    weights: CCISWeights,
    data: Sequence[CaptionedFrame],
    validation: Sequence[CaptionedFrame],
    out: Path,
    *,
    options: TrainingOptions | None = None,
    sampling: SheetSampling | None = None,
    mixed_precision: str = "no",
    observer: Callable[[TrainingProgress], None] | None = None,
    cache_observer: Callable[[int, int], None] | None = None,
) -> bool:
    """Train, or go on with a training that was begun; the same steps lead to the same weights.

    At the end, and where time runs out, the moving average is written to `out/pipeline`, a folder of
    `CCISDiffPipeline`.

    Args:
        config: the settings; a folder is only continued with equal ones, equal data and weights.
        weights: what to start from; its control branch is trained in place.
        data: frames to train on.
        validation: frames to measure on; never trained on.
        out: folder for the state, the log, samples, and in the end the pipeline.
        options: see `TrainingOptions`; `micro_batch` is for encoding only.
        sampling: of the sheets.
        mixed_precision: "no", "bf16" or "fp16", as accelerate spells them.
        observer: called at each saving.
        cache_observer: called with the number of cached examples, and of all, while the cache is filled.

    Returns:
        Whether all steps are done; False where time ran out.

    Raises:
        RunConfigurationChanged: `out` was begun with other settings, data or weights.
        ConfigurationError: a value is out of its range, or the training was started in several processes.
        ImageError: a frame can't be read.
    """
    options = options or TrainingOptions()
    start = time.monotonic()
    pipeline = weights.pipeline
    if config.size % pipeline.multiple:
        raise ConfigurationError(f"'size' must be a multiple of {pipeline.multiple} for these weights ({config.size})")
    kind = str(pipeline.scheduler.config.prediction_type)
    alphas = pipeline.scheduler.alphas_cumprod
    if kind == "epsilon" and ends_in_noise(alphas):
        raise ConfigurationError("'prediction_type' epsilon says nothing about pure noise, where this schedule ends")
    accelerator = make_accelerator(mixed_precision, trackers=options.trackers, folder=out)
    pipeline.to(accelerator.device)
    # Convolutions of the autoencoder are about twice as fast so on a processor.
    pipeline.vae.to(memory_format=torch.channels_last)
    examples = CaptionedDataset(
        data,
        size=config.size,
        count=config.count,
        polyp_frames=config.polyp_frames,
        mirror=config.mirror,
        seed=config.seed,
    )
    encoding = options.micro_batch or config.batch_size
    validator = _Validator(config, pipeline, validation, sampling or SheetSampling(), accelerator.autocast)
    inputs = {"data": digest_captioned(data), "mixed_precision": mixed_precision, "branch": _branch(pipeline)}
    folder = TrainingFolder(
        out,
        asdict(config) | inputs | {"validation": digest_captioned(validation), "weights": weights.revision},
    )
    order = ExampleOrder(config.count, config.batch_size, config.steps, config.seed)
    batches: Callable[[int], Iterator[CaptionedLatents]]
    if options.cache is None:
        batches = partial(order.fresh, examples, partial(encode_captioned, pipeline.vae, accelerator.autocast))
    else:
        identity: dict[str, Any] = {name: getattr(config, name) for name in ("size", "polyp_frames", "mirror", "seed")}
        # Captions are no part of it: they are looked up by an example's number.
        identity |= {"data": digest_frames([item.frame for item in data]), "mixed_precision": mixed_precision}
        cached = cached_latents(
            options.cache,
            examples,
            identity | {"vae": digest_autoencoder(pipeline.vae)},
            pipeline.vae,
            batch_size=encoding,
            autocast=accelerator.autocast,
            observer=cache_observer,
        )
        batches = partial(order.cached, cached)
    trainer = ControlTrainer(
        pipeline,
        size=config.size,
        objective=ControlObjective(kind, config.lesion_weight, config.tone_weight, config.snr_gamma),
        accelerator=accelerator,
        ema=config.ema,
        text_encoder=config.text_encoder,
        gradient_checkpointing=options.gradient_checkpointing,
    )
    state = folder.load()
    step = 0
    if state is not None:
        step = state.pop("step")
        trainer.load(state)
        del state
    accelerator.init_trackers(TRACKED_NAME)

    def take(batch: CaptionedLatents, number: int) -> float:
        captions = [examples.caption(int(one)) for one in batch.number]
        rate = learning_rate(config.learning_rate, number, config.steps, schedule=config.schedule, warmup=config.warmup)
        return trainer.step(batch, captions, _draw(config, number, batch.latents, len(alphas)), rate=rate)

    steps = Steps(
        step,
        config.steps,
        take,
        trainer.state,
        measure=lambda: {"validation_loss": validator.loss(trainer)},
        sheet=lambda: validator.sheet(trainer),
    )
    step = run_steps(steps, batches(step), folder, options, accelerator, start=start, observer=observer)
    accelerator.end_training()
    trainer.finish()
    pipeline.unet.register_to_config(sample_size=config.size // pipeline.cell)
    if options.half:
        pipeline.to(torch.float16)
    with quiet():
        folder.replace(FINAL_NAME, pipeline.save_pretrained)
    return step == config.steps


def _branch(pipeline: CCISDiffPipeline) -> dict[str, object]:
    return {name: pipeline.controlnet.config[name] for name in ("blur_mask", "text_aware", "blur_share")}


def _draw(config: CCISDiffConfig, step: int, latents: Tensor, timesteps: int) -> ControlDraw:
    generator = torch.Generator().manual_seed(Key(config.seed, "training", draw=step).torch_seed("noise"))
    noise = torch.randn(latents.shape, generator=generator)
    times = torch.randint(timesteps, (len(latents),), generator=generator)
    return ControlDraw(noise, times, torch.rand(len(latents), generator=generator) < config.prompt_dropout)


class _Validator:
    """Measures a control branch on the validation frames, which are always the same."""

    def __init__(
        self,
        config: CCISDiffConfig,
        pipeline: CCISDiffPipeline,
        frames: Sequence[CaptionedFrame],
        sampling: SheetSampling,
        autocast: Autocast,
    ) -> None:
        self._examples = CaptionedDataset(
            frames, size=config.size, count=VALIDATION_EXAMPLES, mirror=False, seed=config.seed + 1
        )
        loader = DataLoader(self._examples, batch_size=config.batch_size)
        self._batches = [encode_captioned(pipeline.vae, autocast, batch) for batch in loader]
        self._steps = int(pipeline.scheduler.config.num_train_timesteps)
        self._batch_size = config.batch_size
        self._sampling = sampling
        self._autocast = autocast

    @torch.no_grad()
    def loss(self, trainer: ControlTrainer) -> float:
        """The objective of the moving average with all captions, over time steps that are spread evenly."""
        total = 0.0
        with trainer.averaged():
            for number, batch in enumerate(self._batches):
                generator = torch.Generator().manual_seed(number)
                noise = torch.randn(batch.latents.shape, generator=generator)
                places = torch.arange(len(noise)) + number * self._batch_size
                times = ((places + 0.5) / VALIDATION_EXAMPLES * self._steps).long()
                captions = [self._examples.caption(int(one)) for one in batch.number]
                draw = ControlDraw(noise, times, torch.zeros(len(noise), dtype=torch.bool))
                total += float(trainer.loss(batch, captions, draw)) * len(noise)
        return total / VALIDATION_EXAMPLES

    def sheet(self, trainer: ControlTrainer) -> ImageArray:
        """uint8 RGB: a column for each example; from above the frame, and what is made of its mask and caption."""
        chosen = [self._examples[number] for number in range(SHEET_EXAMPLES)]
        masks = [example.mask[0].numpy() for example in chosen]
        captions = [self._examples.caption(int(example.number)) for example in chosen]
        with trainer.averaged() as pipeline, self._autocast():
            made = pipeline(
                masks,
                captions,
                guidance_scale=self._sampling.guidance_scale,
                num_inference_steps=self._sampling.steps,
                generators=[torch.Generator().manual_seed(number) for number in range(len(chosen))],
            )
        columns = []
        for example, mask, picture in zip(chosen, masks, made, strict=True):
            real = ((example.image + 1.0) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
            outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            marked = np.asarray(cv2.drawContours(picture.copy(), outlines, -1, (255, 255, 255), 1), dtype=np.uint8)
            columns.append(np.vstack([real, picture, marked]))
        return np.hstack(columns)
