"""Indices that know how often their sampler has dealt, so that what a transform draws depends on no worker.

A data loader gives its workers indices and nothing else. A number that counts in the transform would count differently
with another number of workers; here the sampler counts, in the main process, and the index carries the number along.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmdet.registry import DATA_SAMPLERS as MMDET_DATA_SAMPLERS
from torch.utils.data import Sampler

from polyp_aug.errors import ConfigurationError
from polyp_aug.registry import DATA_SAMPLERS


class DrawnIndex(int):
    """An index of a data set, with the epoch and the number of its draw; data sets that subtract an offset keep both.

    Attributes:
        epoch: of the sampler, 0 where it never ends.
        draw: number of the draw within the epoch, over all ranks.
        progress: of the training when it was drawn, 0 … 1; None where the sampler wasn't told how long it is.
    """

    epoch: int
    draw: int
    progress: float | None

    def __new__(cls, index: int, epoch: int, draw: int, progress: float | None = None) -> DrawnIndex:
        """An index."""
        self = super().__new__(cls, index)
        self.epoch, self.draw, self.progress = epoch, draw, progress
        return self

    def __reduce__(self) -> tuple[type[DrawnIndex], tuple[int, int, int, float | None]]:
        return DrawnIndex, (int(self), self.epoch, self.draw, self.progress)

    def __sub__(self, other: int) -> DrawnIndex:
        return DrawnIndex(int(self) - int(other), self.epoch, self.draw, self.progress)


@DATA_SAMPLERS.register_module()
@MMDET_DATA_SAMPLERS.register_module()
class DrawnSampler(Sampler[int]):
    """Another sampler, whose indices know their draw.

    Args:
        dataset: the data set.
        sampler: config of the sampler that decides the order.
        seed: of that sampler.
        batch_size: frames of a batch in one process; the loader's.
        iterations: batches of the whole training in one process. Only with both do the indices know the progress.

    Raises:
        ConfigurationError: `iterations` is given without `batch_size`, or one of them is less than 1.
    """

    def __init__(
        self,
        dataset: Any,
        sampler: dict[str, Any],
        seed: int | None = None,
        batch_size: int | None = None,
        iterations: int | None = None,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("iterations", iterations)):
            if value is not None and value < 1:
                raise ConfigurationError(f"{name!r} must be at least 1 (got {value})")
        if iterations is not None and batch_size is None:
            raise ConfigurationError(f"'iterations' ({iterations}) needs 'batch_size' (got None)")
        self.dataset = dataset
        self.batch_size, self.iterations = batch_size, iterations
        self.sampler = MMDET_DATA_SAMPLERS.build(sampler, default_args={"dataset": dataset, "seed": seed})
        self.epoch = 0

    def __iter__(self) -> Iterator[DrawnIndex]:
        rank, ranks = getattr(self.sampler, "rank", 0), getattr(self.sampler, "world_size", 1)
        for position, index in enumerate(self.sampler):
            yield DrawnIndex(index, self.epoch, position * ranks + rank, self._progress(position))

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """As the samplers of mmengine."""
        self.epoch = epoch
        self.sampler.set_epoch(epoch)

    def _progress(self, position: int) -> float | None:
        """The share of the training's batches that came before this position of the epoch."""
        if self.iterations is None or self.batch_size is None:
            return None
        batches = self.epoch * -(-len(self) // self.batch_size) + position // self.batch_size
        return min(1.0, batches / self.iterations)
