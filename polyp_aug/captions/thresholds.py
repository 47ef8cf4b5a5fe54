"""The limits between the values of attributes, and how often the values occur, read from YAML."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from polyp_aug.captions.attributes import BACKGROUND, FOREGROUND, OF_LOOK
from polyp_aug.errors import ConfigurationError

#: What the package brings, measured on the training split of Kvasir-SEG; scripts/measure_caption_thresholds.py made it.
DEFAULT_TABLE = Path(__file__).with_name("attributes.yaml")

#: Limit → what it parts.
LIMITS = (
    "centre",
    "small",
    "large",
    "irregular",
    "round",
    "pale",
    "reddish",
    "smooth",
    "nodular",
    "flat",
    "pedunculated",
    "orange",
    "red",
    "dim",
    "bright",
    "glossy",
    "visible",
)

#: What the polyps are counted by, and the mucosa.
POLYP_KEYS = ("size", *OF_LOOK)
BACKGROUND_KEYS = tuple(BACKGROUND)


@dataclass(frozen=True)
class AttributeTable:
    """Limits and frequencies.

    Attributes:
        source: the frames it was measured on.
        limits: a number for each of `LIMITS`.
        mucosa: mean CIELAB of mucosa, which stands in where a frame shows none around its polyp.
        polyps: size, colour, texture and type, in this order → how many polyps have them.
        backgrounds: the values of `BACKGROUND` in their order → how many frames have them.
        digest: 16 digits that change with any of it.
    """

    source: str
    limits: Mapping[str, float]
    mucosa: tuple[float, float, float]
    polyps: Mapping[tuple[str, ...], int]
    backgrounds: Mapping[tuple[str, ...], int]
    digest: str


@cache
def default_table() -> AttributeTable:
    """The table that comes with the package."""
    return read_table(DEFAULT_TABLE)


def read_table(path: str | os.PathLike[str]) -> AttributeTable:
    """Read a YAML file of scripts/measure_caption_thresholds.py.

    Raises:
        ConfigurationError: it can't be read, or something is missing, unknown or of another type.
    """
    try:
        data = Path(path).read_bytes()
        document = yaml.safe_load(data)
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: can't be read as YAML ({error})") from error
    parts = {"source", "limits", "mucosa", "polyps", "backgrounds"}
    if not isinstance(document, dict) or set(document) != parts:
        given = sorted(map(str, document)) if isinstance(document, dict) else document
        raise ConfigurationError(f"{path}: holds {given!r}, expected {', '.join(sorted(parts))}")
    limits = document["limits"]
    if not isinstance(limits, dict) or set(limits) != set(LIMITS) or not all(map(_is_number, limits.values())):
        raise ConfigurationError(f"{path}: limits are {limits!r}, expected a number for each of {', '.join(LIMITS)}")
    mucosa = document["mucosa"]
    if not isinstance(mucosa, list) or len(mucosa) != 3 or not all(map(_is_number, mucosa)):
        raise ConfigurationError(f"{path}: mucosa is {mucosa!r}, expected the three numbers of a colour in CIELAB")
    tables: Mapping[str, Mapping[str, Any]] = {**FOREGROUND, **BACKGROUND}
    return AttributeTable(
        source=str(document["source"]),
        limits=limits,
        mucosa=(mucosa[0], mucosa[1], mucosa[2]),
        polyps=_counts(document["polyps"], [tables[name] for name in POLYP_KEYS], f"{path}: polyps"),
        backgrounds=_counts(
            document["backgrounds"], [tables[name] for name in BACKGROUND_KEYS], f"{path}: backgrounds"
        ),
        digest=hashlib.sha256(repr(document).encode()).hexdigest()[:16],
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _counts(rows: Any, allowed: list[Mapping[str, Any]], where: str) -> dict[tuple[str, ...], int]:
    """Rows of values, separated by commas, with their counts."""
    if not isinstance(rows, dict) or not rows:
        raise ConfigurationError(f"{where} is {rows!r}, expected values with their counts")
    found = {}
    for text, count in rows.items():
        values = tuple(str(text).split(", "))
        known = len(values) == len(allowed) and all(
            value in table for value, table in zip(values, allowed, strict=True)
        )
        if not known or type(count) is not int or count < 1:
            raise ConfigurationError(f"{where} has {text!r}: {count!r}, expected known values and a count from 1 on")
        found[values] = count
    return found
