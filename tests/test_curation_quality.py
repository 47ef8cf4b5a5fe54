"""How well polyps were painted: every measure sees the flaw that it is for, and leaves the others alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Phantoms

from polyp_aug.coco import decode_segmentation, read_coco, resolve_image
from polyp_aug.curation.limits import Limit, family_limits, parse_limit, read_limits
from polyp_aug.curation.polyp_quality import FAMILY, WORDS, measure_polyp
from polyp_aug.curation.polyp_view import signed_distance, view_frame, view_polyp
from polyp_aug.errors import ConfigurationError
from polyp_aug.geometry import Region
from polyp_aug.images import ImageArray, MaskArray, list_images, read_image

Frame = tuple[ImageArray, ImageArray, MaskArray]


@pytest.fixture(scope="module")
def frame(phantoms: Phantoms) -> Frame:
    """A phantom's largest polyp in its frame at twice its size, another frame without one, and the polyp's mask."""
    dataset = read_coco(phantoms.references)
    item = max(dataset.annotations, key=lambda entry: entry.area)
    image = next(image for image in dataset.images if image.id == item.image_id)
    picture = read_image(resolve_image(dataset.image_root, image.file_name))
    other = read_image(list_images(phantoms.backgrounds)[0])
    mask = decode_segmentation(item.segmentation, image.width, image.height)
    size = (2 * image.width, 2 * image.height)
    return (
        np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8),
        np.asarray(cv2.resize(other, size, interpolation=cv2.INTER_CUBIC), np.uint8),
        cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST).view(np.bool_),
    )


def measured(image: ImageArray, before: ImageArray | None, mask: MaskArray) -> dict[str, float | None]:
    return measure_polyp(view_polyp(view_frame(image, mask, before), mask))


def inside(mask: MaskArray, image: ImageArray, flawed: ImageArray) -> ImageArray:
    return np.where(mask[:, :, None], flawed, image).astype(np.uint8)


def blurred(image: ImageArray, _before: ImageArray, mask: MaskArray) -> ImageArray:
    return inside(mask, image, np.asarray(cv2.GaussianBlur(image, (0, 0), 4), np.uint8))


def noisy(image: ImageArray, _before: ImageArray, mask: MaskArray) -> ImageArray:
    noise = np.random.default_rng(0).normal(0, 30, image.shape[:2])
    return inside(mask, image, np.clip(image + noise[:, :, None], 0, 255).astype(np.uint8))


def white(image: ImageArray, _before: ImageArray, mask: MaskArray) -> ImageArray:
    small = Region.from_mask(mask)
    assert small is not None
    x, y, w, h = small.box
    flawed = image.copy()
    flawed[y : y + h // 2, x : x + w] = 250
    return inside(mask, image, flawed)


def red(image: ImageArray, _before: ImageArray, mask: MaskArray) -> ImageArray:
    flawed = image.copy()
    flawed[:, :, 0] = 255
    return inside(mask, image, flawed)


def thin(image: ImageArray, before: ImageArray, mask: MaskArray) -> ImageArray:
    return inside(mask, image, (image.astype(np.float32) * 0.4 + before * 0.6).astype(np.uint8))


def doubled(image: ImageArray, _before: ImageArray, mask: MaskArray) -> ImageArray:
    rough = image.astype(np.float32) + np.random.default_rng(1).normal(0, 12, image.shape[:2])[:, :, None]
    shifted = np.roll(rough, (4, 9), axis=(0, 1))
    return inside(mask, image, np.clip((rough + shifted) / 2, 0, 255).astype(np.uint8))


def sticker(image: ImageArray, _before: ImageArray, mask: MaskArray) -> ImageArray:
    return inside(mask, image, np.clip(image.astype(np.int16) - 60, 0, 255).astype(np.uint8))


def cut_out(image: ImageArray, before: ImageArray, _mask: MaskArray) -> ImageArray:
    changed = (image != before).any(axis=2)
    return inside(changed, image, np.clip(image.astype(np.int16) - 60, 0, 255).astype(np.uint8))


def blue(image: ImageArray, _before: ImageArray, mask: MaskArray) -> ImageArray:
    flawed = image + np.array((-40, 0, 90), np.int16)
    return inside(mask, image, np.clip(flawed, 0, 255).astype(np.uint8))


def dark(image: ImageArray, _before: ImageArray, mask: MaskArray) -> ImageArray:
    return inside(mask, image, (image * 0.5).astype(np.uint8))


@pytest.mark.parametrize(
    ("flaw", "score", "sign"),
    [
        (blurred, "sharpness", -1),
        (noisy, "sharpness", 1),
        (white, "glare", 1),
        (red, "saturation", 1),
        (red, "redness_step", 1),
        (thin, "see_through", 1),
        (doubled, "doubling", 1),
        (sticker, "rim", 1),
        (cut_out, "seam", 1),
        (dark, "lightness_step", -1),
        (blue, "yellowness_step", -1),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_flaw_moves_its_measure_beyond_the_range_of_real_polyps(
    flaw: Callable[[ImageArray, ImageArray, MaskArray], ImageArray], score: str, sign: int, frame: Frame
) -> None:
    image, other, mask = frame
    # Painted into the other frame: what is around belongs to the polyp, with a soft edge to the frame before.
    wide = cv2.GaussianBlur(cv2.dilate(mask.astype(np.float32), np.ones((31, 31), np.uint8)), (0, 0), 6)[:, :, None]
    before = np.asarray(image * (1 - wide) + other * wide, np.uint8)
    sound, broken = measured(image, before, mask), measured(flaw(image, before, mask), before, mask)
    first, second = sound[score], broken[score]
    assert first is not None
    assert second is not None
    limit = family_limits(FAMILY)[score]
    assert limit.broken_by(second) is not None, second
    assert (second - first) * sign > 0
    if score != "rim":
        assert limit.broken_by(first) is None, first


def test_what_needs_the_frame_before_is_left_out_without_it(frame: Frame) -> None:
    image, _, mask = frame
    found = measured(image, None, mask)
    assert [name for name, value in found.items() if value is None] == ["see_through", "seam"]
    assert list(found) == list(WORDS)


def test_a_polyp_of_few_pixels_has_measures_that_cannot_be_taken(frame: Frame) -> None:
    image, other, _ = frame
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[100:103, 200:203] = True
    found = measured(image, other, mask)
    assert found["sharpness"] is None
    assert found["see_through"] is None
    assert found["doubling"] is None
    assert found["glare"] is not None


def test_measures_hardly_depend_on_the_resolution(frame: Frame) -> None:
    image, _, mask = frame
    size = (2 * image.shape[1], 2 * image.shape[0])
    large = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    large_mask = cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST).view(np.bool_)
    first, second = measured(image, None, mask), measured(large, None, large_mask)
    for name, tolerance in {"sharpness": 0.15, "rim": 0.3, "lightness_step": 0.5, "glare": 0.02}.items():
        assert second[name] == pytest.approx(first[name], abs=tolerance), name


def test_distance_from_an_outline_is_negative_inside() -> None:
    mask = np.zeros((9, 9), np.bool_)
    mask[2:7, 2:7] = True
    distance = signed_distance(mask)
    assert distance[4, 4] == -2.5
    assert distance[4, 2] == -0.5
    assert distance[4, 1] == 0.5
    # The whole frame is a mask too: its outline is the frame's edge.
    assert signed_distance(np.ones((3, 3), np.bool_)).max() == -0.5


@pytest.mark.parametrize(
    ("limit", "value", "says"),
    [
        (Limit(at_least=1), 1, None),
        (Limit(at_least=1), 0.5, "is 0.5, below 1"),
        (Limit(at_most=2), 2.5, "is 2.5, above 2"),
        (Limit(1, 2), 1.5, None),
        (Limit(), -1e9, None),
    ],
)
def test_limits(limit: Limit, value: float, says: str | None) -> None:
    assert limit.broken_by(value) == says
    assert parse_limit(limit.to_dict()) == limit


@pytest.mark.parametrize(
    "text",
    [
        "limits: {a: {at_leas: 1}}",
        "limits: {a: {at_least: x}}",
        "limits: {a: {at_least: .nan}}",
        "limits: {a: {at_least: true}}",
        "limits: {a: {at_least: 2, at_most: 1}}",
        "limits: 3",
        "other: {}",
        "{",
    ],
)
def test_files_that_are_no_limits_are_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"x\.yaml: can't be read as limits"):
        read_limits(tmp_path / "x.yaml")
    with pytest.raises(ConfigurationError, match="none"):
        read_limits(tmp_path / "none.yaml")


def test_real_polyps_pass(real_data: Path) -> None:
    """Of every twentieth polyp of the real frames hardly one is outside of each range."""
    paths = list_images(real_data / "polyp" / "images")[:800:20]
    limits = family_limits(FAMILY)
    broken = dict.fromkeys(WORDS, 0)
    for path in paths:
        mask = read_image(next((real_data / "polyp" / "masks").glob(f"{path.stem}.*")))[:, :, 0] >= 128
        found = measured(read_image(path), None, mask)
        for name, value in found.items():
            broken[name] += value is not None and limits[name].broken_by(value) is not None
    assert max(broken.values()) <= 3, broken
