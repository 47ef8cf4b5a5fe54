"""CCIS-Diff: each mechanism in numbers, the branch beside the stock ControlNet, the pipeline, and its weights."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import tiny_diffusion
import torch
from captioned import save_tiny, wake
from diffusers import ControlNetModel, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor

from polyp_aug.errors import ConfigurationError
from polyp_aug.geometry import Region
from polyp_aug.keys import Key
from polyp_aug.scene import Job, Painted
from polyp_aug.synthesizers.ccis_diff.attention import TextAwareAttnProcessor, text_aware_map
from polyp_aug.synthesizers.ccis_diff.blur import blur_masks
from polyp_aug.synthesizers.ccis_diff.control_net import CCISControlNet
from polyp_aug.synthesizers.ccis_diff.guidance import Guidance
from polyp_aug.synthesizers.ccis_diff.pipeline import CCISDiffPipeline
from polyp_aug.synthesizers.ccis_diff.prompts import mirrored, tokenize
from polyp_aug.synthesizers.ccis_diff.weights import BranchSettings, load_ccis_weights
from polyp_aug.synthesizers.frame_options import FrameOptions
from polyp_aug.synthesizers.registry import load_synthesizer, makes_frames, parse_synthesizer

ENCODERS = (16, 32, 96)
OFF = {"blur_mask": False, "text_aware": False}


def unet(channels: int = 4) -> UNet2DConditionModel:
    return tiny_diffusion.pipeline(input_channels=channels).unet.eval()


def branch(model: UNet2DConditionModel, **settings: object) -> CCISControlNet:
    """A control branch none of whose layers is zero any more."""
    torch.manual_seed(3)
    found = CCISControlNet.from_unet(model, conditioning_embedding_out_channels=ENCODERS, **settings).eval()
    wake(found)
    return found


def inputs(number: int = 3, channels: int = 4) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    mask = torch.zeros(number, 1, 32, 32)
    for row in range(number):
        mask[row, 0, 4 + 3 * row : 20, 6 : 14 + 5 * row] = 1.0
    own = torch.zeros(number, 12, dtype=torch.bool)
    own[:, 1:6] = True
    return {
        "sample": torch.randn(number, channels, 8, 8, generator=generator),
        "timestep": torch.linspace(1, 900, number).long(),
        "encoder_hidden_states": torch.randn(number, 12, 16, generator=generator),
        "controlnet_cond": mask,
        "prompt_tokens": own,
    }


def results(model: CCISControlNet | ControlNetModel, given: dict[str, Tensor]) -> list[Tensor]:
    with torch.no_grad():
        down, middle = model(**given, return_dict=False)
    return [*down, middle]


def furthest(first: list[Tensor], second: list[Tensor]) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(first, second, strict=True))


# Blur


def test_a_mask_is_blurred_as_wide_as_its_polyp_asks_for() -> None:
    """A disc's edge is the integral of the Gaussian: halfway out on it, and 84 % or 16 % a σ further in or out."""
    rows, columns = np.mgrid[:128, :128] + 0.5
    distance = np.hypot(rows - 64, columns - 64)
    disc = torch.from_numpy((distance < 40).astype(np.float32))[None, None]
    share = 0.1
    sigma = share * math.sqrt(4 * float(disc.sum()) / math.pi)
    soft = blur_masks(disc, share)[0, 0].numpy()
    for offset, expected in ((-sigma, 0.84), (0.0, 0.5), (sigma, 0.16)):
        ring = np.abs(distance - 40 - offset) < 0.7
        assert abs(float(soft[ring].mean()) - expected) < 0.06
    np.testing.assert_allclose(soft.sum(), float(disc.sum()), rtol=0.01)


