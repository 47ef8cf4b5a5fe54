"""The pipeline and the frames that come with the package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from diffusers import StableDiffusionInpaintPipeline
from safetensors import safe_open

from polyp_aug import Augmenter, Key, Remover, Scene, load_proposer, load_synthesizer
from polyp_aug.cli.demo import FRAMES
from polyp_aug.geometry import Region
from polyp_aug.images import list_images, read_image
from polyp_aug.scene import Job, Painted, SceneObject
from polyp_aug.synthesizers.base import Synthesizer
from polyp_aug.synthesizers.options import NORMAL, PaintingOptions
from polyp_aug.synthesizers.polyp_gen.load import embedded_weights

LARGEST = 48_000_000


@pytest.fixture(scope="module")
def painter() -> Synthesizer:
    return load_synthesizer("polyp_gen", options=PaintingOptions(num_inference_steps=3, guidance_scale=1.0))


@pytest.fixture(scope="module")
def scene() -> Scene:
    image = read_image(list_images(FRAMES)[0])
    image.setflags(write=False)
    return Scene("frame", image)


def test_it_is_small_and_half_precision_and_names_no_path() -> None:
    folder = embedded_weights()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert 10_000_000 < sum(path.stat().st_size for path in files) <= LARGEST
    for path in files:
        if path.suffix == ".json":
            assert "_name_or_path" not in json.loads(path.read_bytes()), path
    weights = [path for path in files if path.suffix == ".safetensors"]
    assert {path.parent.name for path in weights} == {"text_encoder", "unet", "vae"}
    for path in weights:
        with safe_open(path, framework="np") as tensors:
            kinds = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118  # It has no __iter__.
        assert kinds <= {"F16", "I64"}, path


def test_diffusers_loads_it() -> None:
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(embedded_weights())
    assert pipeline.unet.config.in_channels == 9
    assert pipeline.scheduler.config.prediction_type == "v_prediction"


def test_the_card_names_data_licences_commands_and_limits() -> None:
    card = (embedded_weights() / "README.md").read_text("utf-8")
    for needed in (
        "Kvasir-SEG",
        "HyperKvasir",
        "CC BY 4.0",
        "polyp-aug train polyp-gen",
        "seed",
        "Not a medical device",
    ):
        assert needed in card, needed


def test_the_prompt_decides_what_is_painted(painter: Synthesizer, scene: Scene) -> None:
    region = Region(180, 150, np.ones((120, 130), np.bool_))
    jobs = [Job(scene.image, region, prompt, 6, Key(3, "prompt")) for prompt in ("Polyp", NORMAL)]
    polyp, normal = painter.paint(jobs)
    assert isinstance(polyp, Painted)
    assert isinstance(normal, Painted)
    x, y, w, h = region.box
    inside = np.s_[y : y + h, x : x + w]
    assert np.abs(polyp.image[inside].astype(int) - normal.image[inside]).mean() > 3
    # Mucosa that is repainted as mucosa keeps its light, whatever else changes.
    shift = scene.image[inside].mean(axis=(0, 1)) - normal.image[inside].mean(axis=(0, 1))
    assert np.abs(shift).max() < 25


def test_polyps_are_painted_and_removed_and_nothing_else_is_touched(painter: Synthesizer, scene: Scene) -> None:
    augmenter = Augmenter(load_proposer("random", size_range=(0.2, 0.35)), painter)
    plan = augmenter.plan(scene, Key(4, scene.id))
    result = augmenter.render([scene], [plan])[0]
    assert len(result.objects) == 1
    x, y, w, h = (int(value) for value in result.objects[0].changed)
    outside = np.ones(scene.image.shape[:2], bool)
    outside[y : y + h, x : x + w] = False
    np.testing.assert_array_equal(result.image[outside], scene.image[outside])

    box = tuple(float(value) for value in result.objects[0].region.box)
    painted = Scene("painted", result.image, (SceneObject((box[0], box[1], box[2], box[3]), "polyp"),))
    removed = Remover(painter).remove([painted], [Key(5, "painted")])[0]
    assert len(removed.places) == 1
    assert removed.kept == ()


def test_the_frames_show_mucosa_alone() -> None:
    frames = list_images(FRAMES)
    assert len(frames) >= 4
    assert (Path(FRAMES) / "README.md").is_file()
    proposer = load_proposer("random")
    for path in frames:
        assert proposer.propose(read_image(path), 1, Key(1, path.name))
