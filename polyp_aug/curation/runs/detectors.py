"""Scores by detectors: referees that confirm polyps which they have never seen, and how hard polyps are to find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from polyp_aug.coco import read_coco
from polyp_aug.coco.read import annotations_file
from polyp_aug.curation.origins import Origins
from polyp_aug.curation.runs.measuring import Measured, rounded
from polyp_aug.curation.runs.painted import (
    Record,
    background_of,
    frame_path,
    origins_of,
    painted_objects,
)
from polyp_aug.curation.runs.policy import CONFIDENCE, HARDNESS, OVERLAP, Seen
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.recall import Detections
from polyp_aug.evaluation.report import digest_of
from polyp_aug.generation.merge_runs import is_run_folder
from polyp_aug.generation.run_folder import MANIFEST_NAME, read_records
from polyp_aug.geometry import Box, box_iou
from polyp_aug.references import image_source
from polyp_aug.scene import Source

#: Gives the detections of each picture.
Detect = Callable[[Sequence[Path]], Sequence[Detections]]

#: Samples whose frames go to a detector in one call.
BATCH = 128


@dataclass(frozen=True, eq=False)
class Referee:
    """A detector that judges polyps.

    Attributes:
        name: for people.
        detect: gives its detections.
        trained_on: frames, patients and sequences that it was trained on.
        facts: what identifies it, in JSON types.
    """

    name: str
    detect: Detect
    trained_on: Origins
    facts: Mapping[str, Any]


class BestBox(NamedTuple):
    """The detection that fits an object best.

    Attributes:
        confidence: its score; 0 where none overlaps the object.
        overlap: its intersection over union with the object's box.
    """

    confidence: float
    overlap: float


def best_box(detections: Detections, box: Box) -> BestBox:
    """The detection with the largest product of score and overlap with a box, xywh."""
    overlaps = np.array([box_iou(tuple(found), box) for found in detections.boxes.tolist()])
    product = overlaps * detections.scores
    if not product.size or product.max() <= 0:
        return BestBox(0.0, 0.0)
    best = int(product.argmax())
    return BestBox(float(detections.scores[best]), float(overlaps[best]))


class RefereeScores:
    """Confidence and overlap by the first referee that was trained on nothing that a polyp comes from.

    A polyp comes from its background and from its reference polyps, their patients and sequences included. So referees
    that were each trained without one fold of the data share the polyps among them. Where no referee is left, the polyp
    is refused, or judged by the first all the same.

    Args:
        referees: in their order.
        seen: what becomes of polyps that every referee has seen something of.

    Raises:
        ConfigurationError: there is no referee.
    """

    family = "referee"
    batch = BATCH

    def __init__(self, referees: Sequence[Referee], seen: Seen) -> None:
        if not referees:
            raise ConfigurationError(f"the scores {CONFIDENCE} and {OVERLAP} need a referee, and none is given")
        self._referees = referees
        self._seen = seen

    def measure(self, folder: Path, records: Sequence[Record]) -> list[list[Measured]]:
        """See `Scorer.measure`; an entry has the `referee` too, with `saw`, what it saw, or `refused`, why none did."""
        assigned = [[self._assign(record, item) for item in painted_objects(record)] for record in records]
        detections: dict[tuple[int, int], Detections] = {}
        for number, referee in enumerate(self._referees):
            own = [index for index, found in enumerate(assigned) if any(entry[0] == number for entry in found)]
            results = referee.detect([frame_path(folder, records[index]) for index in own]) if own else []
            detections |= {(number, index): result for index, result in zip(own, results, strict=True)}
        return [
            [
                self._judged(detections.get((-1 if number is None else number, index)), item, number, why)
                for item, (number, why) in zip(painted_objects(record), assigned[index], strict=True)
            ]
            for index, record in enumerate(records)
        ]

    def _assign(self, record: Record, item: Record) -> tuple[int | None, str]:
        """Number of the referee, and what all of them saw where there is none without."""
        saw = ""
        for number, referee in enumerate(self._referees):
            shared = [known for source in origins_of(record, item) if (known := referee.trained_on.shared(source))]
            if not shared:
                return number, ""
            saw = saw or shared[0]
        return (0 if self._seen == "accept" else None), saw

    def _judged(self, found: Detections | None, item: Record, number: int | None, saw: str) -> Measured:
        if found is None or number is None:
            return {CONFIDENCE: None, OVERLAP: None, "refused": f"every referee was trained on {saw}"}
        best = best_box(found, item["bbox"])
        scores = {CONFIDENCE: rounded(best.confidence), OVERLAP: rounded(best.overlap)}
        return {**scores, "referee": self._referees[number].name, **({"saw": saw} if saw else {})}


class HardnessScores:
    """How hard a polyp is for a detector: 1 less the confidence of its best box."""

    family = HARDNESS
    batch = BATCH

    def __init__(self, detect: Detect) -> None:
        self._detect = detect

    def measure(self, folder: Path, records: Sequence[Record]) -> list[list[Measured]]:
        """See `Scorer.measure`."""
        detections = self._detect([frame_path(folder, record) for record in records])
        return [
            [{HARDNESS: rounded(1.0 - best_box(found, item["bbox"]).confidence)} for item in painted_objects(record)]
            for record, found in zip(records, detections, strict=True)
        ]


def trained_on(sets: Sequence[Path]) -> Origins:
    """What a detector has seen that was trained on these sets: COCO sets, and runs with all that they came from.

    Raises:
        CocoError: a COCO file breaks the format.
        RunFolderDamagedError: a record of a run can't be trusted.
    """
    sources: list[Source] = []
    for path in sets:
        if is_run_folder(path):
            for record in read_records(path):
                if record["status"] == "made":
                    sources.append(background_of(record))
                    sources += [source for item in painted_objects(record) for source in origins_of(record, item)]
        else:
            sources += [image_source(image, {}) for image in read_coco(path).images]
    return Origins(sources)


def seen_digest(sets: Sequence[Path]) -> str:
    """SHA-256 over what `trained_on` reads.

    Raises:
        ConfigurationError: a file can't be read.
    """
    return digest_of(path / MANIFEST_NAME if is_run_folder(path) else annotations_file(path) for path in sets)
