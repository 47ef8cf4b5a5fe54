"""The skin of the colon: colour, vessels, relief and wet film at each pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polyp_aug.keys import Key
from polyp_aug.phantom.colon import FAR, Colon
from polyp_aug.phantom.optics import Surface, View
from polyp_aug.phantom.textures import Floats, band_noise, sample_tile, unit, vessels

#: Display colours that the mucosa of a seed is mixed from: pink, salmon, red-orange, tan, ochre.
PALETTE = np.array([[228, 122, 108], [232, 116, 84], [228, 100, 54], [216, 136, 94], [222, 116, 44]], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Mucosa:
    """Tiles of one colon, float32 (N, N, C), and its base colour, linear RGB."""

    colour: Floats
    blood: Floats
    mottle: Floats
    relief: Floats
    film: Floats
    wetness: float


def grow_mucosa(key: Key) -> Mucosa:
    """The mucosa of a key."""
    rng = key.generator("mucosa")
    mix = rng.dirichlet([0.8, 0.8, 0.5, 0.5, 0.25])
    colour = ((mix @ PALETTE) / 255.0) ** 2.2
    strength = rng.uniform(0.35, 1.15)
    network = vessels(rng, 1536, int(rng.integers(30, 80)))
    mottle = np.stack([band_noise(rng, 256, 2, 10), band_noise(rng, 256, 12, 60)], axis=2)
    height = band_noise(rng, 512, 6, 20) + 0.35 * band_noise(rng, 512, 30, 80)
    ripple = band_noise(rng, 512, 8, 40)
    return Mucosa(
        colour=colour.astype(np.float32),
        blood=network * np.float32(strength),
        mottle=mottle,
        relief=_slopes(height),
        film=np.concatenate([_slopes(ripple), band_noise(rng, 512, 3, 9)[:, :, None]], axis=2),
        wetness=rng.uniform(-0.5, 0.1),
    )


def _slopes(height: Floats) -> Floats:
    """Periodic slopes (N, N, 2) by column and row, standard deviation 1."""
    slopes = np.stack([np.roll(height, -1, axis) - np.roll(height, 1, axis) for axis in (1, 0)], axis=2)
    return np.asarray(slopes / slopes.std(), dtype=np.float32)


def tilted(normal: Floats, first: Floats, second: Floats, slopes: Floats, strength: Floats | float) -> Floats:
    """Unit normals (..., 3) leaned against the slopes (..., 2) along the tangents `first` and `second`."""
    lean = slopes * np.float32(strength) if isinstance(strength, float) else slopes * strength[..., None]
    leaned = normal - first * lean[..., :1] - second * lean[..., 1:2]
    return unit(leaned)


def tangents(normal: Floats) -> tuple[Floats, Floats]:
    """Two unit vectors (..., 3) at right angles to `normal` and to each other; the first lies along the tube's turn."""
    x, y, z = normal[..., 0], normal[..., 1], normal[..., 2]
    flat = np.maximum(np.sqrt(x * x + y * y), 1e-6)
    first = np.stack([-y / flat, x / flat, np.zeros_like(x)], axis=-1)
    second = np.stack([-z * x / flat, -z * y / flat, flat], axis=-1)
    return first, second


def wall_surface(colon: Colon, mucosa: Mucosa, view: View) -> Surface:
    """What each pixel sees of the colon without polyps."""
    inside = view.field_of_view
    rays = view.rays[inside]
    length = colon.trace(view.origin, view.rays, inside)
    normal, u, v, radius = colon.wall(view.origin + rays * length[:, None])
    near = np.asarray(1 / (1 + (length / 2.2) ** 3), dtype=np.float32)
    first, second = tangents(normal)
    relief = sample_tile(mucosa.relief, 2 * u, 2 * v)
    film = sample_tile(mucosa.film, 3 * u, 3 * v)
    broad = sample_tile(mucosa.film, u, v)[:, 2]
    fine = tilted(normal, first, second, relief, near * np.float32(0.075))
    gloss = tilted(fine, first, second, film[:, :2], near * np.float32(0.17))
    mottle = sample_tile(mucosa.mottle, u, v)
    blood = sample_tile(mucosa.blood, u, v) * near
    tint = 1 + mottle[:, :1] * np.array([0.05, 0.11, 0.12], dtype=np.float32)
    tint += mottle[:, 1:] * near[:, None] * np.array([0.03, 0.075, 0.075], dtype=np.float32)
    albedo = mucosa.colour * np.maximum(tint, 0.2)
    albedo *= 1 - blood[:, None] * np.array([0.17, 0.46, 0.40], dtype=np.float32)
    # The crest of a fold is thin and pale, the recess beside it deep red.
    crest = np.clip((0.92 - radius) * 1.6, -0.25, 0.7)[:, None]
    albedo *= 1 + crest * np.array([0.22, 0.32, 0.32], dtype=np.float32)
    wet = np.clip(mucosa.wetness + 0.8 * broad + 0.5 * film[:, 2], 0, 1)

    def whole(values: Floats, outside: float) -> Floats:
        full = np.full((*inside.shape, *values.shape[1:]), outside, dtype=np.float32)
        full[inside] = values
        return full

    return Surface(
        length=whole(length, FAR),
        normal=whole(fine, 0.0),
        gloss=whole(gloss, 0.0),
        albedo=whole(albedo, 0.0),
        wet=whole(wet, 0.0),
        shade=whole(np.clip(1.6 - 0.75 * radius, 0.6, 1.15), 0.0),
    )
