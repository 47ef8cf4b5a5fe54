"""The tables and notes of a report on sets of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyp_aug.evaluation.crops import CONTEXT, SMALLEST
from polyp_aug.evaluation.image_titles import DIVERSITY_LABEL, MEASURES, Measure
from polyp_aug.evaluation.intervals import CONFIDENCE, DRAWS
from polyp_aug.evaluation.jackknife import BLOCKS
from polyp_aug.evaluation.manifold import NEAREST
from polyp_aug.evaluation.neighbours import CLOSE
from polyp_aug.evaluation.perceptual import MOST
from polyp_aug.evaluation.polyp_tables import REAL, TRAIN, memorisation_table, nearer
from polyp_aug.evaluation.report import Table

_BY_KEY = {measure.key: measure for measure in MEASURES}

#: Measures that stand beside one another.
_GROUPS = (
    ("Distances from the real pictures", ("frechet_distance", "kernel_distance", "score")),
    ("Neighbourhoods", ("precision", "recall", "density", "coverage")),
    ("Captions and likeness", ("caption_score", "pair_similarity", "set_similarity")),
)


def image_tables(report: Mapping[str, Any]) -> tuple[Table, ...]:
    """The tables of a report: the sets, then for each network its measures, differences and the copies' check."""
    rows = [
        (name, str(item["pictures"]), str(item["frames"]), str(item["groups"])) for name, item in report["sets"].items()
    ]
    tables = [Table("Sets", ("set", "pictures", "frames", "groups"), rows)]
    for found in report["extractors"]:
        label = found["label"]
        for title, keys in _GROUPS:
            shown = [_BY_KEY[key] for key in keys if found["measures"].get(key)]
            if shown:
                tables.append(_table(f"{title}: {label}", shown, found["measures"], label))
        for key, differences in found["differences"].items():
            if differences:
                tables.append(_differences(_BY_KEY[key], differences, label, report["sets"]))
        if found["memorisation"]:
            tables.append(memorisation_table(found["memorisation"], f"picture: {label}"))
    diversity = {"diversity": report["diversity"]["measures"]}
    tables.append(_table("Diversity", [_BY_KEY["diversity"]], diversity, DIVERSITY_LABEL))
    return tuple(tables)


def _table(title: str, shown: list[Measure], measures: Mapping[str, Any], label: str) -> Table:
    names = list(dict.fromkeys(name for item in shown for name in measures[item.key]))
    rows = [
        (
            name + (" (floor)" if name == TRAIN else ""),
            *(item.text(measures[item.key][name]) if name in measures[item.key] else "" for item in shown),
        )
        for name in sorted(names, key=lambda name: name != REAL)
    ]
    return Table(title, ("set", *(item.head(label) for item in shown)), rows)


def _differences(
    item: Measure, differences: list[dict[str, Any]], label: str, sets: Mapping[str, Mapping[str, Any]]
) -> Table:
    rows = []
    for row in differences:
        counts = {sets[row[name]]["pictures"] for name in ("first", "second")}
        # The kernel distance has no bias that depends on their number.
        told = nearer(row) if len(counts) == 1 or item.key == "kernel_distance" else "different numbers of pictures"
        rows.append((f"{row['first']} − {row['second']}", item.text(row), told))
    head = item.head(label)
    return Table(f"Paired differences: {head[:-2]}", ("difference", head[:-2], "nearer to the real pictures"), rows)


def protocol_text(protocol: Mapping[str, Any]) -> str:
    """Which pictures were compared and how they were brought to one form, in Markdown."""
    common, count = protocol["common"], protocol["count"]
    text = []
    if common is not None:
        text.append(
            f"Synthetic frames are smaller than all real ones: every frame, real or not, was first squeezed to "
            f"{common}×{common} px."
        )
    if protocol["crops"]:
        text.append(
            f"Squares around polyps: {CONTEXT} times the box's longer side, at least {SMALLEST} px, inside the frame. "
            "Of runs the objects that a run added, unless all were asked for."
        )
    else:
        text.append(
            "Whole frames, squeezed to a square whatever their sides. Where polyps were painted into real frames, most "
            "of each frame is real, and these figures flatter: compare crops."
        )
        if protocol["with_polyps"]:
            text.append("Frames without a polyp are left out; of runs also those without a new one.")
    text.append(
        "Squares are brought to the network's size by area averaging, by cubic interpolation where they are smaller; "
        "the same for every set."
    )
    if count is not None:
        text.append(f"At most {count} pictures of each set, drawn by the seed.")
    return "**Pictures.** " + " ".join(text)


def image_notes(report: Mapping[str, Any]) -> str:
    """What the figures mean and what they don't, in Markdown."""
    networks = "\n".join(f"* {found['name']}, pictures of {found['size']} px" for found in report["extractors"])
    warnings = "".join(f"* **Warning.** {text}\n" for text in report["warnings"])
    return f"""{warnings}
Networks; figures in features of different ones can't be compared:

{networks}

{protocol_text(report["protocol"])}

**Intervals** are of {CONFIDENCE:.0%}. Kernel distance, CLIP and diversity: {DRAWS} draws of whole groups (patients,
backgrounds or frames) with replacement. Fréchet distance, IS, precision, recall, density and coverage: a jackknife that
leaves out each of {BLOCKS} blocks of groups, of both sets, since drawing a picture twice would change these measures
by itself. The floor is what real pictures of the training set reach.

**Fréchet distance**, IS and neighbourhoods ({NEAREST} nearest) depend on the number of pictures: only sets of as many
can be compared. Only in Inception's features are the first two FID and IS. **Close**: share of pictures whose nearest
training picture (1 − cosine) is nearer than that of {CLOSE:.0%} of the held-out real ones; pictures that were turned or
mirrored may escape. A small share does not prove that nothing was copied. **Diversity**: mean perceptual distance of
two of at most {MOST} pictures, one of a group; noise is diverse, too: the real pictures' value is the aim.
"""
