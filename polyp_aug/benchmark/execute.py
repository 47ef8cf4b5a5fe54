"""All of a benchmark: frames, generated sets and trainings, several at a time, going on where they stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from queue import Queue

from polyp_aug.benchmark.data import draw_frames
from polyp_aug.benchmark.folder import COMPLETE_NAME, BenchmarkFolder, Task
from polyp_aug.benchmark.run import make_run
from polyp_aug.benchmark.sets import make_set
from polyp_aug.benchmark.spec import BenchmarkSpec
from polyp_aug.errors import ConfigurationError, SynthesisError
from polyp_aug.evaluation.report import make_folder
from polyp_aug.images import write_bytes
from polyp_aug.integrations.yolo.program import find_program


def run_benchmark(
    spec_file: Path,
    folder: BenchmarkFolder,
    *,
    jobs: int = 1,
    devices: Sequence[str] = ("cpu",),
    observer: Callable[[int, int], None] | None = None,
) -> None:
    """Do all that isn't done.

    Args:
        spec_file: the YAML, which the processes read again.
        folder: where.
        jobs: processes at a time. On a processor they share its threads; with several devices, each takes the next.
        devices: of torch, "cpu" or "cuda:0", "cuda:1", …
        observer: called with the tasks that are done and all of them.

    Raises:
        ConfigurationError: `jobs` is less than 1; and see `draw_frames`.
        MissingDependencyError: a detector's program is not there.
        RunConfigurationChanged: the folder is of another benchmark.
        RunFolderBusyError: another process is working on it.
        SynthesisError: a process failed; the message names its log. What others did is kept.
    """
    if jobs < 1:
        raise ConfigurationError(f"'jobs' must be at least 1 (got {jobs})")
    spec = folder.spec
    for run in spec.runs():
        detector = spec.detectors[run.detector]
        if detector.yolo is not None and not folder.result(run).exists():
            find_program(detector.command)
    folder.settle()
    with folder.locked():
        for size in spec.sizes:
            for seed in spec.seeds:
                draw_frames(spec, size, seed, folder.frames(size, seed).parent)
        stages = [list(folder.sets()), list(folder.trainings())]
        total = sum(map(len, stages))
        done = 0
        for stage in stages:
            left = [task for task in stage if not task.done.exists()]
            done += len(stage) - len(left)
            if observer is not None:
                observer(done, total)
            slots: Queue[str] = Queue()
            for number in range(jobs):
                slots.put(devices[number % len(devices)])
            with ThreadPoolExecutor(jobs) as pool:
                pending = {pool.submit(_process, task, spec_file, folder, slots, jobs) for task in left}
                while pending:
                    finished, pending = wait(pending, return_when=FIRST_EXCEPTION, timeout=1.0)
                    if observer is not None:
                        observer(done + sum(task.done.exists() for task in left), total)
                    failed = [error for future in finished if (error := future.exception())]
                    if failed:
                        for future in pending:
                            future.cancel()
                        raise failed[0]
            done += len(left)


def do_task(spec: BenchmarkSpec, folder: BenchmarkFolder, name: str, device: str) -> None:
    """Do one task in this process.

    Args:
        spec: the benchmark.
        folder: where.
        name: of the task.
        device: of torch.

    Raises:
        ConfigurationError: there is no such task; and see `make_set` and `make_run`.
    """
    for size in spec.sizes:
        for seed in spec.seeds:
            for arm_name, arm in spec.arms.items():
                generated = folder.generated(arm_name, size, seed)
                if name == f"set:{generated.name}" and arm.mode != "real":
                    make_set(arm, folder.frames(size, seed), seed, generated)
                    write_bytes(generated / COMPLETE_NAME, b"")
                    return
    for run in spec.runs():
        if run.name == name:
            arm = spec.arms[run.arm]
            synthetic = folder.generated(run.arm, run.size, run.seed) if arm.mode != "real" else None
            make_run(spec, run, folder.frames(run.size, run.seed), synthetic, folder.run(run), device=device)
            return
    raise ConfigurationError(f"{name!r} is no task of this benchmark")


def _process(task: Task, spec_file: Path, folder: BenchmarkFolder, slots: Queue[str], jobs: int) -> None:
    """Do a task in a process that ends with this one."""
    log = folder.path / "logs" / f"{task.name.replace(':', '-')}.txt"
    make_folder(log.parent)
    slot = slots.get()
    try:
        device, _, number = slot.partition(":")
        environment = os.environ | ({"CUDA_VISIBLE_DEVICES": number} if number else {})
        environment.setdefault("OMP_NUM_THREADS", str(max(1, _processors() // jobs)))
        command = [sys.executable, "-m", "polyp_aug", "benchmark", str(spec_file), "--out", str(folder.path)]
        with open(log, "ab") as stream:
            # Its standard input is held open by nobody else: it ends when this process does, however that comes.
            process = subprocess.Popen(
                [*command, "--task", task.name, "--device", device],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=stream,
                env=environment,
            )
            code = process.wait()
    finally:
        slots.put(slot)
    if code or not task.done.exists():
        raise SynthesisError(f"{task.name}: ended with {code}; see {log}")


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
