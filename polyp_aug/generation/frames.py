"""A run that makes whole frames from nothing but masks and captions: no backgrounds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from polyp_aug.captions.attributes import BACKGROUND, FOREGROUND
from polyp_aug.captions.thresholds import default_table
from polyp_aug.coco import CocoDataset, encode_region, read_coco
from polyp_aug.curation.mask_agreement import default_agreement
from polyp_aug.errors import ConfigurationError
from polyp_aug.generation.backgrounds import Sample, SampleDeck
from polyp_aug.generation.frame_plans import CaptionedFrames, DrawnFrames, FramePlan, FramePlanner, PlannedMask
from polyp_aug.generation.mask_drawer import MaskDrawer, ShapeShares
from polyp_aug.generation.run_folder import FRAMES
from polyp_aug.generation.run_record import category_rows, license_rows, versions
from polyp_aug.generation.samples import Outcome, skipped
from polyp_aug.generation.writing import RunLimits, RunPlan, RunProgress, write_run
from polyp_aug.geometry import Region
from polyp_aug.images import ImageArray, MaskArray
from polyp_aug.references import ReferenceBank
from polyp_aug.scene import Job, Painted, Rejection
from polyp_aug.synthesizers.base import Synthesizer
from polyp_aug.synthesizers.frame_options import EMBEDDED_FRAME_WEIGHTS, FrameOptions
from polyp_aug.synthesizers.registry import CCIS_DIFF, load_synthesizer


@dataclass(frozen=True)
class FramesConfig:
    """Settings of a run that makes whole frames.

    Attributes:
        references: COCO file, or folder with `annotations.json`: the polyps whose masks are taken.
        count: number of samples in all shards; None takes as many as there are captioned frames.
        captions: captions of the references: their frames are made anew, each from its own masks and caption, and
            again from the first on where `count` is larger. None draws masks and captions.
        making: weights and sampling of `ccis_diff`; None takes its defaults.
        polyps_per_image: smallest and largest number of polyps in a frame.
        attributes: attribute → value that every frame must have, as `parse_attribute` gives them; the others are
            measured on the mask, or drawn as often as they occur on real frames.
        shapes: how masks come about.
        check: keep a polyp's annotation only where `MaskAgreement` sees it in the frame.
        seed: the only source of randomness.
        shard: (i, n): this run makes every n-th sample, from the i-th on; i counts from 1.
        batch_size: frames that are made together.
        references_images: folder of the references' pictures where it isn't beside their COCO file.
        fix: mend a COCO file that breaks the format where that is possible.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    references: Path
    count: int | None = None
    captions: Path | None = None
    making: FrameOptions | None = None
    polyps_per_image: tuple[int, int] = (1, 1)
    attributes: Mapping[str, str] = field(default_factory=dict)
    shapes: ShapeShares = field(default_factory=ShapeShares)
    check: bool = True
    seed: int = 0
    shard: tuple[int, int] = (1, 1)
    batch_size: int = 8
    references_images: Path | None = None
    fix: bool = False

    def __post_init__(self) -> None:
        for name in ("count", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name!r} must be at least 1 (got {value})")
        if self.captions is None and self.count is None:
            raise ConfigurationError("'count' must be given where there are no 'captions'")
        if self.captions is not None and (self.attributes or self.polyps_per_image != (1, 1)):
            raise ConfigurationError(
                "'captions' decide what frames show: leave 'attributes' and 'polyps_per_image' out"
            )
        low, high = self.polyps_per_image
        if not 1 <= low <= high <= 20:
            raise ConfigurationError(f"'polyps_per_image' must rise within 1 … 20 (got {low}-{high})")
        if self.seed < 0:
            raise ConfigurationError(f"'seed' must not be negative (got {self.seed})")
        index, number = self.shard
        if not 1 <= index <= number:
            raise ConfigurationError(f"'shard' must be i/n with 1 ≤ i ≤ n (got {index}/{number})")
        tables = {**FOREGROUND, **BACKGROUND}
        for attribute, value in self.attributes.items():
            if value not in tables.get(attribute, ()):
                raise ConfigurationError(f"no attribute {attribute}={value}")

    def settings(self) -> dict[str, Any]:
        """What decides the result, in JSON types; paths are left to the inputs' digests."""
        making = self.making or FrameOptions()
        return {
            "task": FRAMES,
            "seed": self.seed,
            **({"count": self.count} if self.count is not None else {}),
            "polyps_per_image": f"{self.polyps_per_image[0]}-{self.polyps_per_image[1]}",
            "synthesizer": CCIS_DIFF,
            **({"attributes": dict(sorted(self.attributes.items()))} if self.attributes else {}),
            **({"shapes": self.shapes.to_dict()} if self.captions is None else {}),
            "check": self.check,
            "painting": making.to_dict(),
            "batch_size": self.batch_size,
            "shard": f"{self.shard[0]}/{self.shard[1]}",
        }


