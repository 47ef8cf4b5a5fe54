"""What a run would cost, from a few samples that are really made, in memory."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from polyp_aug.generation.writing import PlannedSamples
from polyp_aug.images import encode_png


@dataclass(frozen=True)
class RunEstimate:
    """The plan and the cost of a run.

    Attributes:
        samples: of this shard.
        tried: samples that were made for the estimate.
        polyps: new polyps expected.
        seconds: time expected on this machine.
        bytes: size of the pictures expected.
        free_bytes: free on the disk of the run folder.
        problems: what went wrong with the samples that were tried.
    """

    samples: int
    tried: int
    polyps: int
    seconds: float
    bytes: int
    free_bytes: int
    problems: tuple[str, ...]


def estimate_run(prepared: PlannedSamples, out: Path, *, tries: int = 8) -> RunEstimate:
    """Make `tries` samples that lie evenly over the run, and scale up what they cost. Nothing is written.

    Args:
        prepared: the run.
        out: the folder that it would be written to; it need not exist.
    """
    total = len(prepared.deck)
    tried = min(tries, total)
    positions = [position * total // tried for position in range(tried)]
    start = time.perf_counter()
    outcomes = prepared.maker.make([prepared.deck[position] for position in positions])
    size = sum(len(encode_png(image)) for outcome in outcomes for image in outcome.pictures.values())
    seconds = time.perf_counter() - start
    polyps = sum(item["origin"] == "synthetic" for outcome in outcomes for item in outcome.record.get("objects", ()))
    problems = [
        problem
        for outcome in outcomes
        for problem in outcome.record.get("reasons") or outcome.record["unreadable"] + outcome.record["problems"]
    ]
    scale = total / tried if tried else 0.0
    existing = next(folder for folder in (out, *out.resolve().parents) if folder.is_dir())
    return RunEstimate(
        samples=total,
        tried=tried,
        polyps=round(polyps * scale),
        seconds=seconds * scale,
        bytes=round(size * scale),
        free_bytes=shutil.disk_usage(existing).free,
        problems=tuple(problems),
    )
