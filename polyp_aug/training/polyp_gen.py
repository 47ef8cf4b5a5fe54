"""Training Polyp-Gen: fine-tuning an inpainting model on frames with boxes, or a small one from scratch.

The autoencoder and the text encoder stay as they are. Each step takes a batch of examples (BPM masks, prompts *Polyp*
and *Normal*), adds noise to their latents and minimises the lesion-guided objective (`objective`). Every random number
comes from the seed and the number of the step, so that a training that was stopped takes the same steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from polyp_aug.errors import ConfigurationError
from polyp_aug.images import ImageArray
from polyp_aug.keys import Key
from polyp_aug.synthesizers.diffusion.quiet import quiet
from polyp_aug.synthesizers.polyp_gen.weights import InpaintingWeights
from polyp_aug.training.accelerator import make_accelerator
from polyp_aug.training.batches import ExampleOrder
from polyp_aug.training.checks import check_learning
from polyp_aug.training.denoiser import Denoiser, Draw, Objective
from polyp_aug.training.examples import EMPTY_PROMPT, PROMPTS, Example, ExampleDataset, ExampleSettings
from polyp_aug.training.folder import TrainingFolder, TrainingProgress
from polyp_aug.training.frames import Frame, digest_frames
from polyp_aug.training.latents import (
    Autocast,
    LatentCache,
    LatentExample,
    digest_encoders,
    embed_prompts,
    encode_batch,
    encode_examples,
)
from polyp_aug.training.loop import Steps, TrainingOptions, run_steps
from polyp_aug.training.objective import ends_in_noise
from polyp_aug.training.schedule import ScheduleName, learning_rate
from polyp_aug.training.sheets import paint_sheet

FINAL_NAME = "pipeline"
LORA_NAME = "lora"
TRACKED_NAME = "polyp_gen"

#: Examples of the validation frames that the loss is measured on, and of each prompt on a sheet of samples.
VALIDATION_EXAMPLES = 64
SHEET_EXAMPLES = 6


@dataclass(frozen=True)
class PolypGenConfig:
    """Settings of a training; the defaults fine-tune Stable Diffusion as in the paper.

    Attributes:
        examples: how examples are drawn.
        count: number of different examples; they are used over and over again.
        steps: in all.
        batch_size: examples in a step.
        learning_rate: of AdamW.
        schedule: of the learning rate.
        warmup: steps in which the learning rate rises.
        lesion_weight: λ of the lesion-guided loss.
        snr_gamma: γ of min-SNR, or None for equal weights; see `objective.min_snr_weights`.
        adversarial_weight: length of the gradient of an adversary, which tells predicted latents from real ones, over
            that of the rest; 0 is without. Few steps of sampling then give texture instead of its mean.
        prompt_dropout: share of examples whose prompt is dropped, for guidance.
        prediction_type: "epsilon" or "v_prediction", or "" for what the weights were trained for.
        ema: decay of the moving average.
        lora_rank: rank of a LoRA adapter that is trained in place of the whole network, or 0.
        seed: the only source of randomness.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    examples: ExampleSettings
    count: int = 20_000
    steps: int = 20_000
    batch_size: int = 8
    learning_rate: float = 1e-5
    schedule: ScheduleName = "constant"
    warmup: int = 0
    lesion_weight: float = 0.5
    snr_gamma: float | None = None
    adversarial_weight: float = 0.0
    prompt_dropout: float = 0.1
    prediction_type: str = ""
    ema: float = 0.999
    lora_rank: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_learning(self)
        for name in ("adversarial_weight", "lora_rank"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name!r} must not be negative (got {getattr(self, name)})")
        if self.adversarial_weight and self.lora_rank:
            raise ConfigurationError("'adversarial_weight' needs the whole network to learn: 'lora_rank' must be 0")
        if self.prediction_type not in ("", "epsilon", "v_prediction"):
            raise ConfigurationError(
                f"'prediction_type' must be epsilon or v_prediction (got {self.prediction_type!r})"
            )


