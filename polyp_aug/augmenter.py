"""The flow: where (a proposer), what (a synthesizer), laid over the frame, and what can be said of the result.

Everything that a user touches is this flow behind another door.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polyp_aug.compositing import changed_region, composite, feather_width, mean_change, touched_box
from polyp_aug.errors import ConfigurationError
from polyp_aug.geometry import IntBox, Region, boxes_meet, outer_box
from polyp_aug.images import ImageArray, channel_max
from polyp_aug.keys import Key
from polyp_aug.mucosa import DARKEST
from polyp_aug.proposers.base import Proposer
from polyp_aug.scene import Job, Painted, Plan, PlannedPolyp, Rejection, Scene, Synthetic, SyntheticObject
from polyp_aug.synthesizers.base import Synthesizer, paint_by_size

#: A margin whose box, with the place, has a larger share of dark pixels meets the border or the lumen.
MOST_DARK = 0.02


@dataclass(frozen=True)
class AugmenterSettings:
    """How many polyps, and when a painted one counts.

    Attributes:
        polyps_per_image: smallest and largest number of new polyps in a frame.
        prompt: what to paint.
        feather: width of the soft edge as a share of the place's equivalent diameter; a synthesizer that wants a hard
            edge gets none.
        smallest_side: a painted polyp whose box has a shorter side, in pixels, is rejected.
        least_change: a painted polyp whose pixels changed by less on average, in grey levels, is rejected: nobody would
            see it, and its annotation would teach a detector wrong.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    polyps_per_image: tuple[int, int] = (1, 1)
    prompt: str = "Polyp"
    feather: float = 0.06
    smallest_side: int = 8
    least_change: float = 2.0

    def __post_init__(self) -> None:
        low, high = self.polyps_per_image
        if not 1 <= low <= high <= 20:
            raise ConfigurationError(f"'polyps_per_image' must rise within 1 … 20 (got {low}-{high})")
        if not 0.0 <= self.feather <= 0.5:
            raise ConfigurationError(f"'feather' must be within 0 … 0.5 (got {self.feather})")
        if self.smallest_side < 1:
            raise ConfigurationError(f"'smallest_side' must be at least 1 (got {self.smallest_side})")
        if self.least_change < 0:
            raise ConfigurationError(f"'least_change' must not be negative (got {self.least_change})")


