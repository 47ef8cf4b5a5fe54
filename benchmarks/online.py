"""What does drawing polyps from a pool cost a training, beside the same training without?

Both arms train one model by one config, `*_mini_online.py`, on the same frames with the same number of workers; one of
them has no `PolypSynthesis` in its pipeline. They take turns, one iteration each, so that what else the machine does
meets both, and the ratio of their median times counts, with an interval from drawing pairs of iterations. Each arm has
a loader of its own. Without workers the time that is spent inside of the transform is told as well, as a share of all:
that is what it costs where nothing hides it, and varies less.

Usage: online.py --data SET --pool POOL [--config CONFIG] [--workers N] [--iterations N] [--probability P]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from polyp_aug.integrations.mmdet.configs import read_config, use_pool, use_training_data
from polyp_aug.integrations.mmdet.synthesis import PolypSynthesis

CONFIG = Path(__file__).resolve().parents[1] / "mmdet_configs" / "centernet" / "centernet_mini_online.py"


def batches(config: Config, workers: int) -> Iterator[Any]:
    """Training batches without end."""
    config.train_dataloader.num_workers = workers
    config.train_dataloader.persistent_workers = workers > 0
    loader = Runner.build_dataloader(config.train_dataloader, seed=0)
    while True:
        yield from loader


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, action="append")
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--probability", type=float, default=0.5)
    options = parser.parse_args()

    init_default_scope("mmdet")
    inside: list[float] = []
    plain = PolypSynthesis.transform

    def timed(self: PolypSynthesis, results: dict[str, Any]) -> dict[str, Any]:
        start = time.perf_counter()
        found: dict[str, Any] = plain(self, results)
        inside.append(time.perf_counter() - start)
        return found

    PolypSynthesis.transform = timed  # type: ignore[method-assign]
    arms = {}
    for name in ("without", "with"):
        config = read_config(options.config)
        use_pool(config, options.pool)
        pipeline = config.train_dataloader.dataset.pipeline
        [place] = [number for number, item in enumerate(pipeline) if item.type == "PolypSynthesis"]
        pipeline[place].probability = options.probability
        if name == "without":
            del pipeline[place]
        use_training_data(config, options.data)
        arms[name] = batches(config, options.workers)
    model = MODELS.build(config.model)
    model.init_weights()
    model.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def seconds(name: str) -> float:
        start = time.perf_counter()
        batch = model.data_preprocessor(next(arms[name]), training=True)
        loss, _ = model.parse_losses(model(**batch, mode="loss"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return time.perf_counter() - start

    for name in (*arms, *arms):
        seconds(name)
    inside.clear()
    times = []
    for number in range(options.iterations):
        order = list(arms) if number % 2 else list(arms)[::-1]
        measured = {name: seconds(name) for name in order}
        times.append([measured["without"], measured["with"]])
    drawn = np.random.default_rng(0).integers(len(times), size=(2000, len(times)))
    medians = np.median(np.array(times)[drawn], axis=1)
    without, median = np.median(times, axis=0)
    result = {
        "config": options.config.stem,
        "workers": options.workers,
        "threads": torch.get_num_threads(),
        "probability": options.probability,
        "iterations": options.iterations,
        "seconds without": round(float(without), 4),
        "seconds with": round(float(median), 4),
        "throughput with / without": round(float(without / median), 4),
        "interval": [round(float(value), 4) for value in np.quantile(medians[:, 0] / medians[:, 1], [0.025, 0.975])],
    }
    if options.workers == 0:
        result["share of time inside of the transform"] = round(sum(inside) / sum(own for _, own in times), 4)
    json.dump(result, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
