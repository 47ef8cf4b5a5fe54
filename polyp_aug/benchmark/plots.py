"""A benchmark as pictures: AP of every arm, and its difference to real frames only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyp_aug.optional import require


def plot_benchmark(report: Mapping[str, Any], out: Path) -> list[Path]:
    """Draw a report: a picture for each test set, detectors beside one another, arms from top to bottom.

    Args:
        report: of `report_benchmark`.
        out: folder for `SET.png`, spaces in the name becoming underscores.

    Returns:
        The pictures.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    figure_module = require("matplotlib.figure", "evaluate")
    written = []
    for test in report["test"]:
        rows = [row for row in report["rows"] if row["test"] == test]
        panels = list(dict.fromkeys((row["detector"], row["size"]) for row in rows))
        if not panels:
            continue
        arms = [arm for arm in report["spec"]["arms"] if any(row["arm"] == arm for row in rows)]
        figure = figure_module.Figure(figsize=(3.4 * len(panels), 0.5 * len(arms) + 1.6), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, (detector, size) in zip(axes, panels, strict=True):
            _panel(axis, [row for row in rows if (row["detector"], row["size"]) == (detector, size)], arms)
            axis.set_title(f"{detector}, {size} frames", fontsize=10)
            axis.set_xlabel("AP at IoU 0.5, %")
        axes[0].set_yticks(range(len(arms)), arms)
        axes[0].invert_yaxis()
        figure.suptitle(test, fontsize=11)
        path = out / f"{test.replace(' ', '_').replace('/', '_')}.png"
        figure.savefig(path, dpi=130)
        written.append(path)
    return written


def _panel(axis: Any, rows: Sequence[Mapping[str, Any]], arms: Sequence[str]) -> None:
    """Means with their intervals, and the seeds as points."""
    for row in rows:
        place = arms.index(row["arm"])
        value, low, high = (100 * row["ap"][name] for name in ("value", "low", "high"))
        axis.errorbar([value], [place], xerr=[[value - low], [high - value]], fmt="o", color="#204a87", capsize=3)
        seeds = [100 * item for item in row["ap_by_seed"].values()]
        axis.plot(seeds, [place + 0.22] * len(seeds), "|", color="#888888", markersize=9)
    axis.grid(axis="x", alpha=0.3)
