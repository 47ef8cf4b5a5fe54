"""How much memory does a run take, and does it grow with the number of images?

Makes runs of rising length over the same phantom frames, each in a process of its own, and prints the peak of each.

Usage: memory.py [--counts 100 1000 10000]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from polyp_aug.phantom import write_phantom_dataset

_CHILD = """
import json, resource, sys
from pathlib import Path
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.generation.generate import generate
frames, references, out, count = sys.argv[1:]
generate(GenerateConfig(Path(frames), Path(references), count=int(count), seed=1), Path(out))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
"""


def main() -> None:
    """Measure, and print a row for each length."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10_000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_phantom_dataset(root / "frames", count=60, seed=1, polyps=None)
        write_phantom_dataset(root / "references", count=20, seed=900, polyps=(1, 2))
        for count in arguments.counts:
            start = time.perf_counter()
            child = [sys.executable, "-c", _CHILD, str(root / "frames" / "images"), str(root / "references")]
            result = subprocess.run(
                [*child, str(root / f"run_{count}"), str(count)], capture_output=True, text=True, check=True
            )
            row = {
                "images": count,
                "peak_mb": round(float(result.stdout)),
                "seconds": round(time.perf_counter() - start),
            }
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
