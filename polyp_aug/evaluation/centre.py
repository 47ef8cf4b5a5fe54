"""The `centre` proposer: a baseline for measurements, since most frames show their polyp near the middle."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from polyp_aug.mucosa import Mucosa
from polyp_aug.proposers.random import RandomProposer


class CentreProposer(RandomProposer):
    """Draws size and shape as `random` does, and takes the place nearest to the frame's centre.

    By the same key the first shape is the very one that `random` draws.
    """

    name = "centre"

    def _choose(self, centres: npt.NDArray[np.float64], mucosa: Mucosa, _generator: np.random.Generator, /) -> int:
        return int(np.linalg.norm(centres - (mucosa.width / 2, mucosa.height / 2), axis=1).argmin())
