"""How much faster is a step of training with latents from the cache than with encoding?

Trains the same pipeline on the same examples, from the cache and without, in turns, and prints the samples a second of
both and their ratio. Filling the cache is told apart: it is paid once for any number of trainings.

Usage: latent_cache.py --weights PIPELINE --data COCO [--data COCO …] [--batch-size 16] [--steps 10] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from accelerate import Accelerator

from polyp_aug.synthesizers.polyp_gen import load_inpainting_weights
from polyp_aug.training.batches import ExampleOrder
from polyp_aug.training.denoiser import Denoiser, Draw, Objective
from polyp_aug.training.examples import ExampleDataset, ExampleSettings
from polyp_aug.training.frames import read_frames
from polyp_aug.training.latents import LatentCache, LatentExample


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mixed-precision", default="bf16")
    arguments = parser.parse_args()
    weights = load_inpainting_weights(arguments.weights)
    pipeline = weights.pipeline
    count = arguments.batch_size * (arguments.steps + 1)
    order = ExampleOrder(count, arguments.batch_size, arguments.steps + 1, 0)
    examples = ExampleDataset(
        read_frames(arguments.data), ExampleSettings(size=weights.native_size), weights.cell, count
    )
    with tempfile.TemporaryDirectory() as folder:
        accelerator = Accelerator(mixed_precision=arguments.mixed_precision)
        cache = LatentCache(Path(folder), examples, {}, shard=count)
        start = time.perf_counter()
        embeddings = cache.fill(pipeline, autocast=accelerator.autocast)
        filling = count / (time.perf_counter() - start)
        denoiser = Denoiser(
            pipeline.unet,
            pipeline.scheduler.alphas_cumprod,
            embeddings,
            Objective(str(pipeline.scheduler.config.prediction_type), 0.5, None),
            accelerator,
            ema=0.999,
            lora_rank=0,
            seed=0,
            gradient_checkpointing=False,
        )
        rates: dict[str, list[float]] = {"cached": [], "fresh": []}
        for _ in range(arguments.rounds):
            rates["cached"].append(_rate(denoiser, order.cached(cache, 0), arguments.batch_size))
            fresh = order.fresh(examples, pipeline.vae, accelerator.autocast, 0)
            rates["fresh"].append(_rate(denoiser, fresh, arguments.batch_size))
    ratios = [first / second for first, second in zip(rates["cached"], rates["fresh"], strict=True)]
    row = {
        "size": weights.native_size,
        "batch_size": arguments.batch_size,
        "samples_per_second": {name: round(statistics.median(values), 2) for name, values in rates.items()},
        "filling_per_second": round(filling, 2),
        "ratio": [round(value, 2) for value in (statistics.median(ratios), min(ratios), max(ratios))],
    }
    sys.stdout.write(json.dumps(row) + "\n")


def _rate(denoiser: Denoiser, batches: Iterator[LatentExample], batch_size: int) -> float:
    """Samples a second; the first step is not counted."""
    generator = torch.Generator().manual_seed(0)
    steps = 0
    start = time.perf_counter()
    for batch in batches:
        noise = torch.randn(batch.latents.shape, generator=generator)
        times = torch.randint(1000, (len(batch.prompt),), generator=generator)
        denoiser.step(batch, Draw(noise, times), rate=1e-6, micro_batch=batch_size)
        if steps == 0:
            start = time.perf_counter()
        steps += 1
    return (steps - 1) * batch_size / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
