"""Making samples: from a background and a key to a picture and its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polyp_aug.augmenter import Augmenter
from polyp_aug.coco import encode_region
from polyp_aug.errors import ImageError
from polyp_aug.generation.backgrounds import Background, Sample
from polyp_aug.geometry import enclosing_box
from polyp_aug.images import ImageArray
from polyp_aug.keys import Key
from polyp_aug.scene import Plan, Scene, Synthetic

#: Origins of objects that a run painted, or painted over; "source" objects were there and still are.
PAINTED = ("synthetic", "removed")

#: Category of a polyp whose synthesizer names none.
DEFAULT_CATEGORY = "polyp"


@dataclass(frozen=True, eq=False)
class Outcome:
    """A sample that was tried.

    Attributes:
        record: its line in the manifest, without the sizes of its files.
        pictures: folder → picture, empty for a skipped sample.
    """

    record: dict[str, Any]
    pictures: Mapping[str, ImageArray]


@dataclass(eq=False)
class _Attempt:
    """A sample on its way."""

    sample: Sample
    problems: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    outcome: Outcome | None = None


class SampleMaker:
    """Makes samples of a run; a pure function of its arguments.

    Args:
        augmenter: the flow.
        frames: the backgrounds.
        seed: of the run.
    """

    def __init__(self, augmenter: Augmenter, frames: Sequence[Background], seed: int) -> None:
        self._augmenter = augmenter
        self._frames = frames
        self._seed = seed

    def make(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Make a batch. A background that can't be read or has no room is replaced by the sample's next choice."""
        attempts = [_Attempt(sample) for sample in samples]
        for turn in range(max((len(sample.choices) for sample in samples), default=0)):
            self._turn(turn, [attempt for attempt in attempts if attempt.outcome is None])
        return [
            attempt.outcome or skipped(attempt.sample, attempt.problems, attempt.unreadable) for attempt in attempts
        ]

    def plan(self, sample: Sample, choice: int = 0) -> tuple[Scene, Plan]:
        """A sample's scene and plan with one of its backgrounds.

        Raises:
            ImageError: the background can't be read.
        """
        scene = self._frames[sample.choices[choice]].read()
        return scene, self._augmenter.plan(scene, Key(self._seed, scene.id, draw=sample.number))

    def _turn(self, turn: int, attempts: Sequence[_Attempt]) -> None:
        ready: list[tuple[_Attempt, Scene, Plan]] = []
        for attempt in attempts:
            if turn >= len(attempt.sample.choices):
                continue
            frame = self._frames[attempt.sample.choices[turn]]
            try:
                scene, plan = self.plan(attempt.sample, turn)
            except ImageError as error:
                attempt.unreadable.append(unreadable_message(frame, error))
                continue
            if plan.polyps:
                ready.append((attempt, scene, plan))
            else:
                attempt.problems.append(f"{frame.source.file}: no place for a polyp")
        results = self._augmenter.render([scene for _, scene, _ in ready], [plan for _, _, plan in ready])
        for (attempt, scene, plan), result in zip(ready, results, strict=True):
            if result.objects:
                frame = self._frames[attempt.sample.choices[turn]]
                attempt.outcome = _made(attempt, frame, scene, plan, result)
            else:
                attempt.problems.extend(f"{scene.id}: {rejection.reason}" for rejection in result.rejections)


def _made(attempt: _Attempt, frame: Background, scene: Scene, plan: Plan, result: Synthetic) -> Outcome:
    name = f"{attempt.sample.number:06d}.png"
    x, y, w, h = (int(value) for value in enclosing_box(item.changed for item in result.objects))
    synthetic = [
        {
            "origin": "synthetic",
            "category": item.category or DEFAULT_CATEGORY,
            "bbox": list(item.region.box),
            "area": item.region.area,
            "segmentation": encode_region(item.region, scene.width, scene.height),
            "provenance": dict(item.provenance),
        }
        for item in result.objects
    ]
    record: dict[str, Any] = {
        "sample": attempt.sample.number,
        "status": "made",
        "file_name": name,
        "width": scene.width,
        "height": scene.height,
        "background": frame.source.to_dict(),
        "key": plan.key.to_dict(),
        "before": {"file_name": name, "box": [x, y, w, h]},
        "objects": [{"origin": "source", **item} for item in frame.objects] + synthetic,
        "rejections": [rejection.reason for rejection in result.rejections],
        "problems": attempt.problems,
        "unreadable": attempt.unreadable,
    }
    before = np.ascontiguousarray(scene.image[y : y + h, x : x + w])
    return Outcome(record, {"images": result.image, "before": before})


def skipped(sample: Sample, problems: Sequence[str], unreadable: Sequence[str]) -> Outcome:
    """A sample that gave nothing.

    Args:
        problems: why.
        unreadable: messages about frames that can't be read.
    """
    record = {
        "sample": sample.number,
        "status": "skipped",
        "reasons": [*unreadable, *problems],
        "unreadable": list(unreadable),
    }
    return Outcome(record, {})


def unreadable_message(frame: Background, error: ImageError) -> str:
    """What is said of a frame that can't be read, without this machine's folders."""
    return f"{frame.source.file}: {str(error).removeprefix(f'{frame.path}: ')}"
