"""`MixingSampler`: how many frames of each batch are synthetic, from a training's first batch to its last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
from mmdet.registry import DATA_SAMPLERS as MMDET_DATA_SAMPLERS
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from polyp_aug.errors import ConfigurationError
from polyp_aug.integrations.mmdet.drawing import DrawnIndex
from polyp_aug.keys import Key
from polyp_aug.online import Schedule
from polyp_aug.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
@MMDET_DATA_SAMPLERS.register_module()
class MixingSampler(Sampler[int]):
    """Batches of real and synthetic frames, the latter a share that may change while a detector trains.

    Each source is an endless stream of its own, shuffled anew every time that all of its frames were dealt, so that
    the sets' sizes don't matter. A batch has its real frames first. Where a batch's share is no whole number of
    frames, the rest is carried to the next one. What a batch holds depends on the seed and the batch's number only:
    all processes deal as many synthetic frames as the others, and no frame that another has dealt in that round.

    Args:
        dataset: `ConcatDataset` of two sets, the real one and the synthetic one.
        batch_size: frames of a batch in one process; the loader's.
        share: of synthetic frames, 0 … 1: a number, or points of (progress, share), between which it is linear.
        iterations: batches of the whole training in one process; what progress is measured by.
        batches_per_epoch: for loops that count epochs; None: the sampler never ends, as loops that count iterations
            need it.
        seed: of the order.
        rank: number of this process; None: as mmengine knows it.
        world_size: number of processes; None: as mmengine knows it.

    Raises:
        ConfigurationError: a value is out of its range, the data set doesn't join two, one of which isn't empty, or
            the share changes and `iterations` isn't given.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        share: float | Sequence[Sequence[float]],
        iterations: int | None = None,
        batches_per_epoch: int | None = None,
        seed: int | None = None,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        for name, value in (
            ("batch_size", batch_size),
            ("iterations", iterations),
            ("batches_per_epoch", batches_per_epoch),
        ):
            if value is not None and value < 1:
                raise ConfigurationError(f"{name!r} must be at least 1 (got {value})")
        sizes = [len(own) for own in getattr(dataset, "datasets", ())]
        if len(sizes) != 2 or 0 in sizes:
            raise ConfigurationError(
                f"'dataset' must join a real and a synthetic set, none of them empty (got sets of {sizes} frames)"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.share = Schedule.of("share", share)
        self.iterations = iterations
        self.batches_per_epoch = batches_per_epoch
        if self.share.changes and iterations is None:
            raise ConfigurationError(f"'share' changes, which needs 'iterations' (got None and {share!r})")
        self.seed: int = sync_random_seed() if seed is None else seed
        known_rank, known_size = get_dist_info()
        self.rank: int = known_rank if rank is None else rank
        self.world_size: int = known_size if world_size is None else world_size
        self.epoch = 0
        self._offsets = (0, sizes[0])
        self._streams = (_Stream(sizes[0], self.seed, "real"), _Stream(sizes[1], self.seed, "synthetic"))

    def synthetic_counts(self) -> Iterator[int]:
        """Number of synthetic frames in each batch of one process, without an end."""
        owed = 0.5
        for batch in count():
            owed += self.share.at(self._progress(batch) or 0.0) * self.batch_size
            whole = int(owed)
            owed -= whole
            yield whole

    def __iter__(self) -> Iterator[DrawnIndex]:
        length = self.batches_per_epoch
        first = self.epoch * length if length else 0
        taken = [0, 0]
        for batch, synthetic in enumerate(self.synthetic_counts()):
            if length and batch == first + length:
                return
            counts = (self.batch_size - synthetic, synthetic)
            if batch >= first:
                yield from self._dealt(batch, batch - first, taken, counts)
            for source, own in enumerate(counts):
                taken[source] += own * self.world_size

    def __len__(self) -> int:
        """Frames of an epoch in this process; of the data set, where there are no epochs."""
        return self.batches_per_epoch * self.batch_size if self.batches_per_epoch else len(self.dataset)

    def set_epoch(self, epoch: int) -> None:
        """As the samplers of mmengine; without `batches_per_epoch` there are no epochs."""
        self.epoch = epoch if self.batches_per_epoch else 0

    def _progress(self, batch: int) -> float | None:
        return None if self.iterations is None else min(1.0, batch / self.iterations)

    def _dealt(self, batch: int, place: int, taken: Sequence[int], counts: tuple[int, int]) -> Iterator[DrawnIndex]:
        """This process's frames of a batch, which is the `place`-th of its epoch."""
        draw = (place * self.world_size + self.rank) * self.batch_size
        for source, own in enumerate(counts):
            begin = taken[source] + self.rank * own
            for position in range(begin, begin + own):
                index = self._offsets[source] + self._streams[source].at(position)
                yield DrawnIndex(index, self.epoch, draw, self._progress(batch))
                draw += 1


class _Stream:
    """The frames of a set in random orders, one after the other, without an end."""

    def __init__(self, size: int, seed: int, source: str) -> None:
        self._size, self._seed, self._source = size, seed, source
        self._round = -1
        self._order: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def at(self, position: int) -> int:
        """Index of the frame at a position."""
        number, place = divmod(position, self._size)
        if number != self._round:
            self._order = Key(self._seed, self._source, epoch=number).generator("mixing").permutation(self._size)
            self._round = number
        return int(self._order[place])
