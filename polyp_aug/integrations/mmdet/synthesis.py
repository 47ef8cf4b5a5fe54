"""`PolypSynthesis`: one line in a training pipeline of mmdet."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS as MMDET_TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes, autocast_box_type
from mmdet.structures.mask import BitmapMasks
from torch.utils.data import get_worker_info

from polyp_aug.errors import ConfigurationError
from polyp_aug.geometry import Region
from polyp_aug.integrations.mmdet.counts import SharedCounts
from polyp_aug.integrations.mmdet.drawing import DrawnIndex
from polyp_aug.keys import Key
from polyp_aug.online import Augmented, OnlineSettings, Schedule, load_online_augmenter
from polyp_aug.registry import TRANSFORMS
from polyp_aug.scene import Scene, SceneObject

_log = logging.getLogger("polyp_aug")


@TRANSFORMS.register_module()
@MMDET_TRANSFORMS.register_module()
class PolypSynthesis(BaseTransform):  # type: ignore[misc]
    """Add synthetic polyps to a frame.

    They are drawn from a pool: of the variants that were painted into this very frame, some are laid over it, exactly
    as they were painted. A frame that the pool doesn't know is painted on the spot where a synthesizer is named, and
    stays as it is otherwise. The transform stands right behind those that load the frame and its annotations: flipped
    or resized frames are no longer the ones that the pool knows.

    With `DrawnSampler` the result depends on the seed, the frame, the epoch and the number of the draw, for any number
    of workers; otherwise on the worker as well. None is never returned: what fails is counted, logged once for each
    reason, and passed on unchanged.

    Required Keys:

    - img (uint8 BGR)
    - img_path
    - gt_bboxes (HorizontalBoxes, xyxy in pixels)
    - gt_bboxes_labels
    - gt_ignore_flags (optional)
    - gt_masks (BitmapMasks | PolygonMasks, optional)

    Modified Keys:

    - img
    - gt_bboxes, gt_bboxes_labels, gt_ignore_flags (optional): the new ones last
    - gt_masks (optional; BitmapMasks where the frame was changed): what a new polyp hides is taken away

    Added Keys:

    - polyp_synthesis (str: "changed", "unchanged", "skipped" or "failed")
    - synthetic (bool: the frame holds a synthetic object, from here or from before)

    Args:
        pool: folder of a pool, or of a run, whose pool is cut out the first time.
        synthesizer: paints frames that the pool doesn't know: "transplant", "copy_paste", or a diffusion model, which
            is refused in a data loader's workers.
        references: COCO set of the polyps that the synthesizer moves; a run is one.
        proposer: finds places for the synthesizer, "random" or "reference".
        probability: that a frame is changed: a number, or points of (progress of the training, probability), between
            which it is linear; these need a sampler that knows the progress.
        polyps_per_image: smallest and largest number of new polyps.
        size_range: smallest and largest diameter of a new polyp, as a share of the frame's shorter side.
        largest_overlap: largest share of a box that the box of a new polyp may cover.
        smallest_visible: no object is covered of which less than this share would stay in sight.
        existing: "keep", "replace" or "skip", for the frames that hold polyps.
        label: of the new polyps, the number of the class.
        seed: of everything that is drawn.

    Raises:
        ConfigurationError: neither pool nor synthesizer is given, or a value is out of its range.
    """

    def __init__(
        self,
        pool: str | None = None,
        synthesizer: str | None = None,
        references: str | None = None,
        proposer: str = "random",
        probability: float | Sequence[Sequence[float]] = 0.5,
        polyps_per_image: Sequence[int] = (1, 1),
        size_range: Sequence[float] = (0.0, 1.0),
        largest_overlap: float = 0.0,
        smallest_visible: float = 0.7,
        existing: str = "keep",
        label: int = 0,
        seed: int = 0,
    ) -> None:
        self.pool, self.synthesizer, self.references, self.proposer = pool, synthesizer, references, proposer
        self.label, self.seed = label, seed
        self.probability, self._schedule = probability, Schedule.of("probability", probability)
        self.settings = OnlineSettings(
            self._schedule.at(0.0),
            (polyps_per_image[0], polyps_per_image[-1]),
            (size_range[0], size_range[-1]),
            largest_overlap,
            smallest_visible,
            existing,  # type: ignore[arg-type]
        )
        self.counts = SharedCounts("changed", "unchanged", "skipped", "failed")
        self._draws: Counter[str] = Counter()
        self._told: set[str] = set()
        self._augmenter = load_online_augmenter(pool, synthesizer, references, proposer, self.settings)

    @autocast_box_type()  # type: ignore[untyped-decorator]
    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add polyps.

        Raises:
            ConfigurationError: a diffusion model would have to paint in a worker, or the probability changes and the
                sampler doesn't know the progress.
        """
        painter = self._augmenter.painter
        if painter is not None and not painter.in_workers and get_worker_info() is not None:
            raise ConfigurationError(
                f"'synthesizer' {self.synthesizer!r} can't paint in a data loader's worker; set num_workers=0, or draw "
                "from a 'pool'"
            )
        name = Path(results["img_path"]).name
        boxes = results["gt_bboxes"].tensor.numpy()
        objects = tuple(
            SceneObject((float(x), float(y), float(right - x), float(bottom - y)), "")
            for x, y, right, bottom in boxes[:, :4]
        )
        scene = Scene(name, cv2.cvtColor(results["img"], cv2.COLOR_BGR2RGB), objects)
        found = self._augmenter.augment(
            scene,
            self._key(name, results),
            _regions(results.get("gt_masks")),
            probability=self._probability(results.get("sample_idx")),
        )
        self._report(found)
        results["polyp_synthesis"] = found.status
        results["synthetic"] = found.status == "changed" or bool(results.get("synthetic"))
        if found.status == "changed":
            _apply(results, found, self.label)
        return results

    def _key(self, name: str, results: dict[str, Any]) -> Key:
        index = results.get("sample_idx")
        if isinstance(index, DrawnIndex):
            return Key(self.seed, name, index.epoch, index.draw)
        self._draws[name] += 1
        worker = get_worker_info()
        return Key(self.seed, name, worker.seed if worker else 0, self._draws[name])

    def _probability(self, index: Any) -> float:
        if not self._schedule.changes:
            return self.settings.probability
        progress = getattr(index, "progress", None)
        if progress is None:
            raise ConfigurationError(
                "'probability' changes with the training's progress, which needs DrawnSampler with 'batch_size' and "
                "'iterations', or MixingSampler with 'iterations'"
            )
        return self._schedule.at(progress)

    def _report(self, found: Augmented) -> None:
        self.counts.add(found.status)
        if found.status == "failed" and found.reason not in self._told and len(self._told) < 20:
            self._told.add(found.reason)
            _log.warning("PolypSynthesis left a frame as it was: %s", found.reason)

    def __repr__(self) -> str:
        settings = self.settings
        return (
            f"{type(self).__name__}(pool={self.pool!r}, synthesizer={self.synthesizer!r}, "
            f"references={self.references!r}, proposer={self.proposer!r}, probability={self.probability}, "
            f"polyps_per_image={settings.polyps_per_image}, size_range={settings.size_range}, "
            f"largest_overlap={settings.largest_overlap}, smallest_visible={settings.smallest_visible}, "
            f"existing={settings.existing!r}, label={self.label}, seed={self.seed})"
        )


