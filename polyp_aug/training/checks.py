"""What the settings of all trainings with a denoising objective must be."""

from __future__ import annotations

from typing import Any

from polyp_aug.errors import ConfigurationError


def check_learning(config: Any) -> None:
    """Raise where a setting that these trainings share is out of its range.

    Args:
        config: with `count`, `steps`, `batch_size`, `warmup`, `lesion_weight`, `seed`, `prompt_dropout`, `ema`,
            `learning_rate`, `schedule` and `snr_gamma`.

    Raises:
        ConfigurationError: a value is out of its range; the message names it.
    """
    for name in ("count", "steps", "batch_size"):
        if getattr(config, name) < 1:
            raise ConfigurationError(f"{name!r} must be at least 1 (got {getattr(config, name)})")
    for name in ("warmup", "lesion_weight", "seed"):
        if getattr(config, name) < 0:
            raise ConfigurationError(f"{name!r} must not be negative (got {getattr(config, name)})")
    for name in ("prompt_dropout", "ema"):
        if not 0.0 <= getattr(config, name) < 1.0:
            raise ConfigurationError(f"{name!r} must be within [0, 1) (got {getattr(config, name)})")
    if not 0.0 < config.learning_rate < 1.0:
        raise ConfigurationError(f"'learning_rate' must be within (0, 1) (got {config.learning_rate})")
    if config.schedule not in ("constant", "cosine"):
        raise ConfigurationError(f"'schedule' must be constant or cosine (got {config.schedule!r})")
    if config.snr_gamma is not None and config.snr_gamma <= 0:
        raise ConfigurationError(f"'snr_gamma' must be positive (got {config.snr_gamma})")
