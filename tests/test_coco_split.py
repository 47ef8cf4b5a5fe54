from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyp_aug.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, split_by_group
from polyp_aug.errors import ConfigurationError

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def dataset(groups: list[str | int | None]) -> CocoDataset:
    """One image, with one annotation, for each entry."""
    images = tuple(
        CocoImage(n, f"{n}.png", 8, 8, extra={} if group is None else {"group": group})
        for n, group in enumerate(groups, start=1)
    )
    annotations = tuple(CocoAnnotation(image.id + 100, image.id, 1, (0, 0, 2, 2), 4) for image in images)
    return CocoDataset(Path("images"), images, annotations, (CocoCategory(1, "polyp"),))


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 6), st.sampled_from(["", "a", "1.png"])), max_size=60), st.integers()
)
def test_groups_stay_whole_and_nothing_is_lost(groups: list[str | int | None], seed: int) -> None:
    source = dataset(groups)
    parts = split_by_group(source, SHARES, seed)
    assert list(parts) == list(SHARES)
    assert sorted(image.id for part in parts.values() for image in part.images) == [image.id for image in source.images]
    largest = max(Counter(group for group in groups if group not in (None, "")).values(), default=1)
    seen: dict[str, str] = {}
    for name, part in parts.items():
        assert [entry.image_id for entry in part.annotations] == [image.id for image in part.images]
        assert len(part.images) < SHARES[name] * len(groups) + largest
        assert part.categories == source.categories
        for image in part.images:
            assert image.extra["split"] == name
            if image.extra.get("group", "") != "":
                assert seen.setdefault(str(image.extra["group"]), name) == name


def test_single_images_meet_the_shares_exactly() -> None:
    parts = split_by_group(dataset([None] * 200), SHARES, 3)
    assert {name: len(part.images) for name, part in parts.items()} == {"train": 140, "val": 20, "test": 40}


def test_the_seed_decides() -> None:
    source = dataset([None] * 50)
    first = split_by_group(source, SHARES, 1)
    assert first == split_by_group(source, SHARES, 1)
    assert first["test"].images != split_by_group(source, SHARES, 2)["test"].images


def test_large_groups() -> None:
    parts = split_by_group(dataset(["a"] * 70 + ["b"] * 20 + ["c"] * 10), SHARES, 0)
    assert {name: {image.extra["group"] for image in part.images} for name, part in parts.items()} == {
        "train": {"a"},
        "val": {"c"},
        "test": {"b"},
    }


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({}, "shares is empty"),
        ({"train": 0.5, "val": 0.4}, "add up to 0.9, expected 1"),
        ({"train": 1.0, "val": 0.0}, "share of 'val' is 0.0"),
        ({"train": 1.2, "val": -0.2}, "share of 'train' is 1.2"),
        ({"train": float("nan")}, "share of 'train' is nan"),
        ({"train": True}, "share of 'train' is True"),
        ({"": 1.0}, "has no name"),
    ],
)
def test_wrong_shares(shares: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        split_by_group(dataset([None]), shares, 0)
