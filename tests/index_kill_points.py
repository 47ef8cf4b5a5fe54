"""Builds a database in child processes, each killed with SIGKILL at another file operation, and lets a last one finish.

Usage: index_kill_points.py DATA FOLDER PART PARTS. Prints the number of operations of a whole building, and the number
of kills. Every database must end with the bytes of one that was never interrupted.
"""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
from kill_points import Killer, compare, in_child
from small_database import build

from polyp_aug.coco import CocoDataset, read_coco


def building(data: CocoDataset, out: Path, at: int | None, report: Path | None = None) -> Callable[[], int]:
    def work() -> int:
        killer = Killer(at)
        sys.addaudithook(killer)
        build(data, out, batch_size=1, shard=2)
        if report is not None:
            report.write_text(str(killer.seen))
        return 0

    return work


def few(data: CocoDataset, count: int) -> CocoDataset:
    """The first frames."""
    images = data.images[:count]
    kept = {image.id for image in images}
    annotations = tuple(item for item in data.annotations if item.image_id in kept)
    return replace(data, images=images, annotations=annotations)


def main() -> None:
    data, folder = few(read_coco(Path(sys.argv[1])), 3), Path(sys.argv[2])
    part, parts = int(sys.argv[3]), int(sys.argv[4])
    cv2.setNumThreads(1)
    assert in_child(building(data, folder / "whole", None, folder / "operations")) == 0
    operations = int((folder / "operations").read_text())
    kills = 0
    for first in range(1 + part, operations + 1, parts):
        out = folder / f"killed_{first}"
        # Killed once at `first`, and then once more on the way.
        for at in (first, 1 + first // 2):
            kills += in_child(building(data, out, at)) == signal.SIGKILL
        assert in_child(building(data, out, None)) == 0
        compare(folder / "whole", out)
        shutil.rmtree(out)
    sys.stdout.write(f"{operations} {kills}\n")


if __name__ == "__main__":
    main()
