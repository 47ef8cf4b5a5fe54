"""How fast are polyps from a pool in Albumentations, beside its own crop and flip, and beside a plain copy-paste?

Three transforms of the same frames, resized to 512 pixels, with their boxes: `RandomResizedCrop` and `HorizontalFlip`;
`PolypSynthesis` that always adds a polyp, from a pool that is made of these frames first; and a copy-paste written by
hand, which cuts a polyp by its mask out of another frame, scales it and lays it over at a random place: once as a bare
function, and once followed by what `Compose` does with boxes, which the others go through too. They take turns, and the
median of the ratios counts. Reading frames is not part of it; the pool reads its pictures.

Usage: albumentations_pool.py --data SET [--frames N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import albumentations
import cv2
import numpy as np

from polyp_aug.coco import (
    CocoAnnotation,
    CocoDataset,
    CocoImage,
    decode_segmentation,
    read_coco,
    resolve_image,
    write_coco,
)
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.generation.generate import generate
from polyp_aug.images import read_image, write_png
from polyp_aug.integrations.albumentations import PolypSynthesis

SIDE = 512

Frame = tuple[np.ndarray[Any, Any], list[list[float]], np.ndarray[Any, Any]]


def resized(path: Path, count: int, out: Path) -> CocoDataset:
    """The first frames of a set with a polyp each, 512×512 pixels, as a set of their own."""
    dataset = read_coco(path)
    (out / "images").mkdir(parents=True)
    images: list[CocoImage] = []
    annotations: list[CocoAnnotation] = []
    for image in dataset.images:
        own = dataset.by_image()[image.id]
        if len(own) != 1 or len(images) == count:
            continue
        name = f"{len(images):04d}.png"
        frame = read_image(resolve_image(dataset.image_root, image.file_name))
        write_png(out / "images" / name, np.asarray(cv2.resize(frame, (SIDE, SIDE)), dtype=np.uint8))
        across, down = SIDE / image.width, SIDE / image.height
        x, y, w, h = own[0].bbox
        box = (x * across, y * down, w * across, h * down)
        outlines = [[value * (across, down)[k % 2] for k, value in enumerate(part)] for part in own[0].segmentation]
        images.append(replace(image, file_name=name, width=SIDE, height=SIDE))
        annotations.append(replace(own[0], bbox=box, area=own[0].area * across * down, segmentation=outlines))
    found = replace(dataset, image_root=out / "images", images=tuple(images), annotations=tuple(annotations))
    write_coco(found, out / "annotations.json")
    return read_coco(out)


def copy_paste(frames: list[Frame], generator: np.random.Generator) -> Callable[[Frame], Any]:
    """Lays a polyp of another frame over a frame."""

    def apply(frame: Frame) -> tuple[np.ndarray[Any, Any], list[list[float]]]:
        image, boxes, _ = frame
        other, [[x, y, w, h]], mask = frames[int(generator.integers(len(frames)))]
        x, y, w, h = round(x), round(y), round(w), round(h)
        scale = float(generator.uniform(0.5, 1.0))
        size = max(8, round(w * scale)), max(8, round(h * scale))
        patch = cv2.resize(other[y : y + h, x : x + w], size)
        shape = cv2.resize(mask[y : y + h, x : x + w], size, interpolation=cv2.INTER_NEAREST) > 0
        left, top = (int(generator.integers(SIDE - side + 1)) for side in size)
        out = image.copy()
        out[top : top + size[1], left : left + size[0]][shape] = patch[shape]
        return out, [*boxes, [left, top, *size]]

    return apply


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        dataset = resized(options.data, options.frames, Path(folder) / "frames")
        run = Path(folder) / "run"
        source = Path(folder) / "frames"
        generate(GenerateConfig(backgrounds=source, references=source, per_image=2), run)
        frames: list[Frame] = [
            (
                read_image(resolve_image(dataset.image_root, image.file_name)),
                [list(item.bbox) for item in dataset.by_image()[image.id]],
                decode_segmentation(dataset.by_image()[image.id][0].segmentation, SIDE, SIDE).astype(np.uint8),
            )
            for image in dataset.images
        ]
        parameters = albumentations.BboxParams(format="coco", label_fields=["labels"], clip=True)
        crop = albumentations.RandomResizedCrop((SIDE, SIDE), p=1.0)
        geometry = albumentations.Compose([crop, albumentations.HorizontalFlip(p=0.5)], bbox_params=parameters, seed=0)
        pool = albumentations.Compose([PolypSynthesis(str(run), p=1.0, label=1)], bbox_params=parameters, seed=0)
        plain = albumentations.Compose([albumentations.NoOp(p=1.0)], bbox_params=parameters, seed=0)
        pasted = copy_paste(frames, np.random.default_rng(0))

        def pasted_and_checked(item: Frame) -> Any:
            image, boxes = pasted(item)
            return plain(image=image, bboxes=boxes, labels=[1] * len(boxes))

        arms: dict[str, Callable[[Frame], Any]] = {
            "RandomResizedCrop + HorizontalFlip": lambda item: geometry(image=item[0], bboxes=item[1], labels=[1]),
            "PolypSynthesis": lambda item: pool(image=item[0], bboxes=item[1], labels=[1]),
            "copy-paste by hand": pasted,
            "copy-paste by hand, then Compose": pasted_and_checked,
        }
        added = sum(len(arms["PolypSynthesis"](item)["bboxes"]) > 1 for item in frames)
        rates: dict[str, list[float]] = {name: [] for name in arms}
        for number in range(options.rounds):
            for name in list(arms) if number % 2 else list(arms)[::-1]:
                start = time.perf_counter()
                for item in frames:
                    arms[name](item)
                rates[name].append(len(frames) / (time.perf_counter() - start))
    own = rates["PolypSynthesis"]
    result: dict[str, Any] = {"frames": len(frames), "frames that got a polyp": added}
    for name, values in rates.items():
        result[f"{name}, frames a second"] = round(statistics.median(values), 1)
        if name != "PolypSynthesis":
            ratios = [first / second for first, second in zip(own, values, strict=True)]
            result[f"PolypSynthesis / {name}"] = [
                round(value, 3) for value in (statistics.median(ratios), min(ratios), max(ratios))
            ]
    json.dump(result, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
