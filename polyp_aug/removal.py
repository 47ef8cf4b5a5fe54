"""Removing polyps: what is annotated is repainted as mucosa.

A place is the box of an object, grown by a margin, as a whole: the shape in which Polyp-Gen's training shows its model
what to repaint, so that neither the polyp's edge nor its shadow is left to give it away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyp_aug.compositing import composite, feather_width, mean_change, touched_box
from polyp_aug.errors import ConfigurationError
from polyp_aug.geometry import Box, IntBox, Region, boxes_meet, enclosing_box, outer_box
from polyp_aug.images import ImageArray
from polyp_aug.keys import Key
from polyp_aug.scene import Job, Painted, Rejection, Scene
from polyp_aug.synthesizers.base import Synthesizer, paint_by_size
from polyp_aug.synthesizers.options import MASK_MARGIN, NORMAL

#: What chose the places, for the provenance.
ANNOTATION = "annotation"


@dataclass(frozen=True)
class RemoverSettings:
    """What to remove, and when a removal counts.

    Attributes:
        margin: pixels, in a frame whose longer side has 512, that a box grows by on every side.
        feather: width of the soft edge as a share of the place's equivalent diameter.
        categories: names of the categories to remove; empty for all.
        largest_share: a place that takes more of its frame is left alone: too little is left to go by.
        least_change: an object whose box changed by less on average, in grey levels, counts as still there. A change
            shows that something was painted, not that it is mucosa.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    margin: float = MASK_MARGIN
    feather: float = 0.06
    categories: tuple[str, ...] = ()
    largest_share: float = 0.6
    least_change: float = 2.0

    def __post_init__(self) -> None:
        if self.margin < 0:
            raise ConfigurationError(f"'margin' must not be negative (got {self.margin})")
        if not 0.0 <= self.feather <= 0.5:
            raise ConfigurationError(f"'feather' must be within 0 … 0.5 (got {self.feather})")
        if not 0.0 < self.largest_share <= 1.0:
            raise ConfigurationError(f"'largest_share' must be within (0, 1] (got {self.largest_share})")
        if self.least_change < 0:
            raise ConfigurationError(f"'least_change' must not be negative (got {self.least_change})")

    def takes(self, category: str) -> bool:
        """Whether objects of a category are removed."""
        return not self.categories or category in self.categories

    def place(self, box: Box, width: int, height: int) -> IntBox:
        """What is repainted for a box, xywh, in a frame of this size: it and its margin; empty outside of the frame."""
        return outer_box(box, self.margin * max(width, height) / 512.0, width, height)

    def touched(self, box: Box, width: int, height: int) -> IntBox:
        """The box, xywh, outside of which nothing changes where a box in a frame of this size is repainted alone."""
        region = _full(self.place(box, width, height))
        return touched_box(region, feather_width(region, self.feather), width, height)


@dataclass(frozen=True, eq=False)
class RemovedPlace:
    """A place that was repainted.

    Attributes:
        objects: indices of the scene's objects that were there.
        box: xywh in pixels, what was repainted.
        changed: xywh in pixels, outside of which nothing changed.
        provenance: how, in JSON types.
    """

    objects: tuple[int, ...]
    box: IntBox
    changed: IntBox
    provenance: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Removed:
    """A scene without its polyps.

    Attributes:
        scene_id: the scene's id.
        image: uint8 RGB of the scene's size; equal to its image outside of every place's `changed` box.
        places: what was repainted.
        kept: indices of the scene's objects that are still there.
        rejections: why objects that were to be removed are still there.
    """

    scene_id: str
    image: ImageArray
    places: tuple[RemovedPlace, ...]
    kept: tuple[int, ...]
    rejections: tuple[Rejection, ...]


@dataclass(frozen=True, eq=False)
class _Place:
    objects: tuple[int, ...]
    region: Region
    feather: int


