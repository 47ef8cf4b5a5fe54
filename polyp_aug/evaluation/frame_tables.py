"""The tables and notes of a report on frames that were made from masks and captions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyp_aug.evaluation.attributes import OF_CROP
from polyp_aug.evaluation.intervals import CONFIDENCE, DRAWS
from polyp_aug.evaluation.polyp_tables import TRAIN
from polyp_aug.evaluation.report import Table, interval_text


def frame_tables(report: Mapping[str, Any]) -> tuple[Table, ...]:
    """The tables of a report: kernel distances, what is read, and their paired differences."""
    sets, attributes = report["sets"], report["attributes"]
    distances = [
        (name + (" (floor)" if name == TRAIN else ""), interval_text(found, 2, 1000), str(sets[name]["frames"]))
        for name, found in report["kernel_distance"].items()
    ]
    reading = [
        (
            name,
            *(
                f"{interval_text(found[attribute], 1, 100)}; {100 * found[attribute]['uniform']:.0f}, "
                f"{100 * found[attribute]['chance']:.0f}"
                for attribute in attributes
            ),
        )
        for name, found in report["reading"].items()
    ]
    tables = [
        Table("Kernel distance of whole frames", ("set", "KID × 1000 (95 %)", "frames"), distances),
        Table("Attributes that are read as asked for, % (95 %); uniform, majority", ("set", *attributes), reading),
    ]
    measured = [
        (name, *(interval_text(found[attribute], 1, 100) for attribute in OF_CROP))
        for name, found in report["measuring"].items()
    ]
    tables.append(Table("Attributes that are measured as asked for, % (95 %)", ("set", *OF_CROP), measured))
    if report["reading_differences"]:
        rows = [
            (
                f"{found['first']} − {found['second']}",
                *(interval_text(found[attribute], 1, 100) for attribute in attributes),
            )
            for found in report["reading_differences"]
        ]
        tables.append(Table("Paired differences of what is read, points (95 %)", ("difference", *attributes), rows))
    return tuple(tables)


def frame_notes(extractor: str, detector: str | None) -> str:
    """What the figures mean and what they don't, in Markdown.

    Args:
        extractor: its name.
        detector: config of the detector that place and size are read with, or None.
    """
    places = f"the two surest boxes of {detector}" if detector else "features of the frame and of its quarters"
    return f"""Features: {extractor}. They can't be compared with figures in other features.

**Frames.** Real ones are squeezed to the square size of those that were made, so that sharpness alone tells nobody
apart. Frames without polyps are left out.

**Kernel distance.** Of whole frames. Unbiased KID, all pairs, degree 3; {CONFIDENCE:.0%} bootstrap intervals from
drawing whole groups {DRAWS} times. The floor is what the real training frames reach.

**Attributes.** *Read*: by a logistic regression for each attribute that learned on the real training frames, with the
values that were measured there; place and size from {places}, colour from mean colours on rings in and around the
polyp's box, texture and type from features of a crop around it. On real frames its rate says how well it reads at all.
*Uniform* is one over the number of values, *majority* the rate of always naming the one that was asked for most. Of a
frame with several polyps the largest counts. *Measured*: the facts themselves, on the frame as it was made; on real
frames they differ by the squeezing alone. Paired differences are of runs with the same masks, captions and noise.
"""