class Augmenter:
    """Plans and renders polyps for scenes.

    Planning is cheap and draws every random number from the key; rendering is what costs. The same key gives the same
    plan for any batch, order, shard or process.

    Args:
        proposer: finds places.
        synthesizer: paints.
        settings: see `AugmenterSettings`.

    Raises:
        ConfigurationError: the synthesizer makes whole frames.
    """

    def __init__(self, proposer: Proposer, synthesizer: Synthesizer, settings: AugmenterSettings | None = None) -> None:
        if synthesizer.capabilities.output != "edit":
            raise ConfigurationError(f"'synthesizer' {synthesizer.name} makes whole frames, and paints into none")
        self.proposer = proposer
        self.synthesizer = synthesizer
        self.settings = settings or AugmenterSettings()

    def plan(self, scene: Scene, key: Key) -> Plan:
        """What to paint into a scene. A plan without polyps means that no place was found."""
        low, high = self.settings.polyps_per_image
        count = int(key.generator("polyps per image").integers(low, high + 1))
        occupied = [item.box for item in scene.objects]
        share = self.settings.feather if self.synthesizer.capabilities.feathered else 0.0
        polyps: list[PlannedPolyp] = []
        taken: list[IntBox] = []
        for number, placement in enumerate(self.proposer.propose(scene.image, count, key, occupied)):
            feather = feather_width(placement.region, share)
            for margin in self._margins(scene, placement.region):
                box = touched_box(placement.region, margin + feather, scene.width, scene.height)
                if not any(boxes_meet(box, other) for other in (*taken, *occupied)):
                    taken.append(box)
                    polyps.append(PlannedPolyp(placement, self.settings.prompt, feather, key.child(number), margin))
                    break
        return Plan(scene.id, key, tuple(polyps))

    def _margins(self, scene: Scene, region: Region) -> list[int]:
        """Margins to try: the synthesizer's own and half of it, where they stay off the black border, and none.

        A proposer leaves room for the soft edge.
        """
        wanted = round(self.synthesizer.capabilities.margin * max(scene.width, scene.height) / 512.0)
        margins = (margin for margin in (wanted, wanted // 2) if margin and not _meets_border(scene, region, margin))
        return [*margins, 0]

    def render(self, scenes: Sequence[Scene], plans: Sequence[Plan]) -> list[Synthetic]:
        """Paint plans into their scenes.

        Jobs of one frame size go to the synthesizer in one batch. The polyps of a scene don't meet, so each is painted
        into the frame as it was, and they are laid over it one after the other.

        Args:
            scenes: the scenes, which are not written to.
            plans: a plan for each.

        Raises:
            ConfigurationError: scenes and plans don't belong together.
        """
        if [scene.id for scene in scenes] != [plan.scene_id for plan in plans]:
            raise ConfigurationError("'plans' must name the scenes in their order")
        owners = [(index, polyp) for index, plan in enumerate(plans) for polyp in plan.polyps]
        jobs = [_job(scenes[index], polyp) for index, polyp in owners]
        results = paint_by_size(self.synthesizer, jobs)
        canvases = [
            scene.image.copy() if plan.polyps else scene.image for scene, plan in zip(scenes, plans, strict=True)
        ]
        objects: list[list[SyntheticObject]] = [[] for _ in scenes]
        rejections: list[list[Rejection]] = [[] for _ in scenes]
        for (index, polyp), result in zip(owners, results, strict=True):
            outcome = self._lay(canvases[index], scenes[index], polyp, result)
            if isinstance(outcome, Rejection):
                rejections[index].append(outcome)
            else:
                objects[index].append(outcome)
        return [
            Synthetic(scene.id, canvas, tuple(made), tuple(refused))
            for scene, canvas, made, refused in zip(scenes, canvases, objects, rejections, strict=True)
        ]

    def _lay(
        self, canvas: ImageArray, scene: Scene, polyp: PlannedPolyp, result: Painted | Rejection
    ) -> SyntheticObject | Rejection:
        if isinstance(result, Rejection):
            return result
        asked = polyp.placement.region
        region = self._painted_region(scene.image, asked, result)
        if isinstance(region, Rejection):
            return region
        # Where the synthesizer knows its object, that is what is laid over; else all that it was asked to repaint.
        laid = _job(scene, polyp).repainted if result.region is None else region
        changed = composite(canvas, result.image, laid, polyp.feather)
        change = mean_change(scene.image, canvas, region, changed)
        if change < self.settings.least_change:
            x, y, w, h = changed
            canvas[y : y + h, x : x + w] = scene.image[y : y + h, x : x + w]
            return Rejection(f"painted polyp can't be seen: mean change of {change:.1f} grey levels")
        provenance = {
            "proposer": polyp.placement.proposer,
            **({"reference": polyp.placement.reference} if polyp.placement.reference else {}),
            **({"place": dict(polyp.placement.details)} if polyp.placement.details else {}),
            "score": round(polyp.placement.score, 4),
            "synthesizer": self.synthesizer.name,
            **({"revision": self.synthesizer.revision} if self.synthesizer.revision else {}),
            "prompt": polyp.prompt,
            "feather": polyp.feather,
            **({"margin": polyp.margin} if polyp.margin else {}),
            "key": polyp.key.to_dict(),
            "details": dict(result.details),
        }
        return SyntheticObject(region, changed, result.category, provenance)

    def _painted_region(self, before: ImageArray, asked: Region, result: Painted) -> Region | Rejection:
        if result.image.shape != before.shape or result.image.dtype != before.dtype:
            return Rejection(f"synthesizer returned {result.image.dtype} {result.image.shape}, expected {before.shape}")
        height, width = before.shape[:2]
        region = result.region or changed_region(before, result.image, asked)
        region = region.clipped(width, height) if region else None
        if region is None:
            return Rejection("nothing was painted")
        if result.region is not None and not _holds(asked.box, region.box):
            return Rejection(f"painted box {region.box} leaves the place {asked.box}")
        if min(region.box[2:]) < self.settings.smallest_side:
            return Rejection(f"painted polyp is {region.box[2]}×{region.box[3]} px, too small")
        return region


def _meets_border(scene: Scene, region: Region, margin: int) -> bool:
    """Whether a region with its margin is dark in part: a model would paint border over mucosa there."""
    x, y, w, h = outer_box(region.box, margin, scene.width, scene.height)
    dark = channel_max(scene.image[y : y + h, x : x + w]) < DARKEST
    return float(np.mean(dark)) > MOST_DARK


def _job(scene: Scene, polyp: PlannedPolyp) -> Job:
    placement = polyp.placement
    return Job(scene.image, placement.region, polyp.prompt, polyp.feather, polyp.key, placement.reference, polyp.margin)


def _holds(outer: IntBox, inner: IntBox) -> bool:
    """Whether `inner` lies in `outer`, give or take the pixel that rounding costs."""
    return (
        inner[0] >= outer[0] - 1
        and inner[1] >= outer[1] - 1
        and inner[0] + inner[2] <= outer[0] + outer[2] + 1
        and inner[1] + inner[3] <= outer[1] + outer[3] + 1
    )
