"""The tables and notes of a placement report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyp_aug.evaluation.intervals import CONFIDENCE, DRAWS
from polyp_aug.evaluation.report import Table, interval_text
from polyp_aug.mucosa import LEAST_SHARE


def placement_tables(report: Mapping[str, Any], baseline: str) -> tuple[Table, ...]:
    """What the report says, for people.

    Args:
        report: of `evaluate_placement`.
        baseline: name of the proposer that others are compared with.
    """
    settings, found = report["settings"], report["proposers"]
    hits = [
        (
            name,
            interval_text(item["hit_rate"], 1, 100),
            "" if name == baseline else _text(item["ratio"]),
            interval_text(item["hit_rate_first"], 1, 100),
            interval_text(item["best_iou"], 3),
            _text(item["distance"], 3),
        )
        for name, item in found.items()
    ]
    places = [
        (
            name,
            interval_text(item["places"]),
            interval_text(item["without_any"], 1, 100),
            f"{item['off_mucosa']} of {item['places_in_all']}",
        )
        for name, item in found.items()
    ]
    top, iou = settings["top"], settings["iou"]
    columns = (
        "proposer",
        f"hit rate of {top}, % (95 %)",
        f"ratio to {baseline} (95 %)",
        "hit rate of the first, % (95 %)",
        "best IoU (95 %)",
        "distance (95 %)",
    )
    return (
        Table(f"Hits at IoU {iou:g} in {report['frames']} frames of {report['groups']} groups", columns, hits),
        Table("Places", ("proposer", "in a frame (95 %)", "frames without any, % (95 %)", "off mucosa"), places),
    )


def placement_notes(settings: Mapping[str, Any]) -> str:
    """What the measures mean.

    Args:
        settings: of the report.
    """
    return f"""**Frames.** Real frames whose polyps were repainted as mucosa; those of which none was removed are left
out. Each proposer gives at most {settings["top"]} places on each, {settings["repeats"]} times by different keys, and
what is measured is averaged over these times. Polyps that are still there are kept free.

**Hit rate.** Share of the frames in which a place overlaps the box of a removed polyp at IoU {settings["iou"]:g} or
more. **Of the first.** The same for the place that the proposer gives first. **Best IoU.** Mean over the frames of the
highest IoU of any place with any removed polyp, 0 where there is no place. **Distance.** From the centre of a removed
polyp to the centre of a place, the nearest of both, as a share of the frame's shorter side; over the frames with a
place. **Off mucosa.** Places of whose box more than {1 - LEAST_SHARE:.0%} is not mucosa, of all that were proposed.

Intervals are of {CONFIDENCE:.0%}, from drawing whole groups (patients, or frames) {DRAWS} times, the same draws for
all proposers; so the ratios compare in pairs.

A removed polyp is one place where a polyp can be, not the only one: no proposer can be expected to reach 100 %. And the
frames are repainted just where the polyps were: a proposer that recognises repainted mucosa, which references from the
same synthesizer show as well, finds these places without knowing where polyps grow. The control is a run over
polyp-free frames with boxes drawn anywhere: there the ratio should be 1.
"""


def _text(interval: Mapping[str, float] | None, digits: int = 2) -> str:
    return "can't be told" if interval is None else interval_text(interval, digits)
