"""Leak audits: what of an evaluation set stands in what is trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import Phantoms
from runs import config, records

from polyp_aug.coco import read_coco
from polyp_aug.curation.audit.audit import audit
from polyp_aug.curation.runs.painted import painted_objects
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.features import EfficientNetLiteFeatures
from polyp_aug.generation.generate import generate
from polyp_aug.images import ImageArray, read_image, write_png
from polyp_aug.phantom import write_phantom_dataset


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames with polyps that nothing else has."""
    folder = tmp_path_factory.mktemp("held_out") / "held_out"
    write_phantom_dataset(folder, count=6, seed=900, polyps=(1, 1), width=256, height=216)
    return folder


def edited(source: Path, target: Path, **extra: str) -> Path:
    """A copy of a COCO folder; every image gets extra keys, in which {n} is its number."""
    shutil.copytree(source, target)
    document = json.loads((target / "annotations.json").read_text())
    for number, image in enumerate(document["images"]):
        image |= {name: value.format(n=number) for name, value in extra.items()}
    (target / "annotations.json").write_text(json.dumps(document))
    return target


def with_picture(target: Path, number: int, picture: ImageArray) -> str:
    """Put a picture into the place of one of a COCO folder, squeezed to its size; its file name."""
    dataset = read_coco(target)
    image = dataset.images[number]
    size = (image.width, image.height)
    fitted = picture if picture.shape[1::-1] == size else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    write_png(dataset.image_root / image.file_name, np.asarray(fitted, np.uint8))
    return image.file_name


def first_picture(folder: Path, number: int = 0) -> ImageArray:
    dataset = read_coco(folder)
    return read_image(dataset.image_root / dataset.images[number].file_name)


def test_sets_that_share_nothing_are_clean(phantoms: Phantoms, held_out: Path, tmp_path: Path) -> None:
    # Phantoms are numbered from 0 in every set.
    train = edited(phantoms.references, tmp_path / "train", dataset="a")
    evaluation = edited(held_out, tmp_path / "evaluation", dataset="b", split="test")
    result = audit([], [train], [evaluation], tmp_path / "out", extractor=EfficientNetLiteFeatures(), sheet=True)
    assert list(result.findings) == []
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert report["clean"] is True
    assert report["sets"]["evaluation"]["evaluation"]["frames"] == 6
    assert "No leak was found" in (tmp_path / "out" / "report.md").read_text("utf-8")
    assert not (tmp_path / "out" / "pairs.png").exists()


@pytest.mark.parametrize(
    ("change", "level"),
    [
        (lambda picture: picture, "pixels"),
        (lambda picture: np.ascontiguousarray(picture[:, ::-1]), "pixels"),
        (lambda picture: np.ascontiguousarray(picture[::-1, ::-1]), "pixels"),
        (lambda picture: np.ascontiguousarray(np.rot90(picture)), "hash"),
        (lambda picture: np.clip(picture * 1.1, 0, 255).astype(np.uint8), "hash"),
        (lambda picture: np.ascontiguousarray(picture[6:-6, 8:-8]), "features"),
    ],
    ids=["copy", "mirrored", "turned by 180", "turned by 90 and squeezed", "brighter", "cut"],
)
def test_a_frame_of_the_evaluation_set_is_found_again(
    change: Any, level: str, phantoms: Phantoms, held_out: Path, tmp_path: Path
) -> None:
    train = edited(phantoms.references, tmp_path / "train", dataset="a")
    evaluation = edited(held_out, tmp_path / "evaluation", dataset="b", group="patient {n}")
    name = with_picture(train, 3, change(first_picture(evaluation, 2)))
    extractor = EfficientNetLiteFeatures() if level == "features" else None
    result = audit([], [train], [evaluation], tmp_path / "out", extractor=extractor, sheet=True)
    found = [item for item in result.findings if item.what == "frame"]
    assert [(item.level, item.other_item, item.evaluation_group) for item in found] == [(level, name, "patient 2")]
    assert (found[0].evaluation_set, found[0].other_set) == ("evaluation", "train")
    assert read_image(tmp_path / "out" / "pairs.png").size
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert report["clean"] is False
    assert report["findings"][0]["level"] == level


