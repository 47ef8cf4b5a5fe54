"""The limits of a usable frame, read from YAML."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from polyp_aug.curation.frame_quality import FrameQuality
from polyp_aug.errors import ConfigurationError

#: The limits that the package brings; the file says what they were set on.
DEFAULT_THRESHOLDS = Path(__file__).with_name("frame_quality.yaml")


@dataclass(frozen=True)
class QualityThresholds:
    """The least `field` and the largest value of every other measure of `FrameQuality` that a frame may have."""

    field: float
    blur: float
    reflection: float
    largest_reflection: float
    channel_shift: float
    interlacing: float

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` where a limit is no finite number from 0 on."""
        for name, value in self.limits().items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ConfigurationError(f"threshold {name} is {value!r}, expected a number of at least 0")

    @classmethod
    def read(cls, path: str | os.PathLike[str] = DEFAULT_THRESHOLDS) -> QualityThresholds:
        """Read a YAML mapping of every threshold to its number.

        Raises:
            ConfigurationError: the file can't be read, or a threshold is missing, unknown or no number from 0 on.
        """
        try:
            document = yaml.safe_load(Path(path).read_bytes())
        except (OSError, yaml.YAMLError) as error:
            raise ConfigurationError(f"{path}: can't be read as YAML ({error})") from error
        names = [entry.name for entry in fields(cls)]
        if not isinstance(document, dict) or set(document) != set(names):
            given = sorted(map(str, document)) if isinstance(document, dict) else document
            raise ConfigurationError(f"{path}: holds {given!r}, expected a number for each of {', '.join(names)}")
        try:
            return cls(**document)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from error

    def limits(self) -> dict[str, float]:
        """Measure → its limit."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def broken_by(self, quality: FrameQuality) -> tuple[str, ...]:
        """The measures of a frame that are beyond their limits, in the order of `FrameQuality`."""
        beyond = []
        for name, limit in self.limits().items():
            value = getattr(quality, name)
            if value < limit if name == "field" else value > limit:
                beyond.append(name)
        return tuple(beyond)
