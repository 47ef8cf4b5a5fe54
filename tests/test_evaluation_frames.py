"""Whole frames measured: what a classifier reads, kernel distances, and the ablation of the branch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_diffusion
from captioned import save_tiny, write_phantom_captions
from conftest import Phantoms
from runs import config

from polyp_aug.captions.facts import PolypFacts
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.attributes import (
    READ,
    AttributeReader,
    FrameFeatures,
    box_numbers,
    chance_rate,
    reading_rate,
    uniform_rate,
)
from polyp_aug.evaluation.branch_ablation import ARMS, BranchTraining, ablate_branch, summary
from polyp_aug.evaluation.features import EfficientNetLiteFeatures
from polyp_aug.evaluation.frames import CaptionedSet, FrameDetector, evaluate_frames
from polyp_aug.evaluation.recall import Detections
from polyp_aug.evaluation.tones import box_tones
from polyp_aug.generation.frames import FramesConfig, generate_frames
from polyp_aug.generation.generate import generate
from polyp_aug.images import ImageArray
from polyp_aug.synthesizers.frame_options import FrameOptions
from polyp_aug.training.captioned import read_captioned_frames
from polyp_aug.training.ccis_diff import CCISDiffConfig
from polyp_aug.training.loop import TrainingOptions

MAKING = FrameOptions(num_inference_steps=2, guidance_scale=2.0)


@pytest.fixture(scope="module")
def captioned(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> CaptionedSet:
    return CaptionedSet(phantoms.references, write_phantom_captions(phantoms, tmp_path_factory.mktemp("captions")))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def run(captioned: CaptionedSet, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "made"
    making = replace(MAKING, weights=str(weights))
    generate_frames(
        FramesConfig(references=captioned.data, captions=captioned.captions, making=making, check=False), out
    )
    return out


def facts(number: int) -> PolypFacts:
    return PolypFacts(
        *(("upper left", "centre")[number % 2], ("small", "large")[number // 2 % 2], "round"),
        *(("pale", "reddish")[number // 4 % 2], ("smooth", "nodular")[number // 8 % 2]),
        ("flat", "sessile")[number // 16 % 2],
    )


def test_attributes_are_read_from_features_that_hold_them() -> None:
    known = [replace(facts(number), place=("upper left", "centre")[number % 2]) for number in range(64)]
    encode = {name: {value: place for place, value in enumerate({getattr(i, name) for i in known})} for name in READ}

    def told(seed: int) -> FrameFeatures:
        generator = np.random.default_rng(seed)
        signal = np.array([[encode[name][getattr(item, name)] for name in READ] for item in known], float)
        return FrameFeatures(*(np.hstack([signal, generator.normal(0, 0.2, (64, 2))]) for _ in range(4)))

    reader = AttributeReader(told(0), known)
    right = reader.read(told(1), known)
    assert set(right) == set(READ)
    assert all(flags.mean() > 0.95 for flags in right.values())
    wrong = reader.read(told(1), [replace(item, colour={"pale": "reddish"}.get(item.colour, "pale")) for item in known])
    assert wrong["colour"].mean() < 0.05
    assert chance_rate(known, "colour") == uniform_rate(known, "colour") == 0.5
    interval = reading_rate(right["size"], seed=0, name="x")
    assert interval.low <= interval.value <= interval.high
    poorer = AttributeReader(told(0), [replace(item, colour="pale") for item in known])
    assert set(poorer.attributes) == set(READ) - {"colour"}


def test_frames_are_measured_beside_real_ones(captioned: CaptionedSet, run: Path, tmp_path: Path) -> None:
    found = evaluate_frames(
        captioned, captioned, {"a": run, "b": run}, tmp_path, extractor=EfficientNetLiteFeatures(), seed=3
    )
    report = json.loads((tmp_path / "report.json").read_text())
    assert report == json.loads(json.dumps(found.report))
    assert report["sets"]["a"]["frames"] == report["sets"]["real"]["frames"] == 10
    # Noise of a tiny network is far from phantoms, and the training set is the real one.
    assert report["kernel_distance"]["a"]["value"] > 3 * abs(report["kernel_distance"]["real train"]["value"])
    assert set(report["reading"]["a"]) == set(report["attributes"]) >= {"place", "colour"}
    # The classifier has learned these very frames by heart.
    assert all(report["reading"]["real"][name]["value"] >= 0.9 for name in report["attributes"])
    [difference] = report["reading_differences"]
    assert (difference["first"], difference["second"], difference["place"]["value"]) == ("a", "b", 0.0)
    assert "Kernel distance of whole frames" in (tmp_path / "report.md").read_text()


def test_boxes_are_described_by_the_surest_two() -> None:
    boxes = np.array([[10.0, 20.0, 20.0, 10.0], [0.0, 0.0, 50.0, 50.0], [60.0, 30.0, 40.0, 20.0]])
    found = box_numbers(Detections(boxes, np.array([0.2, 0.1, 0.9])), (100, 200))
    first, second = found.reshape(2, 10)
    np.testing.assert_allclose(first[:7], [0.4, 0.4, 0.2, 0.2, 0.2, np.log(0.21), 0.9])
    np.testing.assert_allclose(first[7:], [0.1, 0.1, 0.1], atol=1e-12)
    np.testing.assert_allclose(second[:4], [0.1, 0.25, 0.1, 0.1])
    nothing = box_numbers(Detections(np.zeros((0, 4)), np.zeros(0)), (100, 200))
    assert nothing.reshape(2, 10)[0].tolist() == [0.5, 0.5, 0, 0, 0, np.log(0.01), 0, 0, 0, 0]


@pytest.mark.parametrize("light", [1.0, 0.7])
def test_tones_tell_the_colour_in_a_box_from_that_around(light: float) -> None:
    def frame(inside: tuple[int, int, int]) -> ImageArray:
        image = np.full((80, 100, 3), (150, 90, 80), np.uint8)
        cv2.ellipse(image, (40, 50), (20, 12), 0, 0, 360, inside, -1)
        return np.asarray(image * light, np.uint8)

    box = (20.0, 38.0, 40.0, 24.0)
    same, red, pale = (box_tones(frame(colour), box) for colour in ((150, 90, 80), (160, 60, 55), (170, 150, 130)))
    assert same.shape == (19,)
    against = slice(15, 19)
    np.testing.assert_allclose(same[against], 0.0, atol=0.02)
    assert (red[against] > 0.3).all()
    assert (pale[against] < -0.3).all()
    # What is around stays what it was.
    np.testing.assert_allclose(red[6:10], same[6:10], atol=0.02)


def test_tones_of_a_box_at_the_border_leave_out_what_is_beyond() -> None:
    image = np.full((60, 60, 3), (150, 90, 80), np.uint8)
    image[:, :10] = 0
    found = box_tones(image, (0.0, 20.0, 20.0, 20.0))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[10:15], found[10], atol=0.05)


def test_a_detector_reads_place_and_size(captioned: CaptionedSet, run: Path, tmp_path: Path) -> None:
    asked: list[int] = []

    def detect(pictures: Sequence[ImageArray]) -> list[Detections]:
        """Boxes that have nothing to do with the pictures, but for those of the real set: every frame by its number."""
        asked.append(len(pictures))
        places = np.linspace(0, 30, len(pictures))
        return [Detections(np.array([[place, place, 8.0, 8.0]]), np.ones(1)) for place in places]

    found = evaluate_frames(
        captioned,
        captioned,
        {"a": run},
        tmp_path,
        extractor=EfficientNetLiteFeatures(),
        detector=FrameDetector(detect, {"config": "boxes"}),
    )
    assert asked == [10, 10, 10]
    assert found.report["detector"] == {"config": "boxes"}
    # The same boxes on both sets are read alike, though the pictures of one are noise.
    assert found.report["reading"]["a"]["place"]["value"] == found.report["reading"]["real"]["place"]["value"]
    assert "the two surest boxes of boxes" in (tmp_path / "report.md").read_text()


def test_what_can_not_be_measured_is_named(
    captioned: CaptionedSet, run: Path, phantoms: Phantoms, tmp_path: Path
) -> None:
    def measure(runs: dict[str, Path]) -> None:
        evaluate_frames(captioned, captioned, runs, tmp_path / "out", extractor=EfficientNetLiteFeatures())

    with pytest.raises(ConfigurationError, match="can't be named 'real'"):
        measure({"real": run})
    with pytest.raises(ConfigurationError, match="no run"):
        measure({})
    generate(config(phantoms, count=1), tmp_path / "painted")
    with pytest.raises(ConfigurationError, match="expected a run of whole frames"):
        measure({"a": tmp_path / "painted"})


def test_an_ablation_trains_makes_and_measures_every_arm(captioned: CaptionedSet, tmp_path: Path) -> None:
    tiny_diffusion.pipeline().save_pretrained(tmp_path / "weights")
    frames = read_captioned_frames([captioned.data], [captioned.captions])
    training = BranchTraining(
        weights=str(tmp_path / "weights"),
        base="",
        config=CCISDiffConfig(size=32, count=4, steps=1, batch_size=2, ema=0.5),
        data=frames,
        validation=frames,
        options=TrainingOptions(cache=tmp_path / "cache", trackers=(), sample_every=0),
    )
    seen: list[str] = []

    def ablate() -> dict[str, object]:
        return ablate_branch(
            training,
            tmp_path / "out",
            real=captioned,
            train=captioned,
            making=MAKING,
            extractor=EfficientNetLiteFeatures(),
            seeds=[0],
            observer=lambda name, _: seen.append(name),
        ).report

    report = ablate()
    assert seen == [f"{name}, seed 0" for name in ARMS]
    assert set(report["arms"]) == set(ARMS)
    for name, (blur, text) in ARMS.items():
        branch = json.loads((tmp_path / "out/seed0" / name / "training/pipeline/controlnet/config.json").read_text())
        assert (branch["blur_mask"], branch["text_aware"]) == (blur, text)
    # All is done: only measured again.
    assert ablate() == report
    assert len(seen) == 4
    assert "The full model less" in (tmp_path / "out" / "report.md").read_text()


def test_a_summary_takes_differences_seed_by_seed() -> None:
    def frames(shift: float) -> dict[str, object]:
        return {
            "kernel_distance": {name: {"value": shift + number} for number, name in enumerate(ARMS)},
            "attributes": list(READ),
            "reading": {name: {key: {"value": shift} for key in READ} for name in ARMS},
        }

    found = summary({0: (frames(0.0), None), 5: (frames(10.0), None)})
    assert found["seeds"] == [0, 5]
    assert found["arms"]["neither"]["kid"] == [3.0, 13.0]
    assert found["differences"]["neither"]["kid"] == [-3.0, -3.0]
    assert "recall" not in found["arms"]["full"]
