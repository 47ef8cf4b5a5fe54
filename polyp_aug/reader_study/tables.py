"""The tables and notes of a scored study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polyp_aug.evaluation.intervals import CONFIDENCE, DRAWS, FEWEST_GROUPS
from polyp_aug.evaluation.report import Table, interval_text
from polyp_aug.reader_study.questions import FIDELITY, MASK, ORIGIN, REAL, TEXT

#: The row of all readers together.
ALL = "all readers"

_TITLES = {ORIGIN: "real or synthetic", FIDELITY: "image fidelity", MASK: "mask accuracy", TEXT: "text accuracy"}

_INTERVALS = f"""**Intervals** are of {CONFIDENCE:.0%}. A reader's shares have Wilson's, their differences
Newcombe's; both take pictures as independent. Those of all readers, of ratings and of κ come from drawing whole
patients, sequences or backgrounds {DRAWS} times, of both sets independently for a difference; with fewer than
{FEWEST_GROUPS} of them there is none. The readers are not drawn: the intervals hold for these readers, and other
readers may differ by more. p-values are not corrected for their number.
"""

_ORIGIN = """**Called real.** As in Polyp-Gen's Table IV. A set that can't be told from real frames is called real as
often as they are, not half of the time: compare with the first column. *p* is Fisher's exact test of that. A large p
does not prove that sets are equal; the interval of the difference says how large it may be.

**Telling apart.** *Sensitivity* is the share of synthetic pictures that are called synthetic, *specificity* that of
real ones called real, *balanced* the mean of both: 50 % without looking. *Blind* is the accuracy of somebody who calls
as many pictures real without looking, and *p* the exact binomial test against it. Where synthetic pictures outnumber
real ones, accuracy alone says little.
"""

_RATINGS = """**Ratings** from 1, poor, to 5, excellent, as in CCIS-Diff's Table 2: means over pictures of the readers'
mean. Real frames are rated too: they show what readers give at best.
"""

_AGREEMENT = """**Agreement** beyond chance: 1 is always, 0 as often as by chance. Pairs: Cohen's κ, quadratically
weighted for ratings. All readers: Fleiss' κ for *real or synthetic*, the mean of the pairs for ratings. κ is low where
nearly all pictures get one answer, however well readers agree. "–": readers gave one and the same answer throughout.
"""


def score_tables(report: Mapping[str, Any]) -> tuple[Table, ...]:
    """The tables of a report of `score_study`."""
    tables = [
        Table(
            "Readers",
            ("reader", "pictures", "seconds a picture (median)", "signed", "digest"),
            [
                (
                    row["reader"],
                    str(sum(report["sets"].values())),
                    f"{row['median_seconds']:.1f}",
                    row["signed"],
                    row["digest"][:12],
                )
                for row in report["readers"]
            ],
        )
    ]
    if "called_real" in report:
        tables += [*_called_real(report), _telling_apart(report["telling_apart"])]
    if "ratings" in report:
        tables += _ratings(report["ratings"])
    if "agreement" in report:
        tables.append(_agreement(report["agreement"]))
    return tuple(tables)


def score_notes(questions: Sequence[str]) -> str:
    """What the figures mean and what they don't, in Markdown."""
    notes = [_INTERVALS]
    if ORIGIN in questions:
        notes.append(_ORIGIN)
    if set(questions) - {ORIGIN}:
        notes.append(_RATINGS)
    return "\n".join([*notes, _AGREEMENT])


def _called_real(report: Mapping[str, Any]) -> list[Table]:
    sets, found = report["sets"], report["called_real"]
    everyone = [*found["readers"].items(), (ALL, found["pooled"])]
    methods = [source for source in sets if source != REAL]
    return [
        Table(
            "Called real, % (95 %)",
            ("reader", *(f"{source} ({count})" for source, count in sets.items())),
            [(name, *(_percent(row["shares"][source]) for source in sets)) for name, row in everyone],
        ),
        Table(
            "Called real less often than real pictures, points (95 %); p",
            ("reader", *methods),
            [(name, *(_with_p(row["real_minus"][source]) for source in methods)) for name, row in everyone],
        ),
    ]


def _telling_apart(found: Mapping[str, Any]) -> Table:
    parts = ("accuracy", "sensitivity", "specificity")
    rows = [
        (
            name,
            *(_percent(row[part]) for part in parts),
            f"{100 * row['balanced']:.1f}",
            f"{100 * row['blind']:.1f}",
            f"{row['p']:.3g}",
        )
        for name, row in found["readers"].items()
    ]
    pooled = found["pooled"]
    rows.append((ALL, *(_percent(pooled[part]) for part in parts), _percent(pooled["balanced"]), "", ""))
    return Table("Telling apart, % (95 %)", ("reader", *parts, "balanced", "blind", "p"), rows)


def _ratings(found: Mapping[str, Any]) -> list[Table]:
    sources = list(next(iter(found.values())))
    readers = list(next(iter(found.values()))[sources[0]]["readers"])
    tables = [
        Table(
            "Ratings, 1 to 5 (95 %)",
            ("set", *(_TITLES[question] for question in found)),
            [(source, *(_plain(rows[source]["pooled"]) for rows in found.values())) for source in sources],
        )
    ]
    if len(readers) > 1:
        tables.append(
            Table(
                "Ratings of each reader",
                ("reader", "set", *(_TITLES[question] for question in found)),
                [
                    (reader, source, *(f"{rows[source]['readers'][reader]:.2f}" for rows in found.values()))
                    for reader in readers
                    for source in sources
                ],
            )
        )
    return tables


def _agreement(found: Mapping[str, Any]) -> Table:
    pairs = next(iter(found.values()))["pairs"]
    rows = [
        (f"{pair['first']}, {pair['second']}", *(_plain(row["pairs"][number]["kappa"]) for row in found.values()))
        for number, pair in enumerate(pairs)
    ]
    rows.append((ALL, *(_plain(row["all"]) for row in found.values())))
    return Table("Agreement, κ (95 %)", ("readers", *(_TITLES[question] for question in found)), rows)


def _percent(found: Mapping[str, Any]) -> str:
    return interval_text(found, 1, 100) if found["low"] is not None else f"{100 * found['value']:.1f}"


def _with_p(found: Mapping[str, Any]) -> str:
    return _percent(found) + (f"; {found['p']:.3g}" if "p" in found else "")


def _plain(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    return interval_text(found, 2) if found["low"] is not None else f"{found['value']:.2f}"