class Check(Protocol):
    """Says whether frames show the polyps that they were made with."""

    def disagreements(self, image: ImageArray, masks: list[MaskArray]) -> list[str | None]:
        """For each mask, bool (H, W), why the frame, uint8 RGB (H, W, 3), doesn't agree with it, or None."""


def generate_frames(
    config: FramesConfig,
    out: Path,
    *,
    check: Check | None = None,
    limits: RunLimits | None = None,
    observer: Callable[[RunProgress], None] | None = None,
) -> RunProgress:
    """Make frames with polyps, or go on with a run that was begun.

    Boxes and masks are those that the frames were made from; one that the frame doesn't agree with is left out of the
    annotations, and a sample without any is skipped. `before/` holds the masks. Equal settings give equal bytes as far
    as `generate` says.

    Args:
        config: the settings.
        out: the run folder; see `run_folder`.
        check: takes the place of `MaskAgreement`, where `config.check` is set.
        limits: when to stop early.
        observer: called after every batch.

    Raises:
        ConfigurationError: no reference can serve; the weights can't be loaded; and see `RunFolder`.
        CocoError: the COCO file breaks the format.
        MissingDependencyError: a package that the synthesizer needs is not installed.
        RunFolderBusyError: another process writes to the folder.
        StorageError: the disk is full or can't be written; what is there can be resumed.
        TooManyFailuresError: more samples failed than `limits` allow; what is there can be resumed.
    """
    return write_run(prepare_frames(config, check), config.references, out, limits=limits, observer=observer)


def prepare_frames(config: FramesConfig, check: Check | None = None) -> RunPlan:
    """Read the inputs and load what is needed.

    Raises:
        ConfigurationError: see `generate_frames`.
        CocoError: the COCO file breaks the format.
        MissingDependencyError: a package that the synthesizer needs is not installed.
    """
    making = (config.making or FrameOptions()).resolved()
    config = replace(config, making=making)
    dataset = read_coco(config.references, image_root=config.references_images, fix=config.fix)
    bank = ReferenceBank(dataset)
    synthesizer = load_synthesizer(CCIS_DIFF, frame_options=making)
    planner = _planner(config, dataset, bank, int(synthesizer.capabilities.native_size or 0))
    judge = (check or default_agreement()) if config.check else None
    maker = FrameMaker(synthesizer, planner, judge)
    run = {
        "config": config.settings(),
        "inputs": _described(config, bank, synthesizer.revision, planner.frames),
        "versions": versions(diffusion=True),
        "categories": category_rows(dataset.categories),
        "licenses": license_rows(dataset.licenses),
    }
    count = config.count or planner.frames
    assert count is not None
    deck = SampleDeck(count, count, seed=config.seed, shard=config.shard, per_image=1)
    return RunPlan(deck, maker, config.batch_size, run)


