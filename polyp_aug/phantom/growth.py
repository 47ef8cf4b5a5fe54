"""Polyps on the mucosa: where they stand, and which pixels they take."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.errors import NoPlacementError
from polyp_aug.geometry import Region
from polyp_aug.images import MaskArray
from polyp_aug.keys import Key
from polyp_aug.phantom.colon import Colon
from polyp_aug.phantom.optics import Surface, View
from polyp_aug.phantom.shapes import Shape, grow_shape, soft_union
from polyp_aug.phantom.surface import Mucosa, tangents, tilted
from polyp_aug.phantom.textures import Floats, band_noise, dot, sample_tile, unit

#: Trials for one polyp; each is a little smaller than the one before.
TRIALS = 90
#: Trials after which another form is taken, and the smallest radius in shares of the frame's shorter side.
PATIENCE, SMALLEST = 12, 0.045
#: Most steps of a ray, and its shortest step in polyp radii, without which rays that graze the polyp would never end.
MARCH, SHORTEST = 60, 0.012


@dataclass(frozen=True)
class PhantomPolyp:
    """A polyp of a phantom.

    Attributes:
        region: exactly the pixels that show the polyp's surface.
        kind: "sessile", "pedunculated" or "flat".
    """

    region: Region
    kind: str


@dataclass(frozen=True, eq=False)
class _Seat:
    """A polyp's own coordinates: `(point − anchor) @ frame / size`."""

    anchor: Floats
    frame: Floats
    size: float
    slant: float

    def local(self, points: Floats) -> Floats:
        return np.asarray((points - self.anchor) @ self.frame / np.float32(self.size), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class _Sight:
    """Pixels that a polyp changes.

    Attributes:
        rows, columns: int (N,).
        points: float32 (N, 3).
        weight: float32 (N,), 0 mucosa … 1 polyp.
    """

    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    points: Floats
    weight: Floats


def grow_polyp(
    key: Key, colon: Colon, mucosa: Mucosa, view: View, surface: Surface, taken: MaskArray
) -> tuple[Surface, PhantomPolyp, MaskArray]:
    """Grow one polyp.

    Args:
        taken: bool (H, W), pixels that this polyp may not change.

    Returns:
        The surface with the polyp, the polyp, and the pixels that it changed, bool (H, W).

    Raises:
        NoPlacementError: no trial gave a polyp that is well in view.
    """
    rng = key.generator("polyp")
    height, width = taken.shape
    size = min(width, height)
    free = cv2.erode((view.aperture >= 1).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(1, size // 100))
    facing = -dot(surface.normal, view.rays)
    room = cv2.distanceTransform((free.astype(bool) & ~taken & (surface.length < 2.6)).astype(np.uint8), cv2.DIST_L2, 3)
    fit = (surface.length > 0.45) & (facing > 0.3)
    shape, wanted = grow_shape(rng), rng.uniform(0.07, 0.19)
    for trial in range(TRIALS):
        if trial and trial % PATIENCE == 0:
            shape = grow_shape(rng)
        radius = max(wanted * 0.965**trial, SMALLEST) * size
        rows, columns = np.nonzero(fit & (room > 0.9 * radius))
        if not rows.size:
            continue
        pick = int(rng.integers(rows.size))
        row, column = int(rows[pick]), int(columns[pick])
        seat = _seat(colon, view, surface, row, column, radius * (0.75 if shape.stalk else 1.0))
        sight = _see(shape, seat, colon, view, surface)
        mask = np.zeros(taken.shape, dtype=np.bool_)
        mask[sight.rows, sight.columns] = sight.weight > 0.5
        changed = np.zeros(taken.shape, dtype=np.bool_)
        changed[sight.rows, sight.columns] = True
        if (mask & ~free.astype(bool)).any() or (changed & taken).any() or not _well_seen(mask, radius):
            continue
        region = Region.from_mask(mask)
        assert region is not None
        grown = _paint(rng, shape, seat, sight, colon, mucosa, view, surface)
        return grown, PhantomPolyp(region, shape.kind), changed
    raise NoPlacementError(
        f"phantom {key.seed}, polyp {key.draw}: no place in {TRIALS} trials, {width}×{height} pixels"
    )


def _seat(colon: Colon, view: View, surface: Surface, row: int, column: int, radius: float) -> _Seat:
    """The seat at a pixel for an apparent radius in pixels."""
    length = float(surface.length[row, column])
    anchor = view.origin + view.rays[row, column] * np.float32(length)
    normal = colon.wall(anchor[None])[0][0]
    first, second = tangents(normal)
    neighbour = view.rays[row, column - 1]
    pixel = float(np.linalg.norm(view.rays[row, column] - neighbour))
    frame = np.stack([first, second, normal], axis=1)
    lifted = colon.clearance((anchor + normal * np.float32(0.05))[None])[0]
    return _Seat(anchor, frame, min(radius * pixel * length, 0.42, 0.22 * length), float(0.05 / max(lifted, 0.02)))


def _see(shape: Shape, seat: _Seat, colon: Colon, view: View, surface: Surface) -> _Sight:
    """Follow the rays that may meet the polyp."""
    centre, reach = shape.bound
    ball = seat.anchor + seat.frame @ centre * np.float32(seat.size) - view.origin
    reach *= seat.size
    along = view.rays @ ball
    half = reach * reach - (ball @ ball - along * along)
    start = along - np.sqrt(np.maximum(half, 0))
    rows, columns = np.nonzero((half > 0) & (start < surface.length) & (along > 0) & view.field_of_view)
    rays, base = view.rays[rows, columns], surface.length[rows, columns]
    lengths = np.maximum(start[rows, columns], 0.05)
    active = np.arange(rows.size)
    for _ in range(MARCH):
        gap, _ = _field(shape, seat, colon, view.origin + rays[active] * lengths[active, None])
        lengths[active] += np.maximum(0.85 * gap, SHORTEST) * np.float32(seat.size)
        active = active[(gap > 0.004) & (lengths[active] < base[active])]
        if not active.size:
            break
    lengths = np.minimum(lengths, base)
    points = view.origin + rays * lengths[:, None]
    _, weight = _field(shape, seat, colon, points)
    weight[active] = 0
    seen = weight > 0
    return _Sight(rows[seen], columns[seen], points[seen], weight[seen])


def _field(shape: Shape, seat: _Seat, colon: Colon, points: Floats) -> tuple[Floats, Floats]:
    """Distance, in polyp radii, from the joined surface of mucosa and polyp, and the polyp's weight."""
    wall = colon.clearance(points) * np.float32(seat.slant / seat.size)
    return soft_union(shape.distance(seat.local(points)), wall, shape.root)


def _well_seen(mask: MaskArray, radius: float) -> bool:
    """Whether a polyp's mask is one piece of a fair size for its radius in pixels."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return False
    areas = stats[1:, cv2.CC_STAT_AREA]
    return count == 2 and bool(areas[0] >= max(20.0, 1.3 * radius * radius))


def _paint(
    rng: np.random.Generator,
    shape: Shape,
    seat: _Seat,
    sight: _Sight,
    colon: Colon,
    mucosa: Mucosa,
    view: View,
    surface: Surface,
) -> Surface:
    """The surface with the polyp's form, colour, pits and wet film, and its contact shadow."""
    at = (sight.rows, sight.columns)
    step = np.float32(0.02 * seat.size)
    corners = np.array([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], dtype=np.float32)
    normal = np.zeros_like(sight.points)
    for corner in corners:
        normal += corner * _field(shape, seat, colon, sight.points + corner * step)[0][:, None]
    normal = unit(normal)

    outward = unit(seat.local(sight.points) - shape.head * np.float32(0.8))
    flat = outward[:, :2] / (1.15 + outward[:, 2:])
    pits = band_noise(rng, 256, *((14, 22) if rng.random() < 0.5 else (20, 34)))
    lumps = band_noise(rng, 256, 2, 7)
    relief = np.stack([np.roll(pits, -1, axis) - np.roll(pits, 1, axis) for axis in (1, 0)], axis=2)
    tile = np.concatenate([relief / relief.std(), pits[:, :, None], lumps[:, :, None]], axis=2)
    values = sample_tile(tile, flat[:, 0] * np.float32(0.4), flat[:, 1] * np.float32(0.4))
    weight = sight.weight[:, None]
    first, second = tangents(normal)
    fine = tilted(normal, first, second, values[:, :2] * weight, float(rng.uniform(0.02, 0.08)))
    ripple = sample_tile(mucosa.film, flat[:, 0] * np.float32(0.8), flat[:, 1] * np.float32(0.8))
    gloss = tilted(fine, first, second, ripple[:, :2], 0.13)

    red, pale = np.array([0.98, 0.62, 0.58]), np.array([1.0, 1.06, 1.06])
    mix = rng.uniform(0, 0.7) if shape.kind != "flat" else rng.uniform(0.4, 0.9)
    tint = (red * (1 - mix) + pale * mix).astype(np.float32)
    spots = 1 + values[:, 2:3] * np.array([0.02, 0.06, 0.06], dtype=np.float32)
    spots += values[:, 3:4] * np.array([0.04, 0.09, 0.09], dtype=np.float32)
    own = mucosa.colour * tint * np.maximum(spots, 0.3)
    cover = np.clip(weight * 1.6 - 0.3, 0, 1)

    result = replace(
        surface,
        length=surface.length.copy(),
        normal=surface.normal.copy(),
        gloss=surface.gloss.copy(),
        albedo=surface.albedo.copy(),
        wet=surface.wet.copy(),
        shade=surface.shade.copy(),
    )
    # The crease around the polyp gets less light and holds no film.
    crease = 4 * weight[:, 0] * (1 - weight[:, 0])
    film = np.clip(0.55 + 0.5 * ripple[:, 2], 0, 1) * cover[:, 0]
    result.length[at] = np.linalg.norm(sight.points - view.origin, axis=1)
    result.normal[at], result.gloss[at] = fine, gloss
    result.albedo[at] = surface.albedo[at] * (1 - cover) + own * cover
    result.wet[at] = np.maximum(surface.wet[at] * (1 - cover[:, 0]), film) * (1 - crease)
    result.shade[at] = (surface.shade[at] * (1 - cover[:, 0]) + cover[:, 0]) * (1 - 0.18 * crease)
    return result
