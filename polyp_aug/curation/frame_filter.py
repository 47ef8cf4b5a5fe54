"""Taking low-quality frames out of a COCO data set. No picture is copied, changed or deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from polyp_aug.coco import CocoDataset, CocoImage, resolve_image
from polyp_aug.coco.read import default_image_root
from polyp_aug.curation.frame_quality import FrameQuality, measure_frame
from polyp_aug.curation.thresholds import QualityThresholds
from polyp_aug.errors import ConfigurationError, ImageError
from polyp_aug.images import ImageArray, read_image
from polyp_aug.sheets import captioned, grid

#: Reason of a frame whose picture can't be read.
UNREADABLE = "unreadable"

#: Width of one picture of the sheet in pixels, and pictures for each measure.
TILE_WIDTH, WORST = 256, 6


@dataclass(frozen=True)
class JudgedFrame:
    """One frame and what was found.

    Attributes:
        image: its record.
        quality: its measures, or None where the picture can't be read.
        reasons: the limits that it breaks, or `UNREADABLE`; empty for a frame that passes.
        error: why the picture can't be read, else empty.
    """

    image: CocoImage
    quality: FrameQuality | None
    reasons: tuple[str, ...]
    error: str = ""


@dataclass(frozen=True)
class FilteredFrames:
    """The frames of a data set, judged.

    Attributes:
        dataset: what was judged.
        thresholds: the limits.
        frames: one for each image, in their order.
    """

    dataset: CocoDataset
    thresholds: QualityThresholds
    frames: tuple[JudgedFrame, ...]

    def passed(self) -> CocoDataset:
        """The data set with the frames that pass and their annotations; ids are kept."""
        kept = {frame.image.id for frame in self.frames if not frame.reasons}
        images = tuple(image for image in self.dataset.images if image.id in kept)
        annotations = tuple(entry for entry in self.dataset.annotations if entry.image_id in kept)
        return replace(self.dataset, images=images, annotations=annotations)

    def counts(self) -> dict[str, int]:
        """Reason → how many frames it took; a frame may have several."""
        reasons = (*self.thresholds.limits(), UNREADABLE)
        return {reason: sum(reason in frame.reasons for frame in self.frames) for reason in reasons}

    def report(self) -> dict[str, Any]:
        """Thresholds, counts, and the measures of every frame, as plain JSON values."""
        return {
            "thresholds": self.thresholds.limits(),
            "frames": len(self.frames),
            "passed": sum(not frame.reasons for frame in self.frames),
            "taken_by": self.counts(),
            "measures": [_record(frame) for frame in self.frames],
        }

    def worst_sheet(self, count: int = WORST) -> ImageArray:
        """The worst frames by each measure: a row for each, the worst on the left; a star marks a broken limit.

        Args:
            count: frames in a row.

        Returns:
            uint8 RGB.

        Raises:
            ConfigurationError: `count` is less than 1, or no frame was read.
            ImageError: a picture has gone since it was measured.
        """
        if count < 1:
            raise ConfigurationError(f"'count' must be at least 1 (got {count})")
        rows = []
        for name in self.thresholds.limits():
            sign = 1 if name == "field" else -1
            values = {frame.image.id: getattr(frame.quality, name) for frame in self.frames if frame.quality}
            read = sorted((frame for frame in self.frames if frame.quality), key=lambda f: sign * values[f.image.id])
            tiles = [
                _tile(self.dataset, frame, f"{name} {values[frame.image.id]:.3g}{' *' * (name in frame.reasons)}")
                for frame in read[:count]
            ]
            if not tiles:
                raise ConfigurationError("no frame could be read, so there is nothing to show")
            rows.append(grid(tiles, columns=count))
        return grid(rows, columns=1)


def filter_frames(
    dataset: CocoDataset, thresholds: QualityThresholds, observer: Callable[[int, int], None] | None = None
) -> FilteredFrames:
    """Measure every frame of a data set against the limits.

    A picture that can't be read is taken out with the reason `UNREADABLE`.

    Args:
        dataset: what to judge.
        thresholds: the limits.
        observer: told (done, total) after each frame.

    Raises:
        ImageError: not one of the pictures can be read; the message is that of the first.
    """
    frames: list[JudgedFrame] = []
    for image in dataset.images:
        frames.append(_judge(dataset, image, thresholds))
        if observer is not None:
            observer(len(frames), len(dataset.images))
    if frames and all(frame.quality is None for frame in frames):
        raise ImageError(f"none of {len(frames)} pictures can be read; the first: {frames[0].error}")
    return FilteredFrames(dataset, thresholds, tuple(frames))


def check_target(dataset: CocoDataset, source: Path, out: Path) -> None:
    """Check that a COCO file at `out` spares `source`, and finds the pictures of `dataset`, which are not copied.

    Raises:
        ConfigurationError: `out` is `source`, or readers would look for the pictures elsewhere.
    """
    if out.resolve() == source.resolve():
        raise ConfigurationError(f"{out}: the data set itself would be overwritten, expected another file beside it")
    root = default_image_root(out)
    if not out.parent.is_dir() or root.resolve() != dataset.image_root.resolve():
        raise ConfigurationError(
            f"{out}: file names are relative to {dataset.image_root}, but they would be looked for in {root}; "
            "write the file beside the data set's own"
        )


def _judge(dataset: CocoDataset, image: CocoImage, thresholds: QualityThresholds) -> JudgedFrame:
    try:
        quality = measure_frame(read_image(resolve_image(dataset.image_root, image.file_name)))
    except ImageError as error:
        return JudgedFrame(image, None, (UNREADABLE,), str(error))
    return JudgedFrame(image, quality, thresholds.broken_by(quality))


def _record(frame: JudgedFrame) -> dict[str, Any]:
    measures = {name: round(value, 6) for name, value in asdict(frame.quality).items()} if frame.quality else {}
    return {"id": frame.image.id, "file_name": frame.image.file_name, **measures, "reasons": list(frame.reasons)}


def _tile(dataset: CocoDataset, frame: JudgedFrame, caption: str) -> ImageArray:
    picture = read_image(resolve_image(dataset.image_root, frame.image.file_name))
    height = max(1, round(picture.shape[0] * TILE_WIDTH / picture.shape[1]))
    small = cv2.resize(picture, (TILE_WIDTH, height), interpolation=cv2.INTER_AREA)
    return captioned(np.asarray(small, np.uint8), caption)
