"""What does the flow cost around the synthesizer, beside a plain OpenCV read-blend-write of the same pictures?

Both arms read the same JPEG frames, lay the same ellipse over each, and write a PNG. The plain arm is three calls of
OpenCV a picture. The other is a whole run of `generate` (reading, mucosa, planning, composition, annotation, PNG,
before crop, manifest, COCO file, gallery, card) with a synthesizer that paints an ellipse; the time inside of the
synthesizer is taken off. The arms take turns, and the median of the ratios counts, of time on the clock and of
processor time (all threads: the flow encodes pictures beside the rendering, which the clock doesn't show).

Usage: overhead.py [--frames FOLDER] [--count N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.generation import generate as generation
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.images import list_images, read_image
from polyp_aug.phantom import write_phantom_dataset
from polyp_aug.scene import Job, Painted, Rejection
from polyp_aug.synthesizers.base import Capabilities


def clocks() -> npt.NDArray[np.float64]:
    """Time on the clock and processor time of all threads, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


class Ellipse:
    """Paints a plain ellipse and keeps the time that takes."""

    name = "ellipse"
    revision = ""
    capabilities = Capabilities(output="edit", feathered=True)

    def __init__(self) -> None:
        self.spent = np.zeros(2)

    def paint(self, jobs: Sequence[Job]) -> list[Painted | Rejection]:
        """As the contract says."""
        start = clocks()
        results: list[Painted | Rejection] = []
        for job in jobs:
            x, y, w, h = job.region.box
            image = job.image.copy()
            cv2.ellipse(image, ((x + w / 2, y + h / 2), (w, h), 0.0), (200, 120, 100), cv2.FILLED)
            results.append(Painted(image, job.region))
        self.spent += clocks() - start
        return results


def plain(frames: Sequence[Path], out: Path) -> npt.NDArray[np.float64]:
    """Seconds for reading, blending and writing the frames with OpenCV alone."""
    out.mkdir()
    start = clocks()
    for number, path in enumerate(frames):
        image = cv2.imread(str(path))
        height, width = image.shape[:2]
        mask = np.zeros((height, width), np.float32)
        painted = image.copy()
        box = ((width / 2, height / 2), (width / 4, height / 5), 0.0)
        cv2.ellipse(mask, box, 1.0, cv2.FILLED)
        cv2.ellipse(painted, box, (100, 120, 200), cv2.FILLED)
        alpha = cv2.GaussianBlur(mask, (0, 0), 4)[:, :, None]
        mixed = painted * alpha + image * (1 - alpha)
        cv2.imwrite(str(out / f"{number:06d}.png"), mixed.astype(np.uint8))
    return clocks() - start


def flow(frames: Path, references: Path, count: int, out: Path) -> npt.NDArray[np.float64]:
    """Seconds of a run around its synthesizer."""
    ellipse = Ellipse()
    original = generation.load_synthesizer
    generation.load_synthesizer = lambda *_, **__: ellipse
    try:
        start = clocks()
        generation.generate(GenerateConfig(frames, references, count=count, seed=1), out)
        return clocks() - start - ellipse.spent
    finally:
        generation.load_synthesizer = original


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=Path, help="folder of JPEG frames; phantoms where it is left out")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        frames = root / "frames"
        if arguments.frames is None:
            write_phantom_dataset(root / "phantoms", count=40, seed=1, polyps=None)
            source = list_images(root / "phantoms" / "images")
        else:
            source = list_images(arguments.frames)
        frames.mkdir()
        for number in range(arguments.count):
            image = read_image(source[number % len(source)])
            cv2.imwrite(str(frames / f"{number:05d}.jpg"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        write_phantom_dataset(root / "references", count=4, seed=900, polyps=(1, 1))
        rounds = []
        for number in range(arguments.rounds + 1):
            alone = plain(list_images(frames), root / "plain")
            around = flow(frames, root / "references", arguments.count, root / "flow")
            shutil.rmtree(root / "plain")
            shutil.rmtree(root / "flow")
            # The first round warms up.
            if number:
                rounds.append((alone, around))
    ratios = np.array([around / alone for alone, around in rounds])
    result = {
        "images": arguments.count,
        "plain_ms_per_image": round(1000 * statistics.median(row[0][0] for row in rounds) / arguments.count, 2),
        "flow_ms_per_image": round(1000 * statistics.median(row[1][0] for row in rounds) / arguments.count, 2),
        "clock_ratio": [round(float(value), 3) for value in np.quantile(ratios[:, 0], (0.5, 0.0, 1.0))],
        "processor_ratio": [round(float(value), 3) for value in np.quantile(ratios[:, 1], (0.5, 0.0, 1.0))],
        "processors": os.cpu_count(),
        "opencv_threads": cv2.getNumThreads(),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
