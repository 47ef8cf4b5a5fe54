"""Tight masks: from the difference of before and after, and by SAM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

from polyp_aug.curation.refinement import painted_part
from polyp_aug.curation.runs.sam import SamSegmenter
from polyp_aug.errors import ConfigurationError
from polyp_aug.geometry import Region


def disc(radius: float, x: float = 60, y: float = 50) -> np.ndarray:
    rows, columns = np.mgrid[:100, :120]
    return np.asarray(np.hypot(rows - y, columns - x) < radius)


def test_mucosa_that_changed_a_little_is_left_out() -> None:
    rng = np.random.default_rng(0)
    before = rng.integers(90, 110, (100, 120, 3), dtype=np.uint8)
    polyp, place = disc(14), disc(35)
    after = before.copy()
    after[place] += np.uint8(9)
    after[polyp] += np.uint8(60)
    annotated = Region.from_mask(place)
    assert annotated is not None
    found = painted_part(before, after, annotated)
    assert found is not None
    mask = found.to_mask(100, 120)
    assert (mask & polyp).sum() / (mask | polyp).sum() > 0.7
    assert annotated.area > 4 * found.area


def test_nothing_is_found_where_nothing_changed() -> None:
    before = np.full((100, 120, 3), 90, np.uint8)
    annotated = Region.from_mask(disc(20))
    assert annotated is not None
    assert painted_part(before, before, annotated) is None
    assert painted_part(before, before + np.uint8(3), annotated) is None
    outside = annotated.shifted(500, 0)
    assert painted_part(before, before + np.uint8(90), outside) is None


@given(st.integers(4, 40), st.integers(10, 110), st.integers(10, 90), st.integers(0, 2**32 - 1))
def test_the_result_lies_inside_of_the_annotation(radius: int, x: int, y: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, after = (rng.integers(0, 255, (100, 120, 3), dtype=np.uint8) for _ in range(2))
    annotated = Region.from_mask(disc(radius, x, y))
    assert annotated is not None
    found = painted_part(before, after, annotated)
    assert found is not None
    assert not (found.to_mask(100, 120) & ~annotated.to_mask(100, 120)).any()


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SAM with random weights."""
    import torch

    torch.manual_seed(0)
    vision = SamVisionConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=64,
        patch_size=8,
        output_channels=8,
        mlp_dim=16,
        window_size=2,
        global_attn_indexes=[0],
        num_pos_feats=4,
    )
    prompts = SamPromptEncoderConfig(hidden_size=8, image_size=64, patch_size=8, mask_input_channels=4)
    decoder = SamMaskDecoderConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, mlp_dim=16, iou_head_hidden_dim=8, iou_head_depth=2
    )
    folder = tmp_path_factory.mktemp("sam")
    SamModel(
        SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    ).save_pretrained(folder)
    return folder


def test_sam_segments_each_box_at_the_frames_size(sam: Path) -> None:
    segmenter = SamSegmenter(str(sam))
    image = np.random.default_rng(0).integers(0, 255, (100, 150, 3), dtype=np.uint8)
    boxes = [(10.0, 20.0, 40.0, 30.0), (80.0, 50.0, 60.0, 40.0)]
    found = segmenter.segment(image, boxes)
    assert [mask.shape for mask in found] == [(100, 150)] * 2
    assert all(mask.dtype == np.bool_ for mask in found)
    alone = segmenter.segment(image, boxes[1:])[0]
    assert (alone == found[1]).all()
    assert segmenter.segment(image, []) == []
    assert SamSegmenter(str(sam)).revision == segmenter.revision


def test_sam_agrees_with_the_processor_of_transformers(sam: Path) -> None:
    import torch
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    segmenter = SamSegmenter(str(sam))
    rows, columns = np.mgrid[:96, :128]
    image = np.stack([rows, columns, rows + columns], axis=-1).astype(np.uint8)
    boxes = [(20.0, 10.0, 60.0, 50.0)]
    own = segmenter.segment(image, boxes)[0]
    processor = SamImageProcessorPil(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}, mask_size={"longest_edge": 16}
    )
    inputs = processor(image, return_tensors="pt")
    model = SamModel.from_pretrained(sam)
    with torch.no_grad():
        outputs = model(
            pixel_values=inputs["pixel_values"],
            input_boxes=torch.tensor([[[10.0, 5.0, 40.0, 30.0]]]),
            multimask_output=True,
        )
    masks = processor.post_process_masks(
        outputs.pred_masks,
        inputs["original_sizes"],
        inputs["reshaped_input_sizes"],
        pad_size={"height": 64, "width": 64},
    )[0][0]
    best = masks[int(outputs.iou_scores[0, 0].argmax())].numpy()
    assert (own == best).mean() > 0.97


def test_what_is_no_sam_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no folder, and no hub id with a commit"):
        SamSegmenter("facebook/sam-vit-base")
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(ConfigurationError, match="expected one of sam"):
        SamSegmenter(str(tmp_path))
