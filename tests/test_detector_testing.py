"""`polyp-aug test detector`: COCO's scores and detections of mmengine's runner, also where nothing is detected."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Phantoms
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

from polyp_aug.coco import read_coco
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.coco_scores import coco_scores
from polyp_aug.integrations.mmdet.configs import read_config
from polyp_aug.integrations.mmdet.inference import detect
from polyp_aug.integrations.mmdet.testing import measure_detector

CONFIGS = Path(__file__).resolve().parents[1] / "mmdet_configs"
CENTERNET = CONFIGS / "centernet" / "centernet_mini_real.py"
YOLOX = CONFIGS / "yolo" / "yolox_mini_real.py"

#: Pictures are loaded in this process.
HERE = tuple(f"test_dataloader.{name}" for name in ("num_workers=0", "persistent_workers=False", "batch_size=4"))

#: YOLOX takes only what is above this score; nothing is.
NOTHING = (*HERE, "model.test_cfg.score_thr=1.5")

#: Name of a score elsewhere → mmdet's.
NAMES = {
    "AP": "mAP",
    "AP50": "mAP_50",
    "AP75": "mAP_75",
    "AP_small": "mAP_s",
    "AP_medium": "mAP_m",
    "AP_large": "mAP_l",
}


def untrained(config: Path, file: Path) -> Path:
    """The checkpoint of a network with random weights."""
    init_default_scope("mmdet")
    torch.manual_seed(0)
    model = MODELS.build(read_config(config).model)
    torch.save({"state_dict": model.state_dict()}, file)
    return file


@pytest.fixture(scope="module")
def checkpoint(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CenterNet with random weights, whose boxes are as large as the median polyp."""
    file = untrained(CENTERNET, tmp_path_factory.mktemp("weights") / "centernet.pth")
    sides = np.median([item.bbox[2:] for item in read_coco(phantoms.references).annotations], axis=0)
    weights = torch.load(file, weights_only=True)["state_dict"]
    weights["bbox_head.wh_head.2.bias"] = torch.tensor(sides * (64 / 256, 64 / 216), dtype=torch.float32)
    torch.save({"state_dict": weights}, file)
    return file


@pytest.mark.slow
def test_a_detector_is_measured_as_elsewhere(phantoms: Phantoms, checkpoint: Path, tmp_path: Path) -> None:
    document = json.loads((phantoms.references / "annotations.json").read_text("utf-8"))
    frames = [phantoms.references / "images" / image["file_name"] for image in document["images"]]
    expected = detect(CENTERNET, checkpoint, frames)
    # Objects are what the network finds: most of it in one frame, none in the next, the third in order in another.
    document["annotations"] = []
    for number, (image, own) in enumerate(zip(document["images"], expected, strict=True)):
        image["id"] = 700 + number
        inside = ((own.boxes[:, :2] >= 0) & (own.boxes[:, :2] + own.boxes[:, 2:] <= (256, 216))).all(axis=1)
        boxes = own.boxes[inside][np.argsort(-own.scores[inside])]
        for box in boxes[[slice(0, 40), slice(0, 0), slice(2, 3)][number % 3]].tolist():
            common = {"id": len(document["annotations"]) + 1, "image_id": image["id"], "category_id": 9, "iscrowd": 0}
            document["annotations"].append({**common, "bbox": box, "area": box[2] * box[3]})
    document["categories"] = [{"id": 4, "name": "instrument"}, {"id": 9, "name": "polyp"}]
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    (tmp_path / "images").symlink_to(phantoms.references / "images")
    scores = measure_detector(CENTERNET, checkpoint, tmp_path / "out", data=tmp_path, options=HERE, device="cpu")
    assert json.loads((tmp_path / "out" / "metrics.json").read_bytes()) == scores
    assert not (tmp_path / "out" / "detections.bbox.json").exists()
    found = json.loads((tmp_path / "out" / "detections.json").read_bytes())
    assert {item["category_id"] for item in found} == {9}
    for image, own in zip(document["images"], expected, strict=True):
        here = [item for item in found if item["image_id"] == image["id"]]
        np.testing.assert_allclose([item["score"] for item in here], own.scores, atol=1e-5)
        np.testing.assert_allclose(here[0]["bbox"], own.boxes[0], atol=1e-2)
    for name, value in coco_scores(read_coco(tmp_path), expected).items():
        ours = scores[f"coco/bbox_{NAMES[name]}"]
        assert ours == pytest.approx(-1.0 if value is None else value, abs=6e-4)
    assert scores["coco/bbox_mAP"] == pytest.approx(0.5, abs=0.4)


