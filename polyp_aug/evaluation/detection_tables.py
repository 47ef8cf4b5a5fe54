"""What the report on detectors says, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyp_aug.evaluation.coco_scores import SCORES
from polyp_aug.evaluation.intervals import CONFIDENCE, DRAWS
from polyp_aug.evaluation.recall import IOU, MOST_DETECTIONS
from polyp_aug.evaluation.report import Table, interval_text

DETECTION_NOTES = f"""**COCO.** Average precision of boxes by faster-coco-eval: AP over IoU 0.50 to 0.95, AP50, AP75,
and by size (small below 32² pixels, large from 96² on). "–": there is no object of the size.

**AP, precision, recall, F1.** AP is the area under the precision-recall curve (all points) at IoU {IOU:g}. Precision,
recall and F1 are those of the detections that reach the detector's threshold, the score of its highest F1 on the
validation set. At most {MOST_DETECTIONS} detections of a frame count, each finds one object at most. Intervals of
{CONFIDENCE:.0%}: bootstrap, whole groups (patients, sequences or frames), {DRAWS} draws.

**Frames.** Sensitivity: share of the frames with an object in which anything reaches the threshold, wherever it lies.
Specificity: share of the frames without an object in which nothing does. Wilson intervals.

**FROC.** Share of the objects that are found at so many false detections in a frame on average.

**Pairs.** AP of the first less that of the second on the same draws; p is the two-sided bootstrap p-value of no
difference. It says how sure the difference is on these frames, not whether training again would show it.
"""


def detection_tables(report: Mapping[str, Any]) -> tuple[Table, ...]:
    """Tables of a report of `evaluate_detections`."""
    rows = [(name, key, scores) for name, found in report["detectors"].items() for key, scores in found["sets"].items()]
    tables = [
        Table(
            "COCO's scores, %",
            ("detector", "set", *SCORES),
            [(name, key, *(_percent(scores["coco"][score]) for score in SCORES)) for name, key, scores in rows],
        ),
        Table(
            f"At IoU {report['iou']:g}, %",
            ("detector", "set", "AP (95 %)", "precision", "recall", "F1"),
            [
                (name, key, *(interval_text(scores[part], 1, 100) for part in ("ap", "precision", "recall", "f1")))
                for name, key, scores in rows
            ],
        ),
        Table(
            "Frames, %",
            ("detector", "set", "sensitivity (95 %)", "specificity (95 %)"),
            [
                (name, key, *(_interval(scores["frames"][part]) for part in ("sensitivity", "specificity")))
                for name, key, scores in rows
            ],
        ),
        Table(
            "FROC: objects found, %, at false detections in a frame",
            ("detector", "set", *(f"{point:g}" for point in report["froc_points"])),
            [(name, key, *(_percent(value) for value in scores["froc"])) for name, key, scores in rows],
        ),
        Table(
            "Thresholds, and what they give on the validation set",
            ("detector", "score", "precision, %", "recall, %", "F1, %"),
            [
                (
                    name,
                    f"{found['threshold']['score']:.3f}",
                    *(f"{100 * found['threshold'][part]:.1f}" for part in ("precision", "recall", "f1")),
                )
                for name, found in report["detectors"].items()
            ],
        ),
    ]
    if report["comparisons"]:
        tables.append(
            Table(
                "Pairs",
                ("set", "difference", "AP, % (95 %)", "p"),
                [
                    (
                        item["set"],
                        f"{item['first']} − {item['second']}",
                        interval_text(item, 1, 100),
                        f"{item['p']:.3g}",
                    )
                    for item in report["comparisons"]
                ],
            )
        )
    return tuple(tables)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _interval(value: Mapping[str, float] | None) -> str:
    return "–" if value is None else interval_text(value, 1, 100)
