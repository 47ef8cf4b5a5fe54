"""A contact sheet: a few samples before and after, in one picture."""

from __future__ import annotations

import cv2
import numpy as np

from polyp_aug.coco import decode_segmentation
from polyp_aug.errors import ConfigurationError
from polyp_aug.generation.samples import Outcome
from polyp_aug.generation.writing import PlannedSamples
from polyp_aug.images import ImageArray
from polyp_aug.sheets import grid

#: Width of one picture of the sheet in pixels.
TILE_WIDTH = 400

_OUTLINE = (64, 224, 208)


def preview_sheet(prepared: PlannedSamples, count: int, *, outlines: bool = False) -> ImageArray:
    """Make the first samples of a run and lay them out: before on the left, after on the right, two pairs a row.

    Args:
        prepared: the run.
        count: how many samples.
        outlines: draw the outline of every new polyp.

    Returns:
        uint8 RGB.

    Raises:
        ConfigurationError: `count` is less than 1, or none of the samples could be made.
    """
    if count < 1:
        raise ConfigurationError(f"'count' must be at least 1 (got {count})")
    samples = [prepared.deck[position] for position in range(min(count, len(prepared.deck)))]
    outcomes = prepared.maker.make(samples)
    pairs = [_pair(outcome, outlines) for outcome in outcomes if outcome.pictures]
    if not pairs:
        reasons = "; ".join(outcomes[0].record["reasons"])
        raise ConfigurationError(f"none of {len(samples)} samples could be made ({reasons})")
    return grid(pairs, columns=2)


def _pair(outcome: Outcome, outlines: bool) -> ImageArray:
    after = outcome.pictures["images"].copy()
    before = after.copy()
    x, y, w, h = outcome.record["before"]["box"]
    before[y : y + h, x : x + w] = outcome.pictures["before"]
    if outlines:
        height, width = after.shape[:2]
        for item in outcome.record["objects"]:
            if item["origin"] != "synthetic":
                continue
            mask = decode_segmentation(item["segmentation"], width, height).view(np.uint8)
            contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(after, contours, -1, _OUTLINE, 2, cv2.LINE_AA)
    return np.hstack([_scaled(before), _scaled(after)])


def _scaled(image: ImageArray) -> ImageArray:
    height = max(1, round(image.shape[0] * TILE_WIDTH / image.shape[1]))
    return np.asarray(cv2.resize(image, (TILE_WIDTH, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
