"""Whether a frame shows a polyp where a mask says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Phantoms

from polyp_aug.captions.measures import view
from polyp_aug.coco import decode_segmentation, read_coco, resolve_image
from polyp_aug.curation.mask_agreement import DEFAULT_MODEL, default_agreement, read_agreement
from polyp_aug.errors import ConfigurationError
from polyp_aug.images import ImageArray, MaskArray, list_images, read_image, read_mask


def moved(mask: MaskArray) -> MaskArray:
    """The mask at the opposite side of its frame."""
    return np.ascontiguousarray(np.roll(mask, (mask.shape[0] // 2, mask.shape[1] // 2), axis=(0, 1)))


def shares(pairs: list[tuple[ImageArray, MaskArray]]) -> tuple[float, float]:
    """How many masks agree where they belong, and at the opposite side."""
    agreement = default_agreement()
    own = [agreement.disagreements(image, [mask]) == [None] for image, mask in pairs]
    elsewhere = [agreement.disagreements(image, [moved(mask)]) == [None] for image, mask in pairs]
    return float(np.mean(own)), float(np.mean(elsewhere))


def test_real_polyps_agree_and_their_masks_elsewhere_do_not(real_data: Path) -> None:
    paths = list_images(real_data / "polyp" / "images")[:800:40]
    found = [next((real_data / "polyp" / "masks").glob(f"{path.stem}.*")) for path in paths]
    pairs = [(read_image(path), read_mask(mask)) for path, mask in zip(paths, found, strict=True)]
    own, elsewhere = shares([(image, mask) for image, mask in pairs if mask.mean() < 0.2])
    assert own > 0.75
    assert elsewhere < 0.45


def test_the_reason_names_the_score(phantoms: Phantoms) -> None:
    dataset = read_coco(phantoms.references)
    image = dataset.images[0]
    picture = read_image(resolve_image(dataset.image_root, image.file_name))
    polyp = decode_segmentation(dataset.by_image()[image.id][0].segmentation, image.width, image.height)
    flat = np.full_like(picture, picture[polyp].mean(axis=0).astype(np.uint8))
    [reason] = default_agreement().disagreements(flat, [polyp])
    assert reason is not None
    assert "the frame shows no polyp in the mask" in reason
    assert default_agreement().disagreements(picture, []) == []


def test_a_polyp_that_stands_out_more_scores_higher() -> None:
    rows, columns = np.mgrid[:128, :128]
    mask = np.hypot(rows - 64, columns - 64) < 20
    scores = []
    for step in (0, 10, 25):
        image = np.full((128, 128, 3), (170, 95, 75), np.uint8)
        image[mask] += np.uint8(step)
        scores.append(default_agreement().score(view(image), mask, mask))
    assert scores == sorted(scores)
    assert scores[0] < default_agreement().threshold < scores[2]


def test_a_file_that_is_no_score_is_named(tmp_path: Path) -> None:
    assert read_agreement(DEFAULT_MODEL) == default_agreement()
    (tmp_path / "x.yaml").write_text("source: a\nweights: {rim: 1}\n")
    with pytest.raises(ConfigurationError, match=r"x\.yaml"):
        read_agreement(tmp_path / "x.yaml")
    with pytest.raises(ConfigurationError, match="none"):
        read_agreement(tmp_path / "none.yaml")
