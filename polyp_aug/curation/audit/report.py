"""The report of an audit: how many leaks at each level, in which sets and groups, and the pairs themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyp_aug.curation.audit.findings import LEVELS, Finding
from polyp_aug.evaluation.crops import read_crops
from polyp_aug.evaluation.report import Table
from polyp_aug.evaluation.sheet import pair_sheet
from polyp_aug.images import write_png

#: Rows of the table of leaks, pairs on the sheet, and the side of their pictures in pixels.
ROWS, PAIRS, SIDE = 60, 48, 160

SHEET_NAME = "pairs.png"

NOTES = """**split**: a background or reference was recorded as one of a split that is not trained on.
**origin**: a frame, background or reference is a frame of an evaluation set, or of a patient or sequence of it.
**pixels**: the frames are equal. **hash** and **features**: they look alike, as copies that were made smaller,
compressed, brightened, turned or mirrored do. Each frame and polyp of an evaluation set stands once for each other set,
with the nearest one there, by the surest level.

Looks can mislead both ways: frames of one patient, seconds apart, look alike without being copies, and are a leak all
the same; two featureless frames may look alike and be none. And a copy that was cut strongly, or pasted as a small part
of another frame, may be missed: groups that are recorded are worth more than any comparison. Look at the pairs.
"""


def summary(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Leaks by level, what leaked, and both sets, with the number of evaluation groups that are touched."""
    keys = Counter((item.level, item.what, item.evaluation_set, item.other_set) for item in findings)
    ordered = sorted(keys, key=lambda key: (LEVELS.index(key[0]), *key[1:]))
    return [
        {
            "level": level,
            "what": what,
            "evaluation_set": evaluation_set,
            "other_set": other_set,
            "leaks": keys[level, what, evaluation_set, other_set],
            "groups": len(
                {
                    item.evaluation_group or item.evaluation_item
                    for item in findings
                    if (item.level, item.what, item.evaluation_set, item.other_set)
                    == (level, what, evaluation_set, other_set)
                }
            ),
        }
        for level, what, evaluation_set, other_set in ordered
    ]


def audit_tables(report: Mapping[str, Any], findings: Sequence[Finding]) -> list[Table]:
    """The tables of the report."""
    sets = [
        (role, name, *(str(facts[key]) for key in ("frames", "polyps", "groups")))
        for role, members in report["sets"].items()
        for name, facts in members.items()
    ]
    counts = [
        (
            row["level"],
            row["what"],
            row["evaluation_set"] or "any",
            row["other_set"],
            str(row["leaks"]),
            str(row["groups"]),
        )
        for row in report["summary"]
    ]
    tables = [
        Table("Sets", ("role", "set", "frames", "polyps", "groups"), sets),
        Table(
            "Leaks" if findings else "No leak was found",
            ("found by", "what", "of", "in", "leaks", "groups of the evaluation set"),
            counts,
        ),
    ]
    if findings:
        rows = [
            (
                item.level,
                item.what,
                item.evaluation_set,
                item.evaluation_item,
                item.other_set,
                item.other_item,
                item.detail,
            )
            for item in findings[:ROWS]
        ]
        title = "Pairs" if len(findings) <= ROWS else f"Pairs, the first {ROWS} of {len(findings)}"
        columns = ("found by", "what", "of", "evaluation", "in", "there", "how near")
        tables.append(Table(title, columns, rows))
    return tables


def write_sheet(out: Path, findings: Sequence[Finding]) -> None:
    """Write `pairs.png` of the leaks that were seen, the nearest first; nothing where there is none.

    Raises:
        ImageError: a frame can't be read.
        StorageError: the file can't be written.
    """
    seen = [item for item in findings if item.pair is not None]
    seen.sort(key=lambda item: (LEVELS.index(item.level), item.distance or 0.0))
    shown = [(item, item.pair) for item in seen[:PAIRS] if item.pair is not None]
    if shown:
        first = read_crops((pair[0] for _, pair in shown), SIDE)
        second = read_crops((pair[1] for _, pair in shown), SIDE)
        captions = [f"{item.what}, {item.level} {item.distance or 0:.3g}: {item.other_set}" for item, _ in shown]
        write_png(out / SHEET_NAME, pair_sheet(list(zip(first, second, strict=True)), captions))