def train_polyp_gen(
    config: PolypGenConfig,
    weights: InpaintingWeights,
    data: Sequence[Frame],
    validation: Sequence[Frame],
    out: Path,
    *,
    options: TrainingOptions | None = None,
    mixed_precision: str = "no",
    observer: Callable[[TrainingProgress], None] | None = None,
    cache_observer: Callable[[int, int], None] | None = None,
) -> bool:
    """Train, or go on with a training that was begun; the same steps lead to the same weights.

    At the end, and where time runs out, the moving average is written to `out/pipeline`, which
    `StableDiffusionInpaintPipeline.from_pretrained` loads, and an adapter to `out/lora` too.

    Args:
        config: the settings; a folder is only continued with equal ones, equal data and weights.
        weights: what to start from; its UNet is trained in place.
        data: frames to train on.
        validation: frames to measure on; never trained on.
        out: folder for the state, the log, samples, and in the end the pipeline.
        options: see `TrainingOptions`.
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
    _check_size(config.examples.size, weights)
    accelerator = make_accelerator(mixed_precision, trackers=options.trackers, folder=out)
    pipeline = weights.pipeline.to(accelerator.device)
    # Convolutions of the autoencoder are about twice as fast so on a processor.
    pipeline.vae.to(memory_format=torch.channels_last)
    kind = config.prediction_type or str(pipeline.scheduler.config.prediction_type)
    objective = Objective(kind, config.lesion_weight, config.snr_gamma, config.adversarial_weight)
    micro_batch = options.micro_batch or config.batch_size
    _check_objective(objective, pipeline.scheduler.alphas_cumprod, whole=micro_batch >= config.batch_size)
    pipeline.scheduler.register_to_config(prediction_type=kind)
    inputs = {
        "examples": config.examples.to_dict(),
        "data": digest_frames(data),
        "mixed_precision": mixed_precision,
    }
    settings = asdict(config) | inputs | asdict(objective)
    settings |= {"validation": digest_frames(validation), "weights": weights.revision}
    validator = _Validator(config, weights, validation, micro_batch, accelerator.autocast)
    examples = ExampleDataset(data, config.examples, weights.cell, config.count)
    folder = TrainingFolder(out, settings)
    order = ExampleOrder(config.count, config.batch_size, config.steps, config.seed)
    batches: Callable[[int], Iterator[LatentExample]]
    if options.cache is None:
        embeddings = embed_prompts(pipeline)
        encode = partial(encode_batch, pipeline.vae, accelerator.autocast)
        batches = partial(order.fresh, examples, encode)
    else:
        cache = LatentCache(options.cache, examples, inputs | {"encoders": digest_encoders(pipeline)})
        embeddings = cache.fill(
            pipeline, batch_size=micro_batch, autocast=accelerator.autocast, observer=cache_observer
        )
        batches = partial(order.cached, cache.batch)
    denoiser = Denoiser(
        pipeline.unet,
        pipeline.scheduler.alphas_cumprod,
        embeddings,
        objective,
        accelerator,
        ema=config.ema,
        lora_rank=config.lora_rank,
        seed=config.seed,
        gradient_checkpointing=options.gradient_checkpointing,
    )
    state = folder.load()
    step = 0
    if state is not None:
        step = state.pop("step")
        denoiser.load(state)
        del state

    accelerator.init_trackers(TRACKED_NAME)

    def take(batch: LatentExample, number: int) -> float:
        examples_of_step, draw = _draw(config, number, batch, len(pipeline.scheduler.alphas_cumprod))
        rate = learning_rate(config.learning_rate, number, config.steps, schedule=config.schedule, warmup=config.warmup)
        return denoiser.step(examples_of_step, draw, rate=rate, micro_batch=micro_batch)

    steps = Steps(
        step,
        config.steps,
        take,
        denoiser.state,
        measure=lambda: {"validation_loss": validator.loss(denoiser)},
        sheet=lambda: validator.sheet(denoiser),
    )
    step = run_steps(steps, batches(step), folder, options, accelerator, start=start, observer=observer)
    accelerator.end_training()

    lora = folder.path / LORA_NAME if config.lora_rank else None
    denoiser.finish(lora)
    pipeline.unet.register_to_config(sample_size=config.examples.size // weights.cell)
    if options.half:
        pipeline.to(torch.float16)
    with quiet():
        folder.replace(FINAL_NAME, pipeline.save_pretrained)
    return step == config.steps


def _check_size(size: int, weights: InpaintingWeights) -> None:
    multiple = weights.cell * 2 ** (len(weights.pipeline.unet.config.block_out_channels) - 1)
    if size % multiple:
        raise ConfigurationError(f"'size' must be a multiple of {multiple} for these weights (got {size})")


def _check_objective(objective: Objective, alphas_cumprod: Tensor, *, whole: bool) -> None:
    """Refuse what can't be sampled from pure noise, where the schedule ends in that, and what no adversary can see."""
    kind = objective.prediction_type
    if kind == "epsilon" and ends_in_noise(alphas_cumprod):
        raise ConfigurationError("'prediction_type' epsilon says nothing about pure noise, where this schedule ends")
    if objective.adversarial_weight and kind != "v_prediction":
        raise ConfigurationError(f"'adversarial_weight' needs the 'prediction_type' v_prediction (got {kind})")
    if objective.adversarial_weight and not whole:
        raise ConfigurationError("'adversarial_weight' needs the whole batch at once: 'micro_batch' must be 0")


