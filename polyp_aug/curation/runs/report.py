"""The report of a curated run: what each rule took, who judged, and sheets of what was kept and what was not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from polyp_aug.curation.runs.judged import JudgedSample
from polyp_aug.curation.runs.painted import crop_of, painted_objects
from polyp_aug.curation.runs.policy import CONFIDENCE, OVERLAP, Policy, ScoreRule
from polyp_aug.evaluation.crops import CONTEXT, read_crops
from polyp_aug.evaluation.report import Table
from polyp_aug.evaluation.sheet import TILE
from polyp_aug.images import ImageArray, write_png
from polyp_aug.sheets import captioned, grid

#: Frames on a sheet, and crops in a row of it.
SHEET_FRAMES, COLUMNS = 100, 10

KEPT_SHEET, REJECTED_SHEET = "kept.png", "rejected.png"

NOTES = """**Rejected.** A polyp that breaks a rule takes its frame with it, and the other polyps of that frame: the
pixels still show it. They stand in the row *frame*. A polyp may break several rules.
**Not measured.** Polyps without what a score needs, such as the frame before it was painted. They pass.

Every sample stands in `manifest.jsonl`, those that left as `rejected`, with scores and reasons. The sheets show the
polyps of at most 100 frames each; on `rejected.png` the caption names the first rule that was broken.
"""


def curation_report(
    policy: Policy, facts: Mapping[str, Any], samples: Sequence[JudgedSample]
) -> tuple[dict[str, Any], list[Table]]:
    """The report, in JSON types, and its tables.

    Args:
        policy: that was applied.
        facts: the settings of the curation.
        samples: all samples, judged.
    """
    made = [sample for sample in samples if sample.made]
    rows = [_counts(name, made) for name in _rule_names(policy)]
    judged = Counter(
        str(measured["referee"]) for sample in made for measured in sample.measured if "referee" in measured
    )
    refused = sum("refused" in measured for sample in made for measured in sample.measured)
    seen = sum("saw" in measured for sample in made for measured in sample.measured)
    report = {
        "curation": dict(facts),
        "frames": len(made),
        "frames_kept": sum(sample.kept for sample in made),
        "polyps": sum(len(sample.reasons) for sample in made),
        "polyps_kept": sum(len(sample.reasons) for sample in made if sample.kept),
        "rules": {row["rule"]: {key: value for key, value in row.items() if key != "rule"} for row in rows},
        "refined": sum(_refined(sample) for sample in made),
        "referees": {
            "judged": dict(sorted(judged.items())),
            "refused_as_seen": refused,
            "judged_though_seen": seen,
        },
    }
    return report, _tables(report, policy)


def write_sheets(out: Path, source: Path, samples: Sequence[JudgedSample]) -> None:
    """Write the sheets of kept and rejected polyps, each where there is any.

    Raises:
        ImageError: a picture can't be read.
        StorageError: a file can't be written.
    """
    made = [sample for sample in samples if sample.made]
    for name, kept in ((KEPT_SHEET, True), (REJECTED_SHEET, False)):
        chosen = _spread([sample for sample in made if sample.kept is kept])
        tiles = [tile for sample in chosen for tile in _tiles(source, sample)]
        if tiles:
            write_png(out / name, grid(tiles, COLUMNS))


def _spread(samples: Sequence[JudgedSample]) -> list[JudgedSample]:
    """At most `SHEET_FRAMES` samples, from all over the run."""
    step = max(1, -(-len(samples) // SHEET_FRAMES))
    return list(samples[::step])


def _tiles(source: Path, sample: JudgedSample) -> Iterator[ImageArray]:
    polyps = painted_objects(sample.record)
    crops = [crop_of(source, sample.record, item, CONTEXT) for item in polyps]
    for picture, reasons in zip(read_crops(crops, TILE), sample.reasons, strict=True):
        yield captioned(picture, f"{sample.record['sample']} {next(iter(reasons), '')}")


def _rule_names(policy: Policy) -> list[str]:
    names = [rule.score for rule in policy.score_rules]
    names += ["frame"] if names else []
    names += [rule.name for rule in policy.set_rules]
    return list(dict.fromkeys(names))


def _counts(rule: str, samples: Sequence[JudgedSample]) -> dict[str, Any]:
    values = [measured[rule] for sample in samples for measured in sample.measured if rule in measured]
    known = sorted(value for value in values if value is not None)
    return {
        "rule": rule,
        "rejected": sum(rule in reasons for sample in samples for reasons in sample.reasons),
        "noted": sum(rule in verdict.notes for sample in samples for verdict in sample.verdicts),
        "not_measured": len(values) - len(known),
        "median": known[len(known) // 2] if known else None,
    }


def _refined(sample: JudgedSample) -> int:
    return sum("annotated" in entry for entry in sample.entries())


def _tables(report: Mapping[str, Any], policy: Policy) -> list[Table]:
    limits = {rule.score: _words(rule) for rule in policy.score_rules}
    total = max(1, report["polyps"])
    rows = [
        (
            name,
            limits.get(name, ""),
            "" if row["median"] is None else f"{row['median']:.3g}",
            str(row["rejected"]),
            f"{100 * row['rejected'] / total:.1f}",
            str(row["noted"]),
            str(row["not_measured"]),
        )
        for name, row in report["rules"].items()
    ]
    columns = ("rule", "must be", "median", "rejected", "% of polyps", "noted", "not measured")
    counts = [
        ("frames", str(report["frames"]), str(report["frames_kept"])),
        ("polyps", str(report["polyps"]), str(report["polyps_kept"])),
    ]
    tables = [Table("What was kept", ("", "in the run", "kept"), counts), Table("Rules", columns, rows)]
    if policy.scores & {CONFIDENCE, OVERLAP}:
        referees = [(f"judged by {name}", str(count)) for name, count in report["referees"]["judged"].items()]
        referees += [
            ("refused: trained on by every referee", str(report["referees"]["refused_as_seen"])),
            ("judged though trained on: seen: accept", str(report["referees"]["judged_though_seen"])),
        ]
        tables.append(Table("Who judged", ("", "polyps"), referees))
    return tables


def _words(rule: ScoreRule) -> str:
    texts = [f"{name.replace('_', ' ')} {value:g}" for name, value in rule.limit.to_dict().items()]
    return ", ".join(texts) + (" (noted only)" if rule.action == "note" else "")
