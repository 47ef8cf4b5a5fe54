"""Counts over the records of a run, taken in one pass and in bounded memory."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from polyp_aug.errors import RunFolderDamagedError
from polyp_aug.generation.samples import PAINTED

#: Most different reasons that are counted apart; further ones are counted as `OTHER_REASON`.
MAX_REASONS = 200
OTHER_REASON = "other reasons"

#: Most backgrounds that could not be read that are named.
MAX_UNREADABLE = 100

#: (data set, split, licence), each "" where unknown.
SourceName = tuple[str, str, str]

_KeyT = TypeVar("_KeyT", int, str, tuple[str, str], tuple[str, str, str])


@dataclass(frozen=True)
class Failure:
    """A reason, without file names and numbers, how often it came, and the first message that gave it."""

    reason: str
    count: int
    example: str


@dataclass(frozen=True)
class CardStatistics:
    """Counts over the records of a run.

    Attributes:
        made, skipped: samples.
        synthetic, removed, source: objects that were painted, that were painted over, and that were and are there.
            What is said of synthetic objects below holds for removed ones in runs that remove.
        polyps_per_frame: number of synthetic objects → frames, in rising order.
        categories: category name → objects that are annotated, sorted by name.
        methods: (proposer, synthesizer) → synthetic objects, sorted.
        references: id of the reference polyp (`reference_of`) → synthetic objects, sorted.
        backgrounds: source of the background → frames, sorted.
        reference_sources: source of the reference polyp, where the provenance's details (or those of what painting
            started from) have it as `reference_source` → synthetic objects, sorted.
        diameters: diameter in pixels of the disc of the object's area, rounded → synthetic objects, in rising order.
        shares: area as a share of the frame, in thousandths, rounded → synthetic objects, in rising order.
        unreadable: message about each background that could not be read → samples that lost it, sorted; at most
            `MAX_UNREADABLE`.
        skips, rejections: most frequent first.
    """

    made: int
    skipped: int
    synthetic: int
    removed: int
    source: int
    polyps_per_frame: Mapping[int, int]
    categories: Mapping[str, int]
    methods: Mapping[tuple[str, str], int]
    references: Mapping[str, int]
    backgrounds: Mapping[SourceName, int]
    reference_sources: Mapping[SourceName, int]
    diameters: Mapping[int, int]
    shares: Mapping[int, int]
    unreadable: Mapping[str, int]
    skips: tuple[Failure, ...]
    rejections: tuple[Failure, ...]


class Tally:
    """Takes the records of a run one by one: `through` lets another consumer share the pass.

    Memory grows with the number of different references, sources and sizes, not with the number of samples.
    """

    def __init__(self) -> None:
        self._samples: Counter[str] = Counter()
        self._origins: Counter[str] = Counter()
        self._polyps_per_frame: Counter[int] = Counter()
        self._categories: Counter[str] = Counter()
        self._methods: Counter[tuple[str, str]] = Counter()
        self._references: Counter[str] = Counter()
        self._backgrounds: Counter[SourceName] = Counter()
        self._reference_sources: Counter[SourceName] = Counter()
        self._diameters: Counter[int] = Counter()
        self._shares: Counter[int] = Counter()
        self._unreadable: Counter[str] = Counter()
        self._skips = _Reasons()
        self._rejections = _Reasons()

    def through(self, records: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Count each record and hand it on, unchanged.

        Raises:
            RunFolderDamagedError: as `add`.
        """
        for record in records:
            self.add(record)
            yield record

    def add(self, record: Mapping[str, Any]) -> None:
        """Count one record of `manifest.jsonl`.

        Raises:
            RunFolderDamagedError: the record lacks a field, or a field has a wrong type or value.
        """
        try:
            if record["status"] == "made":
                self._add_made(record)
            elif record["status"] == "skipped":
                self._skips.add(record["reasons"])
            else:
                raise ValueError(f"status is {record['status']!r}, expected 'made' or 'skipped'")
            for message in record.get("unreadable", ()):
                if message in self._unreadable or len(self._unreadable) < MAX_UNREADABLE:
                    self._unreadable[str(message)] += 1
            self._samples[record["status"]] += 1
        except KeyError as error:
            raise RunFolderDamagedError(f"sample {record.get('sample', '?')}: no field {error}") from error
        except (TypeError, ValueError) as error:
            raise RunFolderDamagedError(f"sample {record.get('sample', '?')}: {error}") from error

    def statistics(self) -> CardStatistics:
        """The counts so far."""
        return CardStatistics(
            made=self._samples["made"],
            skipped=self._samples["skipped"],
            synthetic=self._origins["synthetic"],
            removed=self._origins["removed"],
            source=self._origins["source"],
            polyps_per_frame=_ordered(self._polyps_per_frame),
            categories=_ordered(self._categories),
            methods=_ordered(self._methods),
            references=_ordered(self._references),
            backgrounds=_ordered(self._backgrounds),
            reference_sources=_ordered(self._reference_sources),
            diameters=_ordered(self._diameters),
            shares=_ordered(self._shares),
            unreadable=_ordered(self._unreadable),
            skips=self._skips.failures(),
            rejections=self._rejections.failures(),
        )

    def _add_made(self, record: Mapping[str, Any]) -> None:
        width, height = frame_size(record)
        self._backgrounds[_source_name(record["background"])] += 1
        self._rejections.add(record.get("rejections", []))
        painted = 0
        for item in record["objects"]:
            self._origins[item["origin"]] += 1
            if item["origin"] != "removed":
                self._categories[item["category"]] += 1
            if item["origin"] in PAINTED:
                painted += 1
                self._add_synthetic(item["provenance"])
                area = item["area"]
                if not 0 <= area < math.inf:
                    raise ValueError(f"the area of an object is {area}, expected a number from 0 up")
                self._diameters[round(math.sqrt(4 * area / math.pi))] += 1
                self._shares[round(1000 * area / (width * height))] += 1
        self._polyps_per_frame[painted] += 1

    def _add_synthetic(self, provenance: Mapping[str, Any]) -> None:
        self._methods[provenance["proposer"], provenance["synthesizer"]] += 1
        if reference := reference_of(provenance):
            self._references[reference] += 1
        if source := _reference_details(provenance).get("reference_source"):
            self._reference_sources[_source_name(source)] += 1


