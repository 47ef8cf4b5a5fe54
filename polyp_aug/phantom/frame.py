"""One phantom: a colon as an endoscope would show it, with or without polyps."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from polyp_aug.errors import ConfigurationError
from polyp_aug.images import ImageArray, MaskArray
from polyp_aug.keys import Key
from polyp_aug.phantom.colon import grow_colon
from polyp_aug.phantom.growth import PhantomPolyp, grow_polyp
from polyp_aug.phantom.optics import develop, expose, light, look
from polyp_aug.phantom.surface import grow_mucosa, wall_surface

#: Smallest side of a phantom, in pixels, and the largest number of its polyps.
MIN_SIDE, MAX_POLYPS = 64, 3


@dataclass(frozen=True, eq=False)
class Phantom:
    """A rendered frame and what is known about it.

    Attributes:
        image: uint8 RGB (H, W, 3).
        polyps: the polyps, in the order they were grown; their regions don't overlap.
        field_of_view: bool (H, W); outside of it the frame is black.
    """

    image: ImageArray
    polyps: tuple[PhantomPolyp, ...]
    field_of_view: MaskArray


def render_phantom(seed: int, *, width: int = 512, height: int = 432, polyps: int = 0) -> Phantom:
    """Render the colon of a seed.

    The same seed shows the same colon for any number of polyps: pixels farther from a polyp than a fifth of the frame's
    shorter side are equal (shadow, root and bloom reach less far), and the first polyp of two is the polyp of one.

    Args:
        seed: names the colon, the camera and the polyps.
        width: of the frame in pixels, at least `MIN_SIDE`.
        height: of the frame in pixels, at least `MIN_SIDE`.
        polyps: how many, 0 … `MAX_POLYPS`.

    Raises:
        ConfigurationError: the size or the number of polyps is out of range.
        NoPlacementError: the view has no room for so many polyps.
    """
    if min(width, height) < MIN_SIDE:
        raise ConfigurationError(f"phantom of {width}×{height} pixels: each side must have at least {MIN_SIDE}")
    if not 0 <= polyps <= MAX_POLYPS:
        raise ConfigurationError(f"polyps={polyps}: expected 0 … {MAX_POLYPS}")
    key = Key(seed, "phantom")
    view = look(key, width, height)
    colon, mucosa = grow_colon(key), grow_mucosa(key)
    surface = wall_surface(colon, mucosa, view)
    diffuse, film = light(surface, view)
    # The exposure is that of the colon without polyps, so that a polyp changes nothing far away from it.
    gain = expose(diffuse, view.field_of_view)
    grown: list[PhantomPolyp] = []
    taken = np.zeros((height, width), dtype=np.bool_)
    for number in range(polyps):
        surface, polyp, changed = grow_polyp(key.child(number), colon, mucosa, view, surface, taken)
        grown.append(polyp)
        taken |= cv2.dilate(changed.astype(np.uint8), np.ones((5, 5), np.uint8)).view(np.bool_)
    if grown:
        diffuse, film = light(surface, view)
    return Phantom(develop(key, diffuse, film, gain, view), tuple(grown), view.field_of_view)
