from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from polyp_aug.coco import (
    CocoAnnotation,
    CocoCategory,
    CocoDataset,
    CocoImage,
    CocoLicense,
    CocoWriter,
    annotation_record,
    encode_region,
    image_record,
    read_coco,
    write_coco,
)
from polyp_aug.errors import CocoError, StorageError
from polyp_aug.geometry import Region
from polyp_aug.images import write_png

SQUARE = Region(10, 5, np.ones((20, 30), bool))
RING = Region(40, 30, np.pad(np.zeros((6, 6), bool), 2, constant_values=True))


def dataset(root: Path) -> CocoDataset:
    """Two frames with three polyps (polygons, RLE, box alone) and one frame without any."""
    images = [CocoImage(n, f"frames/{n}.png", 80, 60, 1, {"split": "train", "group": f"p{n}"}) for n in (1, 2, 3)]
    rows = [(1, 1, SQUARE, True), (2, 1, RING, True), (3, 2, SQUARE, False)]
    annotations = [
        CocoAnnotation(
            id=number,
            image_id=image_id,
            category_id=1,
            bbox=region.box,
            area=region.area,
            segmentation=encode_region(region, 80, 60) if with_mask else None,
            extra={"synthetic": True},
        )
        for number, image_id, region, with_mask in rows
    ]
    licenses = (CocoLicense(1, "CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"),)
    categories = (CocoCategory(1, "polyp", "lesion"),)
    return CocoDataset(root, tuple(images), tuple(annotations), categories, licenses, {"year": 2024})


def test_what_was_written_is_read(tmp_path: Path) -> None:
    before = dataset(tmp_path)
    write_coco(before, tmp_path / "annotations.json")
    assert read_coco(tmp_path) == before


def test_the_same_bytes_whatever_the_order_of_keys_and_the_number_types(tmp_path: Path) -> None:
    plain = dataset(tmp_path)
    first = replace(
        plain.annotations[0],
        bbox=tuple(np.int64(value) for value in plain.annotations[0].bbox),
        extra={"z": np.float32(0.1), "a": np.arange(2), "f": np.bool_(True)},
    )
    second = replace(plain.annotations[0], extra={"f": True, "a": [0, 1], "z": 0.1})
    for name, annotation in (("first.json", first), ("second.json", second)):
        write_coco(replace(plain, annotations=(annotation,)), tmp_path / name)
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()
    record = json.loads((tmp_path / "first.json").read_text())["annotations"][0]
    assert list(record)[-3:] == ["a", "f", "z"]


def test_an_empty_data_set(tmp_path: Path) -> None:
    empty = CocoDataset(tmp_path, (), (), ())
    write_coco(empty, tmp_path / "annotations.json")
    assert read_coco(tmp_path / "annotations.json") == empty


def test_records() -> None:
    assert image_record(CocoImage(4, "é.png", 8, 6, extra={"split": "val", "group": "g"})) == {
        "id": 4,
        "file_name": "é.png",
        "width": 8,
        "height": 6,
        "group": "g",
        "split": "val",
    }
    record = annotation_record(CocoAnnotation(7, 4, 1, (0, 1, 2, 3), 6, iscrowd=1))
    assert record == {
        "id": 7,
        "image_id": 4,
        "category_id": 1,
        "bbox": [0, 1, 2, 3],
        "area": 6,
        "segmentation": [],
        "iscrowd": 1,
    }


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (CocoAnnotation(0, 1, 1, (0, 0, 2, 2), 4), "annotation 0: ids must be 1 or more"),
        (CocoAnnotation(3, 1, 1, (0, 0, float("nan"), 2), 4), "annotation 3: .*JSON"),
        (CocoAnnotation(3, 1, 1, (0, 0, 2, 2), np.float32("inf")), "annotation 3: .*JSON"),
        (CocoAnnotation(3, 1, 1, (0, 0, 2, 2), 4, extra={"x": {1, 2}}), "annotation 3: .*set"),
        (CocoAnnotation(3, 1, 1, (0, 0, 2, 2), 4, extra={"bbox": 1}), r"annotation 3: extra keys \['bbox'\]"),
    ],
)
def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path, annotation: CocoAnnotation, message: str) -> None:
    path = tmp_path / "annotations.json"
    path.write_text("old")
    with pytest.raises(CocoError, match=message):
        write_coco(replace(dataset(tmp_path), annotations=(annotation,)), path)
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("annotations.json", "old")]


def test_images_come_first(tmp_path: Path) -> None:
    source = dataset(tmp_path)
    with CocoWriter(tmp_path / "x.json", source.categories) as writer:
        writer.add_image(source.images[0])
        writer.add_annotation(source.annotations[0])
        with pytest.raises(CocoError, match="image 2 comes after"):
            writer.add_image(source.images[1])
    assert [image.id for image in read_coco(tmp_path / "x.json").images] == [1]


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"missing/x\.json: can't be written"):
        write_coco(dataset(tmp_path), tmp_path / "missing" / "x.json")


def test_a_header_that_is_no_json_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(CocoError, match="info"), CocoWriter(tmp_path / "x.json", (), (), {"year": {1}}):
        pass
    assert list(tmp_path.iterdir()) == []


# pycocotools' own decoding warns under NumPy 2.
def test_pycocotools_reads_it_and_a_perfect_detection_has_ap_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    source = dataset(tmp_path)
    source = replace(source, annotations=source.annotations[:2])
    write_coco(source, tmp_path / "annotations.json")
    truth = COCO(str(tmp_path / "annotations.json"))
    for annotation, region in zip(source.annotations, (SQUARE, RING), strict=True):
        decoded = truth.annToMask(truth.anns[annotation.id]).astype(bool)
        assert np.array_equal(decoded, region.to_mask(60, 80))
    detections = [
        {"image_id": entry.image_id, "category_id": 1, "bbox": list(entry.bbox), "score": 0.9}
        | {"segmentation": truth.annToRLE(truth.anns[entry.id])}
        for entry in source.annotations
    ]
    for kind in ("bbox", "segm"):
        found = truth.loadRes(detections)
        evaluation = COCOeval(truth, found, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert evaluation.stats[0] == pytest.approx(1.0)
    capsys.readouterr()


def test_mmdet_reads_it(tmp_path: Path) -> None:
    pytest.importorskip("mmdet")
    from mmdet.datasets import CocoDataset as MmdetCocoDataset

    source = dataset(tmp_path)
    write_coco(source, tmp_path / "annotations.json")
    (tmp_path / "frames").mkdir()
    for image in source.images:
        write_png(tmp_path / image.file_name, np.zeros((60, 80, 3), np.uint8))
    loaded = MmdetCocoDataset(
        ann_file=str(tmp_path / "annotations.json"),
        data_prefix={"img": str(tmp_path)},
        metainfo={"classes": ("polyp",)},
        test_mode=True,
    )
    rows = [loaded.get_data_info(index) for index in range(len(loaded))]
    assert [len(row["instances"]) for row in rows] == [2, 1, 0]
    assert rows[0]["instances"][0]["bbox"] == [10, 5, 40, 25]
    assert [isinstance(entry["mask"], list) for entry in rows[0]["instances"]] == [True, False]