class FrameMaker:
    """Makes samples of a run that makes whole frames; a pure function of its arguments.

    Args:
        synthesizer: makes frames.
        planner: says from what.
        check: see `FramesConfig.check`; None keeps all.
    """

    def __init__(self, synthesizer: Synthesizer, planner: FramePlanner, check: Check | None) -> None:
        self._synthesizer = synthesizer
        self._planner = planner
        self._check = check
        self._size = int(synthesizer.capabilities.native_size or 0)

    def make(self, samples: Sequence[Sample]) -> list[Outcome]:
        """As `Maker.make`."""
        plans = [self._planner.plan(sample.number) for sample in samples]
        results = iter(self._synthesizer.paint([self._job(plan) for plan in plans if plan is not None]))
        return [
            skipped(sample, ["no mask fits what is asked for"], [])
            if plan is None
            else self._outcome(sample, plan, next(results))
            for sample, plan in zip(samples, plans, strict=True)
        ]

    def _job(self, plan: FramePlan) -> Job:
        union = Region.from_mask(np.logical_or.reduce(plan.pixels(self._size)))
        assert union is not None
        return Job(np.zeros((self._size, self._size, 3), np.uint8), union, plan.caption, 0, plan.key)

    def _outcome(self, sample: Sample, plan: FramePlan, result: Painted | Rejection) -> Outcome:
        if isinstance(result, Rejection):
            return skipped(sample, [result.reason], [])
        pixels = plan.pixels(self._size)
        reasons: list[str | None] = [None] * len(pixels)
        if self._check is not None:
            reasons = self._check.disagreements(result.image, pixels)
        kept = [mask for mask, reason in zip(plan.masks, reasons, strict=True) if reason is None]
        refused = [reason for reason in reasons if reason is not None]
        if not kept:
            return skipped(sample, refused, [])
        name = f"{sample.number:06d}.png"
        record: dict[str, Any] = {
            "sample": sample.number,
            "status": "made",
            "file_name": name,
            "width": self._size,
            "height": self._size,
            "background": plan.masks[0].source.to_dict(),
            "key": plan.key.to_dict(),
            "caption": plan.caption,
            "facts": plan.facts.to_dict(),
            "before": {"file_name": name, "box": [0, 0, self._size, self._size]},
            "objects": [self._object(mask, plan, result) for mask in kept],
            "rejections": refused,
            "problems": [],
            "unreadable": [],
        }
        shown = np.logical_or.reduce(pixels).astype(np.uint8) * 255
        return Outcome(record, {"images": result.image, "before": np.repeat(shown[:, :, None], 3, axis=2)})

    def _object(self, mask: PlannedMask, plan: FramePlan, result: Painted) -> dict[str, Any]:
        return {
            "origin": "synthetic",
            "category": mask.category,
            "bbox": list(mask.region.box),
            "area": mask.region.area,
            "segmentation": encode_region(mask.region, self._size, self._size),
            "provenance": {
                "proposer": f"mask: {mask.kind}",
                "reference": mask.reference,
                "synthesizer": self._synthesizer.name,
                "revision": self._synthesizer.revision,
                "prompt": plan.caption,
                "key": plan.key.to_dict(),
                "details": {**result.details, "reference_source": mask.source.to_dict()},
            },
        }


def _planner(config: FramesConfig, dataset: CocoDataset, bank: ReferenceBank, size: int) -> FramePlanner:
    if config.captions is not None:
        return CaptionedFrames(dataset, config.captions, size, seed=config.seed)
    return DrawnFrames(
        MaskDrawer(bank, size, config.shapes, config.attributes),
        size,
        polyps_per_image=config.polyps_per_image,
        attributes=config.attributes,
        seed=config.seed,
    )


def _described(config: FramesConfig, references: ReferenceBank, revision: str, captioned: int | None) -> dict[str, Any]:
    """The inputs, for `run.json`."""
    making = config.making or FrameOptions()
    folder = config.references if config.references.is_dir() else config.references.parent
    weights = Path(making.weights).resolve().name if Path(making.weights).exists() else making.weights
    return {
        "references": folder.resolve().name,
        "reference_polyps": len(references),
        "references_sha256": references.digest,
        "limits": default_table().digest,
        **({"captions_sha256": hashlib.sha256(config.captions.read_bytes()).hexdigest()} if config.captions else {}),
        **({"captioned_frames": captioned} if captioned is not None else {}),
        "weights": weights if making.weights else EMBEDDED_FRAME_WEIGHTS,
        "weights_revision": revision,
    }
