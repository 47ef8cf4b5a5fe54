"""Which frames a study shows, and in which order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.report import digest_of
from polyp_aug.keys import Key
from polyp_aug.reader_study.sources import Candidate


@dataclass(frozen=True, eq=False)
class Drawn:
    """A frame of the study.

    Attributes:
        id: 16 hexadecimal digits that say nothing to those who don't have the frame's file.
        candidate: the frame.
        key: of its randomness.
    """

    id: str
    candidate: Candidate
    key: Key


def choose(
    sets: Mapping[str, Sequence[Candidate]], count: int | None, *, seed: int, repeats: bool = False
) -> list[Candidate]:
    """Draw frames from each set.

    Two frames of one patient, or two polyps painted into one background, would tell each other apart. So no group is
    drawn twice in the whole study, unless `repeats` allows it: slots of sets and groups are matched (Hopcroft and Karp,
    1973), the groups in random order.

    Args:
        sets: by name.
        count: of each set; None takes all of them, whatever their groups.
        seed: the only source of randomness.
        repeats: a group may be drawn more than once.

    Raises:
        ConfigurationError: `count` is less than 1, a set is too small, or there are not enough groups.
    """
    if count is None:
        return [item for candidates in sets.values() for item in candidates]
    if count < 1:
        raise ConfigurationError(f"'count' must be at least 1 (got {count})")
    for name, candidates in sets.items():
        if len(candidates) < count:
            raise ConfigurationError(f"set {name!r}: {len(candidates)} frames can be shown, expected at least {count}")
    if repeats:
        return [
            candidates[number]
            for name, candidates in sets.items()
            for number in Key(seed, name).generator("reader study").permutation(len(candidates))[:count]
        ]
    return _of_different_groups(sets, count, seed)


def shuffled(candidates: Sequence[Candidate], seed: int) -> list[Drawn]:
    """Frames in the order in which they are shown, with their ids.

    Id and place are hashes of the seed, the set, the file's name and its bytes, each by itself: they depend neither on
    the order of the sets nor on each other, and a reader who guesses the seed can't compute them from the page.

    Raises:
        ConfigurationError: a file can't be read.
    """
    drawn = []
    for item in candidates:
        key = Key(seed, "\x1f".join((item.source, item.file_name, digest_of([item.file]))))
        drawn.append(Drawn(f"{key.digest('reader study id'):032x}"[:16], item, key))
    return sorted(drawn, key=lambda item: item.key.digest("reader study order"))


def _of_different_groups(sets: Mapping[str, Sequence[Candidate]], count: int, seed: int) -> list[Candidate]:
    members: dict[str, dict[str, list[Candidate]]] = {name: defaultdict(list) for name in sets}
    for name, candidates in sets.items():
        for item in candidates:
            members[name][item.group].append(item)
    groups = sorted({group for found in members.values() for group in found})
    generator = Key(seed, "groups").generator("reader study")
    groups = [groups[number] for number in generator.permutation(len(groups))]
    has = np.array([[group in members[name] for group in groups] for name in sets], dtype=np.bool_)
    slots = np.repeat(np.arange(len(sets)), count)
    matched = maximum_bipartite_matching(csr_matrix(has[slots]), perm_type="column")
    if (matched < 0).any():
        raise ConfigurationError(
            f"only {int((matched >= 0).sum())} of {len(slots)} frames can be drawn without showing a patient or a "
            "background twice: draw fewer of each set, or allow repeats"
        )
    names = list(sets)
    found = [members[names[slot]][groups[column]] for slot, column in zip(slots, matched, strict=True)]
    return [choices[int(generator.integers(len(choices)))] for choices in found]
