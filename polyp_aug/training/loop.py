"""The steps of a training: saved, measured, shown and logged as they go, and taken up where they stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from accelerate import Accelerator

from polyp_aug.errors import ConfigurationError
from polyp_aug.images import ImageArray, write_png
from polyp_aug.training.folder import TrainingFolder, TrainingProgress

SHEETS_NAME = "samples"

_Batch = TypeVar("_Batch")


@dataclass(frozen=True)
class TrainingOptions:
    """What doesn't decide which steps are taken: a training may be continued with others.

    Attributes:
        micro_batch: examples that go through a network at once, or 0 for the whole batch; changes rounding only.
        cache: folder for latents, which other trainings may share; None encodes every batch anew.
        seconds: stop after so much time; the state is saved.
        save_every: steps between two savings and measurements.
        sample_every: steps between two sheets of painted samples, or 0 for none.
        gradient_checkpointing: compute activations again in the backward pass: less memory, more time.
        trackers: "tensorboard", "wandb", "mlflow": where losses and samples are logged to as well.
        half: write the pipeline in half precision.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    micro_batch: int = 0
    cache: Path | None = None
    seconds: float | None = None
    save_every: int = 250
    sample_every: int = 1000
    gradient_checkpointing: bool = False
    trackers: tuple[str, ...] = ("tensorboard",)
    half: bool = False

    def __post_init__(self) -> None:
        if self.micro_batch < 0:
            raise ConfigurationError(f"'micro_batch' must not be negative (got {self.micro_batch})")
        if self.save_every < 1:
            raise ConfigurationError(f"'save_every' must be at least 1 (got {self.save_every})")
        if self.sample_every < 0 or self.sample_every % self.save_every:
            raise ConfigurationError(
                f"'sample_every' must be a multiple of 'save_every', {self.save_every} (got {self.sample_every})"
            )
        for name in self.trackers:
            if name not in ("tensorboard", "wandb", "mlflow"):
                raise ConfigurationError(f"'trackers' may hold tensorboard, wandb and mlflow (got {name!r})")


@dataclass(frozen=True)
class Steps:
    """What a loop does, and how far it goes.

    Attributes:
        first: steps that were done before.
        last: steps in all.
        take: takes a batch and the number of the step; returns the loss.
        state: everything that the next step depends on.
        measure: name → value on validation data, at each saving.
        sheet: what is painted now, uint8 RGB, at each sheet.
    """

    first: int
    last: int
    take: Callable[[Any, int], float]
    state: Callable[[], Mapping[str, Any]]
    measure: Callable[[], Mapping[str, float]]
    sheet: Callable[[], ImageArray]


def run_steps(
    steps: Steps,
    batches: Iterable[_Batch],
    folder: TrainingFolder,
    options: TrainingOptions,
    accelerator: Accelerator,
    *,
    start: float,
    observer: Callable[[TrainingProgress], None] | None = None,
) -> int:
    """Take steps until all are done, or time is up.

    Args:
        steps: what to do.
        batches: of the steps that are left, in their order.
        folder: where state, log and sheets go.
        options: see there.
        accelerator: whose trackers are told.
        start: when the training began, by `time.monotonic`.
        observer: called at each saving.

    Returns:
        Steps that are done in all.
    """
    step = steps.first
    losses: list[float] = []
    for batch in batches:
        losses.append(steps.take(batch, step))
        step += 1
        late = options.seconds is not None and time.monotonic() - start > options.seconds
        if step % options.save_every == 0 or step == steps.last or late:
            progress = TrainingProgress(step, steps.last, sum(losses) / len(losses), steps.measure())
            losses.clear()
            folder.save({**steps.state(), "step": step}, progress)
            accelerator.log({"loss": progress.loss, **progress.measures}, step=step)
            if options.sample_every and (step % options.sample_every == 0 or step == steps.last):
                _log_sheet(accelerator, folder.path / SHEETS_NAME, steps.sheet(), step)
            if observer is not None:
                observer(progress)
        if late:
            break
    return step


def _log_sheet(accelerator: Accelerator, folder: Path, sheet: ImageArray, step: int) -> None:
    folder.mkdir(exist_ok=True)
    write_png(folder / f"{step:06d}.png", sheet)
    for tracker in accelerator.trackers:
        if tracker.name == "tensorboard":
            tracker.log_images({"samples": sheet[None]}, step=step, dataformats="NHWC")
        elif tracker.name == "wandb":
            tracker.log_images({"samples": [sheet]}, step=step)
