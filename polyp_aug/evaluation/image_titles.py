"""What the measures of sets of pictures are called, how they are written, and which way is better.

Only figures in Inception's features are called FID, KID and IS without more; all others name their network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from polyp_aug.evaluation.extractors.names import INCEPTION_LABEL
from polyp_aug.evaluation.report import interval_text


@dataclass(frozen=True)
class Measure:
    """A measure.

    Attributes:
        key: in reports.
        title: with the network's name where `{}` stands.
        short: with Inception's features; "" where it has no name of its own there.
        better: "lower", "higher", or "" where the real pictures' value is the aim.
        factor: by which it is multiplied for people.
        digits: after the point.
    """

    key: str
    title: str
    short: str
    better: Literal["lower", "higher", ""]
    factor: float
    digits: int

    def head(self, label: str) -> str:
        """The head of a column, with an arrow to the better side."""
        text = self.short if self.short and label == INCEPTION_LABEL else self.title.format(label)
        return text + {"lower": " ↓", "higher": " ↑", "": ""}[self.better]

    def text(self, interval: dict[str, float]) -> str:
        """A value with its interval, for people."""
        return interval_text(interval, self.digits, self.factor)


#: In the order of reports.
MEASURES = (
    Measure("frechet_distance", "Fréchet distance ({})", "FID", "lower", 1.0, 2),
    Measure("kernel_distance", "Kernel distance × 1000 ({})", "KID × 1000", "lower", 1000.0, 2),
    Measure("score", "IS ({}'s classes)", "IS", "higher", 1.0, 3),
    Measure("precision", "Precision, %", "", "higher", 100.0, 1),
    Measure("recall", "Recall, %", "", "higher", 100.0, 1),
    Measure("density", "Density", "", "", 1.0, 2),
    Measure("coverage", "Coverage, %", "", "higher", 100.0, 1),
    Measure("caption_score", "CLIP score", "", "higher", 1.0, 2),
    Measure("pair_similarity", "CLIP image, pairs", "", "higher", 1.0, 2),
    Measure("set_similarity", "CLIP image, all pairs", "", "higher", 1.0, 2),
    Measure("close", "Close to training, %", "", "", 100.0, 1),
    Measure("diversity", "Diversity", "", "", 1.0, 3),
)

#: Of the network that measures diversity.
DIVERSITY_LABEL = "EfficientNet-Lite0's blocks"
