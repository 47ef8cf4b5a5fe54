"""Limits of scores that were measured on real data, one YAML file for each family of scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from polyp_aug.errors import ConfigurationError


@dataclass(frozen=True)
class Limit:
    """What a score must be; None leaves a side open.

    Attributes:
        at_least: the smallest value that passes.
        at_most: the largest.

    Raises:
        ConfigurationError: a bound is no finite number, or no value passes.
    """

    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        for value in (self.at_least, self.at_most):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise ConfigurationError(f"a limit is {value!r}, expected a number")
            if value is not None and not math.isfinite(value):
                raise ConfigurationError(f"a limit is {value!r}, expected a finite number")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ConfigurationError(f"at_least {self.at_least:g} is above at_most {self.at_most:g}: nothing passes")

    def broken_by(self, value: float) -> str | None:
        """What is wrong with a value, as the end of a sentence, or None."""
        if self.at_least is not None and value < self.at_least:
            return f"is {value:.3g}, below {self.at_least:.3g}"
        if self.at_most is not None and value > self.at_most:
            return f"is {value:.3g}, above {self.at_most:.3g}"
        return None

    def to_dict(self) -> dict[str, float]:
        """The bounds that there are."""
        both = {"at_least": self.at_least, "at_most": self.at_most}
        return {name: value for name, value in both.items() if value is not None}


@cache
def family_limits(family: str) -> Mapping[str, Limit]:
    """The limits that the package brings for a family of scores: `polyp_quality`, `referee` or `near_copies`."""
    return read_limits(Path(__file__).with_name(f"{family}.yaml"))


def read_limits(file: Path) -> Mapping[str, Limit]:
    """Limits by score, from the mapping `limits` of a YAML file.

    Raises:
        ConfigurationError: the file can't be read, or a limit is none.
    """
    try:
        document = yaml.safe_load(file.read_bytes())
        return {str(name): parse_limit(bounds) for name, bounds in document["limits"].items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ConfigurationError) as error:
        raise ConfigurationError(f"{file}: can't be read as limits of scores ({error})") from error


def parse_limit(bounds: Mapping[str, Any]) -> Limit:
    """A limit from its bounds `at_least` and `at_most`.

    Raises:
        ConfigurationError: another key stands there, or a bound is wrong.
    """
    unknown = sorted(set(bounds) - {"at_least", "at_most"})
    if unknown:
        raise ConfigurationError(f"unknown bounds {', '.join(map(str, unknown))}, expected at_least and at_most")
    return Limit(bounds.get("at_least"), bounds.get("at_most"))
