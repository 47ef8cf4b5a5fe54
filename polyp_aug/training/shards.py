"""Examples that cost time to make, kept on disk.

A cache is a folder of shards, `00000.safetensors` and so on, each written whole or not at all; its name is a digest of
everything that decides its content, so that trainings with equal examples share one and others never meet it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from polyp_aug.images import write_bytes

#: Examples in a file.
SHARD = 256


class ShardCache:
    """Examples by number, each a row of some tensors.

    Args:
        root: folder of caches.
        count: number of examples.
        identity: everything that decides an example, in JSON types; their number is no part of it, so that a longer
            training takes what a shorter one left.
        shard: examples in a file; the last file is filled too.
    """

    def __init__(self, root: Path, count: int, identity: Mapping[str, Any], *, shard: int = SHARD) -> None:
        text = json.dumps({**identity, "shard": shard}, sort_keys=True)
        self.path = root / hashlib.sha256(text.encode()).hexdigest()[:16]
        self._count = count
        self._text = text
        self._shard = shard
        self._shards: list[dict[str, Tensor]] = []

    def __len__(self) -> int:
        return self._count

    def fill(
        self,
        make: Callable[[range], Mapping[str, Tensor]],
        *,
        observer: Callable[[int, int], None] | None = None,
    ) -> None:
        """Make what is not there yet, and open the cache.

        Args:
            make: the examples of these numbers, a tensor for each name, a row for each number, on the CPU.
            observer: called with the number of examples that are done, and of all, after each shard.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        write_bytes(self.path / "identity.json", self._text.encode())
        self._shards = []
        for first in range(0, self._count, self._shard):
            file = self.path / f"{first // self._shard:05d}.safetensors"
            if not file.exists():
                save_tensors(make(range(first, first + self._shard)), file)
            self._shards.append(load_file(file))
            if observer is not None:
                observer(min(first + self._shard, self._count), self._count)

    def rows(self, name: str, numbers: Sequence[int]) -> Tensor:
        """The rows of one tensor by number, stacked, on the CPU."""
        return torch.stack([self._shards[number // self._shard][name][number % self._shard] for number in numbers])


def save_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write a file, whole or not at all."""
    write_bytes(file, save({name: values.contiguous() for name, values in tensors.items()}))
