"""The tables of a benchmark, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyp_aug.evaluation.intervals import CONFIDENCE, DRAWS
from polyp_aug.evaluation.recall import IOU
from polyp_aug.evaluation.report import Table, interval_text

BENCHMARK_NOTES = f"""**Scores.** AP is the area under the precision-recall curve (all points) at IoU {IOU:g}.
Precision, recall and F1 are those at each run's threshold, the score of its highest F1 on the validation set. All are
means over the seeds; intervals of {CONFIDENCE:.0%} come from drawing whole groups (patients, sequences or frames) of
the test set, {DRAWS} draws, the same for every run. They hold for these trainings: how much another training would
differ is what the seeds show.

**Difference.** AP less that of the real frames only, in pairs of equal seeds, which share their frames, on the same
draws; p is the two-sided bootstrap p-value of no difference on these test frames. It isn't corrected for the number of
comparisons.

**Arms.** Every arm of a detector is trained for the same number of iterations on the same real frames;
those of ultralytics for the smallest number of whole epochs that gives as many. These have no online arms.
"""


def benchmark_tables(report: Mapping[str, Any]) -> tuple[Table, ...]:
    """Tables of a report of `report_benchmark`."""
    rows = report["rows"]
    where = ("test set", "frames", "detector", "arm")
    return (
        Table(
            f"At IoU {report['iou']:g}, %",
            (*where, "AP (95 %)", "precision", "recall", "F1"),
            [
                (*_where(row), *(interval_text(row[name], 1, 100) for name in ("ap", "precision", "recall", "f1")))
                for row in rows
            ],
        ),
        Table(
            "Difference in AP to real frames only, % points",
            (*where, "difference (95 %)", "p", "by seed"),
            [
                (
                    *_where(row),
                    interval_text(row["difference"], 1, 100),
                    f"{row['difference']['p']:.3g}",
                    ", ".join(f"{100 * value:+.1f}" for value in row["difference"]["by_seed"]),
                )
                for row in rows
                if "difference" in row
            ],
        ),
        Table(
            "COCO's scores, %, means over seeds",
            (*where, "AP", "AP50", "AP75", "AP at IoU 0.5 by seed"),
            [
                (
                    *_where(row),
                    *(f"{100 * row['coco'][name]:.1f}" for name in ("AP", "AP50", "AP75")),
                    ", ".join(f"{seed}: {100 * value:.1f}" for seed, value in row["ap_by_seed"].items()),
                )
                for row in rows
            ],
        ),
    )


def _where(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return row["test"], str(row["size"]), row["detector"], row["arm"]
