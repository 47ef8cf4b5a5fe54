"""How long does a diffusion model paint, and how much memory does it take?

Paints a batch of places on phantom frames, after one batch to warm up, and prints seconds an image and the peak memory
of the process.

Usage: painting.py [--weights PIPELINE] [--steps 20] [--batch-size 8] [--guidance 2.5] [--dtype float32] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from polyp_aug.images import list_images, read_image
from polyp_aug.keys import Key
from polyp_aug.phantom import write_phantom_dataset
from polyp_aug.proposers.registry import load_proposer
from polyp_aug.scene import Job, Painted
from polyp_aug.synthesizers.options import PaintingOptions
from polyp_aug.synthesizers.registry import load_synthesizer


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", default="")
    parser.add_argument("--sampler", default="dpm++")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--guidance", type=float, default=2.5)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    options = PaintingOptions(
        weights=arguments.weights,
        sampler=arguments.sampler,
        num_inference_steps=arguments.steps,
        guidance_scale=arguments.guidance,
        dtype=arguments.dtype,
        batch_size=arguments.batch_size,
    )
    painter = load_synthesizer("polyp_gen", options=options)
    jobs = _jobs(arguments.batch_size)
    seconds = []
    for round_number in range(arguments.rounds + 1):
        start = time.perf_counter()
        results = painter.paint(jobs)
        if round_number:
            seconds.append((time.perf_counter() - start) / len(jobs))
        if not all(isinstance(result, Painted) for result in results):
            raise SystemExit(f"not painted: {results}")
    row = {
        "size": painter.capabilities.native_size,
        "steps": arguments.steps,
        "batch_size": arguments.batch_size,
        "guidance": arguments.guidance,
        "dtype": arguments.dtype,
        "seconds_an_image": [round(value, 3) for value in (statistics.median(seconds), min(seconds), max(seconds))],
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
    }
    sys.stdout.write(json.dumps(row) + "\n")


def _jobs(number: int) -> list[Job]:
    with tempfile.TemporaryDirectory() as folder:
        write_phantom_dataset(Path(folder), count=number, seed=1, polyps=None)
        frames = [read_image(path) for path in list_images(Path(folder) / "images")]
    proposer = load_proposer("random")
    jobs = []
    for index, frame in enumerate(frames):
        key = Key(1, "painting", draw=index)
        place = proposer.propose(frame, 1, key, ())[0]
        jobs.append(Job(frame, place.region, "Polyp", 4, key))
    return jobs


if __name__ == "__main__":
    main()