def test_a_blurred_mask_does_not_depend_on_its_batch() -> None:
    masks = inputs()["controlnet_cond"]
    together = blur_masks(masks, 0.08)
    for index in range(len(masks)):
        torch.testing.assert_close(blur_masks(masks[index : index + 1], 0.08), together[index : index + 1])
    assert torch.equal(blur_masks(masks, 0.0), masks)
    assert not blur_masks(torch.zeros(2, 1, 16, 16), 0.1).any()
    assert not blur_masks(torch.cat([masks[:1], torch.zeros(1, 1, 32, 32)]), 0.1)[1].any()


# Text-aware attention


def test_the_map_is_one_where_the_prompt_is_strongest() -> None:
    similarity = torch.tensor([[[0.2, 0.3, 0.5], [0.2, 0.6, 0.2], [0.6, 0.1, 0.3], [0.1, 0.4, 0.5]]])
    own = torch.tensor([[False, True, False]])
    # Sums 0.3, 0.6, 0.1, 0.4; torch's median of four is the lower of the middle ones, 0.3; the largest 0.6.
    expected = torch.tensor([[0.0, 1.0, 0.0, 1 / 3]])
    torch.testing.assert_close(text_aware_map(similarity, own), expected)


def test_an_empty_or_even_prompt_leaves_the_map_at_one() -> None:
    similarity = torch.rand(2, 6, 4).softmax(-1)
    assert torch.equal(text_aware_map(similarity, torch.zeros(2, 4, dtype=torch.bool)), torch.ones(2, 6))
    # Over all tokens the softmax is 1 everywhere.
    assert torch.equal(text_aware_map(similarity, torch.ones(2, 4, dtype=torch.bool)), torch.ones(2, 6))


def attention(cross: int | None = None) -> Attention:
    torch.manual_seed(6)
    return Attention(query_dim=16, cross_attention_dim=cross, heads=2, dim_head=8)


@torch.no_grad()
def test_an_empty_prompt_is_plain_attention_to_1e_6() -> None:
    layer, cross = attention(), attention(12)
    hidden, prompt = torch.randn(3, 20, 16), torch.randn(3, 7, 12)
    plain = AttnProcessor2_0()(layer, hidden)
    processor = TextAwareAttnProcessor(cross)
    own = torch.zeros(3, 7, dtype=torch.bool)
    assert float((processor(layer, hidden, prompt_states=prompt, prompt_tokens=own) - plain).abs().max()) < 1e-6
    assert float((processor(layer, hidden) - plain).abs().max()) < 1e-6
    own[1, 2:4] = True
    changed = (processor(layer, hidden, prompt_states=prompt, prompt_tokens=own) - plain).abs().amax(dim=(1, 2))
    assert float(changed[1]) > 1e-3
    assert float(changed[[0, 2]].max()) < 1e-6


@torch.no_grad()
def test_logits_are_scaled_before_the_softmax() -> None:
    """As written in the paper, with loops and explicit matrices."""
    layer, cross = attention(), attention(12)
    hidden, prompt = torch.randn(1, 9, 16), torch.randn(1, 7, 12)
    own = torch.zeros(1, 7, dtype=torch.bool)
    own[0, 1:4] = True
    similarity = torch.zeros(9, 7)
    for head in range(2):
        part = slice(8 * head, 8 * head + 8)
        query, key = cross.to_q(hidden)[0, :, part], cross.to_k(prompt)[0, :, part]
        similarity += (query @ key.T / math.sqrt(8)).softmax(dim=-1) / 2
    scores = text_aware_map(similarity[None], own)[0]
    found = []
    for head in range(2):
        part = slice(8 * head, 8 * head + 8)
        query, key, value = (project(hidden)[0, :, part] for project in (layer.to_q, layer.to_k, layer.to_v))
        found.append((query @ key.T / math.sqrt(8) * scores[None, :]).softmax(dim=-1) @ value)
    expected = layer.to_out[0](torch.cat(found, dim=-1))
    result = TextAwareAttnProcessor(cross)(layer, hidden, prompt_states=prompt, prompt_tokens=own)
    torch.testing.assert_close(result[0], expected, rtol=1e-5, atol=1e-6)


