"""What a detector will see: samples after the training pipeline, with their boxes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Phantoms

from polyp_aug.coco import read_coco
from polyp_aug.errors import ConfigurationError
from polyp_aug.images import read_image
from polyp_aug.integrations.mmdet.browsing import Sample, sample_sheet, training_samples, write_samples

CENTERNET = Path(__file__).resolve().parents[1] / "mmdet_configs" / "centernet" / "centernet_mini_real.py"


@pytest.fixture(scope="module")
def sets(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ten frames with polyps, and six without."""
    folder = tmp_path_factory.mktemp("normal")
    names = sorted(path.name for path in phantoms.backgrounds.iterdir())
    images = [{"id": k, "file_name": name, "width": 256, "height": 216} for k, name in enumerate(names, 1)]
    document = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "polyp"}]}
    (folder / "annotations.json").write_text(json.dumps(document))
    (folder / "images").symlink_to(phantoms.backgrounds)
    return [phantoms.references, folder]


def same(first: Sample, second: Sample) -> bool:
    return first.name == second.name and np.array_equal(first.drawn(), second.drawn())


def test_samples_are_those_of_the_seed_whatever_their_number(sets: list[Path]) -> None:
    samples = training_samples(CENTERNET, sets, count=20, seed=5)
    again = training_samples(CENTERNET, sets, count=18, seed=5)
    assert all(same(*pair) for pair in zip(samples, again, strict=False))
    assert not any(same(*pair) for pair in zip(samples, training_samples(CENTERNET, sets, count=9), strict=False))
    sources = [(sample.name, len(sample.labels) > 0) for sample in samples]
    assert len(samples) == 20
    assert len(set(sources[:16])) == 16
    assert {sample.image.shape for sample in samples} == {(256, 256, 3)}
    without = [sample for sample in samples if not sample.labels]
    assert len(without) >= 6
    np.testing.assert_array_equal(without[0].drawn(), without[0].image)
    assert {label for sample in samples for label in sample.labels} == {"polyp"}


def test_samples_went_through_the_pipeline(sets: list[Path], tmp_path: Path) -> None:
    config = tmp_path / "flipped.py"
    steps = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations", "with_bbox": True},
        {"type": "RandomFlip", "prob": 1.0, "direction": "horizontal"},
        {"type": "PackDetInputs"},
    ]
    config.write_text(f"_base_ = [{str(CENTERNET)!r}]\ntrain_dataloader = dict(dataset=dict(pipeline={steps!r}))\n")
    document = json.loads((sets[0] / "annotations.json").read_text("utf-8"))
    document["annotations"][0]["iscrowd"] = 1
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    (tmp_path / "images").symlink_to(sets[0] / "images")
    dataset = read_coco(tmp_path)
    images = {image.file_name: image for image in dataset.images}
    for sample in training_samples(config, [tmp_path], count=len(images)):
        np.testing.assert_array_equal(sample.image, read_image(tmp_path / "images" / sample.name)[:, ::-1])
        objects = dataset.by_image()[images[sample.name].id]
        expected = [[256 - x - w, y, 256 - x, y + h] for x, y, w, h in (item.bbox for item in objects)]
        crowd = [bool(item.iscrowd) for item in objects]
        order, known = np.lexsort(sample.boxes.T), np.lexsort(np.array(expected).T)
        np.testing.assert_allclose(sample.boxes[order], np.array(expected)[known], atol=1e-4)
        assert sample.ignored[order].tolist() == np.array(crowd)[known].tolist()


def test_boxes_are_drawn_with_their_class() -> None:
    black = np.zeros((60, 80, 3), np.uint8)
    boxes = np.array([[10.0, 20.4, 70.0, 50.0], [5.0, 5.0, 5.0, 5.0]])
    sample = Sample("a.png", black, boxes, ("polyp", "polyp"), np.array([False, True]))
    drawn = sample.drawn()
    assert drawn[35, 10].tolist() == drawn[50, 40].tolist() == [64, 224, 208]
    assert drawn[5, 5].tolist() == [160, 160, 160]
    assert (drawn[22:36, 14:60] > 0).any()
    assert not drawn[55:].any()
    assert not black.any()


def test_a_sheet_and_every_sample_are_written(tmp_path: Path) -> None:
    wide = Sample("wide.png", np.zeros((100, 800, 3), np.uint8), np.empty((0, 4)), (), np.empty(0, bool))
    assert write_samples([wide] * 5, tmp_path / "new" / "out") == tmp_path / "new" / "out" / "sheet.png"
    names = ["001.png", "002.png", "003.png", "004.png", "005.png", "sheet.png"]
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == names
    assert read_image(tmp_path / "new" / "out" / "003.png").shape == (100, 800, 3)
    assert sample_sheet([wide] * 5).shape == (2 * (50 + 22) + 8, 4 * 400 + 3 * 8, 3)


def test_a_wrong_number_is_named(sets: list[Path]) -> None:
    with pytest.raises(ConfigurationError, match="'count' must be at least 1"):
        training_samples(CENTERNET, sets, count=0)
    with pytest.raises(ConfigurationError, match="no data set"):
        training_samples(CENTERNET, [])
