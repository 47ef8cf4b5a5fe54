"""Facts for a polyp that is still to be painted: what its mask tells, what was asked for, and the rest drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from polyp_aug.captions.attributes import BACKGROUND, FOREGROUND, OF_LOOK, OF_MASK
from polyp_aug.captions.facts import BackgroundFacts, FrameFacts, PolypFacts, largest_first, mask_facts
from polyp_aug.captions.thresholds import BACKGROUND_KEYS, POLYP_KEYS, AttributeTable
from polyp_aug.errors import ConfigurationError
from polyp_aug.images import MaskArray
from polyp_aug.keys import Key


def sample_facts(mask: MaskArray, table: AttributeTable, control: Mapping[str, str], key: Key) -> PolypFacts:
    """The facts of a polyp that a mask asks for.

    Place, size and shape are measured. The other attributes are those of `control`, or drawn together as often as they
    occur in the table among polyps of this size that fit `control`.

    Args:
        mask: bool (H, W).
        table: limits and frequencies.
        control: attribute → value, as `parse_attribute` gives them; those of the background are not used.
        key: what the draw comes from.

    Raises:
        ConfigurationError: the mask is empty, `control` names something unknown, or contradicts the mask.
    """
    _check(control)
    given = mask_facts(mask, table=table)
    for name in OF_MASK:
        measured = getattr(given, name)
        if control.get(name, measured) != measured:
            raise ConfigurationError(f"{name}={control[name]} contradicts the mask, which is {measured}")
    fixed = {name: value for name, value in control.items() if name in OF_LOOK}
    drawn = _draw(table.polyps, POLYP_KEYS, {"size": given.size, **fixed}, key, "polyp facts")
    look = (drawn["colour"], drawn["texture"], drawn["type"])
    return PolypFacts(given.place, given.size, given.shape, *look, numbers=given.numbers)


def sample_background(table: AttributeTable, control: Mapping[str, str], key: Key) -> BackgroundFacts:
    """The facts of a background: those of `control`, and the rest drawn as often as they occur with them.

    Raises:
        ConfigurationError: `control` names something unknown.
    """
    _check(control)
    fixed = {name: value for name, value in control.items() if name in BACKGROUND}
    drawn = _draw(table.backgrounds, BACKGROUND_KEYS, fixed, key, "background facts")
    return BackgroundFacts(drawn["tone"], drawn["brightness"], drawn["highlights"], drawn["lumen"])


def sample_frame(masks: Sequence[MaskArray], table: AttributeTable, control: Mapping[str, str], key: Key) -> FrameFacts:
    """The facts of a frame with a polyp in every mask; `control` holds for each of them. See `sample_facts`."""
    order = largest_first(masks)
    polyps = [sample_facts(masks[index], table, control, key.child(number)) for number, index in enumerate(order)]
    return FrameFacts(tuple(polyps), sample_background(table, control, key))


def _check(control: Mapping[str, str]) -> None:
    tables = {**FOREGROUND, **BACKGROUND}
    for name, value in control.items():
        if value not in tables.get(name, ()):
            allowed = f"{name} is one of {', '.join(tables[name])}" if name in tables else f"one of {', '.join(tables)}"
            raise ConfigurationError(f"expected {allowed} (got {name}={value})")


def _draw(
    counts: Mapping[tuple[str, ...], int], names: Sequence[str], fixed: Mapping[str, str], key: Key, purpose: str
) -> dict[str, str]:
    """A row of the table that has the fixed values, drawn by its count.

    Where no row has them all, every other attribute is drawn by itself.
    """
    generator = key.generator(purpose)
    rows = sorted(counts)
    fitting = [row for row in rows if all(row[names.index(name)] == value for name, value in fixed.items())]
    if fitting:
        return dict(zip(names, _one(fitting, counts, generator), strict=True))
    return {name: fixed.get(name) or _one(rows, counts, generator)[index] for index, name in enumerate(names)}


def _one(
    rows: Sequence[tuple[str, ...]], counts: Mapping[tuple[str, ...], int], generator: np.random.Generator
) -> tuple[str, ...]:
    weights = np.array([counts[row] for row in rows], np.float64)
    return rows[int(generator.choice(len(rows), p=weights / weights.sum()))]
