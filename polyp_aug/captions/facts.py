"""What captions say, as measured facts: of every polyp of a frame, and of the mucosa around."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polyp_aug.captions.attributes import BACKGROUND, FOREGROUND
from polyp_aug.captions.measures import View, background_numbers, look_numbers, mask_numbers, view
from polyp_aug.captions.thresholds import AttributeTable, default_table
from polyp_aug.errors import ConfigurationError
from polyp_aug.images import ImageArray, MaskArray


@dataclass(frozen=True)
class MaskFacts:
    """What a mask tells without a picture.

    Attributes:
        place: a quadrant of the frame, by the mask's centre, or "centre".
        size: by the mask's share of the frame.
        shape: "irregular" where much of its convex hull is not in it, else by the ratio of its axes.
        numbers: see `polyp_aug.captions.measures.mask_numbers`.
    """

    place: str
    size: str
    shape: str
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PolypFacts:
    """What is known of a polyp: one value for each attribute of `FOREGROUND`.

    Attributes:
        place: see `MaskFacts`.
        size: see `MaskFacts`.
        shape: see `MaskFacts`.
        colour: against the mucosa around it.
        texture: of its surface.
        type: the way it swells, a guess from how sharply its rim stands out; no Paris classification.
        numbers: what was measured; an attribute that was drawn or asked for has none.
    """

    place: str
    size: str
    shape: str
    colour: str
    texture: str
    type: str
    numbers: Mapping[str, float] = field(default_factory=dict)

    def values(self) -> dict[str, str]:
        """Attribute → value."""
        return {name: getattr(self, name) for name in FOREGROUND}


@dataclass(frozen=True)
class BackgroundFacts:
    """What is known of the mucosa: one value for each attribute of `BACKGROUND`.

    Attributes:
        tone: colour of the mucosa.
        brightness: of the mucosa.
        highlights: "glossy" where many are seen, else "matt".
        lumen: "visible" where a large part of the view is dark; a lumen that is lit is not told.
        numbers: what was measured; empty where the values were drawn.
    """

    tone: str
    brightness: str
    highlights: str
    lumen: str
    numbers: Mapping[str, float] = field(default_factory=dict)

    def values(self) -> dict[str, str]:
        """Attribute → value."""
        return {name: getattr(self, name) for name in BACKGROUND}


@dataclass(frozen=True)
class FrameFacts:
    """The facts of a frame: its polyps, the largest first, and its background."""

    polyps: tuple[PolypFacts, ...]
    background: BackgroundFacts

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; numbers have six decimals."""
        return {
            "polyps": [_record(facts.values(), facts.numbers) for facts in self.polyps],
            "background": _record(self.background.values(), self.background.numbers),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> FrameFacts:
        """The facts of a record of `to_dict`.

        Raises:
            ConfigurationError: an attribute is missing, or has a value that it can't have.
        """
        polyps, background = record.get("polyps"), record.get("background")
        if not isinstance(polyps, list):
            raise ConfigurationError(f"facts of polyps are {polyps!r}, expected a list")
        return cls(
            tuple(PolypFacts(**_checked(row, FOREGROUND)) for row in polyps),
            BackgroundFacts(**_checked(background, BACKGROUND)),
        )


def measure_facts(
    image: ImageArray, mask: MaskArray, *, others: MaskArray | None = None, table: AttributeTable | None = None
) -> PolypFacts:
    """The facts of a polyp.

    Args:
        image: uint8 RGB (H, W, 3).
        mask: bool (H, W), the polyp.
        others: bool (H, W), further polyps of the frame, which are no mucosa.
        table: limits; the package's own if not given.

    Raises:
        ConfigurationError: the mask is empty, or not of the image's size.
    """
    _check_size(image, mask)
    polyps = mask if others is None else mask | others
    return _polyp_facts(view(image), mask, polyps, table or default_table())


def measure_background(image: ImageArray, polyps: MaskArray, *, table: AttributeTable | None = None) -> BackgroundFacts:
    """The facts of the mucosa of a frame, uint8 RGB (H, W, 3), outside of its polyps, bool (H, W).

    Raises:
        ConfigurationError: the mask is not of the image's size.
    """
    _check_size(image, polyps)
    return _background_facts(view(image), polyps, table or default_table())


def measure_frame(image: ImageArray, masks: Sequence[MaskArray], *, table: AttributeTable | None = None) -> FrameFacts:
    """The facts of a frame and its polyps; see `measure_facts` and `largest_first`.

    Args:
        image: uint8 RGB (H, W, 3).
        masks: bool (H, W), one for each polyp; there may be none.
        table: limits; the package's own if not given.

    Raises:
        ConfigurationError: a mask is empty, or not of the image's size.
    """
    for mask in masks:
        _check_size(image, mask)
    limits = table or default_table()
    union = np.zeros(image.shape[:2], np.bool_)
    for mask in masks:
        union |= mask
    frame = view(image)
    polyps = [_polyp_facts(frame, masks[index], union, limits) for index in largest_first(masks)]
    return FrameFacts(tuple(polyps), _background_facts(frame, union, limits))


def largest_first(masks: Sequence[MaskArray]) -> list[int]:
    """The indices of masks by falling area; equal ones keep their order."""
    return sorted(range(len(masks)), key=lambda index: -int(np.count_nonzero(masks[index])))


def mask_facts(mask: MaskArray, *, table: AttributeTable | None = None) -> MaskFacts:
    """Place, size and shape of a mask, bool (H, W).

    Raises:
        ConfigurationError: the mask is empty.
    """
    numbers = mask_numbers(mask)
    limits = (table or default_table()).limits
    if max(abs(numbers["x"] - 0.5), abs(numbers["y"] - 0.5)) < limits["centre"]:
        place = "centre"
    else:
        place = f"{'upper' if numbers['y'] < 0.5 else 'lower'} {'left' if numbers['x'] < 0.5 else 'right'}"
    shape = "round" if numbers["elongation"] >= limits["round"] else "oval"
    if numbers["solidity"] < limits["irregular"]:
        shape = "irregular"
    size = _between(numbers["share"], limits["small"], limits["large"], ("small", "medium", "large"))
    return MaskFacts(place, size, shape, numbers)


def _polyp_facts(frame: View, mask: MaskArray, polyps: MaskArray, table: AttributeTable) -> PolypFacts:
    given = mask_facts(mask, table=table)
    look = look_numbers(frame, mask, polyps, table.mucosa)
    limits = table.limits
    return PolypFacts(
        given.place,
        given.size,
        given.shape,
        _between(look["redness"], limits["pale"], limits["reddish"], ("pale", "similar", "reddish")),
        _between(look["roughness"], limits["smooth"], limits["nodular"], ("smooth", "uneven", "nodular")),
        _between(look["rim"], limits["flat"], limits["pedunculated"], ("flat", "sessile", "pedunculated")),
        {**given.numbers, **look},
    )


def _background_facts(frame: View, polyps: MaskArray, table: AttributeTable) -> BackgroundFacts:
    numbers, limits = background_numbers(frame, polyps), table.limits
    tone = "red" if numbers["saturation"] >= limits["red"] else "pink"
    return BackgroundFacts(
        "orange" if numbers["hue"] >= limits["orange"] else tone,
        _between(numbers["light"], limits["dim"], limits["bright"], ("dim", "evenly lit", "bright")),
        "glossy" if numbers["white"] >= limits["glossy"] else "matt",
        "visible" if numbers["dark"] >= limits["visible"] else "hidden",
        numbers,
    )


def _between(number: float, lower: float, upper: float, names: tuple[str, str, str]) -> str:
    """The first name below `lower`, the last from `upper` on."""
    return names[(number >= lower) + (number >= upper)]


def _check_size(image: ImageArray, mask: MaskArray) -> None:
    if mask.shape != image.shape[:2]:
        raise ConfigurationError(f"a mask of shape {mask.shape} is not of the image's size {image.shape[:2]}")


def _record(values: Mapping[str, str], numbers: Mapping[str, float]) -> dict[str, Any]:
    return {**values, "numbers": {name: round(number, 6) for name, number in numbers.items()}}


def _checked(row: Any, tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ConfigurationError(f"facts are {row!r}, expected an object")
    for name, values in tables.items():
        if row.get(name) not in values:
            raise ConfigurationError(f"{name} is {row.get(name)!r}, expected one of {', '.join(values)}")
    numbers = row.get("numbers", {})
    if set(row) - set(tables) - {"numbers"} or not isinstance(numbers, dict):
        raise ConfigurationError(f"facts hold {sorted(row)}, expected {', '.join(tables)} and numbers")
    return {**row, "numbers": numbers}
