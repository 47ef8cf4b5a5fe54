"""`PolypSynthesis` in Albumentations: every target, box format, dtype and label; serialized, replayed, in workers."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import albumentations
import numpy as np
import pytest
import torch
from conftest import Phantoms
from runs import config
from torch.utils.data import DataLoader, Dataset

from polyp_aug.coco import read_coco, resolve_image
from polyp_aug.errors import ConfigurationError, MissingDependencyError
from polyp_aug.generation.generate import generate
from polyp_aug.images import read_image
from polyp_aug.integrations import albumentations as module
from polyp_aug.integrations.albumentations import PolypSynthesis
from polyp_aug.pool import Pool, ensure_pool

FORMATS = ("coco", "pascal_voc", "yolo", "albumentations")


@pytest.fixture(scope="module")
def run(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three samples of each of six polyp-free frames and ten with polyps."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    generate(config(phantoms, per_image=3, polyps_per_image=(1, 1)), folder)
    return folder


@pytest.fixture(scope="module")
def busy_run(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three samples of each of ten frames with polyps."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    generate(config(phantoms, backgrounds=phantoms.references, per_image=3, polyps_per_image=(1, 1)), folder)
    return folder


@pytest.fixture(scope="module")
def empty(run: Path, phantoms: Phantoms) -> np.ndarray[Any, Any]:
    """A frame without polyps that the pool knows."""
    pool = Pool(ensure_pool(run))
    frames = [read_image(path) for path in sorted(phantoms.backgrounds.iterdir())]
    image = next(frame for frame in frames if len(pool.variants_of("", frame)) == 3)
    image.setflags(write=False)
    return image


@pytest.fixture(scope="module")
def busy(busy_run: Path, phantoms: Phantoms) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A frame with polyps that the pool knows, and their boxes, float64 (N, 4), xyxy in pixels."""
    pool, dataset = Pool(ensure_pool(busy_run)), read_coco(phantoms.references)
    for image in dataset.images:
        frame = read_image(resolve_image(dataset.image_root, image.file_name))
        if pool.variants_of("", frame):
            boxes = np.array([item.bbox for item in dataset.by_image()[image.id]])
            boxes[:, 2:] += boxes[:, :2]
            frame.setflags(write=False)
            return frame, boxes
    raise AssertionError("no frame")


def always(run: Path, **settings: Any) -> PolypSynthesis:
    return PolypSynthesis(str(run), p=1.0, **settings)


