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
    tables = (
        Table(f"Hits at IoU {iou:g} in {report['frames']} frames of {report['groups']} groups", columns, hits),
        Table("Places", ("proposer", "in a frame (95 %)", "frames without any, % (95 %)", "off mucosa"), places),
    )
    return (*tables, _preference_table(report, baseline)) if "decoys" in report else tables


def _preference_table(report: Mapping[str, Any], baseline: str) -> Table:
    rows = [
        (
            name,
            interval_text(item["decoy_hit_rate"], 1, 100),
            interval_text(item["decided"], 1, 100),
            _text(item["preference"], 1, 100),
            _text(item["chance"], 1, 100),
            _text(item["preference_to_chance"]),
            "" if name == baseline else _text(item["preference_ratio"]),
        )
        for name, item in report["proposers"].items()
    ]
    columns = (
        "proposer",
        "hit rate of a decoy, % (95 %)",
        "frames with a hit of any, % (95 %)",
        "of these the true place first, % (95 %)",
        "by chance, % (95 %)",
        "times chance (95 %)",
        f"ratio to {baseline} (95 %)",
    )
    return Table(f"The true place beside {report['decoys']['places']} decoys", columns, rows)


def placement_notes(report: Mapping[str, Any]) -> str:
    """What the measures mean.

    Args:
        report: of `evaluate_placement`.
    """
    return _notes(report["settings"]) + (_decoy_notes(report["decoys"]) if "decoys" in report else "")


def _notes(settings: Mapping[str, Any]) -> str:
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


def _decoy_notes(decoys: Mapping[str, Any]) -> str:
    return f"""
**Decoys.** Places on the same frames where no polyp was, as large as the removed one and repainted in the same way, so
that repainted mucosa gives nothing away. The {decoys["frames_without"]} frames without a decoy, of several polyps or of
one that leaves no room, take no part in any table. **The true place first.** Of the times that a place is a hit of the
removed polyp or of a decoy, the share in which the first such place is one of the polyp. **By chance.** The same if
each of them were equally likely. **Ratio.** Of *times chance*, drawn in pairs.

Decoys lie where the polyp isn't, so farther from the middle, and a place in the middle is a hit more easily: above
chance may be nothing but that. The control is a run over polyp-free frames with boxes where polyps are in others, and
decoys of their own: what a proposer gets there is due to middle and texture, and what it gets here beyond that to the
mucosa. And what a polyp does to its surroundings, a shadow or a fold that it bends, is still there.
"""


def _text(interval: Mapping[str, float] | None, digits: int = 2, factor: float = 1.0) -> str:
    return "can't be told" if interval is None else interval_text(interval, digits, factor)
