"""How good are proposed places? Frames whose polyps were removed tell where places are right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.emptied import EmptiedFrame, read_emptied, with_decoys
from polyp_aug.evaluation.intervals import Floats, Interval, group_numbers, percentile_interval, resampled_counts
from polyp_aug.evaluation.placement_scores import FrameScores, score_places
from polyp_aug.evaluation.placement_tables import placement_notes, placement_tables
from polyp_aug.evaluation.report import Table, digest_of, make_folder, versions, write_report
from polyp_aug.generation.run_folder import MANIFEST_NAME
from polyp_aug.geometry import Box
from polyp_aug.images import ImageArray
from polyp_aug.keys import Key
from polyp_aug.mucosa import find_mucosa
from polyp_aug.proposers.random import RandomProposer
from polyp_aug.scene import Placement, Source

#: The proposer that others are compared with.
BASELINE = RandomProposer.name

#: Places on a frame, once for each key: (image, count, keys, occupied) → for each key what `Proposer.propose` gives.
Places = Callable[[ImageArray, int, Sequence[Key], Sequence[Box]], list[list[Placement]]]


@dataclass(eq=False)
class Compared:
    """Proposers, and what the report says about their inputs.

    Attributes:
        proposers: name → places; if one is named `BASELINE`, the others are compared with it.
        facts: in JSON types.
        sources: of all references that they use.
    """

    proposers: dict[str, Places] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)


@dataclass(frozen=True)
class PlacementSettings:
    """How places are measured.

    Attributes:
        top: places that are asked for.
        iou: overlap with a removed polyp from which on a place is a hit.
        repeats: keys by which each proposer is asked on each frame.
        seed: the only source of randomness.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    top: int = 3
    iou: float = 0.2
    repeats: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("top", "repeats"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name!r} must be at least 1 (got {getattr(self, name)})")
        if not 0.0 < self.iou <= 1.0:
            raise ConfigurationError(f"'iou' must be within (0, 1] (got {self.iou})")

    def keys(self, frame: str) -> list[Key]:
        """The keys of a frame."""
        return [Key(self.seed, frame, draw=number) for number in range(self.repeats)]


@dataclass(frozen=True)
class PlacementEvaluation:
    """A report, in JSON types, and its tables."""

    report: dict[str, Any]
    tables: tuple[Table, ...]


def evaluate_placement(
    run: Path,
    compared: Compared,
    out: Path,
    *,
    decoys: Path | None = None,
    settings: PlacementSettings | None = None,
    observer: Callable[[int, int], None] | None = None,
) -> PlacementEvaluation:
    """Measure how often proposers find the places of removed polyps, and write `report.json` and `report.md`.

    Args:
        run: run folder of `remove`.
        compared: the proposers.
        out: folder to write.
        decoys: run folder of `remove` over the frames of `run`, with boxes that `draw_decoys` chose: measures on these
            frames alone, and which place is preferred.
        settings: see `PlacementSettings`.
        observer: called with the number of frames that are done, and of all.

    Raises:
        ConfigurationError: there is no proposer, it is not a run that removes, no polyp was removed, there are fewer
            than ten groups of frames, references come from them, or the decoys are not of them.
        RunFolderDamagedError: a record of the run can't be trusted.
        ImageError: a frame can't be read.
        StorageError: a file can't be written.
    """
    if not compared.proposers:
        raise ConfigurationError("no proposer to measure")
    settings = settings or PlacementSettings()
    emptied = read_emptied(run)
    _refuse_shared(emptied, compared.sources)
    frames = emptied if decoys is None else with_decoys(emptied, decoys)
    resampling = _Resampling([frame.group for frame in frames], settings.seed)
    scores: dict[str, list[FrameScores]] = {name: [] for name in compared.proposers}
    for number, frame in enumerate(frames, start=1):
        for name, found in _measure(frame, compared.proposers, settings).items():
            scores[name].append(found)
        if observer is not None:
            observer(number, len(frames))
    report = {
        "manifest_sha256": digest_of([run / MANIFEST_NAME]),
        "frames": len(frames),
        "groups": resampling.groups,
        "removed_polyps": sum(len(frame.removed) for frame in frames),
        **({} if decoys is None else {"decoys": _described(decoys, frames, len(emptied))}),
        "settings": asdict(settings),
        **compared.facts,
        "proposers": {
            name: _summary(
                rows, None if name == BASELINE else scores.get(BASELINE), resampling, settings, decoys is not None
            )
            for name, rows in scores.items()
        },
        "versions": versions(("numpy", "opencv-python-headless")),
    }
    result = PlacementEvaluation(report, placement_tables(report, BASELINE))
    make_folder(out)
    write_report(out, "Places where polyps were removed", report, result.tables, placement_notes(report))
    return result


def _described(decoys: Path, frames: Sequence[EmptiedFrame], emptied: int) -> dict[str, Any]:
    return {
        "manifest_sha256": digest_of([decoys / MANIFEST_NAME]),
        "places": sum(len(frame.decoys) for frame in frames),
        "frames_without": emptied - len(frames),
    }


