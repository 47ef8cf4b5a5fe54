"""What long commands share: progress, interruption, and the result of a run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import typer

from polyp_aug.cli.output import errors, output, progress_bar, size_text
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.generation.frames import FramesConfig, generate_frames
from polyp_aug.generation.generate import generate
from polyp_aug.generation.remove import RemoveConfig, remove
from polyp_aug.generation.writing import RunLimits, RunProgress

Result = TypeVar("Result")


def run_generate(config: GenerateConfig, out: Path, limits: RunLimits | None = None) -> None:
    """Make a run that adds polyps, show its progress on standard error, and print what it made."""
    progress = resumable(
        "samples",
        lambda show: generate(config, out, limits=limits, observer=lambda found: show(found.done, found.total)),
    )
    _print(progress, out, f"{progress.made} images with {progress.polyps} new polyps", "samples")


def run_frames(config: FramesConfig, out: Path, limits: RunLimits | None = None) -> None:
    """Make a run of whole frames, show its progress on standard error, and print what it made."""
    progress = resumable(
        "samples",
        lambda show: generate_frames(config, out, limits=limits, observer=lambda found: show(found.done, found.total)),
    )
    _print(progress, out, f"{progress.made} frames with {progress.polyps} polyps", "samples")


def run_remove(config: RemoveConfig, out: Path, limits: RunLimits | None = None) -> None:
    """Make a run that removes polyps, show its progress on standard error, and print what it made."""
    progress = resumable(
        "frames", lambda show: remove(config, out, limits=limits, observer=lambda found: show(found.done, found.total))
    )
    _print(progress, out, f"{progress.made} frames, {progress.polyps} polyps removed", "frames")


def resumable(what: str, work: Callable[[Callable[[int, int], None]], Result]) -> Result:
    """Do work that goes on where it is interrupted, and show its progress on standard error.

    Args:
        what: is counted.
        work: is given what to call with how much is done, and of all.
    """
    with progress_bar(what) as show:
        try:
            return work(show)
        except KeyboardInterrupt:
            errors.print("Interrupted. The same command goes on where it stopped.", markup=False)
            raise typer.Exit(130) from None


def _print(progress: RunProgress, out: Path, made: str, what: str) -> None:
    lines = [f"{made}, {size_text(progress.bytes)}"]
    if progress.skipped:
        lines.append(f"{progress.skipped} {what} skipped; the reasons stand in {out / 'README.md'}")
    if progress.limited:
        lines.append(f"stopped by --limit-bytes after {progress.done} of {progress.total} {what}")
    lines += [f"COCO file: {out / 'annotations.json'}", f"gallery:   {out / 'index.html'}"]
    output.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
