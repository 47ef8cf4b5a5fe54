"""The learning rate over the steps of a training."""

from __future__ import annotations

import math
from typing import Literal

ScheduleName = Literal["constant", "cosine"]


def learning_rate(base: float, step: int, steps: int, *, schedule: ScheduleName, warmup: int = 0) -> float:
    """The learning rate of a step.

    Args:
        base: the rate after the warm-up.
        step: counted from 0.
        steps: in all.
        schedule: "constant", or "cosine": from the base down to a tenth of it at the end.
        warmup: so many steps at first in which the rate rises linearly to the base.
    """
    rate = base * (0.55 + 0.45 * math.cos(math.pi * step / steps)) if schedule == "cosine" else base
    return rate * min(1.0, (step + 1) / warmup) if warmup else rate
