"""The colon as a tube: a table of its radius with haustral folds, and rays that meet its wall.

Lengths are in mean radii of the colon. The tube runs along +z; the camera stands at z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from polyp_aug.images import MaskArray
from polyp_aug.keys import Key
from polyp_aug.phantom.textures import Floats, band_noise, interpolate, unit

#: Extent of the radius table along the axis, in radii, and its samples (z, angle).
Z_NEAR, Z_FAR = -3.0, 10.0
ROWS, COLUMNS = 832, 512
#: Beyond this length of a ray everything is dark.
FAR = 9.0

_ROWS_PER_UNIT = ROWS / (Z_FAR - Z_NEAR)


@dataclass(frozen=True, eq=False)
class Colon:
    """A tube with folds.

    Attributes:
        table: float32 (ROWS, COLUMNS + 2, 4): radius, its derivative by angle and by z, arc length along the wall;
            the first and last columns repeat, for interpolation across the seam.
        bend: (x, y) curvature of the axis.
    """

    table: Floats
    bend: tuple[float, float]

    def axis(self, z: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """The axis at z: x, y and their derivatives."""
        ahead = np.maximum(z, 0)
        shift = np.asarray(ahead * ahead / (1 + 0.12 * ahead), dtype=np.float32)
        slope = np.asarray(ahead * (2 + 0.12 * ahead) / (1 + 0.12 * ahead) ** 2, dtype=np.float32)
        bend_x, bend_y = np.float32(self.bend[0]), np.float32(self.bend[1])
        return bend_x * shift, bend_y * shift, bend_x * slope, bend_y * slope

    def clearance(self, points: Floats) -> Floats:
        """Signed distance from the wall along the radius, positive inside of the tube.

        Args:
            points: float32 (N, 3).
        """
        x, y, _, _ = self.axis(points[:, 2])
        radius, angle = _polar(points[:, 0] - x, points[:, 1] - y)
        return np.asarray(self._lookup(self.table[:, :, 0], angle, points[:, 2]) - radius, dtype=np.float32)

    def _lookup(self, table: Floats, angle: Floats, z: Floats) -> Floats:
        columns = angle * np.float32(COLUMNS / (2 * np.pi)) + 1
        return interpolate(table, columns, (z - np.float32(Z_NEAR)) * np.float32(_ROWS_PER_UNIT), cv2.BORDER_REPLICATE)

    def wall(self, points: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """What the wall is like at points (N, 3) on it.

        Returns:
            Unit normals (N, 3), into the tube; texture coordinates (N,) around and along the tube, in turns of the mean
            tube; and the radius (N,).
        """
        x, y, dx, dy = self.axis(points[:, 2])
        radius, angle = _polar(points[:, 0] - x, points[:, 1] - y)
        _, by_angle, by_z, arc = self._lookup(self.table, angle, points[:, 2]).T
        cos, sin = np.cos(angle), np.sin(angle)
        turn = by_angle / np.maximum(radius, 0.05)
        normals = np.stack(
            [-turn * sin - cos, turn * cos - sin, by_z + cos * dx + sin * dy + turn * (sin * dx - cos * dy)], axis=1
        )
        turns = np.float32(1 / (2 * np.pi))
        return unit(normals), angle * turns, arc * turns, radius

    def trace(self, origin: Floats, rays: Floats, inside: MaskArray) -> Floats:
        """Length of each ray up to the wall, at most `FAR`.

        Args:
            origin: float32 (3,), inside of the tube.
            rays: float32 (H, W, 3), unit vectors that vary smoothly.
            inside: bool (H, W), the N rays that are wanted.

        Returns:
            float32 (N,).
        """
        # A sparse grid of rays tells the dense one where to begin: just before the nearest hit around.
        stride = 4
        height, width = inside.shape
        sparse = np.ascontiguousarray(rays[::stride, ::stride])
        first = self._march(origin, sparse.reshape(-1, 3), np.full(sparse.shape[0] * sparse.shape[1], 0.12, np.float32))
        nearest = cv2.erode(first.reshape(sparse.shape[:2]), np.ones((3, 3), np.uint8))
        begin = np.repeat(np.repeat(nearest, stride, axis=0), stride, axis=1)[:height, :width] * np.float32(0.94)
        directions = rays[inside]
        return self._refined(origin, directions, self._march(origin, directions, np.maximum(begin[inside], 0.12)))

    def _march(self, origin: Floats, directions: Floats, begin: Floats) -> Floats:
        """Steps of a constant ratio along rays (N, 3) from the lengths `begin` until each is behind the wall."""
        growth = np.float32(1.045)
        result = np.full(begin.shape, FAR, dtype=np.float32)
        radii = np.ascontiguousarray(self.table[:, 1:-1, 0]).reshape(-1)
        active, rays, lengths = np.arange(begin.size), directions, begin
        before = np.ones_like(begin)
        while active.size:
            points = origin + rays * lengths[:, None]
            x, y, _, _ = self.axis(points[:, 2])
            radius, angle = _polar(points[:, 0] - x, points[:, 1] - y)
            row = np.clip((points[:, 2] - Z_NEAR) * _ROWS_PER_UNIT, 0, ROWS - 1).astype(np.int32)
            column = np.minimum((angle * np.float32(COLUMNS / (2 * np.pi))).astype(np.int32), COLUMNS - 1)
            gap = radii[row * COLUMNS + column] - radius
            hit = gap < 0
            share = before[hit] / (before[hit] - gap[hit])
            result[active[hit]] = lengths[hit] * (1 - (1 - share) * (1 - 1 / growth))
            going = ~hit & (lengths < FAR)
            active, rays, before = active[going], rays[going], gap[going]
            lengths = lengths[going] * growth
        return np.minimum(result, FAR)

    def _refined(self, origin: Floats, directions: Floats, lengths: Floats) -> Floats:
        """One secant step on the interpolated surface, which the march saw in whole samples of the table."""
        step = lengths * np.float32(0.02)
        low = lengths - step
        high = lengths + step
        gap_low = self.clearance(origin + directions * low[:, None])
        gap_high = self.clearance(origin + directions * high[:, None])
        bracketed = (gap_low > 0) & (gap_high < 0)
        share = np.where(bracketed, gap_low / np.where(bracketed, gap_low - gap_high, 1), 0.5)
        return np.asarray(np.minimum(low + (high - low) * share, FAR), dtype=np.float32)


def _polar(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Radius and angle in [0, 2π] of (N,) places."""
    radius, angle = cv2.cartToPolar(x, y)
    # OpenCV 4 returns columns, OpenCV 5 lists.
    return np.asarray(radius.reshape(-1), dtype=np.float32), np.asarray(angle.reshape(-1), dtype=np.float32)


