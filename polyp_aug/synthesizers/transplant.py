"""`transplant`: a real polyp, moved to another frame and made to belong there.

1. Geometry: scale, rotation and flip (`fitting`).
2. Colour and illumination: on the ring of lit mucosa around the place the logarithm of the ratio of receiving to giving
   colours is measured: its mean for each channel is the change of colour, a plane fitted to its mean over the channels
   the change of light. Their exponential scales the polyp, which keeps its contrast against the mucosa that it grew on.
3. Gradient-domain blending (Pérez et al., 2003) inside of the polyp and its feather, which removes what difference is
   left at the edge.

It needs no weights, and is the baseline that a learned synthesizer must beat.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from polyp_aug.compositing import feather_alpha
from polyp_aug.errors import SynthesisError
from polyp_aug.images import ImageArray, MaskArray, channel_max, channel_min
from polyp_aug.references import OVEREXPOSED, PALE, ReferenceBank
from polyp_aug.scene import Job, Painted, Rejection
from polyp_aug.synthesizers.base import Capabilities
from polyp_aug.synthesizers.fitting import Fitted, paint_reference

#: Width of the ring of mucosa that is compared, as a share of the place's equivalent diameter.
RING = 0.2

#: Changes of light outside of this range are cut: the polyp would look like a lamp or a hole.
LIGHT_RANGE = (0.4, 1.3)

#: Changes of colour, channel against the mean of the channels, outside of this range are cut.
COLOUR_RANGE = (0.82, 1.22)

#: Mean blue over mean green of the bluest real polyps (above 99 % of Kvasir-SEG's); more only on mucosa that is bluer.
LARGEST_BLUE = 0.95

#: Pixels of the receiving frame beyond these are black or highlights and say nothing about the light.
_DARK, _BRIGHT = 32, 205

_SHRINK = 3

#: Fewer pixels of the ring than these can't carry a plane.
_LEAST_RING = 60


class Transplant:
    """Moves a reference polyp and matches its light, colour and edge to the receiving mucosa.

    Args:
        references: the polyps to draw from.
    """

    name = "transplant"
    revision = ""
    capabilities = Capabilities(output="edit", feathered=True)

    def __init__(self, references: ReferenceBank) -> None:
        self.references = references

    def paint(self, jobs: Sequence[Job]) -> list[Painted | Rejection]:
        """As `Synthesizer.paint`."""
        return [self._paint(job) for job in jobs]

    def _paint(self, job: Job) -> Painted | Rejection:
        ring = max(job.feather + _SHRINK + 4, round(RING * job.region.equivalent_diameter))

        def render(fitted: Fitted) -> ImageArray:
            x, y, w, h = fitted.box
            below = job.image[y : y + h, x : x + w]
            around = _ring_pixels(fitted, below, ring)
            reach = feather_alpha(fitted.region, job.feather, fitted.box) > 0
            patch = blend_gradients(match_light(fitted.image, below, around), below, reach)
            _refuse_unlikely(patch, fitted, below[around])
            return patch

        return paint_reference(job, self.references, ring, render)


def match_light(source: ImageArray, target: ImageArray, ring: MaskArray) -> ImageArray:
    """Bring `source` under the light of `target`: S'_k(x, y) = S_k(x, y) · exp(a + b x + c y + d_k) for each channel k.

    a, b and c are the least squares solution of mean_k log(T_k / S_k) = a + b x + c y over the pixels of `ring`, on
    smoothed pictures; d_k is what channel k differs from that on average. Highlights stay white.

    Args:
        source: uint8 RGB (h, w, 3).
        target: uint8 RGB of the same size.
        ring: bool (h, w), where both show mucosa.

    Raises:
        SynthesisError: the ring has too few pixels.
    """
    rows, columns = np.nonzero(ring)
    if len(rows) < _LEAST_RING:
        raise SynthesisError(f"only {len(rows)} pixels of mucosa around the place can be compared")
    smooth = [cv2.GaussianBlur(picture, (0, 0), 2.0)[ring].astype(np.float64) + 1.0 for picture in (target, source)]
    ratio = np.log(smooth[0]) - np.log(smooth[1])
    light = ratio.mean(axis=1)
    height, width = ring.shape
    across, down = np.arange(width) / max(width, height), np.arange(height) / max(width, height)
    across, down = across - across[columns].mean(), down - down[rows].mean()
    slopes = np.stack([across[columns], down[rows]], axis=1)
    # The pull towards no slope keeps a ring that is known on one side only from tilting the rest.
    b, c = np.linalg.solve(slopes.T @ slopes + 0.02 * len(rows) * np.eye(2), slopes.T @ (light - light.mean()))
    plane = np.clip(light.mean() + b * across[None, :] + c * down[:, None], *np.log(LIGHT_RANGE))
    colour = np.clip(ratio.mean(axis=0) - light.mean(), *np.log(COLOUR_RANGE))
    gain = np.exp(plane[:, :, None] + colour)
    whiteness = np.clip((channel_min(source).astype(np.float64) - 170.0) / 70.0, 0.0, 1.0)[:, :, None]
    gain = gain * (1.0 - whiteness) + gain.max(axis=2, keepdims=True) * whiteness
    return np.asarray(np.clip(source * gain + 0.5, 0, 255), dtype=np.uint8)


def blend_gradients(source: ImageArray, target: ImageArray, mask: MaskArray) -> ImageArray:
    """Poisson blending: the gradients of `source` inside of `mask`, those of `target` outside, joined without a step.

    OpenCV solves for the whole box of the mask, so pixels outside of `mask` may change a little too.

    Args:
        source: uint8 RGB (h, w, 3).
        target: uint8 RGB of the same size.
        mask: bool (h, w); the outermost row and column stay as they are in `target`.
    """
    # OpenCV takes the gradients of the source only where the mask, shrunk by `_SHRINK` pixels, is set.
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=_SHRINK)
    inner = np.zeros(mask.shape, np.uint8)
    inner[1:-1, 1:-1] = grown[1:-1, 1:-1] * 255
    x, y, w, h = cv2.boundingRect(inner)
    if w < 3 or h < 3:
        return source
    # OpenCV puts the centre of the mask's box at the given point.
    centre = x + w // 2, y + h // 2
    return np.asarray(cv2.seamlessClone(source, target, inner, centre, cv2.NORMAL_CLONE), dtype=np.uint8)


def _refuse_unlikely(patch: ImageArray, fitted: Fitted, mucosa: npt.NDArray[np.uint8]) -> None:
    """Raise where blending has burnt the polyp out or turned it to a colour that no polyp has."""
    polyp = patch[fitted.region.within(fitted.box)]
    burnt = float(np.mean(polyp.min(axis=1) >= PALE))
    if burnt > OVEREXPOSED:
        raise SynthesisError(f"{fitted.polyp.id} would be over-exposed there ({burnt:.0%} of its pixels)")
    blueness, usual = (float(pixels[:, 2].mean() / max(1.0, pixels[:, 1].mean())) for pixels in (polyp, mucosa))
    if blueness > max(LARGEST_BLUE, usual):
        raise SynthesisError(f"{fitted.polyp.id} would be {blueness:.2f} times as blue as green there")


def _ring_pixels(fitted: Fitted, below: ImageArray, ring: int) -> MaskArray:
    """Where both frames show well lit mucosa around the polyp."""
    inside = fitted.region.within(fitted.box).view(np.uint8)
    distance = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    around: npt.NDArray[np.bool_] = (distance > 2) & (distance <= ring) & fitted.lit
    return np.asarray(around & (channel_max(below) > _DARK) & (channel_min(below) < _BRIGHT))
