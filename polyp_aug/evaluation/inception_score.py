"""Inception Score (Salimans et al., NeurIPS 2016): are pictures of clear classes, and of many?

IS = exp( mean_i KL( p(y | x_i) ‖ p(y) ) ), p(y) = mean_i p(y | x_i), of a classifier's probabilities.

All pictures are taken at once. The published form is the mean over ten parts of a set; it is lower where a part has few
pictures, and equals this one where a part is as large as the set here.

**Weaknesses.** The classes are those of ImageNet, none of which is a polyp: on endoscopic frames the score says how
differently the classifier is confused. It doesn't look at real pictures, rises with the number of pictures, and noise
can raise it. It stands here since papers report it.

**Interval.** A jackknife over blocks of groups (see `jackknife`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import log_softmax, xlogy

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.features import Features
from polyp_aug.evaluation.intervals import Floats
from polyp_aug.evaluation.jackknife import BLOCKS, Jackknife, deal_blocks


def inception_score(logits: Features) -> float:
    """The score of pictures, 1 at least and the number of classes at most.

    Args:
        logits: of the classes, float (N, C).

    Raises:
        ConfigurationError: there is no picture, or a logit is not finite.
    """
    _check(logits)
    probabilities, entropies = _described(logits)
    return _score(probabilities.sum(axis=0), float(entropies.sum()), len(logits))


def inception_jackknife(logits: Features, groups: Sequence[str], *, seed: int, name: str) -> Jackknife:
    """The score of pictures, and what it is without each block.

    Args:
        logits: of the classes, float (N, C).
        groups: of each picture.
        seed: of the blocks.
        name: of the set.

    Raises:
        ConfigurationError: there are fewer than ten groups, or a logit is not finite.
    """
    _check(logits)
    probabilities, entropies = _described(logits)
    blocks = deal_blocks(groups, seed=seed, name=name)
    kept = [blocks != block for block in range(BLOCKS)]
    own = [_score(probabilities[rows].sum(axis=0), float(entropies[rows].sum()), int(rows.sum())) for rows in kept]
    value = _score(probabilities.sum(axis=0), float(entropies.sum()), len(logits))
    return Jackknife(value, np.array(own), np.empty(0))


def _described(logits: Features) -> tuple[Floats, Floats]:
    """Probabilities, float64 (N, C), and Σ p log p of each picture, float64 (N,)."""
    logarithms = log_softmax(logits.astype(np.float64), axis=1)
    probabilities = np.exp(logarithms)
    return probabilities, np.asarray((probabilities * logarithms).sum(axis=1))


def _score(total: Floats, entropies: float, count: int) -> float:
    mean = total / count
    return float(np.exp(entropies / count - xlogy(mean, mean).sum()))


def _check(logits: Features) -> None:
    if logits.ndim != 2 or not len(logits) or not np.isfinite(logits).all():
        raise ConfigurationError(f"logits of shape {logits.shape}, expected finite ones of one picture at least")
