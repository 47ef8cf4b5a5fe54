"""How good the places on one frame are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polyp_aug.geometry import Box, box_iou
from polyp_aug.mucosa import LEAST_SHARE, Mucosa


@dataclass(frozen=True)
class FrameScores:
    """How good the places on a frame are, as means over the keys.

    Attributes:
        hit_rate: share of the keys by which a place is a hit.
        hit_rate_first: the same for the first place.
        best_iou: highest IoU of a place with a removed polyp, 0 where there is no place.
        distance: shortest from the centre of a removed polyp to the centre of a place, as a share of the frame's
            shorter side, over the keys that give a place; NaN where none does.
        places: number of places.
        without_any: share of the keys that give no place.
        off_mucosa: places, by all keys together, of whose box too little is mucosa.
        decided: share of the keys by which a place is a hit, of a removed polyp or of a decoy.
        preferred: share of the keys by which the first such place overlaps a removed polyp more than any decoy.
        decoy_hit_rate: share of the decoys that a place hits; 0 where there is none.
        chance: share of the removed polyps among these and the decoys.
    """

    hit_rate: float
    hit_rate_first: float
    best_iou: float
    distance: float
    places: float
    without_any: float
    off_mucosa: int
    decided: float
    preferred: float
    decoy_hit_rate: float
    chance: float


def score_places(
    boxes: Sequence[Sequence[Box]],
    removed: Sequence[Box],
    mucosa: Mucosa,
    least_iou: float,
    decoys: Sequence[Box] = (),
) -> FrameScores:
    """How good the places on a frame are.

    Args:
        boxes: for each key the boxes of its places, xywh in pixels, best first.
        removed: boxes of the polyps that were there, at least one.
        mucosa: of the frame.
        least_iou: overlap from which on a place is a hit.
        decoys: boxes where no polyp was, which look as if one had been removed.
    """
    overlaps = [[max(box_iou(box, polyp) for polyp in removed) for box in row] for row in boxes]
    shorter = min(mucosa.width, mucosa.height)
    centres = [_centre(polyp) for polyp in removed]
    distances = [min(math.dist(_centre(box), centre) for box in row for centre in centres) for row in boxes if row]
    best = [max(row, default=0.0) for row in overlaps]
    firsts = [_prefers(row, removed, decoys, least_iou) for row in boxes]
    decoy_hits = [any(box_iou(box, decoy) >= least_iou for box in row) for row in boxes for decoy in decoys]
    return FrameScores(
        hit_rate=float(np.mean([value >= least_iou for value in best])),
        hit_rate_first=float(np.mean([bool(row) and row[0] >= least_iou for row in overlaps])),
        best_iou=float(np.mean(best)),
        distance=float(np.mean(distances)) / shorter if distances else float("nan"),
        places=float(np.mean([len(row) for row in boxes])),
        without_any=float(np.mean([not row for row in boxes])),
        off_mucosa=sum(mucosa.covers(box) < LEAST_SHARE for row in boxes for box in row),
        decided=float(np.mean([first is not None for first in firsts])),
        preferred=float(np.mean([first is True for first in firsts])),
        decoy_hit_rate=float(np.mean(decoy_hits)) if decoy_hits else 0.0,
        chance=len(removed) / (len(removed) + len(decoys)),
    )


def _prefers(row: Sequence[Box], removed: Sequence[Box], decoys: Sequence[Box], least_iou: float) -> bool | None:
    """Whether the first place that is a hit of anything is one of a removed polyp; None where none is."""
    for box in row:
        polyp = max(box_iou(box, other) for other in removed)
        decoy = max((box_iou(box, other) for other in decoys), default=0.0)
        if max(polyp, decoy) >= least_iou:
            return polyp > decoy
    return None


def _centre(box: Box) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2
