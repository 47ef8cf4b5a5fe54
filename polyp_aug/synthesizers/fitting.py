"""Choosing a reference polyp for a place, and bringing it there: the part that `copy_paste` and `transplant` share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.compositing import touched_box
from polyp_aug.errors import SynthesisError
from polyp_aug.geometry import IntBox, Region
from polyp_aug.images import ImageArray, MaskArray
from polyp_aug.references import CutOut, ReferenceBank, ReferencePolyp
from polyp_aug.scene import Job, Painted, Rejection

#: A reference is enlarged at most by this factor: more looks blurred beside the frame.
LARGEST_SCALE = 1.25

#: A reference is made smaller at most by this factor: less keeps nothing of its texture.
SMALLEST_SCALE = 0.2

#: How many references are tried for one job, and how many turns of each.
ATTEMPTS = 8
TURNS = 4


@dataclass(frozen=True, eq=False)
class Fitted:
    """A reference polyp brought to its place.

    Attributes:
        box: the part of the frame that the arrays below cover, xywh.
        image: uint8 RGB (box height, box width, 3): the polyp and the mucosa of its own frame around it.
        lit: bool (box height, box width): where `image` shows lit mucosa of the reference's own frame.
        region: the polyp's pixels in the frame.
        polyp: the reference.
        transform: scale, rotation in degrees and flip, in JSON types.
    """

    box: IntBox
    image: ImageArray
    lit: MaskArray
    region: Region
    polyp: ReferencePolyp
    transform: dict[str, Any]


def paint_reference(
    job: Job, references: ReferenceBank, ring: int, render: Callable[[Fitted], ImageArray]
) -> Painted | Rejection:
    """Bring a reference polyp to the place of a job, turned, flipped and scaled to fit into the box of its region.

    A job that names a reference gets that one, upright. For another, `ATTEMPTS` are drawn from those whose size is near
    enough, each at the best of `TURNS` random turns, flipped or not. The one whose surroundings look most like the
    place comes first; the next follow where it doesn't fit.

    Args:
        ring: pixels around the polyp to bring along.
        render: makes the part of the frame that `Fitted.box` covers, uint8 RGB of the box's size, or raises
            `SynthesisError` where the reference doesn't suit the place.
    """
    candidates, problems = [], []
    for polyp, turns, flip in _candidates(job, references, job.key.generator("reference fit")):
        try:
            candidates.append((polyp, references.cut_out(polyp), turns, flip))
        except SynthesisError as error:
            problems.append(str(error))
    look = _look(job, ring)
    for polyp, cut, turns, flip in sorted(candidates, key=lambda row: _unlikeness(row[1].surroundings, look)):
        try:
            fitted = _fitted(job, polyp, cut, turns, flip, ring)
            patch = render(fitted)
        except SynthesisError as error:
            problems.append(str(error))
            continue
        x, y, w, h = fitted.box
        image = job.image.copy()
        image[y : y + h, x : x + w] = patch
        details = {"reference": polyp.id, "reference_source": polyp.source.to_dict(), **fitted.transform}
        return Painted(image, fitted.region, polyp.category, details)
    width, height = job.region.box[2:]
    return Rejection(f"none of {len(problems)} references fits a place of {width}×{height} px: {problems[0]}")


def _look(job: Job, ring: int) -> tuple[float, float, float]:
    """Mean R, G, B of what the place and the ring around it show now."""
    x, y, w, h = touched_box(job.region, ring, job.image.shape[1], job.image.shape[0])
    red, green, blue, _ = cv2.mean(job.image[y : y + h, x : x + w])
    return red, green, blue


def _unlikeness(first: tuple[float, float, float], second: tuple[float, float, float]) -> float:
    """Distance of two mean colours: logarithmic in hue and saturation, less strict in brightness."""
    ratio = np.log(np.add(first, 8.0)) - np.log(np.add(second, 8.0))
    return float(np.std(ratio) + 0.4 * abs(np.mean(ratio)))


def _candidates(
    job: Job, references: ReferenceBank, generator: np.random.Generator
) -> list[tuple[ReferencePolyp, list[float], bool]]:
    """Polyps to try, each with the turns, in degrees, to choose from, and whether to flip it."""
    if job.reference is not None:
        return [(references.get(job.reference), [0.0], False)]
    side = math.sqrt(job.region.box[2] * job.region.box[3])
    scales = side / np.sqrt(references.sizes.prod(axis=1))
    # Near sizes first: a reference that keeps its size keeps its sharpness and its texture.
    misfit = np.abs(np.log(scales))
    near = np.flatnonzero((scales <= LARGEST_SCALE) & (misfit <= math.log(2.0)))
    if len(near) < ATTEMPTS:
        near = np.argsort(misfit, kind="stable")[: 4 * ATTEMPTS]
    chosen = generator.choice(near, min(ATTEMPTS, len(near)), replace=False)
    turns = generator.uniform(-180.0, 180.0, (len(chosen), TURNS))
    flips = generator.random(len(chosen)) < 0.5
    return [
        (references.polyps[index], choice.tolist(), bool(flip))
        for index, choice, flip in zip(chosen, turns, flips, strict=True)
    ]


def _fitted(job: Job, polyp: ReferencePolyp, cut: CutOut, turns: Sequence[float], flip: bool, ring: int) -> Fitted:
    """The polyp at the turn at which it fills most of the place's box, at the largest scale at which it fits in."""
    x, y, width, height = job.region.box
    outline, mirror = _outline(cut.region), np.diag([-1.0 if flip else 1.0, 1.0])
    fits = []
    for turn in turns:
        corners = outline @ (_rotation(turn) @ mirror).T
        low, high = corners.min(axis=0), corners.max(axis=0)
        largest = float(np.min((width, height) / (high - low)))
        fits.append((largest**2 * float(np.prod(high - low)), turn, largest, low, high))
    _, turn, scale, low, high = max(fits, key=lambda fit: fit[0])
    linear = _rotation(turn) @ mirror
    if not SMALLEST_SCALE <= scale <= LARGEST_SCALE * 1.2:
        raise SynthesisError(f"{polyp.id} would be scaled by {scale:.2f}")
    centre = np.array([x + width / 2.0, y + height / 2.0])
    box = touched_box(job.region, ring, job.image.shape[1], job.image.shape[0])
    shrink = min(1.0, scale)
    image, soft, soft_lit = _shrunk(cut, shrink)
    matrix = linear * (scale / shrink)
    # OpenCV counts from pixel centres, half a pixel from the corners that coordinates count from here.
    offset = centre - box[:2] - scale * (low + high) / 2.0 - 0.5 + matrix @ np.array([0.5, 0.5])
    affine = np.hstack([matrix, offset[:, None]])
    size = box[2], box[3]
    warped = cv2.warpAffine(image, affine, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    inside = cv2.warpAffine(soft, affine, size, flags=cv2.INTER_LINEAR, borderValue=0.0) >= 0.5
    lit = cv2.warpAffine(soft_lit, affine, size, flags=cv2.INTER_LINEAR, borderValue=0.0) >= 0.9
    region = Region.from_mask(inside, box[0], box[1])
    if region is None:
        raise SynthesisError(f"{polyp.id} vanishes at a scale of {scale:.2f}")
    transform = {"scale": round(scale, 4), "rotation_degrees": round(turn, 2), "flip": flip}
    return Fitted(box, np.asarray(warped, np.uint8), np.asarray(lit), region, polyp, transform)


def _rotation(degrees: float) -> npt.NDArray[np.float64]:
    angle = math.radians(degrees)
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _outline(region: Region) -> npt.NDArray[np.float64]:
    """Corners of the convex hull of a region's pixels, float64 (N, 2)."""
    contours, _ = cv2.findContours(region.crop.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = np.concatenate(contours)[:, 0, :].astype(np.float64)
    offsets = np.array([(region.x + dx, region.y + dy) for dx in (0, 1) for dy in (0, 1)], dtype=np.float64)
    corners = (points[:, None, :] + offsets).reshape(-1, 2)
    return cv2.convexHull(corners.astype(np.float32))[:, 0, :].astype(np.float64)


def _shrunk(cut: CutOut, scale: float) -> tuple[ImageArray, npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Picture, soft mask and soft map of lit mucosa of a cut-out at a smaller scale, averaged over areas."""
    height, width = cut.image.shape[:2]
    maps = cut.region.to_mask(height, width).astype(np.float32), cut.lit.astype(np.float32)
    if scale >= 1.0:
        return cut.image, *maps
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image, mask, lit = (cv2.resize(array, size, interpolation=cv2.INTER_AREA) for array in (cut.image, *maps))
    return np.asarray(image, np.uint8), np.asarray(mask, np.float32), np.asarray(lit, np.float32)
