"""A share that changes while a detector trains."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from polyp_aug.errors import ConfigurationError


@dataclass(frozen=True)
class Schedule:
    """A piecewise-linear function of a training's progress.

    Before the first point and after the last one the value stays; two points of one progress make a step, at which the
    second one counts.

    Attributes:
        points: (progress, value) pairs, both within 0 … 1; the progress never falls.
    """

    points: tuple[tuple[float, float], ...]

    @staticmethod
    def of(name: str, value: float | Sequence[Sequence[float]]) -> Schedule:
        """A schedule from what a config says.

        Args:
            name: of the setting, for messages.
            value: one number for the whole training, or points such as `[(0.0, 0.5), (0.7, 0.5), (1.0, 0.0)]`.

        Raises:
            ConfigurationError: a number is out of its range, there is no point, or the progress falls.
        """
        points = [(0.0, value)] if isinstance(value, int | float) else list(value)
        expected = f"{name!r} must be within 0 … 1, or (progress, value) points within 0 … 1 whose progress never falls"
        try:
            found = tuple((float(progress), float(own)) for progress, own in points)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"{expected} (got {value!r})") from error
        times = [progress for progress, _ in found]
        inside = all(0.0 <= number <= 1.0 for point in found for number in point)
        if not found or not inside or times != sorted(times):
            raise ConfigurationError(f"{expected} (got {value!r})")
        return Schedule(found)

    @property
    def changes(self) -> bool:
        """Whether it takes more than one value."""
        return len({value for _, value in self.points}) > 1

    def at(self, progress: float) -> float:
        """The value at a progress: 0 where a training begins, 1 where it ends."""
        after = bisect_right([point[0] for point in self.points], progress)
        if after == 0:
            return self.points[0][1]
        if after == len(self.points):
            return self.points[-1][1]
        (begin, low), (end, high) = self.points[after - 1], self.points[after]
        return low + (high - low) * (progress - begin) / (end - begin)
