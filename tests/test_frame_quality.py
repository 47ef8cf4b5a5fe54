"""The quality of frames: each measure sees its fault, grows with it, and the limits take out what is bad."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Phantoms

from polyp_aug.coco import read_coco, write_coco
from polyp_aug.curation.frame_filter import UNREADABLE, check_target, filter_frames
from polyp_aug.curation.frame_quality import UNSEEN, FrameQuality, measure_frame
from polyp_aug.curation.thresholds import DEFAULT_THRESHOLDS, QualityThresholds
from polyp_aug.errors import ConfigurationError, ImageError
from polyp_aug.images import ImageArray, list_images, read_image
from polyp_aug.phantom import render_phantom

Fault = Callable[[ImageArray, float], ImageArray]

LIMITS = QualityThresholds.read()


def defocused(image: ImageArray, sigma: float) -> ImageArray:
    return cv2.GaussianBlur(image, (0, 0), sigma)


def moved_across(image: ImageArray, length: float) -> ImageArray:
    return cv2.blur(image, (int(length), 1))


def moved_down(image: ImageArray, length: float) -> ImageArray:
    return cv2.blur(image, (1, int(length)))


def glaring(image: ImageArray, radius: float) -> ImageArray:
    lit = image.copy()
    return cv2.circle(lit, (image.shape[1] // 2, image.shape[0] // 2), int(radius), (250, 248, 246), -1)


def sequential(image: ImageArray, pixels: float) -> ImageArray:
    red, green, blue = cv2.split(image)
    return cv2.merge([np.roll(red, int(pixels), axis=1), green, np.roll(blue, -int(pixels), axis=1)])


def interlaced(image: ImageArray, pixels: float) -> ImageArray:
    woven = image.copy()
    woven[1::2] = np.roll(image, int(pixels), axis=1)[1::2]
    return woven


#: Measure, fault, and its growing strengths at 512 px; the limit takes out the last.
FAULTS = [
    ("blur", defocused, (1, 2, 4)),
    ("blur", moved_across, (5, 13, 31)),
    ("blur", moved_down, (5, 13, 31)),
    ("reflection", glaring, (30, 60, 120)),
    ("largest_reflection", glaring, (30, 60, 120)),
    ("channel_shift", sequential, (1, 3, 6)),
    ("interlacing", interlaced, (1, 2)),
]


@pytest.fixture(scope="module")
def colon() -> ImageArray:
    return render_phantom(3, width=512, height=432, polyps=1).image


@pytest.mark.parametrize(("measure", "fault", "strengths"), FAULTS)
def test_a_measure_grows_with_its_fault(
    colon: ImageArray, measure: str, fault: Fault, strengths: tuple[float, ...]
) -> None:
    values = [getattr(measure_frame(colon), measure)]
    values += [getattr(measure_frame(fault(colon, strength)), measure) for strength in strengths]
    assert values == sorted(values)
    assert len(set(values)) == len(values)
    assert values[0] < asdict(LIMITS)[measure] < values[-1]


@pytest.mark.parametrize("pixels", [1, 2, 4, 6])
def test_the_displacement_of_colours_is_measured_in_pixels(colon: ImageArray, pixels: int) -> None:
    scale = 512 / np.ptp(np.nonzero(colon.max(axis=2).max(axis=0) > 48)[0])
    assert measure_frame(sequential(colon, pixels)).channel_shift == pytest.approx(pixels * scale, abs=0.4)


def test_sound_phantoms_pass(phantoms: Phantoms) -> None:
    for path in list_images(phantoms.backgrounds):
        quality = measure_frame(read_image(path))
        assert LIMITS.broken_by(quality) == (), (path, quality)


def test_the_resolution_hardly_matters(colon: ImageArray) -> None:
    fault = sequential(defocused(glaring(colon, 40), 2), 3)
    at = [measure_frame(cv2.resize(fault, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)) for k in (1, 2, 0.6)]
    for measure, tolerance in (("blur", 0.05), ("reflection", 0.01), ("channel_shift", 0.4), ("field", 0.05)):
        first, *others = (getattr(quality, measure) for quality in at)
        assert others == pytest.approx([first] * 2, abs=tolerance), measure


def test_text_boxes_and_borders_do_not_count(colon: ImageArray) -> None:
    blurred = defocused(colon, 5)
    bordered = cv2.copyMakeBorder(blurred, 40, 40, 120, 20, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    for row in range(60, 300, 24):
        cv2.putText(bordered, "12/03/2014", (4, row), cv2.FONT_HERSHEY_PLAIN, 1.0, (255, 255, 255), 1)
    cv2.rectangle(bordered, (120, 350), (230, 470), (0, 140, 60), -1)
    cv2.putText(bordered, "COLON", (130, 420), cv2.FONT_HERSHEY_PLAIN, 1.4, (255, 255, 255), 2)
    plain, dressed = measure_frame(blurred), measure_frame(bordered)
    assert dressed.blur == pytest.approx(plain.blur, abs=0.05)
    assert dressed.reflection == pytest.approx(plain.reflection, abs=0.005)
    assert dressed.channel_shift < 0.5
    assert "blur" in LIMITS.broken_by(dressed)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((64, 64, 3), np.uint8),
        np.full((9, 9, 3), 120, np.uint8),
        np.full((40, 400, 3), (20, 200, 40), np.uint8),
    ],
)
def test_nothing_is_measured_without_mucosa(image: ImageArray) -> None:
    assert measure_frame(image) == UNSEEN
    assert LIMITS.broken_by(UNSEEN) == ("field", "blur")


@pytest.mark.parametrize("shape", [(64, 64), (17, 300), (300, 17), (1080, 1920)])
def test_a_flat_frame_has_finite_measures(shape: tuple[int, int]) -> None:
    quality = measure_frame(np.full((*shape, 3), (180, 110, 90), np.uint8))
    assert all(np.isfinite(list(asdict(quality).values())))
    assert quality.blur == 1.0
    assert quality.reflection == quality.interlacing == 0.0


def test_a_white_frame_is_no_mucosa() -> None:
    assert measure_frame(np.full((200, 200, 3), 255, np.uint8)) == UNSEEN


def test_real_frames(real_data: Path) -> None:
    """Sound real frames pass; spoilt ones don't."""
    paths = list_images(real_data / "polyp" / "images")[:400:100] + list_images(real_data / "normal")[:400:100]
    frames = [read_image(path) for path in paths]
    assert sum(bool(LIMITS.broken_by(measure_frame(frame))) for frame in frames) <= 1
    for frame in frames[::6]:
        for measure, fault, strengths in FAULTS:
            weak, strong = (getattr(measure_frame(fault(frame, at)), measure) for at in (strengths[0], strengths[-1]))
            assert weak < strong, measure
            assert asdict(LIMITS)[measure] < strong, measure


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("blur: 1", "expected a number for each of field, blur"),
        ("[1]", "holds"),
        ("{", "can't be read as YAML"),
        (DEFAULT_THRESHOLDS.read_text("utf-8") + "\nghost: 1\n", "ghost"),
        (DEFAULT_THRESHOLDS.read_text("utf-8").replace("blur: 0", "blur: -0"), "blur is -0"),
        (DEFAULT_THRESHOLDS.read_text("utf-8").replace("blur: 0.", "blur: yes # "), "blur is True"),
        (DEFAULT_THRESHOLDS.read_text("utf-8").replace("blur: 0.", "blur: .nan # "), "blur is nan"),
    ],
)
def test_wrong_thresholds_are_explained(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        QualityThresholds.read(file)
    assert str(file) in str(caught.value)


def test_missing_thresholds_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml: can't be read"):
        QualityThresholds.read(tmp_path / "none.yaml")


@pytest.mark.parametrize("measure", list(asdict(LIMITS)))
def test_each_limit_is_kept_at_its_value_and_broken_beyond(measure: str) -> None:
    at = FrameQuality(**asdict(LIMITS))
    beyond = asdict(LIMITS) | {measure: asdict(LIMITS)[measure] + (-0.01 if measure == "field" else 0.01)}
    assert LIMITS.broken_by(at) == ()
    assert LIMITS.broken_by(FrameQuality(**beyond)) == (measure,)


@pytest.fixture
def spoilt(phantoms: Phantoms, tmp_path: Path) -> Path:
    """The phantoms with polyps; the first is blurred, the second truncated."""
    folder = tmp_path / "set"
    shutil.copytree(phantoms.references, folder)
    first, second = list_images(folder / "images")[:2]
    cv2.imwrite(str(first), cv2.GaussianBlur(cv2.imread(str(first)), (0, 0), 4))
    second.write_bytes(second.read_bytes()[:500])
    return folder


def test_a_data_set_is_filtered(spoilt: Path) -> None:
    dataset = read_coco(spoilt)
    seen: list[tuple[int, int]] = []
    result = filter_frames(dataset, LIMITS, lambda done, total: seen.append((done, total)))
    assert seen == [(number, 10) for number in range(1, 11)]
    assert result.frames[0].reasons == ("blur",)
    assert result.frames[1].reasons == (UNREADABLE,)
    assert result.counts() == dict.fromkeys(asdict(LIMITS), 0) | {"blur": 1, UNREADABLE: 1}
    passed = result.passed()
    assert [image.id for image in passed.images] == list(range(3, 11))
    assert {entry.image_id for entry in passed.annotations} <= set(range(3, 11))
    assert passed.categories == dataset.categories
    check_target(dataset, spoilt / "annotations.json", spoilt / "kept.json")
    write_coco(passed, spoilt / "kept.json")
    again = read_coco(spoilt / "kept.json")
    assert (again.images, again.annotations) == (passed.images, passed.annotations)
    report = json.loads(json.dumps(result.report()))
    assert (report["frames"], report["passed"]) == (10, 8)
    assert report["measures"][0]["reasons"] == ["blur"]
    assert report["measures"][0]["blur"] > report["thresholds"]["blur"]
    assert str(spoilt) not in json.dumps(report)


def test_the_sheet_has_a_row_for_each_measure(spoilt: Path) -> None:
    result = filter_frames(read_coco(spoilt), LIMITS)
    sheet = result.worst_sheet(count=3)
    assert sheet.shape == (6 * (216 + 22) + 5 * 8, 3 * 256 + 2 * 8, 3)
    with pytest.raises(ConfigurationError, match="got 0"):
        result.worst_sheet(count=0)


def test_a_target_elsewhere_or_on_the_source_is_refused(spoilt: Path, tmp_path: Path) -> None:
    dataset, source = read_coco(spoilt), spoilt / "annotations.json"
    for target in (tmp_path / "kept.json", tmp_path / "none" / "kept.json"):
        with pytest.raises(ConfigurationError, match="beside the data set's own"):
            check_target(dataset, source, target)
    with pytest.raises(ConfigurationError, match="would be overwritten"):
        check_target(dataset, source, spoilt / "images" / ".." / "annotations.json")


def test_a_data_set_without_pictures_is_an_error(spoilt: Path) -> None:
    shutil.rmtree(spoilt / "images")
    with pytest.raises(ImageError, match="none of 10 pictures"):
        filter_frames(read_coco(spoilt), LIMITS)
