"""Starts a run in many child processes, each killed with SIGKILL at another file operation, and lets a last one finish.

Usage: kill_points.py BACKGROUNDS REFERENCES FOLDER PART PARTS. Prints the number of operations of a whole run, and the
number of kills. Children are forked, so that the libraries are imported once.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import cv2

from polyp_aug.generation.config import GenerateConfig
from polyp_aug.generation.generate import generate

#: Audit events of what changes files. "open" is counted for writing only.
WATCHED = ("os.rename", "os.remove", "os.mkdir", "os.truncate", "os.chmod", "open")


class Killer:
    """Counts file operations, and kills its own process at one of them."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.seen = 0

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event not in WATCHED or (event == "open" and not self._writes(arguments)):
            return
        self.seen += 1
        if self.seen == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    @staticmethod
    def _writes(arguments: tuple[object, ...]) -> bool:
        mode, flags = arguments[1], arguments[2]
        return (isinstance(mode, str) and mode != "rb" and mode != "r") or (isinstance(flags, int) and bool(flags & 3))


def in_child(work: Callable[[], int]) -> int:
    """Exit status of `work` in a forked process, as `os.wait` gives it."""
    child = os.fork()
    if child == 0:
        os._exit(work())
    return os.waitpid(child, 0)[1]


def run(config: GenerateConfig, out: Path, at: int | None, report: Path | None = None) -> Callable[[], int]:
    def work() -> int:
        killer = Killer(at)
        sys.addaudithook(killer)
        generate(config, out)
        if report is not None:
            report.write_text(str(killer.seen))
        return 0

    return work


def main() -> None:
    backgrounds, references, folder = (Path(text) for text in sys.argv[1:4])
    part, parts = int(sys.argv[4]), int(sys.argv[5])
    cv2.setNumThreads(1)
    config = GenerateConfig(backgrounds, references, count=5, seed=1, batch_size=2, polyps_per_image=(1, 2))
    assert in_child(run(config, folder / "whole", None, folder / "operations")) == 0
    operations = int((folder / "operations").read_text())
    kills = 0
    for first in range(1 + part, operations + 1, parts):
        out = folder / f"killed_{first}"
        # Killed once at `first`, and then twice more on the way.
        for at in (first, 1 + first // 2, 1 + first // 3):
            kills += in_child(run(config, out, at)) == signal.SIGKILL
        assert in_child(run(config, out, None)) == 0
        compare(folder / "whole", out)
        shutil.rmtree(out)
    sys.stdout.write(f"{operations} {kills}\n")


def compare(first: Path, second: Path) -> None:
    names = [{path.relative_to(root) for path in root.rglob("*")} for root in (first, second)]
    if names[0] != names[1]:
        raise SystemExit(f"{second}: files differ: {sorted(names[0] ^ names[1])}")
    for name in names[0]:
        if (first / name).is_file() and (first / name).read_bytes() != (second / name).read_bytes():
            raise SystemExit(f"{second / name} differs from a run that was never killed")


if __name__ == "__main__":
    main()