# The branch


@pytest.mark.parametrize("channels", [4, 9])
def test_with_both_mechanisms_off_it_is_the_stock_control_net(channels: int) -> None:
    model = unet(channels)
    mine = branch(model, **OFF)
    stock = ControlNetModel.from_unet(
        model, conditioning_channels=1, conditioning_embedding_out_channels=ENCODERS
    ).eval()
    stock.load_state_dict(mine.state_dict())
    given = inputs(channels=channels)
    plain = {name: value for name, value in given.items() if name != "prompt_tokens"}
    assert furthest(results(mine, given), results(stock, plain)) < 1e-5


@pytest.mark.parametrize("name", ["blur_mask", "text_aware"])
def test_each_mechanism_changes_the_result_alone(name: str) -> None:
    model = unet()
    stock, one = branch(model, **OFF), branch(model, **(OFF | {name: True}))
    missing, unexpected = one.load_state_dict(stock.state_dict(), strict=False)
    assert not unexpected
    assert bool(missing) == (name == "blur_mask")
    given = inputs()
    assert furthest(results(one, given), results(stock, given)) > 1e-4
    if name == "text_aware":
        given["prompt_tokens"] = torch.zeros_like(given["prompt_tokens"])
        assert furthest(results(one, given), results(stock, given)) < 1e-5


def test_a_new_branch_changes_nothing_yet() -> None:
    found = CCISControlNet.from_unet(unet(), conditioning_embedding_out_channels=ENCODERS)
    assert all(not part.any() for part in results(found, inputs()))


def test_one_of_a_batch_is_as_if_it_were_alone() -> None:
    found, given = branch(unet()), inputs()
    together = results(found, given)
    for index in range(3):
        alone = results(found, {name: value[index : index + 1] for name, value in given.items()})
        assert furthest(alone, [part[index : index + 1] for part in together]) < 1e-5


def test_gradients_reach_everything_that_is_new_and_nothing_that_is_frozen() -> None:
    model = unet().requires_grad_(False)
    found, given = branch(model).train(), inputs()
    prompt = given["encoder_hidden_states"].requires_grad_()
    down, middle = found(**given, return_dict=False)
    noise = model(
        given["sample"],
        given["timestep"],
        prompt,
        down_block_additional_residuals=down,
        mid_block_additional_residual=middle,
    ).sample
    noise.square().mean().backward()
    without = [name for name, weights in found.named_parameters() if weights.grad is None or not weights.grad.any()]
    # Softmax doesn't feel what is added to all of its logits.
    assert [name for name in without if not name.endswith("to_k.bias")] == []
    assert all(weights.grad is None for weights in model.parameters())
    names = {name for name, weights in found.named_parameters() if weights.grad is not None}
    for part in ("blur_mask_weighting.mlp", "blur_mask_weighting.blurred_encoder", "controlnet_cond_embedding"):
        assert any(name.startswith(part) for name in names)


def test_the_cross_attention_feels_the_text_aware_map() -> None:
    layer, cross = attention().requires_grad_(False), attention(12)
    own = torch.zeros(2, 7, dtype=torch.bool)
    own[:, 1:3] = True
    found = TextAwareAttnProcessor(cross)(
        layer, torch.randn(2, 9, 16), prompt_states=torch.randn(2, 7, 12), prompt_tokens=own
    )
    found.square().sum().backward()
    assert bool(cross.to_q.weight.grad.any())
    assert bool(cross.to_k.weight.grad.any())


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    model = unet()
    given = inputs()
    grads = []
    for checkpointing in (False, True):
        found = branch(model).train()
        if checkpointing:
            found.enable_gradient_checkpointing()
        down, middle = found(**given, return_dict=False)
        sum(part.square().sum() for part in (*down, middle)).backward()
        grads.append([weights.grad for weights in found.parameters()])
    assert furthest(*grads) < 1e-5