def in_format(boxes: np.ndarray[Any, Any], name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Boxes xyxy in pixels in one of Albumentations' formats."""
    scale = np.array([shape[1], shape[0]] * 2, dtype=np.float64)
    if name == "pascal_voc":
        return boxes
    if name == "albumentations":
        return boxes / scale
    sides = boxes[:, 2:] - boxes[:, :2]
    if name == "coco":
        return np.hstack([boxes[:, :2], sides])
    return np.hstack([boxes[:, :2] + sides / 2, sides]) / scale


def from_format(boxes: Any, name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """The reverse, of the first four columns."""
    found = np.asarray(boxes, dtype=np.float64).reshape(len(boxes), -1)[:, :4]
    scale = np.array([shape[1], shape[0]] * 2, dtype=np.float64)
    if name in ("yolo", "albumentations"):
        found = found * scale
    if name in ("coco", "yolo"):
        corner = found[:, :2] - (found[:, 2:] / 2 if name == "yolo" else 0)
        found = np.hstack([corner, corner + found[:, 2:]])
    return found


def convert(image: np.ndarray[Any, Any], kind: str) -> np.ndarray[Any, Any]:
    return image if kind == "uint8" else image.astype(np.float32) / 255


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_a_frame_gets_what_was_painted(run: Path, empty: np.ndarray[Any, Any], kind: str) -> None:
    given = convert(empty, kind)
    before = given.copy()
    found = always(run)(image=given)["image"]
    np.testing.assert_array_equal(given, before)
    assert (found.dtype, found.shape) == (given.dtype, given.shape)
    pool = Pool(ensure_pool(run))
    fits = []
    for variant in pool.variants_of("", empty):
        x, y, w, h = variant.box
        expected = empty.copy()
        expected[y : y + h, x : x + w] = pool.picture(variant)
        fits.append(np.array_equal(convert(expected, kind), found))
    assert fits.count(True) == 1


@pytest.mark.parametrize("labels", ["none", "ints", "int64", "floats", "strings", "array of strings", "fifth column"])
@pytest.mark.parametrize("sequence", [list, np.array])
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("there", [True, False])
def test_boxes_and_labels_of_every_kind(
    run: Path,
    busy_run: Path,
    empty: np.ndarray[Any, Any],
    busy: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]],
    labels: str,
    sequence: Callable[[Any], Any],
    name: str,
    there: bool,
) -> None:
    """In a fresh Compose each: the first call is the one that fails on frames without boxes elsewhere."""
    image, pixels = busy if there else (empty, np.empty((0, 4)))
    given = in_format(pixels, name, image.shape)
    count = len(given)
    values: dict[str, tuple[Any, Any]] = {
        "ints": ([3] * count, 7),
        "int64": (np.full(count, 3, dtype=np.int64), 7),
        "floats": ([0.5] * count, 2.5),
        "strings": (["adenoma"] * count, "polyp"),
        "array of strings": (np.array(["adenoma"] * count, dtype="<U10"), "polyp"),
    }
    fields, label = values.get(labels, (None, 5))
    if labels == "fifth column":
        given = np.hstack([given, np.full((count, 1), 3.0)])
    boxes: Any = given.astype(np.float32) if sequence is np.array else given.tolist()
    if labels == "fifth column" and not there:
        # An empty list doesn't say how many columns it has.
        sequence, boxes = np.array, given.astype(np.float32)
    parameters = albumentations.BboxParams(format=name, label_fields=["labels"] if fields is not None else None)
    transform = albumentations.Compose([always(busy_run if there else run, label=label)], bbox_params=parameters)
    more = {} if fields is None else {"labels": fields}
    found = transform(image=image, bboxes=boxes, **more)
    assert len(found["bboxes"]) == count + 1
    assert isinstance(found["bboxes"], list if sequence is list else np.ndarray)
    corners = from_format(found["bboxes"], name, image.shape)
    np.testing.assert_allclose(corners[:count], pixels, atol=0.01)
    x, y, right, bottom = corners[-1]
    changed = np.abs(found["image"].astype(int) - image).sum(axis=2) > 0
    rows, columns = np.nonzero(changed)
    assert changed[int(y) : int(bottom), int(x) : int(right)].mean() > 0.3
    assert rows.min() >= y - 30
    assert columns.max() <= right + 30
    if labels == "fifth column":
        assert [row[4] for row in found["bboxes"]] == [3.0] * count + [5.0]
    if fields is None:
        return
    new, old = found["labels"][-1], list(found["labels"][:-1])
    assert old == list(fields)
    assert new == label
    assert isinstance(found["labels"], type(fields))
    if labels == "ints":
        assert all(type(item) is int for item in found["labels"])
    if labels == "int64":
        assert found["labels"].dtype == np.int64


def test_labels_of_several_fields(run: Path, empty: np.ndarray[Any, Any]) -> None:
    parameters = albumentations.BboxParams(format="coco", label_fields=["kind", "size"])
    transform = albumentations.Compose([always(run, label={"kind": "polyp", "size": 2})], bbox_params=parameters)
    found = transform(image=empty, bboxes=[], kind=[], size=[])
    assert (found["kind"], found["size"]) == (["polyp"], [2])
    wrong = albumentations.Compose([always(run, label={"kind": "polyp"})], bbox_params=parameters)
    with pytest.raises(ConfigurationError, match="no value for the label field 'size'"):
        wrong(image=empty, bboxes=[], kind=[], size=[])


def test_one_compose_for_frames_with_and_without_boxes(
    busy_run: Path, run: Path, busy: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]], empty: np.ndarray[Any, Any]
) -> None:
    parameters = albumentations.BboxParams(format="pascal_voc", label_fields=["labels"])
    for first, second in ((run, busy_run), (busy_run, run)):
        both = albumentations.Compose([always(first, label=1), always(second, label=1)], bbox_params=parameters)
        frames = [(empty, np.empty((0, 4))), (busy[0], busy[1])]
        for image, boxes in (*frames, *frames[::-1], *frames):
            found = both(image=image, bboxes=boxes, labels=[4] * len(boxes))
            assert found["labels"] == [4] * len(boxes) + [1]
            assert len(found["bboxes"]) == len(boxes) + 1


