"""How much memory and time does merging the shards of a large run take?

Writes shards as a run leaves them, with a million annotations in all (small pictures, real segmentations), and merges
them in a process of its own.

Usage: merge.py [--annotations 1000000] [--per-image 50] [--shards 8]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from polyp_aug.generation.run_folder import RunFolder
from polyp_aug.images import encode_png

_CHILD = """
import resource, sys
from pathlib import Path
from polyp_aug.generation.merge_runs import merge_runs
*shards, out = (Path(text) for text in sys.argv[1:])
merge_runs(shards, out, images="hardlink")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
"""


def outline(generator: np.random.Generator) -> list[float]:
    """A closed polygon of 40 corners, flat, in pixels."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radius = generator.uniform(20, 60) * generator.uniform(0.9, 1.1, 40)
    points = generator.uniform(80, 400, 2) + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius[:, None]
    return [round(float(value) * 4) / 4 for value in points.ravel()]


def made(number: int, objects: int, sizes: dict[str, int], generator: np.random.Generator) -> dict[str, Any]:
    """A record of the manifest."""
    name = f"{number:06d}.png"
    key = {"seed": 1, "sample": f"frame_{number}.jpg", "epoch": 0, "draw": number}
    items = [
        {
            "origin": "synthetic",
            "category": "polyp",
            "bbox": [100, 100, 80, 80],
            "area": 5000,
            "segmentation": [outline(generator)],
            "provenance": {
                "proposer": "random",
                "synthesizer": "transplant",
                "key": key,
                "details": {"reference": "a#1"},
            },
        }
        for _ in range(objects)
    ]
    return {
        "sample": number,
        "status": "made",
        "file_name": name,
        "width": 512,
        "height": 512,
        "background": {"file": key["sample"]},
        "key": key,
        "before": {"file_name": name, "box": [90, 90, 100, 100]},
        "objects": items,
        "rejections": [],
        "problems": [],
        "unreadable": [],
        "bytes": sizes,
    }


def write_shards(root: Path, annotations: int, per_image: int, shards: int) -> list[Path]:
    """Finished shards of a run."""
    generator = np.random.default_rng(0)
    images = annotations // per_image
    picture = encode_png(np.zeros((8, 8, 3), np.uint8))
    sizes = {"images": len(picture), "before": len(picture)}
    settings = {"count": images, "synthesizer": "transplant", "seed": 1}
    paths = [root / f"shard_{index}" for index in range(1, shards + 1)]
    for index, path in enumerate(paths):
        run = {
            "config": settings | {"shard": f"{index + 1}/{shards}"},
            "inputs": {"backgrounds": "frames"},
            "versions": {"polyp_aug": "0"},
            "categories": [{"id": 1, "name": "polyp", "supercategory": ""}],
            "licenses": [],
        }
        with RunFolder(path, run) as folder:
            for number in range(index, images, shards):
                for name in sizes:
                    (path / name / f"{number:06d}.png").write_bytes(picture)
                folder.append([made(number, per_image, sizes, generator)])
    return paths


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--annotations", type=int, default=1_000_000)
    parser.add_argument("--per-image", type=int, default=50)
    parser.add_argument("--shards", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shards = write_shards(root, arguments.annotations, arguments.per_image, arguments.shards)
        start = time.perf_counter()
        child = [sys.executable, "-c", _CHILD, *map(str, shards), str(root / "merged")]
        result = subprocess.run(child, capture_output=True, text=True, check=True)
        row = {
            "annotations": arguments.annotations,
            "images": arguments.annotations // arguments.per_image,
            "shards": arguments.shards,
            "peak_mb": round(float(result.stdout)),
            "seconds": round(time.perf_counter() - start),
            "coco_mb": round((root / "merged" / "annotations.json").stat().st_size / 1e6),
        }
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
