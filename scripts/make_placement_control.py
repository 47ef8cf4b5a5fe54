"""Makes the control of `polyp-aug evaluate placement`: polyp-free frames with a box where nothing ever was.

    make_placement_control.py NORMAL OUT [--count 100] [--seed 77] [--like RUN]

NORMAL is a folder with `annotations.json` and `images/`, frames without polyps. Of every second frame one place is
drawn by the proposer `random`; with `--like` it is that of a polyp which `polyp-aug remove` took out of the frames of
RUN, each once, if it lies on mucosa and leaves room for a decoy (see `make_placement_decoys.py`).
`polyp-aug remove --data OUT/annotations.json --data-images NORMAL/images` repaints these; a proposer that finds them
more often than `random` does recognises what was repainted.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from polyp_aug.coco import CocoAnnotation, CocoCategory, read_coco, resolve_image, write_coco
from polyp_aug.evaluation.decoys import fitting_place, read_single
from polyp_aug.evaluation.emptied import EmptiedFrame
from polyp_aug.geometry import IntBox
from polyp_aug.images import ImageArray, read_image
from polyp_aug.keys import Key
from polyp_aug.mucosa import find_mucosa
from polyp_aug.proposers.random import RandomProposer


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("normal", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--like", type=Path)
    options = parser.parse_args()
    dataset = read_coco(options.normal)
    polyps = read_single(options.like) if options.like else []
    images, annotations = [], []
    for image in dataset.images[: 2 * options.count : 2]:
        frame = read_image(resolve_image(dataset.image_root, image.file_name))
        key = Key(options.seed, image.file_name)
        for x, y, w, h in place_like(frame, key, polyps) if options.like else random_place(frame, key):
            images.append(image)
            annotations.append(CocoAnnotation(len(annotations) + 1, image.id, 1, (x, y, w, h), w * h))
    options.out.mkdir(parents=True, exist_ok=True)
    categories = dataset.categories or (CocoCategory(1, "polyp"),)
    control = replace(dataset, images=tuple(images), annotations=tuple(annotations), categories=categories)
    write_coco(control, options.out / "annotations.json")


def random_place(frame: ImageArray, key: Key) -> list[IntBox]:
    """A place that `random` draws."""
    return [place.region.box for place in RandomProposer().propose(frame, 1, key)]


def place_like(frame: ImageArray, key: Key, polyps: list[EmptiedFrame]) -> list[IntBox]:
    """The place of the first polyp that fits, which is taken off the list."""
    mucosa = find_mucosa(frame)
    for index, polyp in enumerate(polyps):
        if box := fitting_place(mucosa, polyp, key):
            del polyps[index]
            return [box]
    return []


if __name__ == "__main__":
    main()
