"""Measure `polyp_aug/curation/referee.yaml`: from which confidence and overlap on a detector confirms real polyps.

The confidence is that of the highest F1 on real held-out frames, the overlap the one at which COCO's evaluation takes
an object for found. Both belong to this detector; measure another one into a file of your own, and write its numbers
into your policy.

Usage: measure_referee.py --config CONFIG --checkpoint FILE --data KVASIR_VAL --source TEXT [--out FILE]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import yaml

from polyp_aug.coco import read_coco, resolve_image
from polyp_aug.curation.runs.detectors import best_box
from polyp_aug.evaluation.recall import IOU, best_threshold, match_frames
from polyp_aug.integrations.mmdet.inference import detect, detector_facts


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--config", "--checkpoint", "--data"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--source", required=True)
    default = Path(__file__).parents[1] / "polyp_aug" / "curation" / "referee.yaml"
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()
    dataset = read_coco(options.data)
    paths = [resolve_image(dataset.image_root, image.file_name) for image in dataset.images]
    found = detect(options.config, options.checkpoint, paths)
    point = best_threshold(match_frames(dataset.images, dataset.by_image(), found))
    polyps = dataset.by_image()
    boxes = [
        best_box(own, item.bbox) for image, own in zip(dataset.images, found, strict=True) for item in polyps[image.id]
    ]
    confidence = round(point.score, 3)
    confirmed = [box.confidence >= confidence and box.overlap >= IOU for box in boxes]
    document = {
        "source": options.source,
        "detector": detector_facts(options.config, options.checkpoint),
        "limits": {"confidence": {"at_least": confidence}, "overlap": {"at_least": IOU}},
        "polyps": len(boxes),
        "confirmed": round(float(np.mean(confirmed)), 3),
        "precision": round(point.precision, 3),
        "quantiles_of_confidence": {
            str(q): round(float(np.quantile([box.confidence for box in boxes], q)), 3) for q in (0.01, 0.05, 0.25, 0.5)
        },
    }
    head = "# Made by scripts/measure_referee.py; don't edit by hand.\n"
    options.out.write_text(head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    sys.stdout.write(options.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
