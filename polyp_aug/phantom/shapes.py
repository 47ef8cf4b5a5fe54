"""The form of a polyp: a smooth union of ellipsoids and a stalk, as a distance field.

Lengths are in polyp radii; the origin is the anchor on the mucosa and +z points away from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polyp_aug.phantom.textures import Floats

KINDS = ("sessile", "pedunculated", "flat")


@dataclass(frozen=True, eq=False)
class Shape:
    """A polyp's form.

    Attributes:
        kind: one of `KINDS`.
        lobes: float32 (K, 6): centre and half axes of each ellipsoid.
        stalk: (top x, top y, top z, radius) of a stalk from the anchor, or None.
        join: width of the soft joints among the parts.
        root: width of the soft joint with the mucosa.
        bumps: amplitude of the surface's unevenness.
        phases: float32 (3,), of the unevenness.
    """

    kind: str
    lobes: Floats
    stalk: tuple[float, float, float, float] | None
    join: float
    root: float
    bumps: float
    phases: Floats

    @property
    def head(self) -> Floats:
        """Centre of the main lobe."""
        return self.lobes[0, :3]

    @property
    def bound(self) -> tuple[Floats, float]:
        """Centre and radius of a sphere that holds the polyp and its root."""
        centre = self.head * np.float32(0.6)
        reach = np.linalg.norm(self.lobes[:, :3] - centre, axis=1) + self.lobes[:, 3:].max(axis=1)
        return centre, float(max(reach.max(), np.linalg.norm(centre) + 0.4)) + self.root + 0.15

    def distance(self, places: Floats) -> Floats:
        """Signed distance (N,) of places (N, 3), negative inside; a close estimate, never far too long."""
        x, y, z = (np.ascontiguousarray(part) for part in places.T)
        total = np.full(len(places), 1e3, dtype=np.float32)
        for centre_x, centre_y, centre_z, half_x, half_y, half_z in self.lobes:
            u, v, w = (x - centre_x) / half_x, (y - centre_y) / half_y, (z - centre_z) / half_z
            near = np.sqrt(u * u + v * v + w * w)
            steep = np.sqrt((u / half_x) ** 2 + (v / half_y) ** 2 + (w / half_z) ** 2)
            gap = np.asarray(near * (near - 1) / np.maximum(steep, 1e-4), dtype=np.float32)
            total = soft_union(gap, total, self.join)[0]
        if self.stalk is not None:
            top_x, top_y, top_z, radius = (np.float32(part) for part in self.stalk)
            along = np.clip((x * top_x + y * top_y + z * top_z) / (top_x**2 + top_y**2 + top_z**2), 0, 1)
            beside = np.sqrt((x - along * top_x) ** 2 + (y - along * top_y) ** 2 + (z - along * top_z) ** 2)
            flare = radius * (1 + np.float32(0.5) * (1 - along) ** 3)
            total = soft_union(np.asarray(beside - flare, dtype=np.float32), total, self.join)[0]
        waves = [np.sin(part * np.float32(4.3) + phase) for part, phase in zip((x, y, z), self.phases, strict=True)]
        uneven = waves[1] * (waves[0] + waves[2])
        return np.asarray(total + np.float32(self.bumps) * uneven, dtype=np.float32)


def soft_union(first: Floats, second: Floats, width: float) -> tuple[Floats, Floats]:
    """The smooth minimum of two distances and the weight of the first, 0 … 1 (Quilez, polynomial smooth minimum)."""
    weight = np.clip(0.5 + (second - first) * np.float32(0.5 / width), 0, 1)
    joined = second + (first - second) * weight - np.float32(width) * weight * (1 - weight)
    return np.asarray(joined, dtype=np.float32), np.asarray(weight, dtype=np.float32)


def grow_shape(rng: np.random.Generator) -> Shape:
    """A form at random: about half sessile, a quarter each pedunculated and flat."""
    kind = KINDS[int(rng.choice(3, p=[0.5, 0.27, 0.23]))]
    heading = rng.uniform(0, 2 * np.pi)
    phases = rng.uniform(0, 2 * np.pi, 3).astype(np.float32)
    stalk = None
    if kind == "sessile":
        main = [0, 0, rng.uniform(0.1, 0.35), 1, rng.uniform(0.8, 1), rng.uniform(0.6, 0.85)]
        count, size, join, root, bumps = int(rng.integers(0, 5)), (0.4, 0.62), 0.16, rng.uniform(0.12, 0.3), 0.03
    elif kind == "flat":
        main = [0, 0, 0, 1, rng.uniform(0.65, 0.95), rng.uniform(0.24, 0.36)]
        count, size, join, root, bumps = int(rng.integers(2, 6)), (0.3, 0.45), 0.14, rng.uniform(0.06, 0.12), 0.03
    else:
        lean, rise = rng.uniform(0.3, 1.1), rng.uniform(1.0, 1.5)
        main = [lean * np.cos(heading), lean * np.sin(heading), rise, 0.85, rng.uniform(0.65, 0.85), 0.8]
        stalk = (main[0], main[1], main[2], rng.uniform(0.24, 0.36))
        count, size, join, root, bumps = int(rng.integers(0, 4)), (0.36, 0.5), 0.14, 0.3, 0.03
    lobes = [main]
    for turn in rng.uniform(0, 2 * np.pi) + 2 * np.pi * (np.arange(count) + rng.uniform(-0.2, 0.2, count)) / max(
        1, count
    ):
        width = rng.uniform(*size)
        out = rng.uniform(0.45, 0.75)
        raised = main[2] + main[5] * rng.uniform(0.15, 0.5) if kind != "flat" else 0.05
        tall = width if kind != "flat" else 0.7 * width
        lobes.append(
            [main[0] + out * main[3] * np.cos(turn), main[1] + out * main[4] * np.sin(turn), raised, width, width, tall]
        )
    return Shape(kind, np.array(lobes, dtype=np.float32), stalk, join, root, bumps, phases)