class _Validator:
    """Measures a denoiser on examples of the validation frames, which are always the same."""

    def __init__(
        self,
        config: PolypGenConfig,
        weights: InpaintingWeights,
        frames: Sequence[Frame],
        micro_batch: int,
        autocast: Autocast,
    ) -> None:
        pipeline = weights.pipeline
        settings = replace(config.examples, seed=config.examples.seed + 1, polyp_frames=None)
        examples = ExampleDataset(frames, settings, weights.cell, VALIDATION_EXAMPLES)
        loader = DataLoader(examples, batch_size=micro_batch)
        self._batches = [encode_examples(pipeline.vae, Example(*batch), autocast) for batch in loader]
        self._steps = int(pipeline.scheduler.config.num_train_timesteps)
        self._config = config
        self._micro_batch = micro_batch
        self._weights = weights
        drawn = [examples[number] for number in range(len(examples))]
        self._examples = [
            example
            for prompt in range(len(PROMPTS))
            for example in [item for item in drawn if int(item.prompt) == prompt][:SHEET_EXAMPLES]
        ]

    @torch.no_grad()
    def loss(self, denoiser: Denoiser) -> float:
        """The objective of the moving average, over time steps that are spread evenly."""
        total = 0.0
        with denoiser.averaged():
            for number, batch in enumerate(self._batches):
                generator = torch.Generator().manual_seed(number)
                noise = torch.randn(batch.latents.shape, generator=generator)
                places = torch.arange(len(batch.prompt)) + number * self._micro_batch
                times = ((places + 0.5) / VALIDATION_EXAMPLES * self._steps).long()
                total += float(denoiser.loss(batch, Draw(noise, times))) * len(batch.prompt)
        return total / VALIDATION_EXAMPLES

    def sheet(self, denoiser: Denoiser) -> ImageArray:
        """What the moving average paints."""
        with denoiser.averaged():
            return paint_sheet(self._weights, self._examples, self._config.seed)


def _draw(config: PolypGenConfig, step: int, batch: LatentExample, timesteps: int) -> tuple[LatentExample, Draw]:
    """Noise and time steps for a batch, and the batch with some prompts dropped."""
    generator = torch.Generator().manual_seed(Key(config.seed, "training", draw=step).torch_seed("noise"))
    noise = torch.randn(batch.latents.shape, generator=generator)
    times = torch.randint(timesteps, (len(batch.prompt),), generator=generator)
    dropped = torch.rand(len(batch.prompt), generator=generator) < config.prompt_dropout
    prompt = torch.where(dropped, EMPTY_PROMPT, batch.prompt.cpu())
    return batch._replace(prompt=prompt), Draw(noise, times)