def test_a_branch_is_saved_and_loaded_as_a_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found, given = branch(unet(), blur_share=0.07), inputs()
    found.save_pretrained(tmp_path)
    again = CCISControlNet.from_pretrained(tmp_path).eval()
    assert furthest(results(found, given), results(again, given)) == 0.0
    assert (again.config.blur_share, again.config.blur_mask, again.config.text_aware) == (0.07, True, True)
    assert "not expected" not in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"down_block_types": ("AttnDownBlock2D",) * 4}, "AttnDownBlock2D"), ({"blur_share": -1.0}, "blur_share")],
)
def test_a_branch_of_another_kind_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        CCISControlNet(block_out_channels=(16, 16, 16, 16), norm_num_groups=8, cross_attention_dim=16, **settings)


# Prompts


def test_only_the_captions_own_tokens_count() -> None:
    ids, own = tokenize(tiny_diffusion.tokenizer(), ["abc", "", "a very long text indeed"])
    assert ids.shape == own.shape == (3, 12)
    assert own.sum(dim=1).tolist() == [3, 0, 10]
    assert not own[:, 0].any()


def test_a_mirrored_caption_says_so() -> None:
    text = "A polyp in the upper left, red. Reflections right below the top"
    assert mirrored(text, across=True, upside_down=False).startswith("A polyp in the upper right, red.")
    both = mirrored(text, across=True, upside_down=True)
    assert both == "A polyp in the lower right, red. Reflections left below the bottom"
    assert mirrored(both, across=True, upside_down=True) == text
    assert mirrored("bright pink mucosa", across=True, upside_down=True) == "bright pink mucosa"


# The pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole pipeline whose branch does something."""
    made = tmp_path_factory.mktemp("ccis")
    save_tiny(made)
    return made


def masks(number: int = 3) -> list[np.ndarray]:
    return [mask.numpy() > 0 for mask in inputs(number)["controlnet_cond"][:, 0]]


def generators(number: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(number)]


def frames(pipeline: CCISDiffPipeline, captions: list[str], **options: float) -> list[np.ndarray]:
    settings = {"num_inference_steps": 3, "guidance_scale": 2.0} | options
    return pipeline(masks(len(captions)), captions, generators=generators(len(captions)), **settings)


def test_frames_depend_on_mask_caption_and_noise_alone(folder: Path) -> None:
    pipeline = load_ccis_weights(str(folder / "whole")).pipeline
    captions = ["red polyp", "", "pale"]
    found = frames(pipeline, captions)
    assert [(frame.shape, frame.dtype) for frame in found] == [((32, 32, 3), np.uint8)] * 3
    for index in range(3):
        [alone] = pipeline(
            masks()[index : index + 1],
            captions[index : index + 1],
            generators=[torch.Generator().manual_seed(index)],
            num_inference_steps=3,
            guidance_scale=2.0,
        )
        assert np.abs(alone.astype(int) - found[index]).max() <= 1
    other = frames(pipeline, ["flat polyp", "", "pale"])
    assert (other[0] != found[0]).any()
    np.testing.assert_array_equal(other[1:], found[1:])
    unguided = frames(pipeline, captions, guidance_scale=1.0)
    assert (unguided[0] != found[0]).any()
    # Without a caption there is nothing to weigh.
    np.testing.assert_allclose(unguided[1].astype(int), found[1], atol=1)
    assert (frames(pipeline, captions, conditioning_scale=0.0)[0] != found[0]).any()
    guided = frames(pipeline, captions, mask_guidance_scale=2.0)
    assert (guided[1] != found[1]).any()