def frame_size(record: Mapping[str, Any]) -> tuple[int, int]:
    """(width, height) of a record's frame, in pixels.

    Raises:
        ValueError: one of them is less than 1.
    """
    width, height = int(record["width"]), int(record["height"])
    if width < 1 or height < 1:
        raise ValueError(f"the frame is {width}×{height} pixels, expected at least 1×1")
    return width, height


def reference_of(provenance: Mapping[str, Any]) -> str:
    """Id of the reference polyp whose pixels the synthesizer used, else of the one that the proposer used, else ""."""
    return str(_reference_details(provenance).get("reference") or provenance.get("reference") or "")


def _reference_details(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the synthesizer says of its reference polyp; a diffusion model says it of what it started from."""
    details: Mapping[str, Any] = provenance.get("details", {})
    start: Mapping[str, Any] = details.get("start", details)
    return start


def quantile(histogram: Mapping[int, int], q: float) -> int:
    """The smallest value with at least the share `q` of all counts at or below it (NumPy's `inverted_cdf`).

    Args:
        histogram: value → count, not empty.
        q: in [0, 1].
    """
    values, counts = list(histogram), list(histogram.values())
    return int(np.quantile(values, q, method="inverted_cdf", weights=counts))


def reason_of(message: str) -> str:
    """A message without what differs from sample to sample: the file before it, brackets and their content, numbers.

    `"a/c.jpg: 900×900 pixels (3 frames)"` gives `"…×… pixels"`.
    """
    head, colon, tail = message.partition(": ")
    text = tail if colon and re.search(r"[./\\]", head) else message
    brackets = 1
    while brackets:
        text, brackets = re.subn(r"\s*\([^()]*\)", "", text)
    return re.sub(r"\d+(?:[.,]\d+)*", "…", text).strip()


class _Reasons:
    """Messages counted by their reason."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, messages: Iterable[str]) -> None:
        for message in messages:
            reason = reason_of(message)
            if reason not in self._examples and len(self._examples) >= MAX_REASONS:
                reason = OTHER_REASON
            self._counts[reason] += 1
            self._examples.setdefault(reason, message)

    def failures(self) -> tuple[Failure, ...]:
        ranked = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(Failure(reason, count, self._examples[reason]) for reason, count in ranked)


def _source_name(source: Mapping[str, Any]) -> SourceName:
    return source.get("dataset", ""), source.get("split", ""), source.get("licence", "")


def _ordered(counts: Counter[_KeyT]) -> dict[_KeyT, int]:
    return dict(sorted(counts.items()))
