"""Randomness from a key, never from global state.

A key names one decision: the run's seed, the sample, the epoch and the number of the draw. Every random number of the
package comes from a generator that a key made, so the same key gives the same plan and the same picture in any process,
in any order, for any number of workers or shards.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Key:
    """The address of one random decision.

    Attributes:
        seed: seed of the run.
        sample: stable id of the sample, for example the image's relative path.
        epoch: epoch of an online augmentation; 0 offline.
        draw: number of the draw for the same sample and epoch.
    """

    seed: int
    sample: str
    epoch: int = 0
    draw: int = 0

    def digest(self, purpose: str) -> int:
        """128 bits that depend on every field and on `purpose`.

        The fields are joined by the unit separator (0x1f) and hashed with BLAKE2b; a different `purpose` gives an
        independent stream, so that adding a draw in one place never shifts another.
        """
        text = "\x1f".join((str(self.seed), self.sample, str(self.epoch), str(self.draw), purpose))
        return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest(), "big")

    def generator(self, purpose: str) -> np.random.Generator:
        """A NumPy generator (PCG64) for one purpose, for example `"proposer"`."""
        return np.random.Generator(np.random.PCG64(self.digest(purpose)))

    def torch_seed(self, purpose: str) -> int:
        """A seed in [0, 2**63) for `torch.Generator.manual_seed`."""
        return self.digest(purpose) >> 65

    def child(self, draw: int) -> Key:
        """The key of draw `draw` below this one, for example of the second polyp of a frame."""
        return Key(self.seed, f"{self.sample}#{self.draw}", self.epoch, draw)

    def to_dict(self) -> dict[str, int | str]:
        """Plain JSON types; `Key(**key.to_dict())` is the same key."""
        return asdict(self)
