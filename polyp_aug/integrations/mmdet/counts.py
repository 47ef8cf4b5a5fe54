"""Counting in a data loader's workers, read in the process that trains."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.utils.data import get_worker_info

#: Workers beyond these share rows, and may lose a count now and then.
_ROWS = 64


class SharedCounts:
    """Numbers in memory that forked and spawned workers share; each worker has a row, so that none is lost.

    Args:
        names: what is counted.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self._counts = torch.zeros((_ROWS, len(names)), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def __deepcopy__(self, _: object) -> SharedCounts:
        """Counts of its own, from 0 on: a copy of a tensor isn't shared."""
        return SharedCounts(*self.names)

    def add(self, name: str) -> None:
        """Count one."""
        worker = get_worker_info()
        self._counts[(worker.id + 1 if worker else 0) % _ROWS, self.names.index(name)] += 1

    def totals(self) -> Mapping[str, int]:
        """The numbers so far, of all processes."""
        return dict(zip(self.names, self._counts.sum(dim=0).tolist(), strict=True))
