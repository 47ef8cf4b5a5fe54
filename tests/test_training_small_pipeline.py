"""The small pipeline with which training from scratch begins."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny, StableDiffusionInpaintPipeline

from polyp_aug.errors import ConfigurationError
from polyp_aug.synthesizers.polyp_gen import load_inpainting_weights
from polyp_aug.training.small_pipeline import SmallPipelineConfig, build_small_pipeline, build_tokenizer

FORM = SmallPipelineConfig(channels=(32, 128), text_channels=16, size=32)


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vae")
    AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
        scaling_factor=0.7,
    ).save_pretrained(folder)
    return folder


def test_it_is_a_diffusers_folder_like_any_other(vae: Path, tmp_path: Path) -> None:
    made = build_small_pipeline(FORM, vae)
    made.save_pretrained(tmp_path)
    found = load_inpainting_weights(str(tmp_path))
    assert isinstance(found.pipeline, StableDiffusionInpaintPipeline)
    assert (found.cell, found.native_size) == (4, 32)
    assert found.pipeline.scheduler.config.prediction_type == "v_prediction"
    assert float(found.pipeline.scheduler.alphas_cumprod[-1]) == pytest.approx(0.0, abs=1e-6)
    first, second = (pipeline.encode_prompt("Polyp", "cpu", 1, False)[0] for pipeline in (made, found.pipeline))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-6)


def test_equal_seeds_give_equal_weights(vae: Path) -> None:
    first, second = (build_small_pipeline(FORM, vae).unet.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_prompts_are_far_apart(vae: Path) -> None:
    pipeline = build_small_pipeline(FORM, vae)
    with torch.no_grad():
        found = [pipeline.encode_prompt(prompt, "cpu", 1, False)[0] for prompt in ("Polyp", "Normal", "")]
    embeddings = [embedding.flatten() for embedding in found]
    size = float(embeddings[0].norm())
    for index in range(3):
        assert float(torch.dist(embeddings[index], embeddings[index - 1])) > 0.3 * size


def test_a_known_word_is_one_token_and_others_are_spelled() -> None:
    words = build_tokenizer(["polyp", "normal"])
    start, end = words.bos_token_id, words.eos_token_id
    assert words.convert_ids_to_tokens(words("Polyp")["input_ids"]) == ["<|startoftext|>", "polyp</w>", "<|endoftext|>"]
    assert words("")["input_ids"] == [start, end]
    spelled = words.convert_ids_to_tokens(words("red")["input_ids"])
    assert spelled[1:-1] == ["r", "e", "d</w>"]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"channels": (32,)}, "channels"),
        ({"channels": (30, 128)}, "channels"),
        ({"channels": (20, 20), "groups": 20}, "channels"),
        ({"text_channels": 18}, "text_channels"),
        ({"layers": 0}, "layers"),
    ],
)
def test_wrong_forms_are_named(changes: dict[str, object], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}'"):
        SmallPipelineConfig(**changes)  # type: ignore[arg-type]


def test_a_size_that_does_not_fit_and_no_autoencoder_are_named(vae: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="multiple of 8"):
        build_small_pipeline(SmallPipelineConfig(channels=(32, 128), text_channels=16, size=36), vae)
    with pytest.raises(ConfigurationError, match="can't be loaded as an autoencoder"):
        build_small_pipeline(FORM, tmp_path)
