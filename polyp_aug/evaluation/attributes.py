"""Whether a frame shows what its caption says: a classifier, trained on real frames, reads the attributes.

For each attribute a logistic regression that learned on real frames, with the values that were measured on them (see
`polyp_aug.captions`). What it reads on frames that were made is compared with what was asked for. Beside it the facts
themselves are measured again, on the frame as it was made.

- Place and size: from the two surest boxes of a detector that was trained on real frames, if there is one; else from
  features of the frame and its quarters.
- Colour: from mean colours in and around the polyp's box.
- Texture and type: from features of a crop around the polyp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from polyp_aug.captions.facts import PolypFacts, measure_facts
from polyp_aug.evaluation.crops import crop_square, squeezed
from polyp_aug.evaluation.features import FeatureExtractor, Features
from polyp_aug.evaluation.intervals import Interval, percentile_interval, resampled_counts
from polyp_aug.evaluation.recall import Detections
from polyp_aug.evaluation.tones import box_tones
from polyp_aug.geometry import Box, mask_box
from polyp_aug.images import ImageArray, MaskArray

#: Attributes that are read from the whole frame, and from the crop.
OF_FRAME = ("place", "size")
OF_CROP = ("colour", "texture", "type")
READ = (*OF_FRAME, *OF_CROP)

#: scikit-learn's C of a regression on D features is this over D: many features need a strong penalty.
_FREEDOM = 3.0

#: Boxes of a detector that are looked at.
_BOXES = 2

Flags = npt.NDArray[np.bool_]

#: Gives the boxes of pictures, uint8 RGB (H, W, 3).
PictureDetector = Callable[[Sequence[ImageArray]], Sequence[Detections]]


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
    def box(self) -> Box:
        """The polyp's box, xywh in pixels."""
        found = mask_box(self.mask)
        assert found is not None, "a polyp has pixels"
        return found

    @property
    def measured(self) -> PolypFacts:
        """The facts that are measured on the picture."""
        return measure_facts(self.image, self.mask)


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """Features of frames.

    Attributes:
        whole: of the frames, squeezed to a square, float64 (N, D).
        places: where things are, float64 (N, …): `box_numbers`, or features of the frames and their quarters.
        tones: `box_tones` of the polyps, float64 (N, 19).
        crops: of a square around the polyp, float64 (N, D).
    """

    whole: Features
    places: Features
    tones: Features
    crops: Features

    def of(self, attribute: str) -> Features:
        """What an attribute is read from."""
        if attribute in OF_FRAME:
            return self.places
        return self.tones if attribute == "colour" else self.crops


def describe(
    extractor: FeatureExtractor, polyps: Sequence[ShownPolyp], detect: PictureDetector | None = None
) -> FrameFeatures:
    """The features of frames.

    Args:
        extractor: of features.
        polyps: frames with their largest polyp.
        detect: a detector that was trained on real frames.
    """
    size = extractor.size
    whole = extractor.extract(squeezed(polyp.image, size) for polyp in polyps)
    if detect is None:
        quarters = extractor.extract(quarter for polyp in polyps for quarter in _quarters(polyp.image, size))
        places = np.hstack([whole, quarters.reshape(len(whole), -1)])
    else:
        found = detect([polyp.image for polyp in polyps])
        places = np.stack(
            [box_numbers(boxes, polyp.image.shape[:2]) for boxes, polyp in zip(found, polyps, strict=True)]
        )
    tones = np.stack([box_tones(polyp.image, polyp.box) for polyp in polyps])
    return FrameFeatures(whole, places, tones, extractor.extract(_cropped(polyps, size)))


def box_numbers(found: Detections, shape: tuple[int, ...]) -> Features:
    """What the two surest boxes of a frame tell of place and size, float64 (20,).

    Of each: centre, width, height, the root of its area, its logarithm, the score, and how far the centre is from the
    frame's, along each axis and along that where it is farther; lengths over the frame's. A box that is missing has no
    size and stands in the centre.

    Args:
        found: boxes and scores.
        shape: height and width of the frame in pixels.
    """
    height, width = shape[:2]
    rows = []
    surest = np.argsort(-found.scores, kind="stable")[:_BOXES]
    boxes = [(*(found.boxes[index] / (width, height, width, height)), found.scores[index]) for index in surest]
    for x, y, w, h, score in [*boxes, *[(0.5, 0.5, 0.0, 0.0, 0.0)] * (_BOXES - len(boxes))]:
        across, down, root = x + w / 2, y + h / 2, np.sqrt(w * h)
        away = abs(across - 0.5), abs(down - 0.5)
        rows += [across, down, w, h, root, np.log(root + 0.01), score, *away, max(away)]
    return np.array(rows, dtype=np.float64)


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
                known = features.of(name)
                regression = LogisticRegression(C=_FREEDOM / known.shape[1], max_iter=2000, class_weight="balanced")
                self._models[name] = make_pipeline(StandardScaler(), regression).fit(known, values)
        self.attributes = tuple(self._models)

    def read(self, features: FrameFeatures, facts: Sequence[PolypFacts]) -> dict[str, Flags]:
        """For each attribute, whether what is read agrees with the facts, bool (N,)."""
        return {
            name: np.asarray(model.predict(features.of(name)) == np.array([getattr(item, name) for item in facts]))
            for name, model in self._models.items()
        }


def uniform_rate(facts: Sequence[PolypFacts], name: str) -> float:
    """How often a guess would be right: one over the number of values that are asked for."""
    return 1.0 / len({getattr(item, name) for item in facts})


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


def _quarters(image: ImageArray, size: int) -> Iterator[ImageArray]:
    height, width = image.shape[0] // 2, image.shape[1] // 2
    for rows in (slice(None, height), slice(height, None)):
        for columns in (slice(None, width), slice(width, None)):
            yield squeezed(image[rows, columns], size)


def _cropped(polyps: Sequence[ShownPolyp], size: int) -> Iterator[ImageArray]:
    for polyp in polyps:
        height, width = polyp.image.shape[:2]
        x, y, w, h = crop_square(polyp.box, width, height)
        yield squeezed(polyp.image[y : y + h, x : x + w], size)
