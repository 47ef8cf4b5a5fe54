"""The audit: whether anything of evaluation sets stands in what a detector is trained on, real or synthetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyp_aug.curation.audit.findings import Finding, Level
from polyp_aug.curation.audit.looks import EqualPixels, Items, Match, NearFeatures, NearHashes
from polyp_aug.curation.audit.looks import Level as Looks
from polyp_aug.curation.audit.provenance import recorded_leaks
from polyp_aug.curation.audit.report import NOTES, audit_tables, summary, write_sheet
from polyp_aug.curation.audit.sets import AuditedSet, What, read_sets
from polyp_aug.curation.limits import family_limits
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.crops import PolypCrop
from polyp_aug.evaluation.report import Table, make_folder, versions, write_report

if TYPE_CHECKING:
    from polyp_aug.evaluation.features import FeatureExtractor


@dataclass(frozen=True)
class Audit:
    """What was found: the report, in JSON types, its tables, and the leaks."""

    report: dict[str, Any]
    tables: Sequence[Table]
    findings: Sequence[Finding]


def audit(
    synthetic: Sequence[Path],
    train: Sequence[Path],
    evaluation: Sequence[Path],
    out: Path,
    *,
    extractor: FeatureExtractor | None = None,
    sheet: bool = False,
    observer: Callable[[str], None] | None = None,
) -> Audit:
    """Look for anything of the evaluation sets in training and synthetic sets, and write `report.json` and `report.md`.

    1. The records: shared files, patients and sequences; backgrounds and references of an evaluation split or set.
    2. Equal pixels of whole frames.
    3. Perceptual hashes of frames, and of polyps cut out.
    4. Features of both, with `extractor`.

    2 to 4 find turned and mirrored copies as well. Each picture of an evaluation set is told once for each other set,
    by the surest way, with the nearest picture. Pictures of the evaluation sets among themselves aren't compared.

    Args:
        synthetic: run folders, or COCO sets of frames that were made from others.
        train: COCO sets of real frames to train on.
        evaluation: COCO sets of real frames to measure on.
        out: folder to write.
        extractor: of features; None leaves them out.
        sheet: also write `pairs.png`.
        observer: told which comparison begins.

    Raises:
        ConfigurationError: there is nothing to compare.
        CocoError: a COCO file breaks the format.
        ImageError: a frame can't be read.
        RunFolderDamagedError: a record of a run can't be trusted.
        StorageError: a file can't be written.
    """
    if not evaluation or not (synthetic or train):
        given = f"{len(synthetic)} synthetic, {len(train)} training and {len(evaluation)} evaluation sets"
        raise ConfigurationError(f"nothing to compare ({given})")
    taken: set[str] = set()
    others = [*read_sets(list(synthetic), taken, synthetic=True), *read_sets(list(train), taken, synthetic=False)]
    held_out = read_sets(list(evaluation), taken, synthetic=False)
    _tell(observer, "records")
    findings = list(recorded_leaks(others, held_out))
    for what in ("frame", "polyp"):
        findings += _seen_leaks(what, others, held_out, extractor, observer)
    report = {
        "clean": not findings,
        "sets": {
            "synthetic": {item.name: item.facts() for item in others if item.synthetic},
            "train": {item.name: item.facts() for item in others if not item.synthetic},
            "evaluation": {item.name: item.facts() for item in held_out},
        },
        "limits": {name: limit.to_dict() for name, limit in family_limits("near_copies").items()},
        "extractor": None if extractor is None else extractor.name,
        "summary": summary(findings),
        "findings": [finding.to_dict() for finding in findings],
        "versions": versions(("numpy", "opencv-python-headless")),
    }
    tables = audit_tables(report, findings)
    make_folder(out)
    if sheet:
        write_sheet(out, findings)
    write_report(out, "Leaks between data sets", report, tables, NOTES)
    return Audit(report, tables, findings)


def _seen_leaks(
    what: What,
    others: Sequence[AuditedSet],
    evaluation: Sequence[AuditedSet],
    extractor: FeatureExtractor | None,
    observer: Callable[[str], None] | None,
) -> Iterator[Finding]:
    """Frames or polyps that are found again by their looks."""
    parts = [(item, item.items(what)) for item in evaluation]
    owned = [(item.name, crop) for item, crops in parts for crop in crops]
    queries = Items(
        [crop for _, crop in owned],
        lambda: chain.from_iterable(item.hashed(what, crops) for item, crops in parts),
    )
    told: set[tuple[int, str]] = set()
    for level, name, find in _levels(what, queries, extractor):
        for other in others:
            _tell(observer, f"{name} of {what}s: {other.name}")
            crops = other.items(what)
            for match in find.matches(Items(crops, partial(other.hashed, what, crops))):
                if (match.query, other.name) not in told:
                    told.add((match.query, other.name))
                    yield _finding(level, what, owned[match.query], other.name, crops[match.other], match)


def _levels(what: What, queries: Items, extractor: FeatureExtractor | None) -> Iterator[tuple[Level, str, Looks]]:
    """The comparisons, the surest first; each takes the evaluation pictures when it begins."""
    limits = family_limits("near_copies")
    if what == "frame":
        yield "pixels", "pixels", EqualPixels(queries)
    yield "hash", "hashes", NearHashes(queries, _most(limits[f"{what}_hash"].at_most))
    if extractor is not None and queries.crops:
        yield "features", "features", NearFeatures(queries, extractor, _most(limits[f"{what}_features"].at_most))


def _finding(
    level: Level, what: What, owned: tuple[str, PolypCrop], other_set: str, other: PolypCrop, match: Match
) -> Finding:
    name, own = owned
    details = {"pixels": "equal pixels", "hash": match.bits, "features": f"features at distance {match.distance:.3f}"}
    return Finding(
        level,
        what,
        name,
        _named(own),
        own.group,
        other_set,
        _named(other),
        other.group,
        details[level],
        None if level == "pixels" else match.distance,
        (own, other),
    )


def _named(crop: PolypCrop) -> str:
    return f"{crop.frame.name}#{crop.annotation}" if crop.annotation else crop.frame.name


def _most(limit: float | None) -> float:
    assert limit is not None
    return limit


def _tell(observer: Callable[[str], None] | None, what: str) -> None:
    if observer is not None:
        observer(what)
