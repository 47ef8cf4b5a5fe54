"""Splitting a data set without dividing a patient, video or sequence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from polyp_aug.coco.model import CocoDataset, CocoImage
from polyp_aug.errors import ConfigurationError
from polyp_aug.keys import Key


def split_by_group(dataset: CocoDataset, shares: Mapping[str, float], seed: int) -> dict[str, CocoDataset]:
    """Split a data set into parts; images of one group stay together.

    The group of an image is its extra key `group`, else its file name. Groups are taken from the largest to the
    smallest, those of equal size in an order drawn from `seed`, and each goes to the part that lacks most images. A
    part ends at most one group above its share; it may stay empty where there are fewer groups than parts.

    Args:
        dataset: what to split.
        shares: name of each part and its share of the images; the shares are positive and add up to 1.
        seed: of the order of groups.

    Returns:
        The parts in the order of `shares`. Ids are kept, images keep their order and get the part's name as their extra
        key `split`.

    Raises:
        ConfigurationError: the shares are wrong.
    """
    _check(shares)
    groups: dict[str, list[CocoImage]] = {}
    for image in dataset.images:
        groups.setdefault(_group(image), []).append(image)
    order = sorted(groups, key=lambda name: (-len(groups[name]), Key(seed, name).digest("split"), name))
    missing = {part: share * len(dataset.images) for part, share in shares.items()}
    part_of: dict[int, str] = {}
    for name in order:
        part = max(missing, key=lambda candidate: missing[candidate])
        missing[part] -= len(groups[name])
        part_of.update((image.id, part) for image in groups[name])
    return {part: _part(dataset, part, part_of) for part in shares}


def _check(shares: Mapping[str, float]) -> None:
    if not shares:
        raise ConfigurationError("shares is empty, expected the name and share of each part")
    for part, share in shares.items():
        if not part:
            raise ConfigurationError(f"a part with the share {share} has no name")
        if isinstance(share, bool) or not 0 < share <= 1:
            raise ConfigurationError(f"share of {part!r} is {share!r}, expected a number above 0, at most 1")
    total = math.fsum(shares.values())
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise ConfigurationError(f"shares {dict(shares)} add up to {total:g}, expected 1")


def _group(image: CocoImage) -> str:
    group = image.extra.get("group")
    # The prefixes keep a group apart from a file of the same name.
    return f"file\x1f{image.file_name}" if group in (None, "") else f"group\x1f{group}"


def _part(dataset: CocoDataset, part: str, part_of: Mapping[int, str]) -> CocoDataset:
    images = tuple(
        replace(image, extra={**image.extra, "split": part}) for image in dataset.images if part_of[image.id] == part
    )
    annotations = tuple(entry for entry in dataset.annotations if part_of[entry.image_id] == part)
    return replace(dataset, images=images, annotations=annotations)
