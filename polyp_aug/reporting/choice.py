"""A few samples of many, drawn by a seed and spread over their sources."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from itertools import chain, zip_longest
from typing import Any

from polyp_aug.keys import Key


class SpreadChoice:
    """Chooses records in one pass: as many from each source as possible, and of each source at random.

    It keeps at most `count` records of each source. What is chosen depends on the seed and on the records, not on
    their order.

    Args:
        count: most records that are chosen.
        seed: the only source of randomness.
        purpose: another one gives another choice.
    """

    def __init__(self, count: int, *, seed: int, purpose: str) -> None:
        self._count = count
        self._seed = seed
        self._purpose = purpose
        self._kept: dict[str, list[tuple[int, int, Mapping[str, Any]]]] = {}

    def offer(self, source: str, record: Mapping[str, Any]) -> None:
        """Consider a record of a manifest.

        Args:
            source: what the choice is spread over.
            record: with its number as `sample`, which no other has.
        """
        kept = self._kept.setdefault(source, [])
        number = int(record["sample"])
        rank = Key(self._seed, "report", draw=number).digest(self._purpose)
        # Of each source the lowest ranks stay; heapq has the smallest value in front, so they are negated.
        if len(kept) < self._count:
            heapq.heappush(kept, (-rank, number, record))
        elif kept:
            heapq.heappushpop(kept, (-rank, number, record))

    def chosen(self) -> list[Mapping[str, Any]]:
        """The choice, by the numbers of the samples."""
        ranked = [sorted(self._kept[source], reverse=True) for source in sorted(self._kept)]
        in_turn = [entry for entry in chain.from_iterable(zip_longest(*ranked)) if entry is not None]
        return [record for _, _, record in sorted(in_turn[: self._count], key=lambda entry: entry[1])]