@pytest.mark.parametrize(
    ("caption", "mask", "terms"),
    [
        # The paper's, both as one, none, and each of its own.
        (7.0, 1.0, [(True, False, -6.0), (True, True, 7.0)]),
        (1.5, 1.5, [(False, False, -0.5), (True, True, 1.5)]),
        (1.0, 1.0, [(True, True, 1.0)]),
        (4.0, 1.5, [(False, False, -0.5), (True, False, -2.5), (True, True, 4.0)]),
    ],
)
def test_guidance_runs_only_what_counts(caption: float, mask: float, terms: list[tuple[bool, bool, float]]) -> None:
    guidance = Guidance.of(caption, mask)
    assert guidance.terms == tuple(terms)
    known = {(False, False): 2.0, (True, False): 3.0, (True, True): 7.0}
    given = torch.cat([torch.full((2, 1, 1, 1), known[term[:2]]) for term in guidance.terms])
    expected = 2.0 + mask * (3.0 - 2.0) + caption * (7.0 - 3.0)
    torch.testing.assert_close(guidance.combined(given), torch.full((2, 1, 1, 1), expected))
    masks = torch.ones(2, 1, 4, 4)
    assert [float(part.max()) for part in guidance.masks(masks).chunk(len(terms))] == [float(term[0]) for term in terms]
    assert guidance.captions(["a", "b"]) == [text for term in terms for text in (("a", "b") if term[1] else ("", ""))]