def _regions(masks: Any) -> list[Region | None] | None:
    """The pixels of a frame's objects; None where the pipeline loads no masks."""
    return None if masks is None else [Region.from_mask(mask.astype(bool)) for mask in masks.to_ndarray()]


def _apply(results: dict[str, Any], found: Augmented, label: int) -> None:
    """Bring picture, boxes, labels, flags and masks up to date."""
    results["img"] = cv2.cvtColor(found.image, cv2.COLOR_RGB2BGR)
    height, width = found.image.shape[:2]
    kept = np.setdiff1d(np.arange(len(results["gt_bboxes"])), np.array(found.removed, dtype=np.int64))
    boxes = results["gt_bboxes"].tensor[kept].clone()
    if results.get("gt_masks") is not None:
        old = results["gt_masks"].to_ndarray()[kept].astype(np.uint8).reshape(-1, height, width)
        new = np.stack([item.to_mask(height, width) for item in found.added])
        hidden = new.any(axis=0)
        for number, mask in enumerate(old):
            if (visible := mask & ~hidden).any() and (visible != mask).any():
                old[number] = visible
                boxes[number] = _tight(visible)
        results["gt_masks"] = BitmapMasks(np.concatenate([old, new.astype(np.uint8)]), height, width)
    added = torch.tensor(
        [[x, y, x + w, y + h] for x, y, w, h in (item.box for item in found.added)], dtype=torch.float32
    )
    results["gt_bboxes"] = HorizontalBoxes(torch.cat([boxes, added]))
    labels = np.full(len(found.added), label, dtype=np.int64)
    results["gt_bboxes_labels"] = np.concatenate([results["gt_bboxes_labels"][kept].astype(np.int64), labels])
    if results.get("gt_ignore_flags") is not None:
        flags = np.zeros(len(found.added), dtype=bool)
        results["gt_ignore_flags"] = np.concatenate([results["gt_ignore_flags"][kept].astype(bool), flags])


def _tight(mask: np.ndarray[Any, np.dtype[np.uint8]]) -> torch.Tensor:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=torch.float32)
