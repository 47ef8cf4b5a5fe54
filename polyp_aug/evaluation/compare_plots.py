"""A comparison of synthesizers as pictures: every measure with its interval, methods from top to bottom."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polyp_aug.evaluation.compare_tables import Row
from polyp_aug.evaluation.polyp_tables import TRAIN
from polyp_aug.images import write_bytes
from polyp_aug.optional import require


def plot_comparison(rows: Sequence[Row], out: Path) -> list[Path]:
    """Draw each measure of each network, data sets beside one another.

    Args:
        rows: of `comparison_rows`.
        out: folder for `MEASURE-NETWORK.png`.

    Returns:
        The pictures.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        StorageError: a file can't be written.
    """
    figure_module = require("matplotlib.figure", "evaluate")
    written = []
    for item, label in dict.fromkeys((row.measure, row.label) for row in rows):
        shown = [row for row in rows if (row.measure, row.label) == (item, label)]
        panels, methods = (list(dict.fromkeys(getattr(row, name) for row in shown)) for name in ("data", "method"))
        figure = figure_module.Figure(figsize=(1.5 + 3.2 * len(panels), 0.4 * len(methods) + 1.5), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, data in zip(axes, panels, strict=True):
            _panel(axis, [row for row in shown if row.data == data], methods)
            axis.set_title(data, fontsize=10)
        axes[0].set_yticks(range(len(methods)), methods)
        axes[0].set_ylim(len(methods) - 0.5, -0.5)
        figure.suptitle(
            item.head(label).replace("↓", "(lower is better)").replace("↑", "(higher is better)"), fontsize=11
        )
        path = out / re.sub(r"[^\w.-]+", "-", f"{item.key}-{label}.png")
        stream = io.BytesIO()
        figure.savefig(stream, dpi=130, format="png", metadata={"Software": None})
        write_bytes(path, stream.getvalue())
        written.append(path)
    return written


def _panel(axis: Any, rows: Sequence[Row], methods: Sequence[str]) -> None:
    for row in rows:
        value, low, high = (row.interval[name] * row.measure.factor for name in ("value", "low", "high"))
        colour = "#888888" if row.method == TRAIN else "#204a87"
        span = [[max(value - low, 0.0)], [max(high - value, 0.0)]]
        axis.errorbar([value], [methods.index(row.method)], xerr=span, fmt="o", color=colour, capsize=3)
    axis.grid(axis="x", alpha=0.3)
