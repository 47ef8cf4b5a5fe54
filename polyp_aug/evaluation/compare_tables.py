"""The tables, lines and notes of a comparison of synthesizers."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyp_aug.evaluation.image_tables import protocol_text
from polyp_aug.evaluation.image_titles import DIVERSITY_LABEL, MEASURES, Measure
from polyp_aug.evaluation.intervals import CONFIDENCE
from polyp_aug.evaluation.polyp_tables import TRAIN
from polyp_aug.evaluation.report import Table

#: Measures of the table that has data sets beside one another.
_ACROSS = ("frechet_distance", "kernel_distance", "score")


@dataclass(frozen=True)
class Row:
    """A measure of a cell.

    Attributes:
        data: name of the data set.
        method: name of the method.
        measure: what was measured.
        label: of the network.
        interval: value, low and high.
        pictures: of the method's set.
    """

    data: str
    method: str
    measure: Measure
    label: str
    interval: dict[str, float]
    pictures: int


def comparison_rows(report: Mapping[str, Any]) -> list[Row]:
    """A row for each measure of each cell, in the order of the report and of `MEASURES`."""
    rows = []
    for cell in report["cells"]:
        networks = [(item["label"], item["measures"]) for item in cell["networks"]]
        for label, measures in [*networks, (DIVERSITY_LABEL, {"diversity": cell["diversity"]})]:
            rows += [
                Row(cell["data"], cell["method"], item, label, measures[item.key], cell["pictures"])
                for item in MEASURES
                if item.key in measures
            ]
    return rows


def comparison_tables(report: Mapping[str, Any], rows: Sequence[Row]) -> tuple[Table, ...]:
    """Methods on all data sets for each network, then all measures for each data set; the best method is bold."""
    tables = []
    for label in dict.fromkeys(row.label for row in rows if row.measure.key in _ACROSS):
        shown = [row for row in rows if row.label == label and row.measure.key in _ACROSS]
        columns = list(dict.fromkeys((row.data, row.measure) for row in shown))
        heads = [f"{data}: {item.head(label)}" for data, item in columns]
        tables.append(Table(f"All data sets: {label}", ("method", *heads), _body(shown, columns)))
    for data in report["data"]:
        chosen = [row for row in rows if row.data == data]
        for label in dict.fromkeys(row.label for row in chosen):
            shown = [row for row in chosen if row.label == label]
            columns = list(dict.fromkeys((row.data, row.measure) for row in shown))
            heads = ["method", "pictures", *(item.head(label) for _, item in columns)]
            counts = {row.method: str(row.pictures) for row in shown}
            body = [(line[0], counts[line[0].removesuffix(" (floor)")], *line[1:]) for line in _body(shown, columns)]
            tables.append(Table(f"{data}: {label}", heads, body))
    return tuple(tables)


def _body(rows: Sequence[Row], columns: Sequence[tuple[str, Measure]]) -> list[tuple[str, ...]]:
    """A line for each method; the best values of each column are bold, the floor's aside."""
    cells = {(row.method, row.data, row.measure.key): row.interval for row in rows}
    best = {}
    for data, item in columns:
        values = [
            found["value"]
            for (method, at, key), found in cells.items()
            if (at, key) == (data, item.key) and method != TRAIN
        ]
        if item.better and len(values) > 1:
            best[data, item.key] = min(values) if item.better == "lower" else max(values)
    lines = []
    for method in dict.fromkeys(row.method for row in rows):
        line = [method + (" (floor)" if method == TRAIN else "")]
        for data, item in columns:
            found = cells.get((method, data, item.key))
            text = "" if found is None else item.text(found)
            is_best = found is not None and method != TRAIN and best.get((data, item.key)) == found["value"]
            line.append(f"**{text}**" if is_best else text)
        lines.append(tuple(line))
    return lines


def rows_csv(rows: Sequence[Row]) -> bytes:
    """The rows as a CSV file, in UTF-8; values as they were measured, not those of the tables, which have factors."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("data", "method", "pictures", "network", "measure", "value", "low", "high", "better"))
    for row in rows:
        values = [row.interval[name] for name in ("value", "low", "high")]
        writer.writerow(
            (row.data, row.method, row.pictures, row.label, row.measure.key, *values, row.measure.better or "as real")
        )
    return stream.getvalue().encode()


def comparison_notes(report: Mapping[str, Any]) -> str:
    """What the figures mean and what they don't, in Markdown."""
    warnings = "".join(f"* **Warning.** {text}\n" for text in report["warnings"])
    networks = "\n".join(f"* {item['name']}" for item in report["extractors"])
    texts = {name: protocol_text(item["protocol"]) for name, item in report["data"].items()}
    if len(set(texts.values())) == 1:
        pictures = next(iter(texts.values()))
    else:
        pictures = "\n\n".join(f"{name}: {text}" for name, text in texts.items())
    return f"""{warnings}
Networks; figures in features of different ones can't be compared, nor with published ones of other programs:

{networks}

{pictures}

Intervals are of {CONFIDENCE:.0%}; how each is made stands in docs/evaluation.md. The best value of each column is bold,
whether or not it can be told from the next: where intervals overlap, it can't. The floor, real pictures of the training
set, takes no part in that. Fréchet distance, IS and neighbourhoods can be compared between methods that made as many
pictures.
"""
