"""Fit `polyp_aug/curation/mask_agreement.yaml`: how real polyps stand out, against their masks at other places.

Frames are looked at at the size of small synthetic ones. The threshold leaves out one real polyp in ten.

Usage: measure_mask_agreement.py --data KVASIR_TRAIN --check KVASIR_VAL --source TEXT [--size 192] [--out FILE]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from polyp_aug.captions.measures import View, view
from polyp_aug.coco import decode_segmentation, read_coco, resolve_image
from polyp_aug.curation.mask_agreement import DEFAULT_MODEL, FEATURES, measure
from polyp_aug.geometry import squeezed_mask
from polyp_aug.images import MaskArray, read_image

#: Share of real polyps that the threshold leaves out.
LOST = 0.1

_ATTEMPTS = 30


def elsewhere(mask: MaskArray, frame: View, generator: np.random.Generator) -> MaskArray | None:
    """The mask at another place of its frame's field of view, nearly free of the polyp."""
    rows, columns = np.nonzero(mask)
    for _ in range(_ATTEMPTS):
        down = int(generator.integers(-rows.min(), mask.shape[0] - rows.max()))
        right = int(generator.integers(-columns.min(), mask.shape[1] - columns.max()))
        moved = np.roll(mask, (down, right), (0, 1))
        if (moved & mask).sum() < 0.15 * (moved | mask).sum() and frame.field[moved].mean() > 0.95:
            return moved
    return None


def examples(source: Path, size: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Features of real polyps (True) and of their masks elsewhere (False), of frames with one polyp."""
    dataset = read_coco(source)
    generator = np.random.default_rng(seed)
    features, labels = [], []
    for image in dataset.images:
        polyps = dataset.by_image()[image.id]
        if len(polyps) != 1:
            continue
        picture = cv2.resize(
            read_image(resolve_image(dataset.image_root, image.file_name)), (size, size), interpolation=cv2.INTER_AREA
        )
        mask = squeezed_mask(decode_segmentation(polyps[0].segmentation, image.width, image.height), size)
        frame = view(np.asarray(picture, np.uint8))
        moved = elsewhere(mask, frame, generator) if mask.any() else None
        if moved is not None:
            features += [measure(frame, mask, mask), measure(frame, moved, mask | moved)]
            labels += [True, False]
    return np.array(features), np.array(labels)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--check", type=Path, required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--out", type=Path, default=DEFAULT_MODEL)
    options = parser.parse_args()
    features, real = examples(options.data, options.size, 0)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(features, real)
    scaler, line = model[0], model[1]
    weights = line.coef_[0] / scaler.scale_
    bias = float(line.intercept_[0] - weights @ scaler.mean_)
    threshold = float(np.quantile(features[real] @ weights + bias, LOST))
    held_out, held_out_real = examples(options.check, options.size, 1)
    scores = held_out @ weights + bias
    found = {
        "source": options.source,
        "weights": dict(zip(FEATURES, np.round(weights, 5).tolist(), strict=True)),
        "bias": round(bias, 5),
        "threshold": round(threshold, 3),
        "held_out": {
            "polyps": int(held_out_real.sum()),
            "area_under_curve": round(float(roc_auc_score(held_out_real, scores)), 3),
            "real_kept": round(float((scores[held_out_real] >= threshold).mean()), 3),
            "elsewhere_kept": round(float((scores[~held_out_real] >= threshold).mean()), 3),
        },
    }
    head = "# Made by scripts/measure_mask_agreement.py; don't edit by hand.\n"
    options.out.write_text(head + yaml.safe_dump(found, sort_keys=False, allow_unicode=True), encoding="utf-8")
    sys.stdout.write(options.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