class Remover:
    """Repaints objects of scenes as mucosa.

    Places that meet, soft edges included, become one that encloses them: painted one by one, each would show the model
    half a polyp beside it, which it would complete. The others of a scene are painted one after the other, the largest
    first, each on what the one before made of the scene, so that the model sees fewer and fewer polyps.

    Args:
        synthesizer: paints the prompt "Normal"; its capabilities must say that it removes.
        settings: see `RemoverSettings`.

    Raises:
        ConfigurationError: the synthesizer can't remove.
    """

    def __init__(self, synthesizer: Synthesizer, settings: RemoverSettings | None = None) -> None:
        if not synthesizer.capabilities.removes:
            raise ConfigurationError(f"the synthesizer {synthesizer.name} can't remove polyps")
        self.synthesizer = synthesizer
        self.settings = settings or RemoverSettings()

    def remove(self, scenes: Sequence[Scene], keys: Sequence[Key]) -> list[Removed]:
        """Remove what the settings name.

        Args:
            scenes: the scenes, which are not written to.
            keys: the only source of randomness, one for each scene.

        Raises:
            ConfigurationError: there are more or fewer keys than scenes.
        """
        if len(scenes) != len(keys):
            raise ConfigurationError(f"'keys' must be one for each of {len(scenes)} scenes (got {len(keys)})")
        canvases = [scene.image.copy() for scene in scenes]
        removed: list[list[RemovedPlace]] = [[] for _ in scenes]
        rejections: list[list[Rejection]] = [[] for _ in scenes]
        places = [self._places(scene, found) for scene, found in zip(scenes, rejections, strict=True)]
        for turn in range(max(map(len, places), default=0)):
            owners = [index for index, found in enumerate(places) if turn < len(found)]
            jobs = [_job(canvases[index], places[index][turn], keys[index]) for index in owners]
            for index, job, result in zip(owners, jobs, paint_by_size(self.synthesizer, jobs), strict=True):
                outcome = self._lay(canvases[index], scenes[index], places[index][turn], job, result)
                if isinstance(outcome, Rejection):
                    rejections[index].append(outcome)
                else:
                    removed[index].append(outcome)
        return [
            Removed(scene.id, canvas, tuple(done), _kept(scene, done), tuple(refused))
            for scene, canvas, done, refused in zip(scenes, canvases, removed, rejections, strict=True)
        ]

    def _places(self, scene: Scene, rejections: list[Rejection]) -> list[_Place]:
        """What to repaint, the largest first; adds to `rejections` what can't be."""
        boxes: list[tuple[tuple[int, ...], IntBox]] = []
        stay: list[Box] = []
        for index, item in enumerate(scene.objects):
            box = self.settings.place(item.box, scene.width, scene.height)
            if not self.settings.takes(item.category):
                stay.append(item.box)
            elif min(box[2:]) < 1:
                rejections.append(Rejection(f"box {tuple(item.box)} lies outside of the frame"))
            else:
                boxes.append(((index,), box))
        found = []
        for place in self._joined(boxes, scene):
            w, h = place.region.box[2:]
            share = w * h / (scene.width * scene.height)
            if share > self.settings.largest_share:
                rejections.append(Rejection(f"a place of {w}×{h} px takes {share:.0%} of the frame"))
            elif any(boxes_meet(_touched(place, scene), box) for box in stay):
                rejections.append(Rejection(f"a place of {w}×{h} px meets an object that stays"))
            else:
                found.append(place)
        return sorted(found, key=lambda place: (-place.region.area, place.objects))

    def _joined(self, boxes: Sequence[tuple[tuple[int, ...], IntBox]], scene: Scene) -> list[_Place]:
        """Places of boxes, where those that meet are one."""
        places: list[_Place] = []
        for objects, box in boxes:
            place = self._place(objects, box)
            while other := next((one for one in places if _meet(place, one, scene)), None):
                places.remove(other)
                x, y, w, h = enclosing_box((place.region.box, other.region.box))
                members = tuple(sorted((*place.objects, *other.objects)))
                place = self._place(members, (int(x), int(y), int(w), int(h)))
            places.append(place)
        return places

    def _place(self, objects: tuple[int, ...], box: IntBox) -> _Place:
        region = _full(box)
        return _Place(objects, region, feather_width(region, self.settings.feather))

    def _lay(
        self, canvas: ImageArray, scene: Scene, place: _Place, job: Job, result: Painted | Rejection
    ) -> RemovedPlace | Rejection:
        if isinstance(result, Rejection):
            return result
        if result.image.shape != canvas.shape or result.image.dtype != canvas.dtype:
            return Rejection(f"synthesizer returned {result.image.dtype} {result.image.shape}, expected {canvas.shape}")
        changed = composite(canvas, result.image, place.region, place.feather)
        for index in place.objects:
            box = outer_box(scene.objects[index].box, 0.0, scene.width, scene.height)
            change = mean_change(job.image, canvas, _full(box), box)
            if change < self.settings.least_change:
                x, y, w, h = changed
                canvas[y : y + h, x : x + w] = job.image[y : y + h, x : x + w]
                return Rejection(f"an object is still there: mean change of {change:.1f} grey levels")
        provenance = {
            "proposer": ANNOTATION,
            "synthesizer": self.synthesizer.name,
            **({"revision": self.synthesizer.revision} if self.synthesizer.revision else {}),
            "prompt": job.prompt,
            "place": list(place.region.box),
            "feather": place.feather,
            "key": job.key.to_dict(),
            "details": dict(result.details),
        }
        return RemovedPlace(place.objects, place.region.box, changed, provenance)


def _job(canvas: ImageArray, place: _Place, key: Key) -> Job:
    before = canvas.copy()
    before.setflags(write=False)
    return Job(before, place.region, NORMAL, place.feather, key.child(place.objects[0]))


def _touched(place: _Place, scene: Scene) -> IntBox:
    return touched_box(place.region, place.feather, scene.width, scene.height)


def _meet(first: _Place, second: _Place, scene: Scene) -> bool:
    return boxes_meet(_touched(first, scene), _touched(second, scene))


def _full(box: IntBox) -> Region:
    """All pixels of a box."""
    x, y, w, h = box
    return Region(x, y, np.ones((h, w), np.bool_))


def _kept(scene: Scene, places: Sequence[RemovedPlace]) -> tuple[int, ...]:
    gone = {index for place in places for index in place.objects}
    return tuple(index for index in range(len(scene.objects)) if index not in gone)
