"""The text of a label file: a line `class cx cy w h` for each object, in shares of the frame's width and height."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from polyp_aug.coco import CocoAnnotation, CocoImage

# Less than 5e-9 of a pixel in frames of 6,000 pixels: whoever rounds to eight decimals of one gets whole pixels back.
_DECIMALS = 12


def label_text(image: CocoImage, annotations: Iterable[CocoAnnotation], classes: Mapping[int, int]) -> str:
    """The label file of an image; empty where it has no objects.

    Boxes are cut at the frame's border, from which COCO files may differ by rounding: trainers refuse shares above 1.

    Args:
        image: the image.
        annotations: its objects, without crowds.
        classes: category id → class number.
    """
    lines = []
    for annotation in annotations:
        x, y, w, h = annotation.bbox
        shares = (*_centre_and_size(x, w, image.width), *_centre_and_size(y, h, image.height))
        numbers = " ".join(_decimal(shares[number]) for number in (0, 2, 1, 3))
        lines.append(f"{classes[annotation.category_id]} {numbers}\n")
    return "".join(lines)


def _centre_and_size(start: float, length: float, side: int) -> tuple[float, float]:
    low, high = max(start, 0), min(start + length, side)
    return (low + high) / 2 / side, (high - low) / side


def _decimal(value: float) -> str:
    """Without an exponent and without zeros at the end."""
    return f"{value:.{_DECIMALS}f}".rstrip("0").rstrip(".")
