"""Indices that know how often their sampler has dealt, so that what a transform draws depends on no worker.

A data loader gives its workers indices and nothing else. A number that counts in the transform would count differently
with another number of workers; here the sampler counts, in the main process, and the index carries the number along.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmdet.registry import DATA_SAMPLERS as MMDET_DATA_SAMPLERS
from torch.utils.data import Sampler

from polyp_aug.registry import DATA_SAMPLERS


class DrawnIndex(int):
    """An index of a data set, with the epoch and the number of its draw; data sets that subtract an offset keep both.

    Attributes:
        epoch: of the sampler, 0 where it never ends.
        draw: number of the draw within the epoch, over all ranks.
    """

    epoch: int
    draw: int

    def __new__(cls, index: int, epoch: int, draw: int) -> DrawnIndex:
        """An index."""
        self = super().__new__(cls, index)
        self.epoch, self.draw = epoch, draw
        return self

    def __reduce__(self) -> tuple[type[DrawnIndex], tuple[int, int, int]]:
        return DrawnIndex, (int(self), self.epoch, self.draw)

    def __sub__(self, other: int) -> DrawnIndex:
        return DrawnIndex(int(self) - int(other), self.epoch, self.draw)


@DATA_SAMPLERS.register_module()
@MMDET_DATA_SAMPLERS.register_module()
class DrawnSampler(Sampler[int]):
    """Another sampler, whose indices know their draw.

    Args:
        dataset: the data set.
        sampler: config of the sampler that decides the order.
        seed: of that sampler.
    """

    def __init__(self, dataset: Any, sampler: dict[str, Any], seed: int | None = None) -> None:
        self.dataset = dataset
        self.sampler = MMDET_DATA_SAMPLERS.build(sampler, default_args={"dataset": dataset, "seed": seed})
        self.epoch = 0

    def __iter__(self) -> Iterator[DrawnIndex]:
        rank, ranks = getattr(self.sampler, "rank", 0), getattr(self.sampler, "world_size", 1)
        for position, index in enumerate(self.sampler):
            yield DrawnIndex(index, self.epoch, position * ranks + rank)

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """As the samplers of mmengine."""
        self.epoch = epoch
        self.sampler.set_epoch(epoch)
