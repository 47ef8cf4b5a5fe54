"""What is in a data set, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from polyp_aug.coco.model import CocoDataset

#: COCO's size classes: upper limits of the area in square pixels.
SMALL_AREA = 32**2
MEDIUM_AREA = 96**2

#: Quantiles that are reported.
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def dataset_statistics(dataset: CocoDataset) -> dict[str, Any]:
    """Counts and distributions of a data set, in plain JSON types.

    Returns:
        A dictionary with these keys; a quantile is None where there is nothing to measure.

        * `images`, `annotations`, `images_without_annotations`, `crowd_annotations`, `annotations_with_mask`: counts
        * `categories`: category name → number of annotations, in the data set's order
        * `splits`, `datasets`, `licenses`: name → number of images, "" where unknown, in alphabetical order
        * `objects_per_image`: number of objects (as text) → number of images
        * `box_size`: quantiles of the square root of the box's share of the image's area, 0 to 1
        * `aspect_ratio`: quantiles of the box's width divided by its height
        * `size_classes`: COCO's small, medium and large, by area
    """
    images = {image.id: image for image in dataset.images}
    per_image = Counter(annotation.image_id for annotation in dataset.annotations)
    objects = Counter(per_image[image_id] for image_id in images)
    per_category = Counter(annotation.category_id for annotation in dataset.annotations)
    licenses = {entry.id: entry.name for entry in dataset.licenses}
    sizes = np.array(
        [
            (entry.bbox[2], entry.bbox[3], images[entry.image_id].width * images[entry.image_id].height, entry.area)
            for entry in dataset.annotations
        ],
        dtype=np.float64,
    ).reshape(-1, 4)
    width, height, frame, area = sizes.T
    return {
        "images": len(images),
        "annotations": len(dataset.annotations),
        "images_without_annotations": objects[0],
        "crowd_annotations": sum(entry.iscrowd for entry in dataset.annotations),
        "annotations_with_mask": sum(entry.segmentation is not None for entry in dataset.annotations),
        "categories": _category_counts(dataset, per_category),
        "splits": _counts(str(image.extra.get("split", "")) for image in dataset.images),
        "datasets": _counts(str(image.extra.get("dataset", "")) for image in dataset.images),
        "licenses": _counts("" if image.license is None else licenses[image.license] for image in dataset.images),
        "objects_per_image": {str(number): objects[number] for number in sorted(objects)},
        "box_size": _quantiles(np.sqrt(width * height / frame)),
        "aspect_ratio": _quantiles(width / height),
        "size_classes": {
            "small": int(np.count_nonzero(area < SMALL_AREA)),
            "medium": int(np.count_nonzero((area >= SMALL_AREA) & (area < MEDIUM_AREA))),
            "large": int(np.count_nonzero(area >= MEDIUM_AREA)),
        },
    }


def _category_counts(dataset: CocoDataset, per_category: Counter[int]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for category in dataset.categories:
        counts[category.name] = counts.get(category.name, 0) + per_category[category.id]
    return counts


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _quantiles(values: npt.NDArray[np.float64]) -> dict[str, float | None]:
    found = np.quantile(values, QUANTILES).round(4).tolist() if values.size else [None] * len(QUANTILES)
    return {f"{quantile:g}": value for quantile, value in zip(QUANTILES, found, strict=True)}