def test_a_pipeline_of_four_channels_works_as_well(tmp_path: Path) -> None:
    made = tiny_diffusion.pipeline("epsilon", input_channels=4)
    StableDiffusionPipeline(
        vae=made.vae,
        text_encoder=made.text_encoder,
        tokenizer=made.tokenizer,
        unet=made.unet,
        scheduler=made.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(tmp_path)
    pipeline = load_ccis_weights(str(tmp_path), branch=BranchSettings(blur_mask=False)).pipeline
    assert pipeline.controlnet.config.in_channels == 4
    assert len(frames(pipeline, ["a", "b"])) == 2


def test_a_pipeline_is_saved_and_loaded_as_a_folder(folder: Path, tmp_path: Path) -> None:
    pipeline = CCISDiffPipeline.from_pretrained(folder / "whole")
    pipeline.set_progress_bar_config(disable=True)
    expected = frames(pipeline, ["red", "pale"])
    pipeline.save_pretrained(tmp_path)
    again = load_ccis_weights(str(tmp_path)).pipeline
    np.testing.assert_array_equal(frames(again, ["red", "pale"]), expected)


def test_half_precision_gives_about_the_same(folder: Path) -> None:
    exact = frames(load_ccis_weights(str(folder / "whole")).pipeline, ["red", "pale"])
    half = frames(load_ccis_weights(str(folder / "whole"), dtype=torch.bfloat16).pipeline, ["red", "pale"])
    assert np.abs(np.array(exact).astype(int) - np.array(half)).mean() < 6


def test_wrong_inputs_of_a_pipeline_are_named(folder: Path) -> None:
    pipeline = load_ccis_weights(str(folder / "whole")).pipeline
    with pytest.raises(ConfigurationError, match="3 masks, 2 captions and no generators"):
        pipeline(masks(), ["a", "b"])
    with pytest.raises(ConfigurationError, match=r"multiples of 8 \(32×30\)"):
        pipeline([np.zeros((30, 32), np.bool_)], ["a"])


# Weights


def test_a_part_is_completed_by_a_base(folder: Path, tmp_path: Path) -> None:
    whole = load_ccis_weights(str(folder / "whole"))
    part = tmp_path / "part"
    for name in ("controlnet", "text_encoder", "tokenizer", "scheduler"):
        getattr(whole.pipeline, name).save_pretrained(part / name)
    index = {"controlnet": ["x", "CCISControlNet"], "text_encoder": ["transformers", "CLIPTextModel"]}
    index |= {"tokenizer": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", "DDIMScheduler"]}
    (part / "model_index.json").write_text(str(index).replace("'", '"'))
    completed = load_ccis_weights(str(part), base=str(folder / "inpainting"))
    np.testing.assert_array_equal(frames(completed.pipeline, ["red", "pale"]), frames(whole.pipeline, ["red", "pale"]))
    with pytest.raises(ConfigurationError, match="part: has no vae"):
        load_ccis_weights(str(part))


def test_weights_that_do_not_fit_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no control branch"):
        load_ccis_weights(str(folder / "inpainting"))
    with pytest.raises(ConfigurationError, match="'text_aware' True"):
        load_ccis_weights(str(folder / "whole"), branch=BranchSettings(text_aware=False))
    with pytest.raises(ConfigurationError, match="no diffusers folder"):
        load_ccis_weights(str(tmp_path))
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(ConfigurationError, match="can't be read"):
        load_ccis_weights(str(tmp_path))


def test_the_revision_follows_the_branch(folder: Path, tmp_path: Path) -> None:
    whole = load_ccis_weights(str(folder / "whole"))
    assert whole.revision != load_ccis_weights(str(folder / "inpainting"), branch=BranchSettings()).revision
    with torch.no_grad():
        whole.pipeline.controlnet.conv_in.bias += 1.0
    whole.pipeline.save_pretrained(tmp_path)
    assert load_ccis_weights(str(tmp_path)).revision != whole.revision


# The synthesizer


def job(caption: str, seed: int = 0, size: int = 32) -> Job:
    region = Region.from_mask(masks()[0])
    assert region is not None
    return Job(np.zeros((size, size, 3), np.uint8), region, caption, 0, Key(seed, "x"))


def test_it_is_a_synthesizer_of_whole_frames(folder: Path) -> None:
    found = load_synthesizer(
        "ccis_diff", frame_options=FrameOptions(weights=str(folder / "whole"), num_inference_steps=2, batch_size=2)
    )
    assert (found.name, found.capabilities.output, found.capabilities.native_size) == ("ccis_diff", "frame", 32)
    jobs = [job("red"), job("red", 1), job("pale", 2)]
    results = found.paint(jobs)
    assert all(isinstance(result, Painted) and result.image.shape == (32, 32, 3) for result in results)
    [again] = found.paint(jobs[2:])
    assert isinstance(again, Painted)
    assert isinstance(results[2], Painted)
    assert np.abs(again.image.astype(int) - results[2].image).max() <= 1
    sampling = {"sampler": "ddim", "num_inference_steps": 2, "guidance_scale": 7.0}
    assert results[2].details == sampling | {"mask_guidance_scale": 1.0}
    with pytest.raises(ConfigurationError, match="a frame of 64×64 pixels is asked for, expected 32×32"):
        found.paint([job("red", size=64)])


def test_weights_of_whole_frames_are_known_by_their_branch(folder: Path) -> None:
    assert makes_frames("ccis_diff")
    assert makes_frames(str(folder / "whole"))
    assert not makes_frames(str(folder / "inpainting"))
    assert not makes_frames("")
    assert load_synthesizer(str(folder / "whole")).name == "ccis_diff"
    with pytest.raises(ConfigurationError, match="makes whole frames"):
        parse_synthesizer(str(folder / "whole"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "lcm"}, "sampler"),
        ({"size": 0}, "size"),
        ({"batch_size": 0}, "batch_size"),
        ({"device": "tpu"}, "device"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"guidance_scale": 0.5}, "guidance_scale"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{message}'"):
        FrameOptions(**options)


def test_settings_that_contradict_each_other_are_named(folder: Path) -> None:
    weights = str(folder / "whole")
    with pytest.raises(ConfigurationError, match="given twice"):
        load_synthesizer(weights, frame_options=FrameOptions(weights=weights))
    with pytest.raises(ConfigurationError, match="multiple of 8"):
        load_synthesizer(weights, frame_options=FrameOptions(size=20))
    with pytest.raises(ConfigurationError, match="'base' completes"):
        load_synthesizer("ccis_diff", frame_options=FrameOptions(base=weights))
    with pytest.raises(ConfigurationError, match="'frame_options' are for ccis_diff"):
        load_synthesizer("transplant", frame_options=FrameOptions())
