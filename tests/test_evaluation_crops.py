"""Crops: where they lie, which objects they are of, and what is in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyp_aug.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage
from polyp_aug.errors import ConfigurationError, ImageError
from polyp_aug.evaluation.crops import choose_crops, crop_square, list_crops, orientations, read_crops
from polyp_aug.geometry import Box
from polyp_aug.images import write_png


def dataset(root: Path) -> CocoDataset:
    """Two frames of 200×120: one with three objects of several origins and a crowd, one with a single object."""
    images = (
        CocoImage(1, "a.png", 200, 120, extra={"background": "x.png"}),
        CocoImage(2, "b.png", 200, 120, extra={"group": "p7", "background": "y.png"}),
        CocoImage(3, "c.png", 200, 120),
    )
    origins = [(1, "synthetic"), (1, "source"), (1, None), (2, "synthetic"), (3, None)]
    annotations = tuple(
        CocoAnnotation(number, image, 1, (60.0, 40.0, 20.0, 10.0), 200.0, extra={"origin": origin} if origin else {})
        for number, (image, origin) in enumerate(origins, start=1)
    )
    crowd = replace(annotations[0], id=9, iscrowd=1)
    return CocoDataset(root, images, (*annotations, crowd), (CocoCategory(1, "polyp"),))


@pytest.mark.parametrize(
    ("box", "square"),
    [
        ((100, 100, 60, 40), (85, 75, 90, 90)),
        ((100, 100, 10, 20), (73, 78, 64, 64)),
        ((0, 0, 60, 60), (0, 0, 90, 90)),
        ((350, 250, 50, 50), (325, 225, 75, 75)),
        ((50, 0, 300, 300), (50, 0, 300, 300)),
        ((0, 100, 390, 50), (45, 0, 300, 300)),
    ],
)
def test_squares_of_known_boxes(box: Box, square: tuple[int, int, int, int]) -> None:
    assert crop_square(box, 400, 300) == square


@given(st.data())
def test_a_square_lies_in_the_frame_and_holds_the_box_where_it_can(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(8, 700)), data.draw(st.integers(8, 700))
    w, h = data.draw(st.floats(1, width)), data.draw(st.floats(1, height))
    x, y = data.draw(st.floats(0, width - w)), data.draw(st.floats(0, height - h))
    left, top, side, other = crop_square((x, y, w, h), width, height)
    assert side == other
    assert min(64, width, height) <= side <= min(width, height)
    assert 0 <= left <= width - side
    assert 0 <= top <= height - side
    if side > max(w, h) + 1:
        assert left <= x + 0.5
        assert top <= y + 0.5
        assert left + side >= x + w - 0.5
        assert top + side >= y + h - 0.5


@pytest.mark.parametrize(("origin", "ids"), [("all", [1, 2, 3, 4, 5]), ("synthetic", [1, 4]), ("real", [2, 3, 5])])
def test_objects_are_taken_by_their_origin_and_crowds_never(origin: str, ids: list[int], tmp_path: Path) -> None:
    crops = list_crops(dataset(tmp_path), origin)  # type: ignore[arg-type]
    assert [crop.annotation for crop in crops] == ids


def test_the_group_is_the_patient_else_the_background_else_the_file(tmp_path: Path) -> None:
    assert [crop.group for crop in list_crops(dataset(tmp_path))] == ["x.png", "x.png", "x.png", "p7", "c.png"]


def test_a_set_without_such_objects_is_named(tmp_path: Path) -> None:
    real = replace(dataset(tmp_path), annotations=dataset(tmp_path).annotations[4:5])
    with pytest.raises(ConfigurationError, match="no polyp that a run marked as synthetic"):
        list_crops(real, "synthetic")


def test_a_choice_depends_on_seed_and_name_and_keeps_the_order(tmp_path: Path) -> None:
    crops = [replace(crop, annotation=number) for number in range(50) for crop in list_crops(dataset(tmp_path))[:1]]
    chosen = choose_crops(crops, 20, 1, "a")
    numbers = [crop.annotation for crop in chosen]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 20
    assert chosen == choose_crops(crops, 20, 1, "a")
    assert chosen != choose_crops(crops, 20, 2, "a")
    assert chosen != choose_crops(crops, 20, 1, "b")
    assert choose_crops(crops, None, 1, "a") == choose_crops(crops, 99, 1, "a") == crops
    with pytest.raises(ConfigurationError, match="count"):
        choose_crops(crops, 0, 1, "a")


def test_crops_hold_the_frame_s_pixels(tmp_path: Path) -> None:
    frame = np.zeros((120, 200, 3), np.uint8)
    frame[:, :] = (10, 20, 30)
    frame[40:50, 60:80] = (200, 100, 50)
    for name in ("a.png", "b.png", "c.png"):
        write_png(tmp_path / name, frame)
    crops = list_crops(dataset(tmp_path))
    x, y, side, _ = crops[0].square
    native = list(read_crops(crops, side))
    assert len(native) == 5
    assert all(np.array_equal(crop, frame[y : y + side, x : x + side]) for crop in native)
    large, small = next(read_crops(crops, 224)), next(read_crops(crops, 16))
    assert large.shape == (224, 224, 3)
    assert large[112, 112].tolist() == [200, 100, 50]
    assert small.shape == (16, 16, 3)
    assert small.reshape(-1, 3).mean(axis=0) == pytest.approx(native[0].reshape(-1, 3).mean(axis=0), abs=0.5)


def test_a_frame_of_another_size_than_annotated_is_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.zeros((60, 100, 3), np.uint8))
    with pytest.raises(ImageError, match=r"a\.png: 100×60 pixels, expected 200×120"):
        next(read_crops(list_crops(dataset(tmp_path)), 32))


def test_the_context_says_how_much_is_seen_around_the_box(tmp_path: Path) -> None:
    wide = replace(dataset(tmp_path), annotations=(replace(dataset(tmp_path).annotations[0], bbox=(20, 20, 80, 60)),))
    assert [list_crops(wide, context=context)[0].square[2] for context in (1.0, 1.25, 1.5)] == [80, 100, 120]


def test_the_orientations_are_the_eight_of_a_square() -> None:
    picture = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    found = orientations(picture)
    assert len({view.tobytes() for view in found}) == 8
    assert (found[0] == picture).all()
    assert any((view == picture.swapaxes(0, 1)).all() for view in found)
    assert all(sorted(view.ravel()) == list(range(27)) for view in found)
