"""The batches of a training of Polyp-Gen: which examples a step takes, from the cache or made anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from diffusers import AutoencoderKL, AutoencoderTiny
from torch.utils.data import DataLoader

from polyp_aug.keys import Key
from polyp_aug.training.examples import Example, ExampleDataset
from polyp_aug.training.latents import Autocast, LatentCache, LatentExample, encode_examples


@dataclass(frozen=True)
class ExampleOrder:
    """Every example once in random order, before any is used again.

    Attributes:
        count: number of examples.
        batch_size: examples in a step.
        steps: in all.
        seed: the only source of randomness.
    """

    count: int
    batch_size: int
    steps: int
    seed: int

    def numbers(self, step: int) -> list[int]:
        """The examples of a step, which counts from 0."""
        places = (divmod(step * self.batch_size + place, self.count) for place in range(self.batch_size))
        return [int(_shuffled(self.count, self.seed, epoch)[place]) for epoch, place in places]

    def cached(self, cache: LatentCache, start: int) -> Iterator[LatentExample]:
        """Batches from step `start` on, on the CPU."""
        return (cache.batch(self.numbers(step)) for step in range(start, self.steps))

    def fresh(
        self, examples: ExampleDataset, vae: AutoencoderKL | AutoencoderTiny, autocast: Autocast, start: int
    ) -> Iterator[LatentExample]:
        """The same batches, drawn and encoded when they are needed, on the autoencoder's device."""
        steps = [self.numbers(step) for step in range(start, self.steps)]
        loader: DataLoader[Example] = DataLoader(examples, batch_sampler=steps, num_workers=1, prefetch_factor=4)
        return (encode_examples(vae, Example(*batch), autocast) for batch in loader)


@lru_cache(maxsize=2)
def _shuffled(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return Key(seed, "examples", epoch).generator("order").permutation(count)
