"""What does drawing polyps from a pool cost a training, beside the same training without?

Both arms train one model by one config, `*_mini_online.py`, on the same frames with the same number of workers; one of
them has no `PolypSynthesis` in its pipeline. They take turns, a few iterations each, and the median of the ratios of
throughput counts. Each arm has a loader of its own that stays, and begins its turn with as many batches prepared.

Usage: online.py --data SET --pool POOL [--config CONFIG] [--workers N] [--iterations N] [--rounds N] [--probability P]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from polyp_aug.integrations.mmdet.configs import read_config, use_pool, use_training_data

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
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--probability", type=float, default=0.5)
    options = parser.parse_args()

    init_default_scope("mmdet")
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

    def turn(name: str, iterations: int) -> float:
        start = time.perf_counter()
        for _ in range(iterations):
            batch = model.data_preprocessor(next(arms[name]), training=True)
            loss, _ = model.parse_losses(model(**batch, mode="loss"))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(iterations * config.train_dataloader.batch_size / (time.perf_counter() - start))

    for name in arms:
        turn(name, 3)
    rounds = []
    for number in range(options.rounds):
        order = list(arms) if number % 2 else list(arms)[::-1]
        measured = {name: turn(name, options.iterations) for name in order}
        rounds.append((measured["without"], measured["with"]))
    ratios = [second / first for first, second in rounds]
    result = {
        "config": options.config.stem,
        "workers": options.workers,
        "threads": torch.get_num_threads(),
        "probability": options.probability,
        "frames a second without": round(statistics.median(first for first, _ in rounds), 2),
        "frames a second with": round(statistics.median(second for _, second in rounds), 2),
        "ratio": round(statistics.median(ratios), 4),
        "range": [round(min(ratios), 4), round(max(ratios), 4)],
    }
    json.dump(result, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
