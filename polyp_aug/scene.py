"""The nouns of the package: what goes into the flow, what is planned, and what comes out.

Every class is a frozen dataclass. A `Plan` is pure data: it can be logged, written as JSON and rendered later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from polyp_aug.geometry import Box, Region
from polyp_aug.images import ImageArray
from polyp_aug.keys import Key


@dataclass(frozen=True)
class Source:
    """Where a frame comes from; all that is known of it travels into the provenance of what is made from it.

    Attributes:
        file: name of the picture, relative to its data set, POSIX form.
        dataset: name of the data set, "" where unknown.
        split: "train", "val", "test", …, "" where unknown.
        group: patient, video or sequence; "" where unknown.
        licence: name of the picture's licence, "" where unknown.
        licence_url: its address, "" where unknown.
    """

    file: str
    dataset: str = ""
    split: str = ""
    group: str = ""
    licence: str = ""
    licence_url: str = ""

    def to_dict(self) -> dict[str, str]:
        """The known fields."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(frozen=True)
class SceneObject:
    """An object that a frame already holds.

    Attributes:
        box: xywh in pixels.
        category: category name.
    """

    box: Box
    category: str


@dataclass(frozen=True, eq=False)
class Scene:
    """A frame and what is in it.

    Attributes:
        id: stable name of the frame; part of the key of everything drawn for it.
        image: uint8 RGB (H, W, 3). The flow never writes into it.
        objects: what is already there; a new polyp is never painted over an old object.
        source: where the frame comes from.
    """

    id: str
    image: ImageArray
    objects: tuple[SceneObject, ...] = ()
    source: Source | None = None

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.image.shape[0])


@dataclass(frozen=True, eq=False)
class Placement:
    """A place for a polyp, found by a proposer.

    Attributes:
        region: the pixels that may be repainted.
        score: how good the place is; comparable within one proposer only, higher is better.
        proposer: name of the proposer.
        reference: id of the reference polyp whose size or place was used, or None.
        details: more of how it was found, in JSON types, for the provenance.
    """

    region: Region
    score: float
    proposer: str
    reference: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PlannedPolyp:
    """One polyp to paint: where, what, and with which randomness.

    Attributes:
        placement: the place.
        prompt: what to paint, "Polyp" or a description.
        feather: width in pixels of the soft edge around what is painted.
        key: the key of everything drawn for this polyp.
        margin: pixels around the place that are repainted with it; the polyp itself stays in the place.
    """

    placement: Placement
    prompt: str
    feather: int
    key: Key
    margin: int = 0


@dataclass(frozen=True, eq=False)
class Plan:
    """All that will be painted into one scene. Boxes of its polyps, with their feathers, don't meet."""

    scene_id: str
    key: Key
    polyps: tuple[PlannedPolyp, ...]


@dataclass(frozen=True, eq=False)
class Job:
    """One picture to paint, as a synthesizer sees it.

    Attributes:
        image: uint8 RGB (H, W, 3), the whole frame. Read only.
        region: where to paint. Nothing outside of its box, the margin and the feather around it will be used.
        prompt: what to paint.
        feather: width in pixels of the soft edge that composition will give to the result.
        key: the only source of randomness.
        reference: id of a reference polyp that belongs to the place, or None.
        margin: pixels around the region that may be repainted with it, for models that leave an edge of mucosa there.
    """

    image: ImageArray
    region: Region
    prompt: str
    feather: int
    key: Key
    reference: str | None = None
    margin: int = 0

    @property
    def repainted(self) -> Region:
        """The region with its margin, as far as the frame reaches."""
        height, width = self.image.shape[:2]
        return self.region.grown(self.margin).clipped(width, height) or self.region


@dataclass(frozen=True, eq=False)
class Painted:
    """What a synthesizer returns for a job.

    Attributes:
        image: uint8 RGB of the job's size.
        region: the object's pixels where the synthesizer knows them; None leaves it to a comparison of before and
            after.
        category: category of the object where the synthesizer knows it.
        details: provenance, in JSON types: reference, transform, scheduler, steps, …
    """

    image: ImageArray
    region: Region | None = None
    category: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rejection:
    """Why a job or a whole sample gave nothing."""

    reason: str


@dataclass(frozen=True, eq=False)
class SyntheticObject:
    """A polyp that was painted.

    Attributes:
        region: its pixels; the annotation's box is the tight box of these.
        changed: box, xywh, outside of which this polyp changed no pixel.
        category: category name, or None for the run's default.
        provenance: how it was made, in JSON types.
    """

    region: Region
    changed: Box
    category: str | None
    provenance: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Synthetic:
    """A rendered scene.

    Attributes:
        image: uint8 RGB of the scene's size; equal to the scene's image outside of every object's `changed` box.
        objects: the new polyps. The scene's own objects are still there and are not repeated here.
        rejections: one for every planned polyp that was not painted.
    """

    scene_id: str
    image: ImageArray
    objects: tuple[SyntheticObject, ...]
    rejections: tuple[Rejection, ...] = ()
