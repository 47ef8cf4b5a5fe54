"""How often, how many, how large, and what may be covered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from polyp_aug.errors import ConfigurationError

#: What happens to polyps that a frame holds already.
Existing = Literal["keep", "replace", "skip"]


@dataclass(frozen=True)
class OnlineSettings:
    """What an online augmentation does to a frame.

    Attributes:
        probability: that a frame is changed at all.
        polyps_per_image: smallest and largest number of new polyps.
        size_range: smallest and largest equivalent diameter of a new polyp, as a share of the frame's shorter side.
        largest_overlap: largest share of an object's box that the box of a new polyp may cover.
        smallest_visible: an object of which less than this share would stay in sight is never covered; exact where
            masks are known.
        existing: "keep" adds to the polyps of a frame, "replace" removes them first where the pool knows how, and
            "skip" leaves frames with polyps alone.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    probability: float = 0.5
    polyps_per_image: tuple[int, int] = (1, 1)
    size_range: tuple[float, float] = (0.0, 1.0)
    largest_overlap: float = 0.0
    smallest_visible: float = 0.7
    existing: Existing = "keep"

    def __post_init__(self) -> None:
        for name in ("probability", "largest_overlap", "smallest_visible"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ConfigurationError(f"{name!r} must be within 0 … 1 (got {value})")
        for name, lowest, highest in (("polyps_per_image", 1, 20), ("size_range", 0.0, 1.0)):
            value = getattr(self, name)
            if len(value) != 2 or not lowest <= value[0] <= value[1] <= highest:
                raise ConfigurationError(f"{name!r} must rise within {lowest} … {highest} (got {value})")
        if self.existing not in get_args(Existing):
            raise ConfigurationError(f"'existing' must be one of {get_args(Existing)} (got {self.existing!r})")
