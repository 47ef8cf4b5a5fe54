"""How well pictures fit their captions, and how like they are to real ones, in the features of CLIP.

CLIP score = 100 max(cos(picture, caption), 0), averaged over the pictures (Hessel et al., EMNLP 2021, who weigh by 2.5
in place of 100; the scale here is the usual one of tables). CLIP image similarity = 100 cos of two pictures: of every
picture and the real one that it was made anew from, where its record names one, and of all pairs of the two sets.

**Weaknesses.** CLIP was not trained on endoscopy, its scores of right and wrong captions differ by little there, and
they can be compared within one CLIP only. Text beyond its length (77 tokens mostly) is not read. All endoscopic frames
look alike to it, so similarities are high in any case: beside them stands what real frames reach.
"""

from __future__ import annotations

import numpy as np

from polyp_aug.evaluation.features import Features, FeatureSet
from polyp_aug.evaluation.intervals import (
    DRAWS,
    Floats,
    Interval,
    group_numbers,
    mean_interval,
    percentile_interval,
    resampled_counts,
)
from polyp_aug.evaluation.neighbours import unit

#: What a cosine is multiplied by.
SCALE = 100.0


def caption_score(pictures: FeatureSet, captions: Features, *, seed: int = 0) -> Interval:
    """CLIP score of pictures and their own captions.

    Args:
        pictures: features of the pictures, (N, D).
        captions: features of the captions, float (N, D).
        seed: of the bootstrap, which draws whole groups.

    Raises:
        ConfigurationError: there are fewer than ten groups, or a feature is zero or not finite.
    """
    return mean_interval(
        np.maximum(_cosines(pictures.features, captions), 0.0), pictures.groups, seed=seed, name=pictures.name
    )


def pair_similarity(pictures: FeatureSet, partners: Features, *, seed: int = 0) -> Interval:
    """CLIP image similarity of pictures, each with its own partner; arguments as of `caption_score`."""
    return mean_interval(_cosines(pictures.features, partners), pictures.groups, seed=seed, name=pictures.name)


def set_similarity(real: FeatureSet, other: FeatureSet, *, seed: int = 0, draws: int = DRAWS) -> Interval:
    """CLIP image similarity over all pairs of a picture of one set and one of the other.

    Both sets' groups are drawn. Where both are one set, a picture meets itself.

    Raises:
        ConfigurationError: a set has fewer than ten groups, or a feature is zero or not finite.
    """
    means = []
    for item in (real, other):
        numbers = group_numbers(item.groups)
        sums = np.zeros((numbers.max() + 1, item.features.shape[1]))
        np.add.at(sums, numbers, unit(item.features))
        counts = resampled_counts(len(sums), seed=seed, name=item.name, draws=draws)
        counts = np.vstack([np.ones((1, len(sums))), counts])
        means.append(counts @ sums / (counts @ np.bincount(numbers))[:, None])
    found = SCALE * np.einsum("bd,bd->b", *means)
    return percentile_interval(float(found[0]), found[1:])


def _cosines(first: Features, second: Features) -> Floats:
    return np.asarray(SCALE * np.einsum("nd,nd->n", unit(first), unit(second)))
