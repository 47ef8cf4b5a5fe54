"""Charts and tables of how large objects are, where they lie, and how many a frame has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from polyp_aug.generation.card import QUANTILES
from polyp_aug.reporting.charts import MOST_SERIES, bar_chart, place_map
from polyp_aug.reporting.distributions import CELLS, MANY, SIZE_EDGES, Floats, Measured
from polyp_aug.reporting.tables import PageTable, page_table

#: Names of the ninths of a frame, row by row.
_NINTHS = (
    *("upper left", "upper middle", "upper right"),
    *("left", "middle", "right"),
    *("lower left", "lower middle", "lower right"),
)


@dataclass(frozen=True)
class Chart:
    """A chart, and what stands above it, "" for nothing."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class Distribution:
    """One property of objects.

    Attributes:
        title: its heading.
        note: how to read it.
        names: of the kinds, in the order of the chart's series; empty where each kind has its own chart.
        charts: at least one.
        tables: of the most telling numbers.
        classes: the numbers of the charts.
    """

    title: str
    note: str
    names: tuple[str, ...]
    charts: tuple[Chart, ...]
    tables: tuple[PageTable, ...]
    classes: PageTable


def distributions(kinds: Sequence[Measured]) -> list[Distribution]:
    """Sizes, places and numbers of objects, the kinds beside one another.

    Args:
        kinds: at most three; those without an object are left out.
    """
    shown = [kind for kind in kinds if len(kind.sizes)][:MOST_SERIES]
    return [_sizes(shown), _places(shown), _numbers(shown)] if shown else []


def _sizes(kinds: Sequence[Measured]) -> Distribution:
    names = tuple(kind.name for kind in kinds)
    shares = [kind.size_shares() for kind in kinds]
    last = max(int(np.flatnonzero(values)[-1]) for values in shares) + 1
    classes = [f"{low}–{high} %" for low, high in pairwise(SIZE_EDGES[: last + 1])]
    marks = [(float(place), f"{SIZE_EDGES[place]}") for place in range(0, last + 1, 1 if last <= 8 else 2)]
    chart = bar_chart(
        [values[:last] for values in shares],
        marks,
        label=f"Sizes of {' and '.join(names)} as bars; the numbers are in the table below.",
        x_title="size, %",
        y_title="share of the objects, %",
    )
    rows = [(kind.name, len(kind.sizes), *(f"{value:.1f}" for value in _quantiles(kind.sizes))) for kind in kinds]
    return Distribution(
        "Size",
        "The size is the square root of the object's share of the frame's area, in per cent: an object of 50 % fills a "
        "quarter of the frame.",
        names,
        (Chart("", chart),),
        (page_table("Sizes, %", ("Objects", "Number", *QUANTILES), rows),),
        _share_table("Share of the objects by size, %", "Size", classes, names, shares),
    )


def _places(kinds: Sequence[Measured]) -> Distribution:
    shares = [kind.place_shares() for kind in kinds]
    highest = max(float(values.max()) for values in shares)
    charts = []
    for kind, values in zip(kinds, shares, strict=True):
        row, column = (int(place) for place in np.unravel_index(int(values.argmax()), values.shape))
        label = (
            f"Centres of {kind.name} in {CELLS} by {CELLS} cells of the frame; most of them, {values.max():.0f} %, in "
            f"row {row + 1} from the top and column {column + 1} from the left."
        )
        charts.append(Chart(f"{kind.name} ({len(kind.sizes):,})", place_map(values, highest, label=label)))
    coarse = [values.reshape(3, CELLS // 3, 3, CELLS // 3).sum(axis=(1, 3)).ravel() for values in shares]
    names = tuple(kind.name for kind in kinds)
    return Distribution(
        "Place",
        f"Where the centres of the boxes lie, in {CELLS} by {CELLS} equal cells of the frame: per cent of the objects. "
        "The colours of all maps have one scale.",
        (),
        tuple(charts),
        (),
        _share_table("Share of the centres by ninths of the frame, %", "Part of the frame", _NINTHS, names, coarse),
    )


def _numbers(kinds: Sequence[Measured]) -> Distribution:
    names = tuple(kind.name for kind in kinds)
    shares = [kind.count_shares() for kind in kinds]
    classes = [*(str(number) for number in range(MANY)), f"{MANY} or more"]
    chart = bar_chart(
        shares,
        [(place + 0.5, f"{place}+" if place == MANY else f"{place}") for place in range(MANY + 1)],
        label=f"How many of {' and '.join(names)} a frame has, as bars; the numbers are in the table below.",
        x_title="objects in a frame",
        y_title="share of the frames, %",
    )
    return Distribution(
        "Objects in a frame",
        "Each kind is counted by itself, in all frames of its set.",
        names,
        (Chart("", chart),),
        (),
        _share_table("Share of the frames by number of objects, %", "Objects", classes, names, shares),
    )


def _share_table(
    caption: str, head: str, classes: Sequence[str], names: Sequence[str], shares: Sequence[Floats]
) -> PageTable:
    rows = [
        (name, *(f"{values[place]:.1f}" for values in shares))
        for place, name in enumerate(classes)
        if any(values[place] > 0 for values in shares)
    ]
    return page_table(caption, (head, *names), rows)


def _quantiles(values: Floats) -> list[float]:
    found: list[float] = np.quantile(values, list(QUANTILES.values()), method="inverted_cdf").tolist()
    return found
