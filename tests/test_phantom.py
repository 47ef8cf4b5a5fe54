"""The procedural phantom: deterministic frames, exact masks, a data set that pycocotools reads."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from polyp_aug.errors import ConfigurationError, StorageError
from polyp_aug.images import MaskArray, image_size, read_image
from polyp_aug.phantom import Phantom, render_phantom, write_phantom_dataset

SIZE = {"width": 256, "height": 216}


@pytest.fixture(scope="module")
def phantoms() -> dict[int, Phantom]:
    """Two polyps in each of six colons."""
    return {seed: render_phantom(seed, polyps=2, **SIZE) for seed in range(6)}


def masks_of(phantom: Phantom) -> list[MaskArray]:
    height, width, _ = phantom.image.shape
    return [polyp.region.to_mask(height, width) for polyp in phantom.polyps]


def grown(mask: MaskArray, pixels: int) -> MaskArray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)).astype(bool)


def test_same_arguments_give_the_same_phantom(phantoms: dict[int, Phantom]) -> None:
    again = render_phantom(3, polyps=2, **SIZE)
    np.testing.assert_array_equal(again.image, phantoms[3].image)
    np.testing.assert_array_equal(again.field_of_view, phantoms[3].field_of_view)
    assert [polyp.kind for polyp in again.polyps] == [polyp.kind for polyp in phantoms[3].polyps]
    for first, second in zip(masks_of(again), masks_of(phantoms[3]), strict=True):
        np.testing.assert_array_equal(first, second)


def test_seeds_differ(phantoms: dict[int, Phantom]) -> None:
    images = [phantom.image.astype(int) for phantom in phantoms.values()]
    distances = [np.abs(images[a] - images[b]).mean() for a in range(6) for b in range(a)]
    assert min(distances) > 10


@pytest.mark.parametrize(("width", "height"), [(512, 432), (64, 64), (97, 160), (400, 200)])
def test_size_and_type(width: int, height: int) -> None:
    phantom = render_phantom(1, width=width, height=height)
    assert phantom.image.shape == (height, width, 3)
    assert phantom.image.dtype == np.uint8
    assert phantom.field_of_view.shape == (height, width)
    assert phantom.field_of_view.dtype == np.bool_
    assert phantom.polyps == ()


@pytest.mark.parametrize("seed", range(6))
def test_colon_is_the_same_away_from_the_polyps(phantoms: dict[int, Phantom], seed: int) -> None:
    before = render_phantom(seed, **SIZE).image
    near = grown(np.logical_or.reduce(masks_of(phantoms[seed])), 44)
    changed = (before != phantoms[seed].image).any(axis=2)
    assert not (changed & ~near).any()
    for mask in masks_of(phantoms[seed]):
        assert changed[mask].mean() > 0.8


def test_first_polyp_of_two_is_the_polyp_of_one(phantoms: dict[int, Phantom]) -> None:
    one = render_phantom(2, polyps=1, **SIZE)
    assert one.polyps[0].kind == phantoms[2].polyps[0].kind
    np.testing.assert_array_equal(masks_of(one)[0], masks_of(phantoms[2])[0])


@pytest.mark.parametrize("seed", range(6))
def test_masks_are_single_apart_and_in_view(phantoms: dict[int, Phantom], seed: int) -> None:
    first, second = masks_of(phantoms[seed])
    assert not (first & second).any()
    for mask in (first, second):
        assert mask[phantoms[seed].field_of_view].sum() == mask.sum() >= 20
        assert cv2.connectedComponents(mask.astype(np.uint8))[0] == 2


@pytest.mark.parametrize("seed", range(6))
def test_border_is_black_and_the_colours_are_those_of_mucosa(phantoms: dict[int, Phantom], seed: int) -> None:
    phantom = phantoms[seed]
    outside = ~phantom.field_of_view
    assert outside[0, 0]
    assert outside[-1, -1]
    assert 0.1 < outside.mean() < 0.5
    assert not phantom.image[outside].any()
    inside = phantom.image[phantom.field_of_view].astype(float)
    red, green, blue = inside.mean(axis=0)
    # 5th and 95th percentile of 145 real frames, and a little more: red 132–201, green 79–116, blue 44–93.
    assert 125 < red < 205
    assert 70 < green < 125
    assert 35 < blue < 105
    assert red > green > blue
    assert 25 < inside[:, 0].std() < 80


def test_every_kind_of_polyp_occurs() -> None:
    kinds = {render_phantom(seed, width=96, height=96, polyps=1).polyps[0].kind for seed in range(12)}
    assert kinds == {"sessile", "pedunculated", "flat"}


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ({"width": 63}, "63×432"),
        ({"height": 10}, "512×10"),
        ({"polyps": -1}, "polyps=-1"),
        ({"polyps": 4}, "polyps=4"),
    ],
)
def test_bad_arguments_of_a_phantom(arguments: dict[str, int], value: str) -> None:
    with pytest.raises(ConfigurationError, match=value):
        render_phantom(0, **arguments)


@pytest.mark.parametrize(
    ("count", "polyps", "value"),
    [(0, None, "count=0"), (1, (2, 1), r"polyps=\(2, 1\)"), (1, (0, 4), r"polyps=\(0, 4\)"), (1, (-1, 0), "-1")],
)
def test_bad_arguments_of_a_data_set(tmp_path: Path, count: int, polyps: tuple[int, int] | None, value: str) -> None:
    with pytest.raises(ConfigurationError, match=value):
        write_phantom_dataset(tmp_path / "out", count=count, seed=0, polyps=polyps)
    assert not (tmp_path / "out").exists()


def test_data_set_is_what_was_rendered(tmp_path: Path) -> None:
    out = write_phantom_dataset(tmp_path / "set", count=4, seed=7, polyps=(0, 2), width=160, height=128)
    coco = COCO(str(out / "annotations.json"))
    assert [image["id"] for image in coco.dataset["images"]] == [1, 2, 3, 4]
    assert [entry["id"] for entry in coco.dataset["annotations"]] == list(range(1, len(coco.anns) + 1))
    assert [(entry["id"], entry["name"]) for entry in coco.dataset["categories"]] == [(1, "polyp")]
    assert [entry["name"] for entry in coco.dataset["licenses"]] == ["CC0-1.0"]
    assert len(coco.anns) >= 2
    for number, image in coco.imgs.items():
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=number))
        phantom = render_phantom(7 + number - 1, width=160, height=128, polyps=len(annotations))
        np.testing.assert_array_equal(read_image(out / "images" / image["file_name"]), phantom.image)
        for annotation, mask, polyp in zip(annotations, masks_of(phantom), phantom.polyps, strict=True):
            np.testing.assert_array_equal(coco.annToMask(annotation).astype(bool), mask)
            assert annotation["bbox"] == list(polyp.region.box)
            assert annotation["area"] == mask.sum()
            assert annotation["iscrowd"] == 0
            assert annotation["category_id"] == 1


def test_data_set_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    folders = [
        write_phantom_dataset(tmp_path / name, count=2, seed=5, polyps=(1, 1), width=96, height=80) for name in "ab"
    ]
    files = [sorted(path.relative_to(folder) for path in folder.rglob("*.*")) for folder in folders]
    assert files[0] == files[1]
    assert len(files[0]) == 3
    for name in files[0]:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    assert str(tmp_path) not in json.dumps(json.loads((folders[0] / "annotations.json").read_text()))


def test_frames_without_polyps_need_no_coco_file(tmp_path: Path) -> None:
    out = write_phantom_dataset(tmp_path / "plain", count=2, seed=0, polyps=None, width=80, height=64)
    assert sorted(path.name for path in out.iterdir()) == ["images"]
    assert [image_size(path) for path in sorted((out / "images").iterdir())] == [(80, 64)] * 2


def test_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        write_phantom_dataset(tmp_path / "file", count=1, seed=0, polyps=None)