@pytest.mark.parametrize("kind", [np.uint8, np.float32, bool])
def test_masks_follow_the_boxes(
    busy_run: Path, busy: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]], kind: Any
) -> None:
    image, boxes = busy
    height, width = image.shape[:2]
    masks = np.zeros((len(boxes), height, width), kind)
    for mask, (x, y, right, bottom) in zip(masks, boxes.round().astype(int), strict=True):
        mask[y:bottom, x:right] = 1
    before = masks.copy()
    transform = albumentations.Compose([always(busy_run)], bbox_params=albumentations.BboxParams(format="pascal_voc"))
    semantic = masks.any(axis=0).astype(np.int32) * 9
    for given in (masks, list(masks)):
        found = transform(image=image, bboxes=boxes, masks=given, mask=semantic)
        assert len(found["masks"]) == len(found["bboxes"]) == len(boxes) + 1
        assert isinstance(found["masks"], type(given))
        new = np.asarray(found["masks"][-1])
        assert new.dtype == masks.dtype
        rows, columns = np.nonzero(new)
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert np.abs(box - found["bboxes"][-1]).max() <= 1
        np.testing.assert_array_equal(masks, before)
        assert found["mask"].dtype == np.int32
        np.testing.assert_array_equal(found["mask"], np.where(new > 0, 1, semantic))


def test_an_empty_list_of_masks_is_filled(run: Path, empty: np.ndarray[Any, Any]) -> None:
    transform = albumentations.Compose([always(run)], bbox_params=albumentations.BboxParams(format="coco"))
    for masks in ([], np.empty((0, *empty.shape[:2]), np.uint8)):
        found = transform(image=empty, bboxes=np.empty((0, 4), np.float32), masks=masks)
        assert len(found["masks"]) == len(found["bboxes"]) == 1
        assert np.asarray(found["masks"][0]).shape == empty.shape[:2]
        assert np.asarray(found["masks"][0]).any()
    plain = always(run)(image=empty, mask=np.zeros(empty.shape[:2], np.uint8))
    assert set(np.unique(plain["mask"])) == {0, 1}


def test_keypoints_stay(run: Path, empty: np.ndarray[Any, Any]) -> None:
    points = np.array([[10.0, 20.0], [100.5, 90.0]], np.float32)
    transform = albumentations.Compose(
        [always(run)], keypoint_params=albumentations.KeypointParams(format="xy", remove_invisible=True)
    )
    found = transform(image=empty, keypoints=points)
    np.testing.assert_allclose(found["keypoints"], points, atol=1e-4)
    assert (found["image"] != empty).any()


def test_without_probability_it_is_the_identity(run: Path, empty: np.ndarray[Any, Any]) -> None:
    found = PolypSynthesis(str(run), p=0.0)(image=empty)
    assert found["image"] is empty
    states = [np.array_equal(PolypSynthesis(str(run), p=0.3)(image=empty)["image"], empty) for _ in range(1)]
    transform = PolypSynthesis(str(run), p=0.3)
    transform.set_random_seed(0)
    states = [np.array_equal(transform(image=empty)["image"], empty) for _ in range(300)]
    assert 0.6 < np.mean(states) < 0.8
    assert not np.array_equal(PolypSynthesis(str(run), p=0.01)(image=empty, force_apply=True)["image"], empty)


def test_seeds_repeat(run: Path, empty: np.ndarray[Any, Any]) -> None:
    def draws(transform: Any) -> list[int]:
        return [int(transform(image=empty)["image"].astype(np.int64).sum()) for _ in range(8)]

    first, second = (albumentations.Compose([PolypSynthesis(str(run), p=0.8)], seed=5) for _ in range(2))
    assert draws(first) == draws(second)
    assert draws(albumentations.Compose([PolypSynthesis(str(run), p=0.8)], seed=6)) != draws(
        albumentations.Compose([PolypSynthesis(str(run), p=0.8)], seed=5)
    )
    alone = PolypSynthesis(str(run), p=0.8)
    alone.set_random_seed(3)
    expected = draws(alone)
    alone.set_random_seed(3)
    assert draws(alone) == expected
    assert len(set(expected)) > 2


