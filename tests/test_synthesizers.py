"""What synthesizers that move real polyps promise, and what each does; those with weights have files of their own."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Phantoms

from polyp_aug.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, encode_rle, read_coco
from polyp_aug.compositing import feather_width, touched_box
from polyp_aug.errors import ConfigurationError, SynthesisError
from polyp_aug.geometry import Region, box_iou
from polyp_aug.images import list_images, read_image, write_png
from polyp_aug.keys import Key
from polyp_aug.proposers.random import RandomProposer
from polyp_aug.references import ReferenceBank
from polyp_aug.scene import Job, Painted, Rejection
from polyp_aug.synthesizers.base import Synthesizer
from polyp_aug.synthesizers.registry import REFERENCE_SYNTHESIZERS, load_synthesizer
from polyp_aug.synthesizers.transplant import LIGHT_RANGE, blend_gradients, match_light


@pytest.fixture(scope="module")
def bank(phantoms: Phantoms) -> ReferenceBank:
    return ReferenceBank(read_coco(phantoms.references))


@pytest.fixture(params=sorted(REFERENCE_SYNTHESIZERS))
def synthesizer(request: pytest.FixtureRequest, bank: ReferenceBank) -> Synthesizer:
    return load_synthesizer(request.param, references=bank)


@pytest.fixture(scope="module")
def jobs(phantoms: Phantoms) -> list[Job]:
    found = []
    for number, path in enumerate(list_images(phantoms.backgrounds)):
        image = read_image(path)
        image.setflags(write=False)
        for placement in RandomProposer().propose(image, 1, Key(1, path.name)):
            feather = feather_width(placement.region, 0.06)
            found.append(Job(image, placement.region, "Polyp", feather, Key(2, path.name, draw=number)))
    assert len(found) >= 5
    return found


def test_a_result_for_every_job_of_its_size(synthesizer: Synthesizer, jobs: list[Job]) -> None:
    results = synthesizer.paint(jobs)
    assert len(results) == len(jobs)
    painted = [result for result in results if isinstance(result, Painted)]
    assert len(painted) >= len(jobs) - 1
    for job, result in zip(jobs, results, strict=True):
        if isinstance(result, Painted):
            assert result.image.shape == job.image.shape
            assert result.image.dtype == np.uint8
            assert not np.shares_memory(result.image, job.image)


def test_what_is_painted_fills_the_place_and_stays_in_it(synthesizer: Synthesizer, jobs: list[Job]) -> None:
    for job, result in zip(jobs, synthesizer.paint(jobs), strict=True):
        if isinstance(result, Painted):
            assert result.region is not None
            x, y, w, h = job.region.box
            left, top, width, height = result.region.box
            assert left >= x - 1
            assert top >= y - 1
            assert left + width <= x + w + 1
            assert top + height <= y + h + 1
            assert width >= w - 2 or height >= h - 2
            assert width * height >= 0.5 * w * h


def test_a_result_depends_on_its_job_alone(synthesizer: Synthesizer, jobs: list[Job]) -> None:
    together = synthesizer.paint(jobs)
    for number in reversed(range(len(jobs))):
        alone = synthesizer.paint([jobs[number]])[0]
        assert type(alone) is type(together[number])
        if isinstance(alone, Painted):
            np.testing.assert_array_equal(alone.image, together[number].image)
            assert alone.details == together[number].details


def test_another_key_paints_another_polyp(synthesizer: Synthesizer, jobs: list[Job]) -> None:
    again = [Job(job.image, job.region, "Polyp", job.feather, Key(seed, "x")) for job in jobs for seed in range(4)]
    painted = [result.image.tobytes() for result in synthesizer.paint(again) if isinstance(result, Painted)]
    assert len(set(painted)) == len(painted) >= 2 * len(jobs)


def test_a_job_s_own_reference_is_taken(synthesizer: Synthesizer, jobs: list[Job], bank: ReferenceBank) -> None:
    job = jobs[0]
    usable = next(polyp for polyp in bank.polyps if is_whole(bank, polyp.id))
    region = usable.region().shifted(60 - usable.region().x, 60 - usable.region().y)
    result = synthesizer.paint([Job(job.image, region, "Polyp", 3, job.key, usable.id)])[0]
    assert isinstance(result, Painted)
    assert result.details["reference"] == usable.id
    assert result.details["rotation_degrees"] == 0
    assert result.region is not None
    assert box_iou(result.region.box, region.box) > 0.9


def is_whole(bank: ReferenceBank, polyp_id: str) -> bool:
    try:
        bank.cut_out(bank.get(polyp_id))
    except SynthesisError:
        return False
    return True


def test_an_unknown_name_and_missing_references_are_named() -> None:
    with pytest.raises(
        ConfigurationError, match=r"one of copy_paste, polyp_gen, transplant, or a folder.* \(got 'x'\)"
    ):
        load_synthesizer("x")
    with pytest.raises(ConfigurationError, match="give it a reference data set"):
        load_synthesizer("transplant")


def test_copy_paste_moves_pixels_as_they_are(bank: ReferenceBank, jobs: list[Job]) -> None:
    synthesizer = load_synthesizer("copy_paste", references=bank)
    polyp = next(polyp for polyp in bank.polyps if is_whole(bank, polyp.id))
    region = polyp.region()
    cut = bank.cut_out(polyp)
    result = synthesizer.paint([Job(jobs[0].image, region, "Polyp", 0, Key(1, "x"), polyp.id)])[0]
    assert isinstance(result, Painted)
    height, width = cut.image.shape[:2]
    original = cut.image[cut.region.to_mask(height, width)].astype(int)
    moved = result.image[region.to_mask(*jobs[0].image.shape[:2])].astype(int)
    assert np.abs(original - moved).mean() < 4


@pytest.mark.parametrize("light", [(0.6, 0.55, 0.5), (1.15, 1.1, 1.2)], ids=["darker", "brighter"])
def test_a_transplant_takes_on_the_light_of_its_place(light: tuple[float, float, float], bank: ReferenceBank) -> None:
    """Put back into its own frame under another light, a polyp should look as the light alone would make it."""
    errors: dict[str, list[float]] = {"copy_paste": [], "transplant": []}
    for polyp in [polyp for polyp in bank.polyps if is_whole(bank, polyp.id)][:6]:
        frame = np.clip(read_image(polyp.path) * np.array(light), 0, 255).astype(np.uint8)
        region = polyp.region()
        inside = region.to_mask(*frame.shape[:2])
        for name, found in errors.items():
            job = Job(frame, region, "Polyp", 3, Key(1, "x"), polyp.id)
            result = load_synthesizer(name, references=bank).paint([job])[0]
            if isinstance(result, Painted):
                found.append(float(np.abs(result.image[inside].astype(int) - frame[inside]).mean()))
    assert min(len(found) for found in errors.values()) >= 4
    assert np.mean(errors["transplant"]) < 0.35 * np.mean(errors["copy_paste"])


def near(mask: np.ndarray, reach: int) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0


def test_light_is_matched_by_a_known_gain_and_gradient() -> None:
    rng = np.random.default_rng(0)
    source = rng.integers(60, 120, (80, 90, 3)).astype(np.uint8)
    across = np.linspace(-0.2, 0.2, 90)[None, :, None]
    gain = np.exp(across) * np.array([1.05, 1.0, 0.95])
    target = np.clip(source * gain, 0, 255).astype(np.uint8)
    ring = np.zeros((80, 90), bool)
    ring[5:75, 5:85] = True
    ring[20:60, 20:70] = False
    matched = match_light(source, target, ring)
    assert np.abs(matched[20:60, 20:70].astype(int) - target[20:60, 20:70]).mean() < 1.5


def test_light_is_not_changed_beyond_its_range() -> None:
    source = np.full((40, 40, 3), 40, np.uint8)
    target = np.full((40, 40, 3), 200, np.uint8)
    matched = match_light(source, target, np.ones((40, 40), bool))
    assert matched.max() <= np.ceil(40 * LIGHT_RANGE[1])


@pytest.mark.parametrize(
    ("polyp", "frame", "reason"),
    [
        ((225, 125, 98), (215, 195, 180), "would be over-exposed"),
        ((170, 90, 105), (150, 100, 90), "times as blue as green"),
    ],
)
def test_a_polyp_that_turns_into_a_lamp_or_a_plum_is_refused(
    polyp: tuple[int, int, int], frame: tuple[int, int, int], reason: str, tmp_path: Path
) -> None:
    image, region = ball()
    image[region.to_mask(100, 120)] = polyp
    bank = make_bank(tmp_path, image, region)
    job = Job(np.full((100, 120, 3), frame, np.uint8), region, "Polyp", 1, Key(1, "x"))
    result = load_synthesizer("transplant", references=bank).paint([job])[0]
    assert isinstance(result, Rejection)
    assert reason in result.reason


def test_a_ring_without_mucosa_is_refused() -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(SynthesisError, match="only 0 pixels of mucosa"):
        match_light(picture, picture, np.zeros((20, 20), bool))


def test_gradient_blending_keeps_the_outside_and_joins_the_edge() -> None:
    rng = np.random.default_rng(1)
    target = np.full((60, 70, 3), (180, 90, 70), np.uint8)
    source = (rng.integers(0, 20, (60, 70, 3)) + 60).astype(np.uint8)
    mask = np.zeros((60, 70), bool)
    mask[15:45, 20:50] = True
    blended = blend_gradients(source, target, mask)
    np.testing.assert_array_equal(blended[~near(mask, 4)], target[~near(mask, 4)])
    assert np.abs(blended[20:40, 25:45].mean(axis=(0, 1)) - target[0, 0]).max() < 12
    inner = blended[20:40, 25:45].astype(float)
    expected = source[20:40, 25:45].astype(float)
    for channel in range(3):
        assert np.corrcoef(inner[:, :, channel].ravel(), expected[:, :, channel].ravel())[0, 1] > 0.9


def test_blending_too_small_a_mask_returns_the_source() -> None:
    picture = np.zeros((5, 5, 3), np.uint8)
    assert blend_gradients(picture, picture + 9, np.zeros((5, 5), bool)) is picture


def make_bank(tmp_path: Path, image: np.ndarray, region: Region, **changes: object) -> ReferenceBank:
    write_png(tmp_path / "a.png", image)
    height, width = image.shape[:2]
    x, y, w, h = region.box
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": (x, y, w, h), "area": float(region.area)}
    annotation |= {"segmentation": encode_rle(region, width, height)} | changes
    return ReferenceBank(
        CocoDataset(
            tmp_path,
            (CocoImage(1, "a.png", width, height),),
            (CocoAnnotation(**annotation),),  # type: ignore[arg-type]
            (CocoCategory(1, "polyp"),),
        )
    )


def ball(x: int = 60, y: int = 50, radius: int = 20, size: tuple[int, int] = (100, 120)) -> tuple[np.ndarray, Region]:
    rows, columns = np.mgrid[: size[0], : size[1]]
    mask = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    image = np.full((*size, 3), (170, 90, 70), np.uint8)
    image[mask] = (190, 100, 80)
    region = Region.from_mask(mask)
    assert region is not None
    return image, region


def test_a_sound_reference_can_be_cut_out(tmp_path: Path) -> None:
    image, region = ball()
    bank = make_bank(tmp_path, image, region)
    cut = bank.cut_out(bank.polyps[0])
    assert cut.region.area == region.area
    assert cut.surroundings == pytest.approx((170, 90, 70), abs=1)
    assert bank.cut_out(bank.polyps[0]) is cut


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"segmentation": None}, "1 without a mask"),
        ({"iscrowd": 1}, "1 marked as a crowd"),
        ({"bbox": (50, 40, 10, 10)}, "1 with a side under 16 px"),
        ({"bbox": (5, 5, 110, 90)}, "1 larger than 60% of the frame"),
        ({"bbox": (0, 30, 41, 41)}, "1 cut off by the frame's border"),
    ],
)
def test_polyps_that_can_not_serve_are_counted_by_reason(
    changes: dict[str, object], reason: str, tmp_path: Path
) -> None:
    image, region = ball()
    with pytest.raises(ConfigurationError, match=reason):
        make_bank(tmp_path, image, region, **changes)


def black_box(image: np.ndarray) -> None:
    image[60:, :50] = 0


def lumen(image: np.ndarray) -> None:
    image[:48] = (50, 20, 15)
    ball_image, region = ball()
    image[region.to_mask(100, 120)] = ball_image[region.to_mask(100, 120)]


def glare(image: np.ndarray) -> None:
    image[40:60, 50:70] = 250


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(black_box, "black box cuts it off"), (lumen, "before the lumen"), (glare, "over-exposed")],
    ids=["black box", "lumen", "glare"],
)
def test_spoiled_references_are_refused(spoil: object, reason: str, tmp_path: Path) -> None:
    image, region = ball()
    spoil(image)  # type: ignore[operator]
    bank = make_bank(tmp_path, image, region)
    for _ in range(2):
        with pytest.raises(SynthesisError, match=reason):
            bank.cut_out(bank.polyps[0])
    job = Job(ball()[0], region, "Polyp", 2, Key(1, "x"))
    result = load_synthesizer("transplant", references=bank).paint([job])[0]
    assert isinstance(result, Rejection)
    assert reason in result.reason


def test_a_missing_picture_and_another_size_are_named_without_machine_paths(tmp_path: Path) -> None:
    image, region = ball()
    bank = make_bank(tmp_path, image, region)
    (tmp_path / "a.png").unlink()
    with pytest.raises(SynthesisError, match=r"^reference a\.png#1: can't be opened \(No such file or directory\)$"):
        bank.cut_out(bank.polyps[0])
    bank = make_bank(tmp_path, image, region)
    write_png(tmp_path / "a.png", image[:, :100])
    with pytest.raises(SynthesisError, match="the picture has 100×100 pixels, its record says 120×100"):
        bank.cut_out(bank.polyps[0])


def test_an_unknown_reference_is_named(bank: ReferenceBank) -> None:
    with pytest.raises(ConfigurationError, match="no reference polyp has the id 'x'"):
        bank.get("x")


def test_the_cache_keeps_within_its_bytes(phantoms: Phantoms) -> None:
    bank = ReferenceBank(read_coco(phantoms.references), cache_bytes=1)
    whole = [polyp for polyp in bank.polyps if is_whole(bank, polyp.id)]
    first = bank.cut_out(whole[0])
    bank.cut_out(whole[1])
    again = bank.cut_out(whole[0])
    assert again is not first
    np.testing.assert_array_equal(again.image, first.image)


def test_pixels_outside_of_the_touched_box_are_the_frame_s(synthesizer: Synthesizer, jobs: list[Job]) -> None:
    for job, result in zip(jobs, synthesizer.paint(jobs), strict=True):
        if isinstance(result, Painted):
            height, width = job.image.shape[:2]
            ring = max(job.feather + 7, round(0.2 * job.region.equivalent_diameter))
            x, y, w, h = touched_box(job.region, ring, width, height)
            outside = np.ones((height, width), bool)
            outside[y : y + h, x : x + w] = False
            np.testing.assert_array_equal(result.image[outside], job.image[outside])
