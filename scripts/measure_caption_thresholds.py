"""Measure where the values of caption attributes part, and how often they occur, on a COCO set of polyps with masks.

    python scripts/measure_caption_thresholds.py KVASIR_TRAIN polyp_aug/captions/attributes.yaml \
        --source "Kvasir-SEG, training split (CC BY 4.0)"

Most limits are quantiles of this set, so that the values of an attribute are about equally frequent; the others were
set by looking at frames.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from polyp_aug.captions.facts import measure_frame
from polyp_aug.captions.measures import background_numbers, look_numbers, mask_numbers, view
from polyp_aug.captions.thresholds import BACKGROUND_KEYS, POLYP_KEYS, AttributeTable
from polyp_aug.coco import decode_segmentation, read_coco
from polyp_aug.images import ImageArray, MaskArray, read_image, write_bytes

#: Limit → the number that it parts, and the quantile of this number.
QUANTILES = {
    "small": ("share", 1 / 3),
    "large": ("share", 2 / 3),
    "irregular": ("solidity", 1 / 3),
    "pale": ("redness", 1 / 3),
    "reddish": ("redness", 2 / 3),
    "smooth": ("roughness", 1 / 3),
    "nodular": ("roughness", 2 / 3),
    "flat": ("rim", 0.25),
    "pedunculated": ("rim", 0.8),
    "orange": ("hue", 2 / 3),
    "red": ("saturation", 0.5),
    "dim": ("light", 1 / 3),
    "bright": ("light", 2 / 3),
    "glossy": ("white", 0.5),
}

#: Limits that were set by looking at frames.
CHOSEN = {"centre": 0.125, "round": 0.75, "visible": 0.1}

HEAD = """\
# Where the values of caption attributes part, and how often they occur.
# polyp_aug/captions/measures.py defines the numbers that are compared.
# Made by scripts/measure_caption_thresholds.py; don't edit by hand.
# Quantiles of the set: {quantiles}.
# Set by looking at frames: {chosen}.
"""


def main() -> None:
    """Measure a set and write the YAML file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="COCO set of polyps with masks")
    parser.add_argument("out", type=Path, help="YAML file to write")
    parser.add_argument("--source", required=True, help="what the set is, for the file")
    options = parser.parse_args()
    frames = _frames(options.dataset)
    limits, mucosa = _limits(frames)
    table = AttributeTable(options.source, limits, mucosa, {}, {}, "")
    facts = [measure_frame(read_image(path), masks, table=table) for path, masks in frames]
    polyps = Counter(tuple(polyp.values()[name] for name in POLYP_KEYS) for frame in facts for polyp in frame.polyps)
    backgrounds = Counter(tuple(frame.background.values()[name] for name in BACKGROUND_KEYS) for frame in facts)
    quantiles = ", ".join(f"{name} {share:.2f}" for name, (_, share) in QUANTILES.items())
    lines = [
        HEAD.format(quantiles=quantiles, chosen=", ".join(CHOSEN)).rstrip(),
        f'source: "{options.source}; {sum(polyps.values())} polyps of {len(frames)} frames"',
        "limits:",
        *(f"  {name}: {value}" for name, value in limits.items()),
        "# L, a, b.",
        f"mucosa: [{', '.join(map(str, mucosa))}]",
        f"# {', '.join(POLYP_KEYS)}.",
        "polyps:",
        *(f"  {', '.join(values)}: {count}" for values, count in sorted(polyps.items())),
        f"# {', '.join(BACKGROUND_KEYS)}.",
        "backgrounds:",
        *(f"  {', '.join(values)}: {count}" for values, count in sorted(backgrounds.items())),
    ]
    write_bytes(options.out, ("\n".join(lines) + "\n").encode())


def _frames(dataset: Path) -> list[tuple[Path, list[MaskArray]]]:
    found = read_coco(dataset)
    groups = found.by_image()
    return [
        (
            found.image_root / image.file_name,
            [decode_segmentation(row.segmentation, image.width, image.height) for row in groups[image.id]],
        )
        for image in found.images
    ]


def _limits(frames: Sequence[tuple[Path, list[MaskArray]]]) -> tuple[dict[str, float], tuple[float, float, float]]:
    numbers: dict[str, list[float]] = {}
    colours = []
    for path, masks in frames:
        picture: ImageArray = read_image(path)
        union = np.any(masks, axis=0)
        frame = view(picture)
        mucosa = frame.mucosa & ~frame.fit(union)
        if mucosa.any():
            colours.append(frame.lab[mucosa].mean(axis=0))
        rows = [mask_numbers(mask) | look_numbers(frame, mask, union, (50.0, 25.0, 25.0)) for mask in masks]
        for row in (*rows, background_numbers(frame, union)):
            for name, value in row.items():
                numbers.setdefault(name, []).append(value)
    limits = {name: round(float(np.quantile(numbers[of], share)), 4) for name, (of, share) in QUANTILES.items()}
    light, red, yellow = (round(float(value), 1) for value in np.mean(colours, axis=0))
    return {**CHOSEN, **limits}, (light, red, yellow)


if __name__ == "__main__":
    main()