def test_a_polyp_of_the_evaluation_set_is_found_on_other_mucosa(
    phantoms: Phantoms, held_out: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"references": held_out, "count": 3, "polyps_per_image": (1, 1)}
    settings |= {"synthesizer": "copy_paste", "proposer": "reference"}
    generate(config(phantoms, **settings), tmp_path / "run")
    # As if nobody knew where the polyps are from.
    file = tmp_path / "run" / "manifest.jsonl"
    lines = []
    for record in records(tmp_path / "run"):
        for item in painted_objects(record) if record["status"] == "made" else []:
            item["provenance"] = {"proposer": "random", "synthesizer": "other"}
        lines.append(json.dumps(record) + "\n")
    file.write_text("".join(lines))
    evaluation = edited(held_out, tmp_path / "evaluation", dataset="b")
    result = audit([tmp_path / "run"], [], [evaluation], tmp_path / "out")
    assert {(item.what, item.level) for item in result.findings} == {("polyp", "hash")}


def test_the_records_tell_backgrounds_references_and_splits(phantoms: Phantoms, held_out: Path, tmp_path: Path) -> None:
    references = edited(phantoms.references, tmp_path / "references", dataset="k", split="train", group="r{n}")
    backgrounds = edited(held_out, tmp_path / "backgrounds", dataset="n", split="test", group="b{n}")
    generate(
        config(phantoms, backgrounds=backgrounds, references=references, count=3, polyps_per_image=(1, 1)),
        tmp_path / "run",
    )
    other = edited(held_out, tmp_path / "other", dataset="elsewhere")
    write_phantom_dataset(tmp_path / "fresh", count=6, seed=77, polyps=(1, 1), width=256, height=216)
    for number in range(6):
        with_picture(other, number, first_picture(tmp_path / "fresh", number))
    by_split = audit([tmp_path / "run"], [], [other], tmp_path / "split").findings
    told = {(item.level, item.what, item.evaluation_group) for item in by_split if item.level == "split"}
    made = [record for record in records(tmp_path / "run") if record["status"] == "made"]
    assert told == {("split", "background", record["background"]["group"]) for record in made}
    # The references are of patients that the evaluation set has too.
    shared = edited(tmp_path / "other", tmp_path / "shared", dataset="k", group="r{n}")
    found = audit([tmp_path / "run"], [], [shared], tmp_path / "origin").findings
    references_found = [item for item in found if item.level == "origin"]
    assert references_found
    assert {item.what for item in references_found} == {"reference"}
    assert all(item.detail.startswith("its reference shares the group r") for item in references_found)
    # As a plain COCO set, a run still tells its backgrounds.
    (tmp_path / "plain").mkdir()
    shutil.copy(tmp_path / "run" / "annotations.json", tmp_path / "plain")
    shutil.copytree(tmp_path / "run" / "images", tmp_path / "plain" / "images")
    plain = audit([tmp_path / "plain"], [], [other], tmp_path / "coco").findings
    assert {item.level for item in plain} >= {"split"}
    assert {item.what for item in plain if item.level == "split"} == {"background"}


def test_training_and_evaluation_sets_that_share_patients_leak(
    phantoms: Phantoms, held_out: Path, tmp_path: Path
) -> None:
    train = edited(phantoms.references, tmp_path / "train", dataset="a", group="p{n}")
    evaluation = edited(held_out, tmp_path / "evaluation", dataset="a", group="p{n}")
    result = audit([], [train], [evaluation], tmp_path / "out")
    assert {(item.level, item.what) for item in result.findings} == {("origin", "frame")}
    row = result.report["summary"][0]
    assert (row["leaks"], row["groups"], row["other_set"]) == (6, 6, "train")


def test_sets_of_one_name_are_told_apart_and_nothing_to_compare_is_an_error(
    phantoms: Phantoms, held_out: Path, tmp_path: Path
) -> None:
    first = edited(phantoms.references, tmp_path / "a" / "data", dataset="a")
    second = edited(held_out, tmp_path / "b" / "data", dataset="b")
    report = audit([], [first], [second], tmp_path / "out").report
    assert (list(report["sets"]["train"]), list(report["sets"]["evaluation"])) == (["data"], ["data (2)"])
    with pytest.raises(ConfigurationError, match="nothing to compare"):
        audit([], [first], [], tmp_path / "out")
    with pytest.raises(ConfigurationError, match="nothing to compare"):
        audit([], [], [first], tmp_path / "out")
