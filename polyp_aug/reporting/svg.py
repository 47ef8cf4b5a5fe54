"""Small inline SVG: elements, texts that are escaped, ticks. Colours and letters are the page's style sheet's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from xml.etree import ElementTree

from markupsafe import Markup

#: Width of every chart, in its own units: a phone shows about a pixel for each.
WIDTH = 340


def drawing(height: float, label: str) -> ElementTree.Element:
    """An empty chart.

    Args:
        height: in units.
        label: what a screen reader says in its place.
    """
    return ElementTree.Element(
        "svg", {"class": "chart", "viewBox": f"0 0 {WIDTH} {height:g}", "role": "img", "aria-label": label}
    )


def shape(parent: ElementTree.Element, tag: str, attributes: Mapping[str, float | str]) -> None:
    """Add an element; numbers are rounded to 0.01."""
    ElementTree.SubElement(parent, tag, {name: _text(value) for name, value in attributes.items()})


def letters(parent: ElementTree.Element, x: float, y: float, text: str, kind: str) -> None:
    """Add a text.

    Args:
        x, y: where its baseline is.
        kind: its class in the style sheet, which says what it is aligned to.
    """
    ElementTree.SubElement(parent, "text", {"x": _text(x), "y": _text(y), "class": kind}).text = text


def markup(chart: ElementTree.Element) -> Markup:
    """The chart as part of a page; texts and attributes are escaped."""
    # Every text was escaped by ElementTree.
    return Markup(ElementTree.tostring(chart, encoding="unicode"))  # noqa: S704


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` or below to `high` or above, evenly spaced by 1, 2 or 5 times a power of ten.

    Args:
        low: less than `high`.
        high: the largest value.
        most: about so many steps.
    """
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{round(value, 2):g}"