def _measure(
    frame: EmptiedFrame, proposers: Mapping[str, Places], settings: PlacementSettings
) -> dict[str, FrameScores]:
    image = frame.read()
    mucosa = find_mucosa(image)
    keys = settings.keys(frame.source.file)
    found = {name: places(image, settings.top, keys, frame.kept) for name, places in proposers.items()}
    return {
        name: score_places(
            [[one.region.box for one in row] for row in rows], frame.removed, mucosa, settings.iou, frame.decoys
        )
        for name, rows in found.items()
    }


def _refuse_shared(frames: Iterable[EmptiedFrame], sources: Iterable[Source]) -> None:
    """Refuse to measure on frames that references come from.

    Patients and sequences are compared where both sides name them, else frames of data sets that both sides name.

    Raises:
        ConfigurationError: they share any.
    """
    known = {_identity(source) for source in sources}
    shared = sorted({_identity(frame.source) for frame in frames} & known - {None}, key=str)
    if shared:
        raise ConfigurationError(
            f"the frames and the references share {len(shared)} patients, sequences or frames, the first "
            f"{' '.join(shared[0] or ())!r}: places must be measured on others"
        )


def _identity(source: Source) -> tuple[str, str] | None:
    return (source.dataset, source.group or source.file) if source.dataset or source.group else None


class _Resampling:
    """Bootstrap over groups of frames, with the same draws for everything.

    Raises:
        ConfigurationError: there are fewer than ten groups.
    """

    def __init__(self, groups: Sequence[str], seed: int) -> None:
        self._numbers = group_numbers(groups)
        self.groups = int(self._numbers.max()) + 1
        self._counts = resampled_counts(self.groups, seed=seed, name="placement")

    def ratio(self, above: Floats, below: Floats) -> Interval | None:
        """The sum of one value of the frames over that of another; None where this is 0, measured or in a draw."""
        return self.quotient((above,), (below,))

    def quotient(self, above: Sequence[Floats], below: Sequence[Floats]) -> Interval | None:
        """The product of the sums of some values over that of others; None where this is 0, measured or in a draw."""
        first, second = (
            np.prod([self._counts @ np.bincount(self._numbers, weights=values) for values in side], axis=0)
            for side in (above, below)
        )
        if not second.all():
            return None
        value = np.prod([values.sum() for values in above]) / np.prod([values.sum() for values in below])
        return percentile_interval(float(value), first / second)


def _summary(
    rows: Sequence[FrameScores],
    baseline: Sequence[FrameScores] | None,
    resampling: _Resampling,
    settings: PlacementSettings,
    decoys: bool,
) -> dict[str, Any]:
    frames = np.ones(len(rows))
    measured = {
        name: resampling.ratio(_column(name, rows), frames)
        for name in ("hit_rate", "hit_rate_first", "best_iou", "places", "without_any")
    }
    distance = _column("distance", rows)
    known = np.isfinite(distance)
    measured["distance"] = resampling.ratio(np.where(known, distance, 0.0), known.astype(np.float64))
    hits = _column("hit_rate", rows)
    measured["ratio"] = None if baseline is None else resampling.ratio(hits, _column("hit_rate", baseline))
    if decoys:
        measured |= _preference(rows, baseline, resampling)
    return {
        **{name: None if interval is None else interval.to_dict() for name, interval in measured.items()},
        "places_in_all": round(settings.repeats * _column("places", rows).sum()),
        "off_mucosa": int(_column("off_mucosa", rows).sum()),
    }


def _preference(
    rows: Sequence[FrameScores], baseline: Sequence[FrameScores] | None, resampling: _Resampling
) -> dict[str, Interval | None]:
    """How often the true place is preferred where a place is a hit of it or of a decoy, and how often by chance."""
    frames = np.ones(len(rows))
    preferred, expected = _preferred(rows)
    decided = _column("decided", rows)
    found = {
        "decoy_hit_rate": resampling.ratio(_column("decoy_hit_rate", rows), frames),
        "decided": resampling.ratio(decided, frames),
        "preference": resampling.ratio(preferred, decided),
        "chance": resampling.ratio(expected, decided),
        "preference_to_chance": resampling.ratio(preferred, expected),
        "preference_ratio": None,
    }
    if baseline is not None:
        below = _preferred(baseline)
        found["preference_ratio"] = resampling.quotient((preferred, below[1]), (expected, below[0]))
    return found


def _preferred(rows: Sequence[FrameScores]) -> tuple[Floats, Floats]:
    """Of each frame the share of the keys by which the true place is preferred, and what it would be by chance."""
    return _column("preferred", rows), _column("chance", rows) * _column("decided", rows)


def _column(name: str, rows: Sequence[FrameScores]) -> Floats:
    return np.array([getattr(row, name) for row in rows], dtype=np.float64)
