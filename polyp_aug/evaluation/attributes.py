"""Whether a frame shows what its caption says: a classifier, trained on real frames, reads the attributes.

For each attribute a logistic regression on features of real frames, with the values that were measured on them (see
`polyp_aug.captions`). Colour, texture and type are read from a crop around the polyp, place and size from the frame and
its quarters. What it reads on frames that were made is compared with what was asked for. Beside it the facts themselves
are measured again, on the frame as it was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from polyp_aug.captions.facts import PolypFacts, measure_facts
from polyp_aug.evaluation.crops import crop_square
from polyp_aug.evaluation.features import FeatureExtractor, Features
from polyp_aug.evaluation.intervals import Interval, percentile_interval, resampled_counts
from polyp_aug.geometry import mask_box
from polyp_aug.images import ImageArray, MaskArray

#: Attributes that are read from the whole frame, and from the crop.
OF_FRAME = ("place", "size")
OF_CROP = ("colour", "texture", "type")
READ = (*OF_FRAME, *OF_CROP)

#: Strength of the regression's penalty (scikit-learn's C): there are more features than frames.
_PENALTY = 0.003

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ShownPolyp:
    """A frame with its largest polyp.

    Attributes:
        image: uint8 RGB (H, W, 3).
        mask: bool (H, W), the polyp.
        facts: what was measured on it, or asked for.
    """

    image: ImageArray
    mask: MaskArray
    facts: PolypFacts

    @property
    def measured(self) -> PolypFacts:
        """The facts that are measured on the picture."""
        return measure_facts(self.image, self.mask)


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """Features of frames.

    Attributes:
        whole: of the frames, squeezed to a square, float64 (N, D).
        parts: of the frames and of their quarters, one after the other, float64 (N, 5 D): where things are.
        crops: of a square around the polyp, float64 (N, D).
    """

    whole: Features
    parts: Features
    crops: Features

    def of(self, attribute: str) -> Features:
        """What an attribute is read from."""
        return self.parts if attribute in OF_FRAME else self.crops


def describe(extractor: FeatureExtractor, polyps: Sequence[ShownPolyp]) -> FrameFeatures:
    """The features of frames; see `FrameFeatures`."""
    size = extractor.size
    whole = extractor.extract(_squeezed(polyp.image, size) for polyp in polyps)
    quarters = extractor.extract(quarter for polyp in polyps for quarter in _quarters(polyp.image, size))
    crops = extractor.extract(_cropped(polyps, size))
    return FrameFeatures(whole, np.hstack([whole, quarters.reshape(len(whole), -1)]), crops)


class AttributeReader:
    """Reads attributes of polyps.

    Args:
        features: of real frames, to learn from.
        facts: what was measured on their polyps. An attribute that has one value only can't be learned.

    Attributes:
        attributes: those that it reads.
    """

    def __init__(self, features: FrameFeatures, facts: Sequence[PolypFacts]) -> None:
        self._models = {}
        for name in READ:
            values = [getattr(item, name) for item in facts]
            if len(set(values)) > 1:
                model = make_pipeline(
                    StandardScaler(), LogisticRegression(C=_PENALTY, max_iter=2000, class_weight="balanced")
                )
                self._models[name] = model.fit(features.of(name), values)
        self.attributes = tuple(self._models)

    def read(self, features: FrameFeatures, facts: Sequence[PolypFacts]) -> dict[str, Flags]:
        """For each attribute, whether what is read agrees with the facts, bool (N,)."""
        return {
            name: np.asarray(model.predict(features.of(name)) == np.array([getattr(item, name) for item in facts]))
            for name, model in self._models.items()
        }


def chance_rate(facts: Sequence[PolypFacts], name: str) -> float:
    """How often the value that is asked for most would be right."""
    values = [getattr(item, name) for item in facts]
    return max(values.count(value) for value in set(values)) / len(values)


def reading_rate(right: Flags, *, seed: int, name: str) -> Interval:
    """Share of frames whose attribute is read as asked for, with a bootstrap interval over frames."""
    return _rate(right.astype(np.float64), seed, name)


def paired_difference(first: Flags, second: Flags, *, seed: int, name: str) -> Interval:
    """Reading rate of the first less that of the second, of frames with the same masks, captions and noise."""
    return _rate(first.astype(np.float64) - second.astype(np.float64), seed, name)


def _rate(values: npt.NDArray[np.float64], seed: int, name: str) -> Interval:
    counts = resampled_counts(len(values), seed=seed, name=name)
    return percentile_interval(float(values.mean()), counts @ values / counts.sum(axis=1))


def _squeezed(image: ImageArray, size: int) -> ImageArray:
    method = cv2.INTER_AREA if min(image.shape[:2]) >= size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (size, size), interpolation=method), dtype=np.uint8)


def _quarters(image: ImageArray, size: int) -> Iterator[ImageArray]:
    height, width = image.shape[0] // 2, image.shape[1] // 2
    for rows in (slice(None, height), slice(height, None)):
        for columns in (slice(None, width), slice(width, None)):
            yield _squeezed(image[rows, columns], size)


def _cropped(polyps: Sequence[ShownPolyp], size: int) -> Iterator[ImageArray]:
    for polyp in polyps:
        height, width = polyp.image.shape[:2]
        box = mask_box(polyp.mask)
        assert box is not None, "a polyp has pixels"
        x, y, w, h = crop_square(box, width, height)
        yield _squeezed(polyp.image[y : y + h, x : x + w], size)
