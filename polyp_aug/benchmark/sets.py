"""The generated set of an arm, size and seed."""

from __future__ import annotations

from pathlib import Path

from polyp_aug.benchmark.arms import Arm, painted_config, whole_config
from polyp_aug.coco import read_coco
from polyp_aug.curation.runs.curate import curate
from polyp_aug.curation.runs.helpers import Helpers
from polyp_aug.curation.runs.policy import TRAINING_DISTANCE, TRAINING_HASH
from polyp_aug.generation.frames import generate_frames
from polyp_aug.generation.generate import generate
from polyp_aug.pool import ensure_pool


def make_set(arm: Arm, frames: Path, seed: int, out: Path) -> None:
    """Generate a set, and curate it where the arm says so; go on with one that was begun.

    Args:
        arm: with a mode other than "real".
        frames: COCO set of the run's training frames.
        seed: of the run.
        out: run folder to write. What it was curated from stands in `uncurated/` beside it.

    Raises:
        ConfigurationError: see `generate`, `generate_frames` and `curate`.
        CocoError: a COCO file breaks the format.
        ImageError: a frame can't be read.
        StorageError: a file can't be written.
    """
    policy = arm.policy
    made = out if policy is None else out.parent / "uncurated" / out.name
    if arm.makes_frames:
        shown = {item.image_id for item in read_coco(frames).annotations}
        generate_frames(whole_config(arm, frames, len(shown), seed), made)
    else:
        generate(painted_config(arm, frames, seed), made)
    if policy is not None:
        features = None
        if policy.needs_features:
            # torch is imported with it.
            from polyp_aug.evaluation.features import EfficientNetLiteFeatures

            features = EfficientNetLiteFeatures()
        train = frames if policy.scores & {TRAINING_DISTANCE, TRAINING_HASH} else None
        curate(made, out, policy, Helpers(train=train, extractor=features))
    if arm.mode == "online":
        ensure_pool(out)
