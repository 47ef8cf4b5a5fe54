"""COCO's average precision of boxes: over ten overlaps, at 0.5 and 0.75, and by size of the object.

faster-coco-eval computes it, which agrees with pycocotools. A set in which nothing is detected scores 0; a size of
which there is no object has no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polyp_aug.coco import CocoDataset
from polyp_aug.evaluation.recall import Detections
from polyp_aug.optional import require

#: Score → its place in COCO's summary. Small is below 32² pixels, large from 96² on.
SCORES = {"AP": 0, "AP50": 1, "AP75": 2, "AP_small": 3, "AP_medium": 4, "AP_large": 5}


def coco_scores(dataset: CocoDataset, detections: Sequence[Detections]) -> dict[str, float | None]:
    """The scores of `SCORES`; classes are not told apart.

    Args:
        dataset: frames and objects.
        detections: of each frame of `dataset.images`, in their order.

    Raises:
        MissingDependencyError: faster-coco-eval is not installed.
    """
    library = require("faster_coco_eval", "evaluate")
    truth = library.COCO(_truth(dataset))
    results = [
        {"image_id": image.id, "category_id": 1, "bbox": box.tolist(), "score": float(score)}
        for image, found in zip(dataset.images, detections, strict=True)
        for box, score in zip(found.boxes, found.scores, strict=True)
    ]
    if not results:
        areas = np.array([item.area for item in dataset.annotations if not item.iscrowd])
        there = [areas.size, areas.size, areas.size, *(np.count_nonzero(part) for part in _sizes(areas))]
        return {name: 0.0 if number else None for name, number in zip(SCORES, there, strict=True)}
    evaluation = library.COCOeval_faster(truth, truth.loadRes(results), "bbox", print_function=lambda *_: None)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return {
        name: None if evaluation.stats[place] < 0 else float(evaluation.stats[place]) for name, place in SCORES.items()
    }


def _truth(dataset: CocoDataset) -> dict[str, Any]:
    return {
        "images": [{"id": image.id, "width": image.width, "height": image.height} for image in dataset.images],
        "annotations": [
            {
                "id": number,
                "image_id": item.image_id,
                "category_id": 1,
                "bbox": list(item.bbox),
                "area": item.area,
                "iscrowd": int(item.iscrowd),
            }
            for number, item in enumerate(dataset.annotations, start=1)
        ],
        "categories": [{"id": 1, "name": "polyp"}],
    }


def _sizes(areas: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return areas < 32**2, (areas >= 32**2) & (areas < 96**2), areas >= 96**2
