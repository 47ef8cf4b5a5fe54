"""The batches of a training: which examples a step takes, from a cache or made anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, Dataset

from polyp_aug.keys import Key

_Batch = TypeVar("_Batch")


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

    def cached(self, batch: Callable[[Sequence[int]], _Batch], start: int) -> Iterator[_Batch]:
        """Batches from step `start` on, each as `batch` makes it of the numbers of its examples."""
        return (batch(self.numbers(step)) for step in range(start, self.steps))

    def fresh(self, examples: Dataset[Any], encode: Callable[[Any], _Batch], start: int) -> Iterator[_Batch]:
        """The same batches, drawn when they are needed; `encode` takes them as torch's data loader collates them."""
        steps = [self.numbers(step) for step in range(start, self.steps)]
        loader: DataLoader[Any] = DataLoader(examples, batch_sampler=steps, num_workers=1, prefetch_factor=4)
        return (encode(batch) for batch in loader)


@lru_cache(maxsize=2)
def _shuffled(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return Key(seed, "examples", epoch).generator("order").permutation(count)
