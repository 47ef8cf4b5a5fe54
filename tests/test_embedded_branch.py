"""The control branch that comes with the package."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open

from polyp_aug import Key, load_synthesizer
from polyp_aug.captions.template import vocabulary
from polyp_aug.curation.mask_agreement import default_agreement
from polyp_aug.geometry import Region
from polyp_aug.images import ImageArray, MaskArray
from polyp_aug.scene import Job, Painted
from polyp_aug.synthesizers.base import Synthesizer
from polyp_aug.synthesizers.ccis_diff.painter import embedded_frame_weights
from polyp_aug.synthesizers.ccis_diff.prompts import tokenize
from polyp_aug.synthesizers.ccis_diff.weights import load_ccis_weights
from polyp_aug.synthesizers.polyp_gen.load import embedded_weights

#: 32 MiB, on top of the package's inpainting pipeline.
LARGEST = 32 * 2**20


@pytest.fixture(scope="module")
def maker() -> Synthesizer:
    return load_synthesizer("ccis_diff")


def mask(x: int, y: int, radius: int) -> MaskArray:
    rows, columns = np.mgrid[:192, :192]
    return np.asarray(np.hypot(rows - y, columns - x) < radius)


PLACES = [mask(60, 70, 24), mask(120, 60, 30), mask(110, 130, 20), mask(70, 120, 34)]


def made(maker: Synthesizer, masks: list[MaskArray], caption: str, seed: int = 0) -> list[ImageArray]:
    jobs = []
    for number, pixels in enumerate(masks):
        region = Region.from_mask(pixels)
        assert region is not None
        jobs.append(Job(np.zeros((192, 192, 3), np.uint8), region, caption, 0, Key(seed, "x", draw=number)))
    results = maker.paint(jobs)
    return [result.image for result in results if isinstance(result, Painted)]


def test_it_is_small_and_half_precision_and_names_no_path() -> None:
    folder = embedded_frame_weights()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert 5_000_000 < sum(path.stat().st_size for path in files) <= LARGEST
    for path in files:
        if path.suffix == ".json":
            assert "_name_or_path" not in json.loads(path.read_bytes()), path
    weights = [path for path in files if path.suffix == ".safetensors"]
    assert {path.parent.name for path in weights} == {"controlnet", "text_encoder"}
    for path in weights:
        with safe_open(path, framework="np") as tensors:
            kinds = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118  # It has no __iter__.
        assert kinds <= {"F16", "I64"}, path


def test_its_text_encoder_knows_the_words() -> None:
    pipeline = load_ccis_weights(str(embedded_frame_weights()), base=str(embedded_weights())).pipeline
    assert pipeline.controlnet.config.blur_mask
    assert pipeline.controlnet.config.text_aware
    words = [word for word in vocabulary() if word.isalpha()]
    ids, own = tokenize(pipeline.tokenizer, words)
    spelled = [tuple(row[mask].tolist()) for row, mask in zip(ids, own, strict=True)]
    # Some are cut into pieces, but none reads like another, nor as single letters.
    assert len(set(spelled)) == len(words)
    assert sum(len(tokens) == 1 for tokens in spelled) > 0.7 * len(words)
    assert all(len(tokens) < len(word) or len(word) == 1 for tokens, word in zip(spelled, words, strict=True))


def test_polyps_stand_where_the_masks_say(maker: Synthesizer) -> None:
    caption = "a large round reddish sessile polyp with a nodular surface in the centre. pink mucosa, glossy"
    frames = made(maker, PLACES, caption)
    agreement = default_agreement()
    own = [agreement.disagreements(frame, [place]) == [None] for frame, place in zip(frames, PLACES, strict=True)]
    # Each frame beside the mask of the next one, which lies elsewhere.
    others = [*PLACES[1:], PLACES[0]]
    elsewhere = [agreement.disagreements(frame, [place]) == [None] for frame, place in zip(frames, others, strict=True)]
    assert sum(own) >= 3
    assert sum(own) > sum(elsewhere)


def test_frames_follow_noise_mask_and_caption(maker: Synthesizer) -> None:
    [first] = made(maker, PLACES[:1], "a small pale flat polyp")
    [other_mask] = made(maker, PLACES[1:2], "a small pale flat polyp")
    [other_words] = made(maker, PLACES[:1], "a small reddish pedunculated polyp")
    [other_noise] = made(maker, PLACES[:1], "a small pale flat polyp", seed=1)
    [again] = made(maker, PLACES[:1], "a small pale flat polyp")
    np.testing.assert_array_equal(first, again)
    for other in (other_mask, other_words, other_noise):
        assert np.abs(other.astype(int) - first).mean() > 1.0


def test_the_card_names_data_licences_commands_and_limits() -> None:
    card = (embedded_frame_weights() / "README.md").read_text("utf-8")
    for needed in (
        "Kvasir-SEG",
        "HyperKvasir",
        "CC BY 4.0",
        "polyp-aug train ccis-diff",
        "scripts/make_embedded_branch.py",
        "Not a medical device",
        "## Limits",
        "## Measured",
    ):
        assert needed in card
