"""The tables and notes of a report on frames that were made from masks and captions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyp_aug.evaluation.attributes import READ
from polyp_aug.evaluation.intervals import CONFIDENCE, DRAWS
from polyp_aug.evaluation.polyp_tables import TRAIN
from polyp_aug.evaluation.report import Table, interval_text


def frame_tables(report: Mapping[str, Any]) -> tuple[Table, ...]:
    """The tables of a report: kernel distances, what is read, and their paired differences."""
    sets = report["sets"]
    distances = [
        (name + (" (floor)" if name == TRAIN else ""), interval_text(found, 2, 1000), str(sets[name]["frames"]))
        for name, found in report["kernel_distance"].items()
    ]
    reading = [
        (
            name,
            *(
                f"{interval_text(found[attribute], 1, 100)}; {100 * found[attribute]['chance']:.0f}"
                for attribute in READ
            ),
        )
        for name, found in report["reading"].items()
    ]
    tables = [
        Table("Kernel distance of whole frames", ("set", "KID × 1000 (95 %)", "frames"), distances),
        Table("Attributes that are read as asked for, % (95 %); chance, %", ("set", *READ), reading),
    ]
    if report["reading_differences"]:
        rows = [
            (
                f"{found['first']} − {found['second']}",
                *(interval_text(found[attribute], 1, 100) for attribute in READ),
            )
            for found in report["reading_differences"]
        ]
        tables.append(Table("Paired differences of what is read, points (95 %)", ("difference", *READ), rows))
    return tuple(tables)


def frame_notes(extractor: str) -> str:
    """What the figures mean and what they don't, in Markdown."""
    return f"""Features: {extractor}. They can't be compared with figures in other features.

**Kernel distance.** Whole frames, squeezed to a square, the same for real and synthetic; frames without polyps are
left out. Unbiased KID, all pairs, degree 3; {CONFIDENCE:.0%} bootstrap intervals from drawing whole groups {DRAWS}
times. The floor is what the real training frames reach.

**Attributes.** A logistic regression for each attribute, on features of the real training frames and of crops around
their polyps, with the values that were measured there. On real frames its rate says how well it reads at all; a model
can't be told to do better. *Chance* is the rate of always naming the value that was asked for most. Of a frame with
several polyps the largest counts. Paired differences are of runs with the same masks, captions and noise.
"""
