"""Which part of a frame a diffusion model sees, and at what size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.errors import ConfigurationError
from polyp_aug.geometry import IntBox, Region
from polyp_aug.images import ImageArray, MaskArray


@dataclass(frozen=True, eq=False)
class Window:
    """A part of a frame at a model's size.

    Attributes:
        box: the part, xywh in pixels of the frame.
        image: uint8 RGB (h, w, 3), at the model's size.
        mask: bool (h, w): what to repaint.
    """

    box: IntBox
    image: ImageArray
    mask: MaskArray

    def restored(self, painted: ImageArray) -> ImageArray:
        """A picture of this window's size, brought back to the size of its part of the frame."""
        size = self.box[2], self.box[3]
        if painted.shape[1::-1] == size:
            return painted
        smaller = size[0] < painted.shape[1]
        how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(painted, size, interpolation=how), dtype=np.uint8)


def crop_box(region: Region, width: int, height: int, size: int, context: float) -> IntBox:
    """The square around a region that a model sees: its longer side times `context`, `size` pixels where that is more.

    Where the square is larger than the frame it is cut to the frame's shorter side; it always lies inside of the frame.

    Args:
        region: what to repaint.
        width: of the frame in pixels.
        height: of the frame in pixels.
        size: side, in pixels, at which the model works: less would be enlarged, and lose nothing but context.
        context: side of the square over the longer side of the region's box.

    Returns:
        xywh in pixels.
    """
    x, y, w, h = region.box
    side = min(max(size, round(context * max(w, h))), width, height)
    left = min(max(0, x + w // 2 - side // 2), width - side)
    top = min(max(0, y + h // 2 - side // 2), height - side)
    return left, top, side, side


def frame_size(width: int, height: int, size: int, multiple: int) -> tuple[int, int]:
    """(width, height) at which a model sees a whole frame: longer side `size`, both rounded to a `multiple`, not 0."""
    scale = size / max(width, height)
    wide, high = (max(multiple, round(side * scale / multiple) * multiple) for side in (width, height))
    return wide, high


def snap_mask(mask: MaskArray, cell: int) -> MaskArray:
    """Grow a mask to whole cells of `cell` × `cell` pixels: a cell is set where any of its pixels is.

    A latent pixel is repainted as a whole or not at all. diffusers takes the pixel in the middle of each cell for the
    mask of the latents, and blanks the picture by the mask of the pixels, so that the two part at the mask's edge; on a
    snapped mask they agree. Training and painting both snap.

    Args:
        mask: bool (h, w), both multiples of `cell`.
        cell: side of the picture over the side of its latents.

    Raises:
        ConfigurationError: a side is no multiple of `cell`.
    """
    height, width = mask.shape
    if height % cell or width % cell:
        raise ConfigurationError(f"'mask' must have sides that are multiples of {cell} (got {width}×{height})")
    cells = mask.reshape(height // cell, cell, width // cell, cell).any(axis=(1, 3))
    return np.asarray(cells.repeat(cell, axis=0).repeat(cell, axis=1))


def cut_window(image: ImageArray, region: Region, box: IntBox, size: tuple[int, int], cell: int) -> Window:
    """The window of a box, at the model's size.

    Args:
        image: the frame, uint8 RGB (H, W, 3).
        region: what to repaint.
        box: xywh in pixels, inside of the frame.
        size: (width, height) of the window at the model's size.
        cell: see `snap_mask`.

    Raises:
        ConfigurationError: no pixel of the region lies inside of the box.
    """
    x, y, w, h = box
    inside = region.within(box)
    if not inside.any():
        raise ConfigurationError(f"region {region.box} lies outside of the window {box}")
    part = image[y : y + h, x : x + w]
    how = cv2.INTER_AREA if w > size[0] else cv2.INTER_CUBIC
    small = np.asarray(cv2.resize(part, size, interpolation=how), dtype=np.uint8)
    # Any pixel that the mask touches is repainted, so that no trace of a thin part is left.
    share = cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return Window(box, np.ascontiguousarray(small), snap_mask(np.asarray(share > 0), cell))


def match_surroundings(
    painted: npt.NDArray[np.float32], window: Window, *, reach: float = 1 / 6, limit: float = 0.15
) -> npt.NDArray[np.float32]:
    """Take the shift of colour and light out of a painted picture that the autoencoder brought in.

    Outside of the mask the model gives the frame back, as far as its autoencoder can. What is left of the difference
    there, smoothed by a Gaussian G over the pixels that are known, is added everywhere, the mask included:

        P' = P + clip(G ∗ (k (F − P)) / G ∗ k, ± limit), k = 1 outside of the mask, 0 inside.

    Args:
        painted: P, float32 (h, w, 3) in [0, 1].
        window: F and the mask; where the mask fills the window nothing is changed.
        reach: standard deviation of G over the window's shorter side.
        limit: largest change.

    Returns:
        P', float32 (h, w, 3); it may leave [0, 1] a little.
    """
    known = (~window.mask).astype(np.float32)
    sigma = reach * min(known.shape)
    weight = cv2.GaussianBlur(known, (0, 0), sigma)
    difference = (window.image.astype(np.float32) / 255.0 - painted) * known[:, :, None]
    shift = cv2.GaussianBlur(difference, (0, 0), sigma) / np.maximum(weight, 1e-3)[:, :, None]
    return np.asarray(painted + np.clip(shift, -limit, limit), dtype=np.float32)
