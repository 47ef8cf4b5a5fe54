"""The ablations: every arm differs in what its name says and in nothing else, and what is done is not done again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tiny_diffusion
from conftest import Phantoms
from test_evaluation_polyps import Thumbnails

from polyp_aug.coco import read_coco
from polyp_aug.evaluation.ablation import ARMS, ablate
from polyp_aug.evaluation.detector_recall import RecallEvaluation, evaluate_recall
from polyp_aug.evaluation.recall import Detections
from polyp_aug.phantom import write_phantom_dataset
from polyp_aug.synthesizers.options import PaintingOptions
from polyp_aug.training.examples import ExampleSettings
from polyp_aug.training.folder import TrainingProgress
from polyp_aug.training.frames import read_frames
from polyp_aug.training.loop import TrainingOptions
from polyp_aug.training.polyp_gen import PolypGenConfig

CONFIG = PolypGenConfig(
    examples=ExampleSettings(size=32, polyp_frames=0.7), count=8, steps=2, batch_size=4, learning_rate=1e-3
)


@pytest.mark.parametrize(
    ("name", "outlines", "lesion"),
    [("full", False, 0.5), ("no_bpm", True, 0.5), ("no_lesion_loss", False, 0.0), ("neither", True, 0.0)],
)
def test_an_arm_changes_what_its_name_says(name: str, outlines: bool, lesion: float) -> None:
    config = ARMS[name].of(CONFIG)
    assert (config.examples.outlines, config.lesion_weight) == (outlines, lesion)
    assert config.steps == CONFIG.steps
    assert config.seed == CONFIG.seed


def test_all_arms_are_trained_painted_and_measured_once(phantoms: Phantoms, tmp_path: Path) -> None:
    tiny_diffusion.pipeline().save_pretrained(tmp_path / "start")
    write_phantom_dataset(tmp_path / "real", count=12, seed=900, polyps=(1, 1), width=256, height=216)
    write_phantom_dataset(tmp_path / "normal", count=12, seed=950, polyps=None, width=256, height=216)
    seen: list[str] = []

    def watch(arm: str, _: TrainingProgress) -> None:
        seen.append(arm)

    known = read_coco(phantoms.references)
    box = known.annotations[0].bbox

    def recall(sets: Mapping[str, Path], out: Path) -> RecallEvaluation:
        found = Detections(np.array([box]), np.array([0.7]))
        facts = {"config": "one box for all frames"}
        return evaluate_recall(lambda paths: [found] * len(paths), facts, phantoms.references, sets, out)

    def run() -> dict[str, object]:
        frames = read_frames([phantoms.references, phantoms.backgrounds])
        result = ablate(
            CONFIG,
            str(tmp_path / "start"),
            frames,
            frames,
            tmp_path / "out",
            backgrounds=tmp_path / "normal" / "images",
            real=tmp_path / "real",
            train=phantoms.references,
            extractor=Thumbnails(),
            count=12,
            painting=PaintingOptions(sampler="dpm++", num_inference_steps=2),
            options=TrainingOptions(cache=tmp_path / "cache", trackers=(), sample_every=0),
            recall=recall,
            observer=watch,
        )
        assert result.recall is not None
        assert len(result.tables) == len(result.polyps.tables) + len(result.recall.tables)
        assert list(result.recall.report["sets"]) == ["real", *ARMS]
        assert (tmp_path / "out" / "recall" / "report.json").is_file()
        return result.polyps.report

    report = run()
    assert set(ARMS) <= set(report["kernel_distance"])  # type: ignore[call-overload]
    assert seen == list(ARMS)
    configs = {name: json.loads((tmp_path / "out" / name / "training" / "config.json").read_bytes()) for name in ARMS}
    assert {name: config["lesion_weight"] for name, config in configs.items()} == {
        "full": 0.5,
        "no_bpm": 0.5,
        "no_lesion_loss": 0.0,
        "neither": 0.0,
    }
    # Two arms share the examples of BPM, two those without.
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert run() == report
    assert seen == list(ARMS)
