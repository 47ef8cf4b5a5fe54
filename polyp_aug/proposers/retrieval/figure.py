"""The matching figure: what was compared with what, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.database.folder import ReferenceDatabase
from polyp_aug.images import ImageArray
from polyp_aug.proposers.retrieval.matching import patch_centres
from polyp_aug.proposers.retrieval.proposer import Retrieval
from polyp_aug.scene import Placement

_OUTLINE = (80, 255, 120)
_PROPOSAL = (255, 220, 40)
_LINE = (90, 200, 255)
_GAP = 12


def matching_figure(
    image: ImageArray,
    retrieval: Retrieval,
    database: ReferenceDatabase,
    placements: Sequence[Placement],
    *,
    candidate: int = 0,
    height: int = 480,
) -> ImageArray:
    """A reference, the frame, and the frame's votes side by side.

    On the left the reference with the outlines of the polyps that were there; in the middle the frame with the places
    that were chosen; lines join the patches that matched, the brighter the closer their features. On the right a heat
    map of how often each patch was matched by any candidate, and the same places.

    Args:
        image: the frame, uint8 RGB (H, W, 3).
        retrieval: what was found for it.
        database: where it was found.
        placements: the places that were chosen.
        candidate: number of the candidate to show.
        height: of the figure in pixels.

    Returns:
        uint8 RGB (height, width, 3).

    Raises:
        DatabaseError: the reference's picture or features can't be read.
    """
    shown = retrieval.candidates[candidate]
    reference = database.references[shown.reference]
    left, left_scale = _scaled(database.image(shown.reference), height)
    middle, scale = _scaled(image, height)
    right = _heat(middle, retrieval.votes)
    outline = _contours(reference.region().to_mask(reference.frame_size[1], reference.frame_size[0]), left.shape)
    cv2.drawContours(left, outline, -1, _OUTLINE, 2, cv2.LINE_AA)
    for placement in placements:
        x, y, w, h = (round(value * scale) for value in placement.region.box)
        for panel in (middle, right):
            cv2.rectangle(panel, (x, y), (x + w, y + h), _PROPOSAL, 2, cv2.LINE_AA)
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    figure = np.ascontiguousarray(np.hstack([left, gap, middle, gap, right]))
    _, cells = database.local(shown.reference)
    matched = cells[shown.matches.reference].astype(np.int64)
    columns = reference.grid[1]
    start = patch_centres(matched[:, 0] * columns + matched[:, 1], columns, reference.patch)
    end = patch_centres(shown.matches.query, retrieval.features.local.shape[1], retrieval.features.patch)
    start, end = start * left_scale, end * scale + (left.shape[1] + _GAP, 0)
    # The closest come last, over the others.
    for rank in range(len(start) - 1, -1, -1):
        colour = [round(value * (1.0 - 0.7 * rank / len(start))) for value in _LINE]
        first, second = _point(start[rank]), _point(end[rank])
        cv2.line(figure, first, second, colour, 1, cv2.LINE_AA)
        for point in (first, second):
            cv2.circle(figure, point, 3, colour, -1, cv2.LINE_AA)
    return figure


def _scaled(image: ImageArray, height: int) -> tuple[ImageArray, float]:
    scale = height / image.shape[0]
    size = max(1, round(image.shape[1] * scale)), height
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.array(resized, dtype=np.uint8), scale


def _heat(image: ImageArray, votes: npt.NDArray[np.float64]) -> ImageArray:
    height, width = image.shape[:2]
    levels = np.round(255.0 * votes / max(1.0, float(votes.max()))).astype(np.uint8)
    large = cv2.resize(levels, (width, height), interpolation=cv2.INTER_CUBIC)
    colours = cv2.cvtColor(cv2.applyColorMap(large, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    weight = 0.25 + 0.55 * (large[:, :, None] / 255.0)
    return np.asarray(image * (1.0 - weight) + colours * weight, dtype=np.uint8)


def _contours(mask: npt.NDArray[np.bool_], shape: tuple[int, ...]) -> list[npt.NDArray[np.int32]]:
    resized = cv2.resize(mask.view(np.uint8), (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)
    found, _ = cv2.findContours(resized, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [np.asarray(contour, np.int32) for contour in found]


def _point(values: npt.NDArray[np.float64]) -> tuple[int, int]:
    return round(float(values[0])), round(float(values[1]))
