"""The accelerator of a training: device, precision, trackers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from accelerate import Accelerator

from polyp_aug.errors import ConfigurationError


def make_accelerator(mixed_precision: str, *, trackers: Sequence[str] = (), folder: Path | None = None) -> Accelerator:
    """An accelerator for one process.

    Args:
        mixed_precision: "no", "bf16" or "fp16".
        trackers: names of trackers, as accelerate spells them.
        folder: where trackers write.

    Raises:
        ConfigurationError: the precision is unknown or not to be had on this machine, a tracker is not installed, or
            the training was started in several processes.
    """
    if mixed_precision not in ("no", "bf16", "fp16"):
        raise ConfigurationError(f"'mixed_precision' must be no, bf16 or fp16 (got {mixed_precision!r})")
    try:
        accelerator = Accelerator(
            mixed_precision=mixed_precision,
            log_with=list(trackers) or None,
            project_dir=None if folder is None else str(folder),
        )
    except ValueError as error:
        raise ConfigurationError(f"'mixed_precision' {mixed_precision} can't be had here ({error})") from error
    if accelerator.num_processes > 1:
        raise ConfigurationError(f"training runs in one process (got {accelerator.num_processes})")
    found = {str(getattr(tracker, "value", tracker)) for tracker in accelerator.log_with}
    missing = [name for name in trackers if name not in found]
    if missing:
        raise ConfigurationError(f"'trackers' {', '.join(missing)}: not installed")
    return accelerator
