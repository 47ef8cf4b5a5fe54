"""Hooks for a training of mmengine: what the synthesis did, and a pool that is renewed while a detector trains."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmdet.registry import HOOKS as MMDET_HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook

from polyp_aug.integrations.mmdet.synthesis import PolypSynthesis
from polyp_aug.registry import HOOKS

#: Seconds that a refresher gets to finish what it writes.
_PATIENCE = 20.0


@HOOKS.register_module()
@MMDET_HOOKS.register_module()
class SynthesisReportHook(Hook):  # type: ignore[misc]
    """Log, with the losses, how many samples `PolypSynthesis` changed, skipped and failed at, since the training began.

    A training without that transform logs nothing more. Counted is what the loaders have prepared, which is a few
    batches ahead of what was trained on.

    Args:
        interval: iterations between two readings.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self._transforms: list[PolypSynthesis] = []

    def before_train(self, runner: Any) -> None:
        """Find the transforms."""
        self._transforms = list(_find(runner.train_dataloader.dataset))

    def after_train_iter(self, runner: Any, **_: Any) -> None:
        """Read the counts."""
        if self._transforms and self.every_n_train_iters(runner, self.interval):
            for name in self._transforms[0].counts.names:
                total = sum(transform.counts.totals()[name] for transform in self._transforms)
                runner.message_hub.update_scalar(f"train/synthesis_{name}", total)

    def after_train(self, runner: Any) -> None:
        """Say it once more, in words."""
        for transform in self._transforms:
            totals = ", ".join(f"{count} {name}" for name, count in transform.counts.totals().items())
            runner.logger.info("PolypSynthesis: %s samples", totals)


@HOOKS.register_module()
@MMDET_HOOKS.register_module()
class PoolRefresher(Hook):  # type: ignore[misc]
    """Renew a pool while a detector trains: one process, `polyp-aug refresh`, that ends with the training.

    It reads its own standard input, which the operating system closes when this process ends, however it ends. Only the
    first rank starts one.

    Args:
        pool: folder of the pool.
        arguments: further options of `polyp-aug refresh`, such as `["--backgrounds", "normal", "--synthesizer", "sd"]`.
        log: file for what it prints, relative to the work dir.
    """

    def __init__(self, pool: str, arguments: Sequence[str], log: str = "refresh.log") -> None:
        self.pool, self.arguments, self.log = pool, list(arguments), log
        self._process: subprocess.Popen[bytes] | None = None

    @master_only  # type: ignore[untyped-decorator]
    def before_train(self, runner: Any) -> None:
        """Start it."""
        command = [sys.executable, "-m", "polyp_aug", "refresh", self.pool, *self.arguments, "--until-input-closes"]
        with open(Path(runner.work_dir) / self.log, "ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def after_train_iter(self, runner: Any, **_: Any) -> None:
        """Tell, once, when it has ended on its own; the training goes on with the pool as it is."""
        if self._process is not None and self._process.poll() is not None:
            runner.logger.warning(
                "PoolRefresher: ended with %d, see %s; the training goes on with the pool as it is",
                self._process.returncode,
                Path(runner.work_dir) / self.log,
            )
            self._process = None

    def after_train(self, _: Any) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _find(dataset: Any) -> Iterator[PolypSynthesis]:
    """The transforms in a data set, and in those that it wraps or joins."""
    for transform in getattr(getattr(dataset, "pipeline", None), "transforms", ()):
        if isinstance(transform, PolypSynthesis):
            yield transform
    for inner in (*getattr(dataset, "datasets", ()), *([dataset.dataset] if hasattr(dataset, "dataset") else ())):
        yield from _find(inner)