class Repeated(Dataset[int]):
    """One frame again and again, through a transform."""

    def __init__(self, image: np.ndarray[Any, Any], transform: Any) -> None:
        self.image, self.transform = image, transform

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> int:
        return int(self.transform(image=self.image)["image"].astype(np.int64).sum())


@pytest.mark.slow
@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_and_epochs_differ_and_repeat(run: Path, empty: np.ndarray[Any, Any], persistent: bool) -> None:
    def epochs() -> list[list[int]]:
        torch.manual_seed(4)
        transform = albumentations.Compose([PolypSynthesis(str(run), p=0.7)], seed=1)
        loader = DataLoader(Repeated(empty, transform), batch_size=3, num_workers=2, persistent_workers=persistent)
        return [[int(value) for batch in loader for value in batch] for _ in range(3)]

    found = epochs()
    assert found == epochs()
    assert found[0] != found[1] != found[2]
    # Batches alternate between the workers.
    assert found[0][:3] + found[0][6:9] != found[0][3:6] + found[0][9:]


def test_it_is_serialized_and_replayed(run: Path, empty: np.ndarray[Any, Any]) -> None:
    transform = PolypSynthesis(str(run), p=1.0, size_range=(0.05, 0.9), label="polyp", existing="skip")
    again = albumentations.from_dict(albumentations.to_dict(transform))
    assert albumentations.to_dict(again) == albumentations.to_dict(transform)
    assert repr(again) == repr(transform)
    for part in (transform, again):
        part.set_random_seed(2)
    np.testing.assert_array_equal(again(image=empty)["image"], transform(image=empty)["image"])
    copy = pickle.loads(pickle.dumps(transform))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(copy(image=empty)["image"], transform(image=empty)["image"])
    parameters = {"format": "coco", "label_fields": ["labels"]}
    recorded = albumentations.ReplayCompose([always(run, label=3)], bbox_params=parameters)
    first = recorded(image=empty, bboxes=[], labels=[])
    replayed = albumentations.ReplayCompose.replay(first["replay"], image=empty, bboxes=[], labels=[])
    np.testing.assert_array_equal(replayed["image"], first["image"])
    np.testing.assert_array_equal(replayed["bboxes"], first["bboxes"])
    assert replayed["labels"] == first["labels"] == [3]


def test_it_stands_among_others(run: Path, empty: np.ndarray[Any, Any]) -> None:
    transform = albumentations.Compose(
        [
            albumentations.OneOf([always(run)], p=1.0),
            albumentations.HorizontalFlip(p=1.0),
            albumentations.RandomResizedCrop((128, 128), scale=(0.5, 1.0), p=1.0),
        ],
        bbox_params=albumentations.BboxParams(format="coco", label_fields=["labels"], min_visibility=0.3),
        seed=3,
    )
    counts = []
    for _ in range(20):
        found = transform(image=empty, bboxes=[], labels=[])
        assert found["image"].shape == (128, 128, 3)
        assert len(found["bboxes"]) == len(found["labels"])
        counts.append(len(found["bboxes"]))
    assert 1 in counts


def test_an_unknown_frame_is_painted_or_left(run: Path, empty: np.ndarray[Any, Any], phantoms: Phantoms) -> None:
    flipped = np.ascontiguousarray(empty[:, ::-1])
    assert always(run)(image=flipped)["image"] is flipped
    live = PolypSynthesis(synthesizer="transplant", references=str(phantoms.references), p=1.0)
    live.set_random_seed(1)
    assert any((live(image=flipped)["image"] != flipped).any() for _ in range(5))


def test_what_it_can_not_do_is_said(run: Path, empty: np.ndarray[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="'pool' or 'synthesizer' must be given"):
        PolypSynthesis()
    with pytest.raises(ConfigurationError, match="'size_range' must rise"):
        PolypSynthesis(str(run), size_range=(0.5, 0.1))
    with pytest.raises(ValueError, match="existing"):
        PolypSynthesis(str(run), existing="burn")  # type: ignore[arg-type]
    for image in (empty[:, :, 0], empty.astype(np.uint16)):
        with pytest.raises(ConfigurationError, match="expected RGB"):
            always(run)(image=image)
    monkeypatch.setattr(module.metadata, "version", lambda _: "2.1.0")
    with pytest.raises(MissingDependencyError, match=r"albumentationsx 2\.1\.0 is installed, which is AGPL"):
        module._refuse_successor()
