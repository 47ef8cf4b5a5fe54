"""How many facts of captions keep their value when frames are made smaller: the table in docs/captions.md.

Usage: measure_caption_resolution.py DATA [--sides 256 128 64]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from polyp_aug.captions.attributes import BACKGROUND, FOREGROUND
from polyp_aug.captions.facts import FrameFacts, measure_frame
from polyp_aug.coco import decode_segmentation, read_coco, resolve_image
from polyp_aug.errors import ConfigurationError
from polyp_aug.images import ImageArray, MaskArray, read_image


def values(facts: FrameFacts) -> dict[str, list[str]]:
    """Attribute → its values, of all polyps or of the background."""
    found = {name: [polyp.values()[name] for polyp in facts.polyps] for name in FOREGROUND}
    return found | {name: [facts.background.values()[name]] for name in BACKGROUND}


def reduced(image: ImageArray, masks: list[MaskArray], side: int) -> FrameFacts:
    """The facts of a frame whose longer side has so many pixels."""
    scale = side / max(image.shape[:2])
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    shares = [cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) for mask in masks]
    return measure_frame(small, [np.asarray(share >= 0.5) for share in shares])


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 128, 64])
    options = parser.parse_args()
    dataset = read_coco(options.data)
    names = [*FOREGROUND, *BACKGROUND]
    same: dict[int, dict[str, list[bool]]] = {side: {name: [] for name in names} for side in options.sides}
    for image in dataset.images:
        picture = read_image(resolve_image(dataset.image_root, image.file_name))
        polyps = dataset.by_image()[image.id]
        masks = [decode_segmentation(item.segmentation, image.width, image.height) for item in polyps]
        whole = values(measure_frame(picture, masks))
        for side in options.sides:
            try:
                found = values(reduced(picture, masks, side))
            except ConfigurationError:
                continue  # A polyp without a pixel left.
            for name in names:
                same[side][name] += [one == other for one, other in zip(whole[name], found[name], strict=True)]
    sys.stdout.write(f"| longer side | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}\n")
    for side, counts in same.items():
        sys.stdout.write(f"| {side} | {' | '.join(f'{np.mean(counts[name]):.0%}' for name in names)} |\n")


if __name__ == "__main__":
    main()
