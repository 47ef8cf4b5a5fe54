"""What do distances of large sets of features cost, their intervals included?

Features are drawn: correlated normal ones of D dimensions, rectified as those of networks are, every picture a group of
its own. Each measure has a process of its own, whose peak memory counts the features and the interpreter. The promise:
10,000 against 10,000 features, of 1,280 and of 2,048 dimensions, in at most 60 s and 4 GB for each distance.

Usage: feature_distances.py [--count N] [--width D]...
       feature_distances.py --measure {frechet,kernel,manifold} [--count N] [--width D]     only one, in this process
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from polyp_aug.evaluation.features import FeatureSet
from polyp_aug.evaluation.frechet import frechet_distances
from polyp_aug.evaluation.kernel_distance import kernel_distances
from polyp_aug.evaluation.manifold import manifold_jackknife


def features(name: str, seed: int, count: int, width: int) -> FeatureSet:
    """Features of a network that never was, float32."""
    mix = np.random.default_rng(0).standard_normal((64, width)) / 8.0
    generator = np.random.default_rng(seed)
    values = generator.standard_normal((count, 64)) @ mix + 0.3 * generator.standard_normal((count, width))
    values = np.maximum(values + 0.02 * seed, 0.0).astype(np.float32)
    return FeatureSet(name, values, [f"{number:06d}" for number in range(count)])


MEASURES: dict[str, Callable[[FeatureSet, FeatureSet], Any]] = {
    "frechet": lambda real, other: frechet_distances(real, [other])["other"].interval(),
    "kernel": lambda real, other: kernel_distances(real, [other]).distances["other"],
    "manifold": lambda real, other: {
        name: found.interval().to_dict() for name, found in manifold_jackknife(real, other).items()
    },
}


def measure(name: str, count: int, width: int) -> dict[str, Any]:
    """Seconds on the clock and of the processor, and peak memory, of a measure in this process."""
    real, other = features("real", 1, count, width), features("other", 2, count, width)
    start, busy = time.perf_counter(), time.process_time()
    found = MEASURES[name](real, other)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    return {
        "measure": name,
        "count": count,
        "width": width,
        "seconds": round(seconds, 1),
        "processor_seconds": round(busy, 1),
        "peak_MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
        "threads": max(item["num_threads"] for item in threadpool_info()),
        "value": found if isinstance(found, dict) else found.to_dict(),
    }


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", choices=list(MEASURES))
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--width", type=int, action="append")
    options = parser.parse_args()
    widths = options.width or [1280, 2048]
    if options.measure:
        sys.stdout.write(json.dumps(measure(options.measure, options.count, widths[0])) + "\n")
        return
    rows = []
    for width in widths:
        for name in MEASURES:
            arguments = [
                sys.executable,
                __file__,
                "--measure",
                name,
                "--count",
                str(options.count),
                "--width",
                str(width),
            ]
            result = subprocess.run(arguments, capture_output=True, text=True, check=True)
            rows.append(json.loads(result.stdout))
    sys.stdout.write(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
