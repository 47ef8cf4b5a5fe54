"""Guidance by caption and mask, each with its own weight (as Brooks et al., 2023, compose two conditions)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Term(NamedTuple):
    """What the networks are run on, and the weight of what they predict.

    Attributes:
        mask: with the mask; else with an empty one.
        caption: with the caption; else with the empty prompt.
        weight: factor of the prediction.
    """

    mask: bool
    caption: bool
    weight: float


@dataclass(frozen=True)
class Guidance:
    """ŷ = ŷ(∅, ∅) + w_m (ŷ(M, ∅) − ŷ(∅, ∅)) + w_c (ŷ(M, c) − ŷ(M, ∅)), for mask M and caption c.

    With w_m = 1 that is classifier-free guidance as in the paper, where the empty prompt sees the mask as well. Equal
    weights weigh both as one condition. The networks run once for each term, so terms that cancel out are left out.

    Attributes:
        terms: the weighted sum.
    """

    terms: tuple[Term, ...]

    @classmethod
    def of(cls, caption: float, mask: float = 1.0) -> Guidance:
        """The guidance of two weights, w_c and w_m."""
        terms = (Term(False, False, 1.0 - mask), Term(True, False, mask - caption), Term(True, True, caption))
        return cls(tuple(term for term in terms if term.weight))

    def masks(self, masks: Tensor) -> Tensor:
        """The masks of all terms, float (terms · N, 1, H, W), of those of N frames."""
        return torch.cat([masks if term.mask else torch.zeros_like(masks) for term in self.terms])

    def captions(self, captions: Sequence[str]) -> list[str]:
        """The captions of all terms, of those of N frames."""
        return [caption if term.caption else "" for term in self.terms for caption in captions]

    def combined(self, predictions: Tensor) -> Tensor:
        """ŷ, float (N, C, h, w), of the predictions of all terms, one term after the other."""
        parts = predictions.chunk(len(self.terms))
        return torch.stack([term.weight * part for term, part in zip(self.terms, parts, strict=True)]).sum(dim=0)
