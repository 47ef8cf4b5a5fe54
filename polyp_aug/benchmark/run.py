"""One run of a benchmark: a detector is trained, and what it finds is kept."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from polyp_aug.benchmark.detector import remove_checkpoints, train_and_detect
from polyp_aug.benchmark.spec import BenchmarkSpec, Run
from polyp_aug.coco import CocoDataset, read_coco, resolve_image
from polyp_aug.errors import RunFolderDamagedError
from polyp_aug.evaluation.coco_scores import coco_scores
from polyp_aug.evaluation.recall import Detections, FrameMatches, best_threshold, match_each, match_frames
from polyp_aug.images import write_bytes

#: What a run leaves when it is done.
RESULT_NAME = "result.json.gz"


def make_run(spec: BenchmarkSpec, run: Run, frames: Path, synthetic: Path | None, out: Path, *, device: str) -> None:
    """Train a detector and measure it; a training that was interrupted goes on.

    Writes `result.json.gz`; the checkpoints are removed then, the logs stay.

    Args:
        spec: the benchmark.
        run: which of its trainings.
        frames: COCO set of the training frames.
        synthetic: run folder of the arm's generated set, or None.
        out: folder of the run.
        device: of torch.

    Raises:
        CocoError: a COCO file breaks the format.
        ConfigurationError: a config or set doesn't fit.
        ImageError: a picture can't be read.
        MissingDependencyError: a package or program is missing.
        ProgramError: a program that was started failed.
        StorageError: a file can't be written.
    """
    sets = {"": Path(spec.validation), **{name: Path(path) for name, path in spec.test.items()}}
    datasets = {name: read_coco(path) for name, path in sets.items()}
    paths = [
        resolve_image(dataset.image_root, image.file_name) for dataset in datasets.values() for image in dataset.images
    ]
    outcome = train_and_detect(spec, run, frames, synthetic, out, paths, device=device)
    detections = iter(outcome.detections)
    found = {name: [next(detections) for _ in dataset.images] for name, dataset in datasets.items()}
    held_out = datasets.pop("")
    held_out_matches = match_frames(held_out.images, held_out.by_image(), found.pop(""))
    result = {
        "run": asdict(run),
        "versions": dict(outcome.versions),
        # Where nothing is found there is no threshold, and nothing reaches it.
        "threshold": best_threshold(held_out_matches).score if np.isfinite(held_out_matches.found).any() else None,
        "sets": {name: _measured(dataset, found[name]) for name, dataset in datasets.items()},
    }
    write_bytes(out / RESULT_NAME, gzip.compress(json.dumps(result).encode(), mtime=0))
    remove_checkpoints(out)


def read_result(file: Path) -> dict[str, Any]:
    """What a run left, its matches as `FrameMatches`.

    Raises:
        RunFolderDamagedError: it can't be read.
    """
    try:
        result: dict[str, Any] = json.loads(gzip.decompress(file.read_bytes()))
        result["threshold"] = np.inf if result["threshold"] is None else result["threshold"]
        for found in result["sets"].values():
            found["matches"] = [
                FrameMatches(
                    np.array([-np.inf if score is None else score for score in frame["found"]], dtype=np.float64),
                    np.array(frame["false"], dtype=np.float64),
                )
                for frame in found["matches"]
            ]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise RunFolderDamagedError(f"{file}: can't be read as the result of a run ({error})") from error
    return result


def _measured(dataset: CocoDataset, detections: Sequence[Detections]) -> dict[str, Any]:
    matches = match_each(dataset.images, dataset.by_image(), detections)
    return {
        "coco": coco_scores(dataset, detections),
        "matches": [
            {
                "found": [None if np.isneginf(score) else float(score) for score in frame.found],
                "false": frame.false.tolist(),
            }
            for frame in matches
        ],
    }
