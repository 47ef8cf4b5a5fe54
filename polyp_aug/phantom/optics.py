"""The endoscope: its rays and black border, its light, and what its sensor makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from polyp_aug.images import ImageArray, MaskArray
from polyp_aug.keys import Key
from polyp_aug.phantom.textures import Floats, dot

#: Angle between the optical axis and the corner of the largest circle in the frame, in radians.
HALF_VIEW = np.float32(np.deg2rad(68.0))


@dataclass(frozen=True, eq=False)
class View:
    """A camera in the colon.

    Attributes:
        origin: float32 (3,), position.
        rays: float32 (H, W, 3), unit vectors.
        lamp: float32 (3,), from the camera to the lamp.
        aperture: float32 (H, W), 0 on the black border, 1 inside, soft between.
        field_of_view: bool (H, W).
    """

    origin: Floats
    rays: Floats
    lamp: Floats
    aperture: Floats
    field_of_view: MaskArray


@dataclass(frozen=True, eq=False)
class Surface:
    """What each pixel sees; every array is (H, W) or (H, W, 3) of float32.

    Attributes:
        length: distance from the camera.
        normal: unit normal, of the fine relief too.
        gloss: unit normal of the wet film.
        albedo: linear RGB reflectance.
        wet: 0 dry … 1 wet.
        shade: light that reaches the place, 1 = all.
    """

    length: Floats
    normal: Floats
    gloss: Floats
    albedo: Floats
    wet: Floats
    shade: Floats


def look(key: Key, width: int, height: int) -> View:
    """The view of a key: down the lumen, or more rarely at the wall."""
    rng = key.generator("view")
    at_wall = rng.random() < 0.3
    tilt = np.deg2rad(rng.uniform(42, 68) if at_wall else rng.uniform(4, 32))
    roll, turn = rng.uniform(0, 2 * np.pi, 2)
    offset = rng.uniform(0.05, 0.4)
    toward = rng.uniform(0, 2 * np.pi)
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2)[None, :]
    y = (np.arange(height, dtype=np.float32) + 0.5 - height / 2)[:, None]
    radius = np.hypot(x, y)
    scale = 0.5 * float(np.hypot(width, height)) * 0.86
    bend = radius / scale * HALF_VIEW
    over = np.sin(bend) / np.maximum(radius, 1e-3)
    rays = np.stack([x * over, y * over, np.cos(bend)], axis=2)
    cos_r, sin_r, cos_t, sin_t = np.cos(roll), np.sin(roll), np.cos(tilt), np.sin(tilt)
    spin = np.array([[cos_r, -sin_r, 0], [sin_r, cos_r, 0], [0, 0, 1]])
    lean = np.array([[cos_t, 0, sin_t], [0, 1, 0], [-sin_t, 0, cos_t]])
    back = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    rotation = (back @ lean @ spin).astype(np.float32)
    aperture = _aperture(rng, width, height)
    return View(
        origin=np.array([offset * np.cos(toward), offset * np.sin(toward), 0], dtype=np.float32),
        lamp=rotation @ np.array([0.10 * np.cos(roll), 0.10 * np.sin(roll), 0], dtype=np.float32),
        rays=np.ascontiguousarray(rays.astype(np.float32) @ rotation.T),
        aperture=aperture,
        field_of_view=aperture > 0,
    )


def _aperture(rng: np.random.Generator, width: int, height: int) -> Floats:
    """The octagonal or rounded window of the frame."""
    size = min(width, height)
    x = np.abs(np.arange(width, dtype=np.float32) + 0.5 - width / 2)[None, :]
    y = np.abs(np.arange(height, dtype=np.float32) + 0.5 - height / 2)[:, None]
    half_x = width / 2 - rng.uniform(0.012, 0.05) * width
    half_y = height / 2 - rng.uniform(0.008, 0.02) * height
    corner = rng.uniform(0.22, 0.34) * size
    if rng.random() < 0.6:
        inside = np.minimum(np.minimum(half_x - x, half_y - y), (half_x + half_y - corner - x - y) * np.float32(0.7071))
    else:
        reach = np.hypot(half_x, half_y) * rng.uniform(0.80, 0.88)
        inside = np.minimum(np.minimum(half_x - x, half_y - y), reach - np.hypot(x, y))
    soft = max(1.0, 0.006 * size)
    return np.asarray(np.clip(inside / soft, 0, 1), dtype=np.float32)


def expose(lit: Floats, inside: MaskArray) -> float:
    """The gain of the automatic exposure for a lit frame (H, W, 3), measured on its red channel."""
    red = lit[:, :, 0][inside][::7]
    return 0.56 / max(1e-6, float(np.percentile(red, 62)))


def light(surface: Surface, view: View) -> tuple[Floats, Floats]:
    """Linear light that comes back from the mucosa (H, W, 3), and from its wet film (H, W)."""
    # The lamp stands beside the lens.
    beam = view.rays * surface.length[:, :, None] - view.lamp
    distance = np.maximum(np.sqrt(dot(beam, beam)), 0.18)
    facing = np.maximum(-dot(surface.normal, beam) / distance, 0)
    falloff = 1 / (distance * distance + 0.10)
    shade = surface.shade * _depth_shade(surface.length)
    direct = falloff * (0.18 + 0.82 * facing) * shade
    # Light that the walls pass on among them is redder and reaches into the folds.
    passed = 0.05 / (distance + 0.35) * shade**0.5
    albedo = surface.albedo
    diffuse = albedo * direct[:, :, None] + albedo * albedo * np.float32(1.6) * passed[:, :, None]
    mirror = np.maximum(-dot(surface.gloss, view.rays), 0)
    glint = np.clip((mirror - 0.978) / 0.014, 0, 1) * surface.wet
    sheen = 0.035 * mirror**12 * surface.wet
    film = (glint * 1.0 + sheen) * np.sqrt(falloff)
    return diffuse, np.asarray(film, dtype=np.float32)


def _depth_shade(length: Floats) -> Floats:
    """Less light beside and behind what stands nearer to the camera (unsharp mask of depth, Luft et al. 2006)."""
    size = min(length.shape)
    nearness = 1 / (length + 0.3)
    over = np.zeros_like(nearness)
    for share in (0.012, 0.035):
        over += np.maximum(cv2.GaussianBlur(nearness, (0, 0), share * size) - nearness, 0)
    return np.asarray(np.exp(-3.0 * over / nearness), dtype=np.float32)


def develop(key: Key, diffuse: Floats, film: Floats, gain: float, view: View) -> ImageArray:
    """The uint8 RGB frame of the linear light."""
    height, width = film.shape
    size = min(width, height)
    rng = key.generator("sensor")
    bloom = cv2.GaussianBlur(film, (0, 0), max(0.8, 0.008 * size))
    wet = (film + 0.35 * bloom)[:, :, None]
    linear = diffuse * np.float32(gain) + wet * np.array([1.0, 0.97, 0.94], dtype=np.float32)
    x = (np.arange(width, dtype=np.float32) + 0.5) / width - 0.5
    y = (np.arange(height, dtype=np.float32) + 0.5) / height - 0.5
    linear *= (1 - 0.55 * (x[None, :] ** 2 + y[:, None] ** 2))[:, :, None]
    tone = (1 - np.exp(-1.15 * linear)) / np.float32(1 - np.exp(-1.15 * 1.5))
    display = np.minimum(tone, 1) ** np.float32(1 / 2.2)
    display = cv2.GaussianBlur(display, (0, 0), max(0.4, 0.0017 * size))
    display += 0.25 * (display - cv2.GaussianBlur(display, (0, 0), max(0.8, 0.004 * size)))
    luma = display @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    grain = cv2.GaussianBlur(rng.standard_normal((height, width), dtype=np.float32), (0, 0), 0.6)
    chroma = cv2.GaussianBlur(display - luma[:, :, None], (0, 0), max(0.6, 0.005 * size))
    luma += grain * (0.010 + 0.012 * (1 - np.clip(luma, 0, 1)))
    frame = (luma[:, :, None] + chroma) * view.aperture[:, :, None]
    return np.asarray(np.clip(frame * 255 + 0.5, 0, 255), dtype=np.uint8)
