"""Renewing a pool: new variants are painted, old ones retired, round after round."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polyp_aug.errors import ConfigurationError, TooManyFailuresError
from polyp_aug.generation.backgrounds import Sample
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.generation.generate import prepare_run
from polyp_aug.generation.samples import SampleMaker
from polyp_aug.images import ImageArray
from polyp_aug.pool.variant import PoolVariant
from polyp_aug.pool.write import PoolWriter, cut_out

#: Samples that a refresher could make before its numbers end; nothing is laid out for them.
_ENDLESS = 2**31

#: Rounds in a row that gave nothing, after which going on is of no use.
_BARREN_ROUNDS = 3


@dataclass(frozen=True)
class RefreshState:
    """How far a refresher is.

    Attributes:
        rounds: rounds that are done.
        added: variants that were added in them.
        retired: variants that were taken out.
        size: variants that the pool holds now.
    """

    rounds: int
    added: int
    retired: int
    size: int


def refresh(
    config: GenerateConfig,
    pool: Path,
    *,
    capacity: int,
    rounds: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    observer: Callable[[RefreshState], None] | None = None,
) -> RefreshState:
    """Renew a pool until it is told to stop.

    A round makes `config.batch_size` samples. Samples are numbered; a refresher that is started again with equal
    settings goes on behind the last number that the pool holds.

    Args:
        config: what to paint into what; its count is not read.
        pool: the folder; it is made where it doesn't exist.
        capacity: variants that are kept, the newest ones.
        rounds: number of rounds; None goes on.
        stop: asked before every round.
        observer: called after every round.

    Raises:
        ConfigurationError: `capacity` or `rounds` is less than 1, or see `prepare_run`.
        RunFolderBusyError: another process writes to the pool.
        StorageError: the pool can't be written.
        TooManyFailuresError: several rounds in a row gave nothing.
    """
    for name, value in (("capacity", capacity), ("rounds", 1 if rounds is None else rounds)):
        if value < 1:
            raise ConfigurationError(f"{name!r} must be at least 1 (got {value})")
    prepared = prepare_run(replace(config, count=_ENDLESS, per_image=None))
    made_by = hashlib.sha256(json.dumps(prepared.run, sort_keys=True).encode()).hexdigest()[:12]
    state, barren = RefreshState(0, 0, 0, 0), 0
    with PoolWriter(pool) as writer:
        position = _next_position(writer.variants, made_by)
        while (rounds is None or state.rounds < rounds) and not stop():
            samples = [prepared.deck[position + offset] for offset in range(config.batch_size)]
            position += len(samples)
            problems: list[str] = []
            added = writer.add(_parts(prepared.maker, samples, made_by, problems))
            retired = writer.retire(capacity)
            state = RefreshState(state.rounds + 1, state.added + added, state.retired + retired, len(writer.variants))
            barren = 0 if added else barren + 1
            if barren == _BARREN_ROUNDS:
                raise TooManyFailuresError(f"{pool}: {barren} rounds in a row gave nothing ({'; '.join(problems[:3])})")
            if observer is not None:
                observer(state)
    return state


def _parts(
    maker: SampleMaker, samples: Sequence[Sample], made_by: str, problems: list[str]
) -> Iterator[tuple[PoolVariant, ImageArray]]:
    for outcome in maker.make(samples):
        record: dict[str, Any] = outcome.record
        if record["status"] != "made":
            problems.extend(record["reasons"])
            continue
        yield cut_out(record, made_by, outcome.pictures["images"], outcome.pictures["before"])


def _next_position(variants: Sequence[PoolVariant], made_by: str) -> int:
    numbers = [int(variant.id.rpartition("-")[2]) for variant in variants if variant.made_by == made_by]
    return max(numbers) + 1 if numbers else 0
