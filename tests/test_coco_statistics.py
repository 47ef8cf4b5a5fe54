from __future__ import annotations

import json
from pathlib import Path

from polyp_aug.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, CocoLicense, dataset_statistics


def test_numbers_of_a_data_set() -> None:
    images = (
        CocoImage(1, "a.png", 200, 200, 4, {"split": "train", "dataset": "d"}),
        CocoImage(2, "b.png", 200, 200, None, {"split": "train"}),
        CocoImage(3, "c.png", 400, 100, 4, {"split": "val"}),
    )
    annotations = (
        CocoAnnotation(1, 1, 1, (0, 0, 20, 20), 400),
        CocoAnnotation(2, 1, 1, (0, 0, 40, 40), 1024, [[0, 0, 40, 0, 40, 40]]),
        CocoAnnotation(3, 3, 2, (0, 0, 200, 50), 9216, iscrowd=1),
    )
    categories = (CocoCategory(1, "polyp"), CocoCategory(2, "adenoma"), CocoCategory(3, "serrated"))
    result = dataset_statistics(CocoDataset(Path("x"), images, annotations, categories, (CocoLicense(4, "CC BY 4.0"),)))
    assert json.loads(json.dumps(result)) == {
        "images": 3,
        "annotations": 3,
        "images_without_annotations": 1,
        "crowd_annotations": 1,
        "annotations_with_mask": 1,
        "categories": {"polyp": 2, "adenoma": 1, "serrated": 0},
        "splits": {"train": 2, "val": 1},
        "datasets": {"": 2, "d": 1},
        "licenses": {"": 1, "CC BY 4.0": 2},
        "objects_per_image": {"0": 1, "1": 1, "2": 1},
        "box_size": {"0": 0.1, "0.05": 0.11, "0.25": 0.15, "0.5": 0.2, "0.75": 0.35, "0.95": 0.47, "1": 0.5},
        "aspect_ratio": {"0": 1.0, "0.05": 1.0, "0.25": 1.0, "0.5": 1.0, "0.75": 2.5, "0.95": 3.7, "1": 4.0},
        "size_classes": {"small": 1, "medium": 1, "large": 1},
    }


def test_an_empty_data_set() -> None:
    result = dataset_statistics(CocoDataset(Path("x"), (), (), ()))
    assert result["images"] == result["annotations"] == result["images_without_annotations"] == 0
    assert set(result["box_size"].values()) == {None}
    json.dumps(result, allow_nan=False)


def test_every_public_name_is_listed_in_order() -> None:
    import polyp_aug.coco

    assert polyp_aug.coco.__all__ == sorted(polyp_aug.coco.__all__)
    assert all(hasattr(polyp_aug.coco, name) for name in polyp_aug.coco.__all__)
