"""Where everything of a benchmark lies, and what there is to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from polyp_aug.benchmark.run import RESULT_NAME
from polyp_aug.benchmark.spec import BenchmarkSpec, Run
from polyp_aug.errors import RunConfigurationChanged, RunFolderBusyError
from polyp_aug.evaluation.report import make_folder
from polyp_aug.images import write_bytes

_SPEC_NAME = "benchmark.json"
#: What a generated set holds once it is whole, its pool included.
COMPLETE_NAME = ".complete"

#: Settings to which a benchmark may add, without what is there being made again.
_GROWING = ("detectors", "arms", "sizes", "seeds")


@dataclass(frozen=True)
class Task:
    """One thing to do, in a process of its own.

    Attributes:
        name: of the generated set, `set:ARM-SIZE-seedSEED`, or of the run.
        done: a file that is there when it is done.
    """

    name: str
    done: Path


class BenchmarkFolder:
    """Where everything of a benchmark lies.

    ::

        benchmark.json                  what is compared
        data/150-seed0/frames/          training frames of a size and seed
        sets/copy_paste-150-seed0/      generated set: a run folder, with its pool
        logs/                           what the processes printed
        runs/CenterNet-real-150-seed0/  a training: its log, and `result.json.gz` when it is done
        report.json, report.md          the tables

    Args:
        path: the folder.
        spec: the benchmark.
    """

    def __init__(self, path: Path, spec: BenchmarkSpec) -> None:
        self.path, self.spec = path, spec

    def settle(self) -> None:
        """Make the folder, or see that it is of this benchmark; arms, detectors, sizes and seeds may be added.

        Raises:
            RunConfigurationChanged: what is there was made with other settings.
            StorageError: it can't be written.
        """
        make_folder(self.path)
        file = self.path / _SPEC_NAME
        new = json.loads(json.dumps(self.spec.to_dict()))
        if file.exists():
            old = json.loads(file.read_bytes())
            for name, value in old.items():
                if not (_holds(new[name], value) if name in _GROWING else new[name] == value):
                    raise RunConfigurationChanged(
                        f"{self.path}: {name!r} was {value}, is {new[name]}; use another folder, or the same settings"
                    )
        write_bytes(file, (json.dumps(new, indent=2) + "\n").encode())

    def frames(self, size: int, seed: int) -> Path:
        """Folder of the training frames."""
        return self.path / "data" / f"{size}-seed{seed}" / "frames"

    def generated(self, arm: str, size: int, seed: int) -> Path:
        """Run folder of a generated set."""
        return self.path / "sets" / f"{arm}-{size}-seed{seed}"

    def run(self, run: Run) -> Path:
        """Folder of a training."""
        return self.path / "runs" / run.name

    def result(self, run: Run) -> Path:
        """File of a training's result."""
        return self.run(run) / RESULT_NAME

    def sets(self) -> Iterator[Task]:
        """The generated sets that are to be made."""
        for size in self.spec.sizes:
            for seed in self.spec.seeds:
                for name, arm in self.spec.arms.items():
                    if arm.mode != "real" and any(entry.takes(arm) for entry in self.spec.detectors.values()):
                        folder = self.generated(name, size, seed)
                        yield Task(f"set:{folder.name}", folder / COMPLETE_NAME)

    def trainings(self) -> Iterator[Task]:
        """The trainings."""
        for run in self.spec.runs():
            yield Task(run.name, self.result(run))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder.

        Raises:
            RunFolderBusyError: another process does.
        """
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunFolderBusyError(f"{self.path}: another process is working on this benchmark") from None
        try:
            yield
        finally:
            lock.release()


def _holds(new: object, old: object) -> bool:
    """Whether all that was there is there still, unchanged."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(new.get(name) == value for name, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return all(item in new for item in old)
    return new == old
