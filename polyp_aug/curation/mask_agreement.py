"""Whether a frame shows a polyp where a mask says so: a quick check of pictures that were made from masks.

A linear score of five numbers of mask and picture (`FEATURES`), fitted on real polyps against the same masks at other
places of their frames. It knows how a polyp stands out from its mucosa, and nothing of what a polyp is; a detector
knows more, and costs more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from polyp_aug.captions.measures import View, look_numbers, view
from polyp_aug.captions.thresholds import default_table
from polyp_aug.errors import ConfigurationError
from polyp_aug.images import ImageArray, MaskArray

#: What is measured: see `look_numbers` and `_contrast`.
FEATURES = ("redness", "lightness", "roughness", "rim", "contrast")

#: What the package brings; scripts/measure_mask_agreement.py made it.
DEFAULT_MODEL = Path(__file__).with_name("mask_agreement.yaml")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MaskAgreement:
    """The score and its threshold.

    Attributes:
        source: the frames that it was fitted on.
        weights: of each feature.
        bias: of the score.
        threshold: a mask whose score is lower disagrees with its frame.
    """

    source: str
    weights: tuple[float, ...]
    bias: float
    threshold: float

    def score(self, frame: View, mask: MaskArray, others: MaskArray) -> float:
        """How much a frame agrees with the mask of a polyp, in log odds.

        Args:
            frame: of `view`.
            mask: bool (H, W), the polyp.
            others: bool (H, W), all polyps of the frame.
        """
        return float(measure(frame, mask, others) @ np.array(self.weights) + self.bias)

    def disagreements(self, image: ImageArray, masks: list[MaskArray]) -> list[str | None]:
        """Why a frame, uint8 RGB (H, W, 3), doesn't agree with the masks of its polyps, bool (H, W), or None each."""
        if not masks:
            return []
        frame, union = view(image), np.logical_or.reduce(masks)
        scores = [self.score(frame, mask, union) for mask in masks]
        return [
            f"the frame shows no polyp in the mask (score {score:.2f}, expected {self.threshold:.2f})"
            if score < self.threshold
            else None
            for score in scores
        ]


def measure(frame: View, mask: MaskArray, others: MaskArray) -> Floats:
    """The features of a mask, float64 (5,), in the order of `FEATURES`; see `MaskAgreement.score`."""
    numbers = look_numbers(frame, mask, others, default_table().mucosa)
    return np.array([numbers[name] for name in FEATURES[:-1]] + [_contrast(frame, mask, others)])


def _contrast(frame: View, mask: MaskArray, others: MaskArray) -> float:
    """Distance in CIELAB of the mean colours of a polyp and of the rest of the mucosa."""
    inside, outside = frame.fit(mask) & frame.seen, frame.mucosa & ~frame.fit(others)
    if not inside.any() or not outside.any():
        return 0.0
    return float(np.linalg.norm(frame.lab[inside].mean(axis=0) - frame.lab[outside].mean(axis=0)))


@cache
def default_agreement() -> MaskAgreement:
    """The score that the package brings."""
    return read_agreement(DEFAULT_MODEL)


def read_agreement(file: Path) -> MaskAgreement:
    """A score from YAML.

    Raises:
        ConfigurationError: the file can't be read, or lacks a number.
    """
    try:
        found: Any = yaml.safe_load(file.read_bytes())
        weights = tuple(float(found["weights"][name]) for name in FEATURES)
        return MaskAgreement(str(found["source"]), weights, float(found["bias"]), float(found["threshold"]))
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{file}: can't be read as a score of masks ({error})") from error
