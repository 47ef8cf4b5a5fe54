"""A run that paints with a diffusion model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Phantoms
from runs import config, digests, records
from tiny_diffusion import pipeline

from polyp_aug.errors import ConfigurationError, RunConfigurationChanged
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.generation.estimate import estimate_run
from polyp_aug.generation.generate import RunLimits, generate, prepare_run
from polyp_aug.generation.merge_runs import merge_runs
from polyp_aug.images import read_image
from polyp_aug.synthesizers.options import PaintingOptions

FAST = PaintingOptions(num_inference_steps=2, batch_size=3)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "my weights"
    pipeline().save_pretrained(path)
    return path


def painting(phantoms: Phantoms, weights: Path, **changes: Any) -> GenerateConfig:
    settings: dict[str, Any] = {"synthesizer": str(weights), "references": None, "painting": FAST}
    return config(phantoms, **(settings | changes))


@pytest.fixture(scope="module")
def run(phantoms: Phantoms, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    assert generate(painting(phantoms, weights), out).made == 5
    return out


def test_a_run_says_what_painted(run: Path, weights: Path) -> None:
    written = json.loads((run / "run.json").read_text("utf-8"))
    assert written["config"]["synthesizer"] == "polyp_gen"
    assert written["config"]["painting"] == replace(FAST, weights=str(weights)).resolved().to_dict()
    assert written["config"]["batch_size"] == 2
    assert written["inputs"]["weights"] == "my weights"
    assert {"torch", "diffusers", "transformers"} <= written["versions"].keys()
    revisions = {item["provenance"]["revision"] for record in records(run) for item in record["objects"]}
    assert revisions == {written["inputs"]["weights_revision"]}
    card = (run / "README.md").read_text("utf-8")
    assert "| painting.sampler | ddim |" in card
    assert "agree up to rounding" in card
    gallery = (run / "index.html").read_text("utf-8")
    assert '["details.num_inference_steps","2"]' in gallery
    for path in run.glob("*.*"):
        assert str(weights.parent) not in path.read_text("utf-8"), path


def test_a_run_without_a_model_says_nothing_of_one(phantoms: Phantoms) -> None:
    written = prepare_run(config(phantoms)).run
    assert not {"painting", "batch_size"} & written["config"].keys()
    assert "weights" not in written["inputs"]
    assert "torch" not in written["versions"]


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    kept: int, run: Path, phantoms: Phantoms, weights: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "out")
    manifest = tmp_path / "out" / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(lines[:kept]) + lines[kept][:20])
    for number in range(kept, 5):
        (tmp_path / "out" / "images" / f"{number:06d}.png").unlink()
    generate(painting(phantoms, weights), tmp_path / "out")
    assert digests(tmp_path / "out") == digests(run)


def test_a_limited_run_goes_on_and_lost_pictures_are_made_again(
    run: Path, phantoms: Phantoms, weights: Path, tmp_path: Path
) -> None:
    limit = RunLimits(bytes=sum(sum(record["bytes"].values()) for record in records(run)[:3]))
    assert generate(painting(phantoms, weights), tmp_path / "out", limits=limit).limited
    (tmp_path / "out" / "images" / "000001.png").unlink()
    assert not generate(painting(phantoms, weights), tmp_path / "out").limited
    assert digests(tmp_path / "out") == digests(run)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"painting": PaintingOptions(num_inference_steps=3, batch_size=3)},
            "painting.num_inference_steps was 2, is 3",
        ),
        ({"painting": PaintingOptions(num_inference_steps=2, batch_size=1)}, "painting.batch_size was 3, is 1"),
        ({"batch_size": 3}, "config.batch_size was 2, is 3"),
    ],
)
def test_other_settings_are_refused(
    changes: dict[str, Any], named: str, run: Path, phantoms: Phantoms, weights: Path
) -> None:
    with pytest.raises(RunConfigurationChanged, match=named):
        generate(painting(phantoms, weights, **changes), run)


def test_other_weights_are_refused_and_moved_ones_are_not(
    run: Path, phantoms: Phantoms, weights: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(weights, tmp_path / "moved")
    before = digests(run)
    assert generate(painting(phantoms, moved), run).made == 5
    assert digests(run) == before
    config_file = moved / "scheduler" / "scheduler_config.json"
    config_file.write_text(config_file.read_text("utf-8") + "\n")
    with pytest.raises(RunConfigurationChanged, match=r"inputs\.weights_revision was"):
        generate(painting(phantoms, moved), run)


def test_shards_agree_with_the_whole_run_up_to_rounding(
    run: Path, phantoms: Phantoms, weights: Path, tmp_path: Path
) -> None:
    for index in (1, 2):
        generate(painting(phantoms, weights, shard=(index, 2)), tmp_path / f"shard {index}")
    merge_runs([tmp_path / "shard 1", tmp_path / "shard 2"], tmp_path / "out")
    for first, second in zip(records(run), records(tmp_path / "out"), strict=True):
        assert first["key"] == second["key"]
        images = [read_image(folder / "images" / first["file_name"]) for folder in (run, tmp_path / "out")]
        assert np.abs(images[0].astype(int) - images[1]).max() <= 1


def test_references_of_what_painting_started_from_are_counted(
    phantoms: Phantoms, weights: Path, tmp_path: Path
) -> None:
    options = PaintingOptions(num_inference_steps=4, strength=0.5)
    generate(painting(phantoms, weights, painting=options, references=phantoms.references), tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "reference polyp(s) were used" in card
    assert "| reference polyp | unknown | unknown | CC0-1.0 |" in card


def test_an_estimate_needs_no_references(phantoms: Phantoms, weights: Path, tmp_path: Path) -> None:
    found = estimate_run(prepare_run(painting(phantoms, weights)), tmp_path, tries=1)
    assert found.tried == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"synthesizer": "transplant", "painting": None},
            "'references' must be given, for the synthesizer transplant$",
        ),
        ({"proposer": "reference"}, "'references' must be given, for the proposer reference$"),
        (
            {"painting": PaintingOptions(strength=0.5)},
            "'references' must be given, for painting with 'strength' below 1$",
        ),
        ({"references": Path("r")}, r"'references' must be left out: .* polyp_gen .* random reads it \(got r\)"),
        ({"references_images": Path("r")}, r"'references_images' is for 'references' \(got r alone\)"),
        ({"painting": PaintingOptions(weights="other")}, "weights are given twice"),
        (
            {"synthesizer": "transplant", "references": Path("r")},
            r"'painting' \(num_inference_steps, batch_size\) is for the synthesizer polyp_gen \(got 'transplant'",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_named(
    changes: dict[str, Any], message: str, phantoms: Phantoms, weights: Path
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        painting(phantoms, weights, **changes)