@pytest.mark.slow
def test_nothing_detected_is_zero_and_no_object_is_no_score(phantoms: Phantoms, tmp_path: Path) -> None:
    weights = untrained(YOLOX, tmp_path / "yolox.pth")
    options = (*NOTHING, "test_evaluator.classwise=True")
    scores = measure_detector(YOLOX, weights, tmp_path / "out", data=phantoms.references, options=options)
    assert json.loads((tmp_path / "out" / "detections.json").read_bytes()) == []
    areas = np.array([item.area for item in read_coco(phantoms.references).annotations])
    there = {"s": (areas < 32**2).any(), "m": ((areas >= 32**2) & (areas < 96**2)).any(), "l": (areas >= 96**2).any()}
    assert scores == {
        "coco/polyp_precision": 0.0,
        **{f"coco/bbox_{name}": 0.0 for name in ("mAP", "mAP_50", "mAP_75")},
        **{f"coco/bbox_mAP_{size}": 0.0 if some else -1.0 for size, some in there.items()},
    }
    document = json.loads((phantoms.references / "annotations.json").read_text("utf-8"))
    (tmp_path / "annotations.json").write_text(json.dumps(document | {"annotations": []}))
    (tmp_path / "images").symlink_to(phantoms.references / "images")
    scores = measure_detector(YOLOX, weights, tmp_path / "none", data=tmp_path, options=options)
    assert scores.pop("coco/polyp_precision") is None
    assert set(scores.values()) == {-1.0}


@pytest.mark.slow
def test_without_a_set_the_config_s_own_is_measured(phantoms: Phantoms, checkpoint: Path, tmp_path: Path) -> None:
    file = phantoms.references / "annotations.json"
    paths = (f"data_root={phantoms.references}/", "ann_file=annotations.json", "data_prefix.img=images/")
    own = (*(f"test_dataloader.dataset.{path}" for path in paths), f"test_evaluator.ann_file={file}")
    scores = measure_detector(CENTERNET, checkpoint, tmp_path / "own", options=(*HERE, *own))
    given = measure_detector(CENTERNET, checkpoint, tmp_path / "given", data=phantoms.references, options=HERE)
    assert scores == given
    first, second = (json.loads((tmp_path / name / "detections.json").read_bytes()) for name in ("own", "given"))
    assert first == second


def test_what_can_not_be_measured_is_named(phantoms: Phantoms, checkpoint: Path, tmp_path: Path) -> None:
    data = phantoms.references
    with pytest.raises(ConfigurationError, match=r"centernet_mini_real\.py: a file of its test set .*val/annotations"):
        measure_detector(CENTERNET, checkpoint, tmp_path, options=HERE)
    with pytest.raises(ConfigurationError, match=r"'device' \('cpu'\) can't be chosen"):
        measure_detector(CENTERNET, checkpoint, tmp_path, data=data, launcher="pytorch", device="cpu")
    with pytest.raises(ConfigurationError, match="'device' is 'cuda:77'"):
        measure_detector(CENTERNET, checkpoint, tmp_path, data=data, options=HERE, device="cuda:77")
    with pytest.raises(ConfigurationError, match="expected one CocoMetric"):
        measure_detector(CENTERNET, checkpoint, tmp_path, data=data, options=("test_evaluator.type=VOCMetric",))
    with pytest.raises(ConfigurationError, match="'test_evaluator' is None"):
        measure_detector(CENTERNET, checkpoint, tmp_path, data=data, options=("test_evaluator=None",))
    with pytest.raises(ConfigurationError, match="weights of another model"):
        measure_detector(CENTERNET, untrained(YOLOX, tmp_path / "other.pth"), tmp_path, data=data, options=HERE)
    assert not (tmp_path / "detections.json").exists()
