"""Makes the control of `polyp-aug evaluate placement`: polyp-free frames with a box where nothing ever was.

    make_placement_control.py NORMAL OUT [--count 100] [--seed 77]

NORMAL is a folder with `annotations.json` and `images/`, frames without polyps. Of every second frame one place is
drawn by the proposer `random`. `polyp-aug remove --data OUT/annotations.json --data-images NORMAL/images` repaints
these; a proposer that finds them more often than `random` does recognises what was repainted.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from polyp_aug.coco import CocoAnnotation, CocoCategory, read_coco, resolve_image, write_coco
from polyp_aug.images import read_image
from polyp_aug.keys import Key
from polyp_aug.proposers.random import RandomProposer


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("normal", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=77)
    options = parser.parse_args()
    dataset = read_coco(options.normal)
    proposer = RandomProposer()
    images, annotations = [], []
    for image in dataset.images[: 2 * options.count : 2]:
        frame = read_image(resolve_image(dataset.image_root, image.file_name))
        for place in proposer.propose(frame, 1, Key(options.seed, image.file_name)):
            x, y, w, h = place.region.box
            images.append(image)
            annotations.append(CocoAnnotation(len(annotations) + 1, image.id, 1, (x, y, w, h), w * h))
    options.out.mkdir(parents=True, exist_ok=True)
    categories = dataset.categories or (CocoCategory(1, "polyp"),)
    control = replace(dataset, images=tuple(images), annotations=tuple(annotations), categories=categories)
    write_coco(control, options.out / "annotations.json")


if __name__ == "__main__":
    main()
