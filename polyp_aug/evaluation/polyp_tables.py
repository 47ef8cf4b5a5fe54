"""The tables and notes of a report on synthetic polyps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyp_aug.evaluation import neighbours
from polyp_aug.evaluation.crops import CONTEXT, SMALLEST
from polyp_aug.evaluation.intervals import CONFIDENCE, DRAWS
from polyp_aug.evaluation.report import Table, interval_text

#: Names of the real sets in reports.
REAL = "real"
TRAIN = "real train"

_QUANTILES = ("0.01", "0.5", "0.95")


def polyp_tables(report: Mapping[str, Any]) -> tuple[Table, ...]:
    """The tables of a report: kernel distances, their differences, and the copies' check."""
    sets = report["sets"]
    rows = [
        (name + (" (floor)" if name == TRAIN else ""), interval_text(found, 2, 1000), *_facts(sets[name]))
        for name, found in report["kernel_distance"].items()
    ]
    rows.append((REAL, "", *_facts(sets[REAL])))
    columns = ("set", "KID × 1000 (95 %)", "polyps", "groups", "median side of the crops, px")
    tables = [Table("Kernel distance from the real polyps", columns, rows)]
    differences = [
        (f"{found['first']} − {found['second']}", interval_text(found, 2, 1000), nearer(found))
        for found in report["kernel_distance_differences"]
    ]
    if differences:
        titles = ("difference", "KID × 1000 (95 %)", "nearer to real polyps")
        tables.append(Table("Paired differences", titles, differences))
    if report["memorisation"]:
        tables.append(memorisation_table(report["memorisation"]))
    return tuple(tables)


def polyp_notes(extractor: str, size: int) -> str:
    """What the figures mean and what they don't, in Markdown."""
    return f"""Features: {extractor}. They can't be compared with figures in other features.

**Kernel distance.** Crops: a square of {CONTEXT} times the box's longer side, at least {SMALLEST} px, inside the frame,
resized to {size} px, the same for real and synthetic. Unbiased KID, all pairs, degree 3; {CONFIDENCE:.0%} bootstrap
intervals from drawing whole groups (patients, backgrounds or frames) {DRAWS} times. The floor is what real polyps of
the training set reach. The figures judge the whole crop: the polyp, the mucosa around it, how both were lit and
recorded, and how sharp they are; sets whose polyps are of other sizes differ by that alone.

**Copies.** 1 − cosine to the nearest training polyp, cropped at {neighbours.CONTEXT} times the box, the least over
eight orientations. *Close* is nearer than {neighbours.CLOSE:.0%} of the held-out real polyps. **A small share does not
prove that nothing was copied.** A set by `copy_paste` consists of copies: measured beside the others, its share says
how many copies this check sees. Where `neighbours_real.png` shows one polyp twice, the real sets share a patient.
"""


def _facts(facts: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(facts["crops"]), str(facts["groups"]), f"{facts['median_side']:g}"


def nearer(found: Mapping[str, Any]) -> str:
    """Which set of a difference is nearer to the real one, if that can be told."""
    if found["low"] <= 0.0 <= found["high"]:
        return "can't be told"
    return str(found["first"] if found["value"] < 0 else found["second"])


def memorisation_table(found: Mapping[str, Any], what: str = "polyp") -> Table:
    """The copies' check of sets, by their names; `what` says of what, and with which network."""
    rows = [
        (name, interval_text(item["close"], 1, 100), *(f"{item['synthetic_quantiles'][q]:.4f}" for q in _QUANTILES))
        for name, item in found.items()
    ]
    heldout = next(iter(found.values()))["heldout_quantiles"]
    rows.append(("held-out real", "by definition 1", *(f"{heldout[q]:.4f}" for q in _QUANTILES)))
    columns = ("set", "close, % (95 %)", *(f"{float(q):.0%} quantile" for q in _QUANTILES))
    return Table(f"Distance to the nearest training {what}", columns, rows)
