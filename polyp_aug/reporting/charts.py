"""The report's three kinds of charts: bars beside one another, a map of places, values with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from polyp_aug.reporting.distributions import Floats
from polyp_aug.reporting.svg import WIDTH, drawing, letters, markup, shape, ticks

#: Most series that bars have styles for.
MOST_SERIES = 3

#: A map's colours, from nothing to the largest share, as RGB. Letters are black up to a share, and white from there on.
LIGHT, DARK = (240, 246, 247), (10, 88, 100)
_BLACK, _WHITE, _WHITE_FROM = "#000000", "#ffffff", 0.755

_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 6, 8, 38
_BARS_HEIGHT = 200
_CELL = 36


@dataclass(frozen=True)
class Whisker:
    """A value with its interval, and what it is of."""

    name: str
    value: float
    low: float
    high: float


def bar_chart(
    series: Sequence[Floats], marks: Sequence[tuple[float, str]], *, label: str, x_title: str, y_title: str
) -> Markup:
    """Shares by class, the series beside one another in each.

    Args:
        series: at most `MOST_SERIES`, each float64 (B,), from 0 up.
        marks: where below the bars a text stands, counted in classes from the left edge, and the text.
        label: for screen readers.
        x_title: below the bars.
        y_title: above them.
    """
    classes = len(series[0])
    levels = ticks(0.0, max(1.0, max(float(values.max()) for values in series)), 4)
    chart = drawing(_BARS_HEIGHT + _TOP, label)
    bottom, top = _BARS_HEIGHT + _TOP - _BOTTOM, _TOP + 16
    scale = (bottom - top) / levels[-1]
    step = (WIDTH - _LEFT - _RIGHT) / classes
    letters(chart, 0, 12, y_title, "title")
    for level in levels:
        y = bottom - level * scale
        shape(chart, "line", {"x1": _LEFT, "x2": WIDTH - _RIGHT, "y1": y, "y2": y, "class": "rule"})
        letters(chart, _LEFT - 5, y + 4, f"{level:g}", "end")
    width = step * 0.84 / len(series)
    for number, values in enumerate(series):
        for position, share in enumerate(values.tolist()):
            x = _LEFT + position * step + step * 0.08 + number * width
            bar = {"x": x, "y": bottom - share * scale, "width": width, "height": share * scale}
            shape(chart, "rect", {**bar, "class": f"bar s{number}"})
    for place, text in marks:
        letters(chart, _LEFT + place * step, bottom + 15, text, "middle")
    letters(chart, (WIDTH + _LEFT - _RIGHT) / 2, _BARS_HEIGHT + _TOP - 5, x_title, "middle title")
    return markup(chart)


def place_map(shares: Floats, highest: float, *, label: str) -> Markup:
    """Shares by cell of the frame, written into the cells and coloured.

    Args:
        shares: float64 (rows, columns), in per cent.
        highest: share of the darkest colour, more than 0; one value for all maps that are compared.
        label: for screen readers.
    """
    rows, columns = shares.shape
    left = (WIDTH - columns * _CELL) / 2
    chart = drawing(rows * _CELL + 2, label)
    for (row, column), share in np.ndenumerate(shares):
        colour, ink = cell_colours(share / highest)
        x, y = left + column * _CELL, 1 + row * _CELL
        shape(chart, "rect", {"x": x, "y": y, "width": _CELL, "height": _CELL, "fill": colour, "class": "cell"})
        if share > 0:
            kind = "middle dark" if ink == _BLACK else "middle pale"
            text = f"{share:.0f}" if share >= 0.5 else "<1"
            letters(chart, x + _CELL / 2, y + _CELL / 2 + 4, text, kind)
    return markup(chart)


def cell_colours(share: float) -> tuple[str, str]:
    """Colours of a cell and of its letters, as `#rrggbb`.

    Args:
        share: of the largest, within 0 … 1.
    """
    mixed = [round(light + (dark - light) * min(1.0, share)) for light, dark in zip(LIGHT, DARK, strict=True)]
    return "#" + "".join(f"{value:02x}" for value in mixed), _BLACK if share < _WHITE_FROM else _WHITE


def whisker_chart(rows: Sequence[Whisker], *, title: str, label: str) -> Markup:
    """Values with their intervals, one below the other.

    Args:
        rows: at least one.
        title: above them.
        label: for screen readers.
    """
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    if low == high:
        low, high = low - 1, high + 1
    levels = ticks(low, high, 4)
    step, top = 34, 26
    bottom = top + step * len(rows)
    chart = drawing(bottom + 24, label)
    scale = (WIDTH - 32) / (levels[-1] - levels[0])
    places = {level: 16 + (level - levels[0]) * scale for level in levels}
    letters(chart, 0, 13, title, "title")
    for level, x in places.items():
        kind = "rule zero" if level == 0 and levels[0] < 0 else "rule"
        shape(chart, "line", {"x1": x, "x2": x, "y1": top, "y2": bottom, "class": kind})
    for level, x in _apart(places):
        letters(chart, x, bottom + 15, f"{level:g}", "middle")
    for number, row in enumerate(rows):
        y = top + step * number + 24
        x, left, right = (16 + (value - levels[0]) * scale for value in (row.value, row.low, row.high))
        letters(chart, 0, y - 10, row.name, "start")
        shape(chart, "line", {"x1": left, "x2": right, "y1": y, "y2": y, "class": "whisker"})
        for end in (left, right):
            shape(chart, "line", {"x1": end, "x2": end, "y1": y - 4, "y2": y + 4, "class": "whisker"})
        shape(chart, "circle", {"cx": x, "cy": y, "r": 4, "class": "dot"})
    return markup(chart)


def _apart(places: dict[float, float]) -> list[tuple[float, float]]:
    """The ticks that are written: all of them, or every second one where they are too near."""
    entries = list(places.items())
    nearest = min((second[1] - first[1] for first, second in pairwise(entries)), default=WIDTH)
    return entries if nearest >= 38 else entries[::2]