def grow_colon(key: Key) -> Colon:
    """The colon of a key: bend, haustra and folds."""
    rng = key.generator("colon")
    z = np.linspace(Z_NEAR, Z_FAR, ROWS, endpoint=False, dtype=np.float32)[:, None]
    angle = np.linspace(0, 2 * np.pi, COLUMNS, endpoint=False, dtype=np.float32)[None, :]
    swell = cv2.resize(band_noise(rng, 256, 2, 7), (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC)
    radius = 1.0 + 0.035 * swell
    taenia = rng.uniform(0, 2 * np.pi)
    triangular = rng.uniform(0.0, 0.12)
    radius += triangular * np.cos(3 * (angle - taenia))
    depth = rng.uniform(0.2, 0.55)
    place = Z_NEAR + rng.uniform(0, 0.6)
    while place < Z_FAR:
        _add_fold(radius, z, angle, place, depth, taenia, rng)
        place += rng.uniform(0.5, 1.5)
    # The lumen stays open.
    np.maximum(radius, 0.28, out=radius)
    by_angle = (np.roll(radius, -1, axis=1) - np.roll(radius, 1, axis=1)) * np.float32(COLUMNS / (4 * np.pi))
    by_z = np.gradient(radius, axis=0) * np.float32(_ROWS_PER_UNIT)
    arc = np.cumsum(np.sqrt(1 + by_z * by_z), axis=0) / np.float32(_ROWS_PER_UNIT)
    table = np.stack([radius, by_angle, by_z, arc], axis=2).astype(np.float32)
    direction, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.22)
    return Colon(
        table=np.ascontiguousarray(np.concatenate([table[:, -1:], table, table[:, :1]], axis=1)),
        bend=(float(strength * np.cos(direction)), float(strength * np.sin(direction))),
    )


def _add_fold(
    radius: Floats, z: Floats, angle: Floats, place: float, depth: float, taenia: float, rng: np.random.Generator
) -> None:
    """One ring, crescent or three-cornered fold, subtracted from the radius table in place."""
    width = rng.uniform(0.09, 0.24)
    phases = rng.uniform(0, 2 * np.pi, 4)
    centre = place + 0.14 * np.sin(angle + phases[0]) + 0.05 * np.sin(3 * angle + phases[1])
    crescent = 0.5 + 0.5 * np.cos(angle - phases[2])
    corners = 0.5 - 0.5 * np.cos(3 * (angle - taenia))
    share = rng.uniform(0, 1)
    height = depth * rng.uniform(0.55, 1.15) * (0.2 + 0.8 * (share * crescent + (1 - share) * corners))
    height *= 1 + 0.12 * np.sin(5 * angle + phases[3])
    # The camera has room around it.
    height *= 0.35 + 0.65 * min(1.0, abs(place) / 0.7)
    reach = 5 * width + 0.2
    first = max(0, int((place - reach - Z_NEAR) * _ROWS_PER_UNIT))
    last = min(ROWS, int((place + reach - Z_NEAR) * _ROWS_PER_UNIT) + 1)
    if last <= first:
        return
    away = ((z[first:last] - centre) / width) ** 2
    radius[first:last] -= (height * (0.68 * np.exp(-away) + 0.32 * np.exp(-away / 7))).astype(np.float32)
