"""An online augmenter from what a user writes: the one door for the transforms of all libraries."""

from __future__ import annotations

from pathlib import Path

from polyp_aug.errors import ConfigurationError
from polyp_aug.online.augmenter import OnlineAugmenter
from polyp_aug.online.live import load_live_painter
from polyp_aug.online.settings import OnlineSettings
from polyp_aug.pool import Pool, ensure_pool


def load_online_augmenter(
    pool: str | Path | None,
    synthesizer: str | None,
    references: str | Path | None,
    proposer: str,
    settings: OnlineSettings,
) -> OnlineAugmenter:
    """Load a pool, what paints where the pool has nothing, or both.

    Args:
        pool: folder of a pool, or of a run, whose pool is cut out the first time.
        synthesizer: name or weights of what paints; None: nothing does.
        references: COCO set of the polyps that the synthesizer moves.
        proposer: finds places for the synthesizer.
        settings: see `OnlineSettings`.

    Raises:
        ConfigurationError: neither pool nor synthesizer is given; and see `ensure_pool` and `load_live_painter`.
    """
    if pool is None and synthesizer is None:
        raise ConfigurationError("'pool' or 'synthesizer' must be given")
    painter = None
    if synthesizer is not None:
        painter = load_live_painter(
            synthesizer,
            Path(references) if references else None,
            proposer=proposer,
            polyps_per_image=settings.polyps_per_image,
            size_range=settings.size_range if settings.size_range != (0.0, 1.0) else None,
        )
    return OnlineAugmenter(Pool(ensure_pool(Path(pool))) if pool else None, painter, settings)
