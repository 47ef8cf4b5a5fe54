"""YOLO folders: COCO sets become such folders, and such folders COCO sets."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import Phantoms
from kill_points import Killer, in_child
from runs import digests

from polyp_aug.coco import CocoDataset, CocoImage, decode_segmentation, read_coco
from polyp_aug.datasets import prepare_dataset
from polyp_aug.datasets.yolo_labels import EDGE_TOLERANCE, label_file, read_labels
from polyp_aug.errors import CocoError, ConfigurationError, DatasetLayoutError, ImageError, StorageError
from polyp_aug.images import write_png
from polyp_aug.integrations.yolo import export_yolo

WIDTH, HEIGHT = 80, 60
POLYP = ((1, "polyp"),)


def image(number: int, name: str, width: int = WIDTH, height: int = HEIGHT) -> dict[str, Any]:
    return {"id": number, "file_name": name, "width": width, "height": height}


def box(image_id: int, bbox: list[float], category: int = 1, crowd: int = 0) -> dict[str, Any]:
    common = {"image_id": image_id, "category_id": category, "iscrowd": crowd}
    return common | {"bbox": bbox, "area": bbox[2] * bbox[3]}


def coco(
    folder: Path,
    images: list[dict[str, Any]],
    boxes: list[dict[str, Any]],
    categories: tuple[tuple[int, str], ...] = POLYP,
) -> Path:
    """A COCO folder; the grey value of a picture tells its set and its number."""
    folder.mkdir(parents=True, exist_ok=True)
    for row in images:
        path = folder / "images" / row["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = (sum(folder.name.encode()) + row["id"]) % 256
        png = path.with_name("new.png")
        write_png(png, np.full((row["height"], row["width"]), grey, np.uint8))
        png.rename(path)
    document = {
        "images": images,
        "annotations": [{"id": number, **row} for number, row in enumerate(boxes, start=1)],
        "categories": [{"id": number, "name": name} for number, name in categories],
    }
    (folder / "annotations.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def yolo(folder: Path, labels: dict[str, str], *, pictures: tuple[str, ...] = (), data: str | None = None) -> Path:
    """A YOLO folder of one split with the pictures `NAME.png` of label files `NAME`, and of further `pictures`."""
    for name in (*labels, *pictures):
        path = folder / "images" / "train" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, np.full((HEIGHT, WIDTH), 90, np.uint8))
    for name, text in labels.items():
        path = folder / "labels" / "train" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "data.yaml").write_text(data or "{train: images/train, names: [polyp, adenoma]}", encoding="utf-8")
    return folder


def lines(path: Path) -> list[str]:
    return path.read_text("ascii").splitlines()


def read_back(folder: Path, out: Path) -> CocoDataset:
    """What a YOLO folder becomes; no frame of it is left out."""
    report = prepare_dataset("yolo", folder, out)
    assert report.skipped == ()
    return read_coco(out)


def objects(dataset: CocoDataset, rename: Callable[[CocoImage], str]) -> dict[str, list[tuple[str, Any]]]:
    """Picture → its objects, crowds apart, by category and box."""
    names = {category.id: category.name for category in dataset.categories}
    return {
        rename(found): [(names[item.category_id], item.bbox) for item in items if not item.iscrowd]
        for found, items in zip(dataset.images, dataset.by_image().values(), strict=True)
    }


def as_exported(split: str) -> Callable[[CocoImage], str]:
    return lambda found: f"{split}/{found.file_name}".replace("/images/", "/images_/")


def as_read(found: CocoImage) -> str:
    return found.file_name


def test_ten_thousand_boxes_come_back(tmp_path: Path) -> None:
    """To nine decimals of the frame's sides, and those of whole pixels exactly."""
    random = np.random.default_rng(7)
    sizes = [(97, 61), (256, 216), (640, 480), (1225, 966), (1920, 1080)]
    rows, expected = [], {}
    for number, (width, height) in enumerate(sizes, start=1):
        corners = np.sort(random.random((2000, 2, 2)), axis=1) * (width, height)
        corners[:1000] = np.floor(corners[:1000])
        corners[:, 1] = np.minimum(np.maximum(corners[:, 1], corners[:, 0] + 1), (width, height))
        corners[:, 0] = np.minimum(corners[:, 0], corners[:, 1] - 1)
        boxes = np.concatenate((corners[:, 0], corners[:, 1] - corners[:, 0]), axis=1)
        rows += [box(number, found) for found in boxes.tolist()]
        expected[number] = boxes
    images = [image(number, f"{number}.png", *size) for number, size in enumerate(sizes, start=1)]
    report = export_yolo({"val": [coco(tmp_path / "set", images, rows)]}, tmp_path / "yolo")
    assert report.boxes == 10_000
    found = read_back(tmp_path / "yolo", tmp_path / "back").by_image()
    for number, (width, height) in enumerate(sizes, start=1):
        boxes = np.array([item.bbox for item in found[number]])
        sides = (width, height, width, height)
        np.testing.assert_allclose(boxes / sides, expected[number] / sides, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(boxes[:1000], expected[number][:1000])


def test_phantoms_come_back(phantoms: Phantoms, tmp_path: Path) -> None:
    before = read_coco(phantoms.references)
    report = export_yolo({"train": [phantoms.references]}, tmp_path / "yolo", images="hardlink")
    assert (report.images, report.boxes, report.empty, report.crowds) == ({"train": 10}, len(before.annotations), 0, 0)
    after = read_back(tmp_path / "yolo", tmp_path / "back")
    assert objects(after, as_read) == objects(before, as_exported("train"))
    assert [found.extra["split"] for found in after.images] == ["train"] * 10
    for found in before.images:
        path = tmp_path / "yolo" / "images" / "train" / found.file_name
        assert path.samefile(before.image_root / found.file_name)


def test_what_is_written(tmp_path: Path) -> None:
    images = [image(1, "a.png"), image(2, "x/b.jpg"), image(3, "c.png")]
    # A box that reaches over the border by rounding, a crowd, and a frame without objects.
    rows = [
        box(2, [8, 15, 4, 30], category=9),
        box(2, [79.5, -0.01, 0.515, 60.02], category=4),
        box(1, [0, 0, 9, 9], category=4, crowd=1),
    ]
    data = coco(tmp_path / "set", images, rows, ((9, "adenoma"), (4, "polyp")))
    report = export_yolo({"train": [data]}, tmp_path / "yolo")
    assert (report.names, report.boxes, report.empty, report.crowds) == (("polyp", "adenoma"), 2, 2, 1)
    assert report.file == tmp_path / "yolo" / "data.yaml"
    labels = tmp_path / "yolo" / "labels" / "train"
    assert lines(labels / "x" / "b.txt") == ["1 0.125 0.5 0.05 0.5", "0 0.996875 0.5 0.00625 1"]
    assert (labels / "a.txt").read_bytes() == (labels / "c.txt").read_bytes() == b""
    assert yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_bytes()) == {
        "path": str(tmp_path / "yolo"),
        "train": "images/train",
        "names": {0: "polyp", 1: "adenoma"},
    }
    assert (tmp_path / "yolo" / "images" / "train" / "x" / "b.jpg").read_bytes() == (
        data / "images" / "x" / "b.jpg"
    ).read_bytes()


def test_several_sets(tmp_path: Path) -> None:
    """Classes go by name, pictures of one name stay apart, also those that differ in ending, case or Unicode form."""
    first = coco(tmp_path / "real", [image(1, "a.png"), image(2, "a.jpg")], [box(1, [0, 0, 8, 6])])
    names = ["A.png", "2/a.png", "b\u00e9.png", "be\u0301.png"]
    rows = [box(number, [number, 0, 8, 6], number % 2 + 1) for number in range(1, 5)]
    classes = ((2, "polyp"), (1, "adenoma"))
    second = coco(tmp_path / "run", [image(number, name) for number, name in enumerate(names, start=1)], rows, classes)
    report = export_yolo({"val": [second], "train": [first, second]}, tmp_path / "yolo")
    assert report.names == ("polyp", "adenoma")
    assert report.images == {"train": 6, "val": 4}
    train = tmp_path / "yolo" / "images" / "train"
    made = sorted(path.relative_to(train).as_posix() for path in train.rglob("*.*"))
    assert made == ["1/a.jpg", "2/2/a.png", "2/A.png", "2/be\u0301.png", "a.png", "b\u00e9.png"]
    assert lines(tmp_path / "yolo/labels/train/2/A.txt") == ["0 0.0625 0.05 0.1 0.1"]
    assert lines(tmp_path / "yolo/labels/train/2/2/a.txt") == ["1 0.075 0.05 0.1 0.1"]
    assert (train / "2" / "A.png").read_bytes() == (second / "images" / "A.png").read_bytes()
    assert (tmp_path / "yolo" / "images" / "val" / "3" / "be\u0301.png").is_file()
    after = read_back(tmp_path / "yolo", tmp_path / "back")
    assert len(after.images) == 10
    assert objects(after, as_read)["train/2/2/a.png"] == [("adenoma", (2, 0, 8, 6))]
    assert [category.name for category in after.categories] == ["polyp", "adenoma"]


def test_folders_named_images_keep_their_labels(tmp_path: Path) -> None:
    """Trainers replace the last folder `images` of a path."""
    data = coco(tmp_path / "set", [image(1, "seq1/images/a.png"), image(2, "a.b.png")], [box(1, [0, 0, 8, 6])])
    export_yolo({"train": [data]}, tmp_path / "yolo")
    path = tmp_path / "yolo" / "images" / "train" / "seq1" / "images_" / "a.png"
    assert path.is_file()
    assert label_file(tmp_path, path) == tmp_path / "yolo" / "labels" / "train" / "seq1" / "images_" / "a.txt"
    assert len(lines(label_file(tmp_path, path))) == 1
    assert (tmp_path / "yolo" / "labels" / "train" / "a.b.txt").is_file()


@pytest.mark.parametrize(
    ("split", "name", "error", "message"),
    [
        ("valid", "a.png", ConfigurationError, "split 'valid', expected one of train, val, test"),
        ("train", "a.gif", CocoError, r"set: image 1: file_name 'a\.gif', expected one of the endings"),
        ("train", ".x/a.png", CocoError, r"image 1: file_name '\.x/a\.png' is hidden"),
    ],
)
def test_sets_that_are_refused(split: str, name: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    data = coco(tmp_path / "set", [image(1, name)], [])
    with pytest.raises(error, match=message):
        export_yolo({split: [data]}, tmp_path / "yolo")
    assert not (tmp_path / "yolo").exists()


def test_sets_without_images_and_pictures(tmp_path: Path) -> None:
    out = tmp_path / "yolo"
    with pytest.raises(ConfigurationError, match="nothing to export"):
        export_yolo({"train": []}, out)
    with pytest.raises(ConfigurationError, match="images is 'move', expected one of copy, hardlink"):
        export_yolo({}, out, images="move")  # type: ignore[arg-type]
    with pytest.raises(CocoError, match=r"none.annotations\.json|none: can't be read"):
        export_yolo({"train": [tmp_path / "none"]}, out)
    with pytest.raises(CocoError, match="empty: no images"):
        export_yolo({"train": [coco(tmp_path / "empty", [], [])]}, out)
    data = coco(tmp_path / "set", [image(1, "a.png"), image(2, "b.png")], [])
    (data / "images" / "b.png").unlink()
    with pytest.raises(ImageError, match=r"b\.png: no such picture"):
        export_yolo({"train": [data]}, out)
    assert not out.exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    first = coco(tmp_path / "first", [image(1, "a.png")], [box(1, [0, 0, 8, 6])])
    second = coco(tmp_path / "second", [image(1, "b.png")], [])
    before = digests(first)
    for replace in (False, True):
        with pytest.raises(
            ConfigurationError, match=r"first: holds annotations\.json, images; expected a new or empty"
        ):
            export_yolo({"train": [first]}, first, replace=replace)
    export_yolo({"train": [first]}, tmp_path / "yolo")
    made = digests(tmp_path / "yolo")
    for sets, images in (({"train": [second]}, "copy"), ({"val": [first]}, "copy"), ({"train": [first]}, "hardlink")):
        with pytest.raises(ConfigurationError, match=r"holds \.export, data\.yaml, images, …; expected"):
            export_yolo(sets, tmp_path / "yolo", images=images)  # type: ignore[arg-type]
    assert digests(tmp_path / "yolo") == made
    export_yolo({"train": [first]}, tmp_path / "yolo")
    assert digests(tmp_path / "yolo") == made
    assert digests(first) == before
    (tmp_path / "yolo" / "notes.txt").write_text("of the user")
    export_yolo({"train": [second]}, tmp_path / "yolo", replace=True)
    assert sorted(name for name in digests(tmp_path / "yolo") if name.startswith(("images", "labels", "notes"))) == [
        "images/train/b.png",
        "labels/train/b.txt",
        "notes.txt",
    ]


def test_the_same_bytes_wherever_the_set_is(tmp_path: Path) -> None:
    found = []
    for place in ("here", "there"):
        data = coco(tmp_path / place / "set", [image(1, "a.png")], [box(1, [0, 0, 8, 6])])
        export_yolo({"train": [data]}, tmp_path / place / "yolo")
        # The folder's own path stands in this file.
        (tmp_path / place / "yolo" / "data.yaml").unlink()
        found.append(digests(tmp_path / place / "yolo"))
    assert found[0] == found[1]


def test_a_link_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = coco(tmp_path / "set", [image(1, "a.png")], [])

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StorageError, match=r"a\.png: can't be linked to .*cross-device.*copy the pictures instead"):
        export_yolo({"train": [data]}, tmp_path / "yolo", images="hardlink")


def killed(sets: dict[str, list[Path]], out: Path, at: int, *, replace: bool) -> bool:
    """Whether an export in a forked process was killed at its file operation `at`, and not over before."""

    def work() -> int:
        status = 1
        try:
            sys.addaudithook(Killer(at))
            export_yolo(sets, out, replace=replace)
            status = 0
        finally:
            # Whatever is raised must not go on with the tests in this process.
            os._exit(status)

    status = in_child(work)
    assert status in (0, signal.SIGKILL)
    return status == signal.SIGKILL


@pytest.mark.parametrize("replace", [False, True])
def test_killed_at_every_file_operation(replace: bool, tmp_path: Path) -> None:
    first = coco(tmp_path / "first", [image(1, "a.png"), image(2, "x/b.png")], [box(1, [0, 0, 8, 6])])
    sets = {"train": [coco(tmp_path / "second", [image(1, "b.png"), image(2, "c.png")], [])], "val": [first]}
    export_yolo(sets, tmp_path / "whole")
    out = tmp_path / "yolo"
    at = 0
    while True:
        at += 1
        if replace:
            export_yolo({"train": [first]}, out)
        if not killed(sets, out, at, replace=replace):
            break
        if not replace and (out / ".export").exists():
            with pytest.raises(ConfigurationError, match="expected a new or empty folder"):
                export_yolo({"train": [first]}, out)
        export_yolo(sets, out, replace=replace)
        made = digests(out)
        assert {**made, "data.yaml": ""} == {**digests(tmp_path / "whole"), "data.yaml": ""}
        shutil.rmtree(out)
    assert at > 20


def test_a_folder_of_another_tool(tmp_path: Path) -> None:
    labels = {"a": "0 0.5 0.5 0.25 0.5\n\n1.0 0.95 0.5 0.1 1e-1\r\n", "b": ""}
    folder = yolo(tmp_path / "yolo", labels, pictures=("c",))
    dataset = read_back(folder, tmp_path / "out")
    assert [(category.id, category.name) for category in dataset.categories] == [(1, "polyp"), (2, "adenoma")]
    assert [found.file_name for found in dataset.images] == ["train/a.png", "train/b.png", "train/c.png"]
    first, second = dataset.by_image()[1]
    assert (first.category_id, first.bbox, first.area, first.segmentation) == (1, (30, 15, 20, 30), 600, None)
    assert (second.category_id, second.bbox) == (2, (72, 27, 8, 6))


def test_outlines(tmp_path: Path) -> None:
    folder = yolo(tmp_path / "yolo", {"a": "1 0.125 0.25 0.5 0.25 0.5 0.75 0.125 0.75\n0 0.5 0.5 0.25 0.5"})
    outline, plain = read_back(folder, tmp_path / "out").annotations
    assert (outline.category_id, outline.bbox, outline.area) == (2, (10, 15, 30, 30), 900)
    assert outline.segmentation == [[10, 15, 40, 15, 40, 45, 10, 45]]
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[15:45, 10:40] = True
    np.testing.assert_array_equal(decode_segmentation(outline.segmentation, WIDTH, HEIGHT), mask)
    assert plain.segmentation is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.25", "'0 0.5 0.5 0.25' has 4 numbers, expected 'class cx cy w h'"),
        ("0 0.5 0.5 0.25 0.5 0.9", "has 6 numbers"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "has 8 numbers"),
        ("0", "'0' has 1 numbers"),
        ("polyp 0.5 0.5 0.25 0.5", "'polyp 0.5 0.5 0.25 0.5', expected numbers"),
        ("0 0,5 0,5 0,25 0,5", "expected numbers"),
        ("2 0.5 0.5 0.25 0.5", "class '2', expected an integer from 0 to 1"),
        ("-1 0.5 0.5 0.25 0.5", "class '-1'"),
        ("0.5 0.5 0.5 0.25 0.5", "class '0.5'"),
        ("nan 0.5 0.5 0.25 0.5", "class 'nan'"),
        ("inf 0.5 0.5 0.25 0.5", "class 'inf'"),
        ("0 320 240 64 48", "cx is '320', expected a share from 0 to 1"),
        ("0 0.5 -0.1 0.25 0.5", "cy is '-0.1'"),
        ("0 0.5 0.5 1.1 0.5", "w is '1.1'"),
        ("0 0.5 0.5 0.25 nan", "h is 'nan'"),
        ("0 0.5 0.5 0 0.5", "box '0 0.5 0.5 0 0.5' has no area"),
        ("0 0.5 0.5 0.5 -0.0001", "has no area"),
        ("0 0.95 0.5 0.2 0.5", "box '0 0.95 0.5 0.2 0.5' has the edges 0.85, 0.25, 1.05, 0.75"),
        ("0 0.1 0.1 0.5 0.1 0.5 1.2", "y is '1.2'"),
        ("0 0.1 0.1 0.2 0.1 0.3 0.1", "has no area in a frame of 80×60"),
        ("0 " + "0.123456 " * 30 + "x", "…', expected numbers"),
    ],
)
def test_bad_lines_are_named(line: str, message: str, tmp_path: Path) -> None:
    folder = yolo(tmp_path / "yolo", {"a": "0 0.5 0.5 0.25 0.5", "b": f"0 0.5 0.5 0.25 0.5\n{line}\n"})
    report = prepare_dataset("yolo", folder, tmp_path / "out")
    assert [entry.name for entry in report.skipped] == ["images/train/b.png"]
    assert message in report.skipped[0].reason
    assert "in a frame" in message or report.skipped[0].reason.startswith("labels/train/b.txt, line 2: ")
    shutil.rmtree(folder / "images")
    yolo(folder, {"b": line})
    with pytest.raises(DatasetLayoutError) as caught:
        prepare_dataset("yolo", folder, tmp_path / "none")
    assert message in str(caught.value)


def test_labels_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"0 0.5 0.5 \xff")
    with pytest.raises(DatasetLayoutError, match=r"a\.txt: can't be read"):
        read_labels(tmp_path / "a.txt", 1)
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbf0 0.5 0.5 0.5 0.5")
    assert len(read_labels(tmp_path / "b.txt", 1)) == 1
    assert read_labels(tmp_path / "c.txt", 1) == ()


def test_boxes_are_cut_where_they_reach_over_the_border_by_rounding(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"0 0.333 0.5 0.667 1.0005\n0 0.999 0.5 {2 * EDGE_TOLERANCE:g} 0.5\n0 0 0 1.0005 0 1 1")
    first, second, third = read_labels(path, 1)
    assert first.box_xyxy == pytest.approx((0, 0, 0.6665, 1), abs=1e-12)
    assert second.box_xyxy[2] == 1
    assert third.polygon == (0, 0, 1, 0, 1, 1)


@pytest.mark.parametrize("data", ["{train: list.txt, names: {0: polyp}}", "{path: ., train: [list.txt], names: [p]}"])
def test_lists_of_pictures(data: str, tmp_path: Path) -> None:
    folder = yolo(tmp_path / "yolo", {"a": "0 0.5 0.5 0.25 0.5", "b": "", "c": ""}, data=data)
    paths = [
        "./images/train/a.png",
        "",
        str(folder / "images" / "train" / "b.png"),
        "images/train/none.png",
        "../x.png",
    ]
    (folder / "list.txt").write_text("\n".join(paths))
    report = prepare_dataset("yolo", folder, tmp_path / "out")
    assert [found.file_name for found in read_coco(tmp_path / "out").images] == ["train/a.png", "train/b.png"]
    assert [entry.reason for entry in report.skipped] == [
        "list.txt, line 4: 'images/train/none.png', no such picture in this folder",
        "list.txt, line 5: '../x.png', no such picture in this folder",
    ]


def test_other_layouts(tmp_path: Path) -> None:
    """Splits with pictures and labels of their own and one "../" too many, and labels beside the pictures."""
    folder = tmp_path / "yolo"
    for part, label in (("train/images", "train/labels"), ("obj", "obj")):
        for path in (folder / part, folder / label):
            path.mkdir(parents=True, exist_ok=True)
        write_png(folder / part / "a.png", np.full((HEIGHT, WIDTH), 90, np.uint8))
        (folder / label / "a.txt").write_text("0 0.5 0.5 0.25 0.5")
    data = "{path: /moved/since, train: ../train/images, val: obj, test: '', names: [polyp], nc: 1}"
    (folder / "data.yaml").write_text(data)
    dataset = read_back(folder, tmp_path / "out")
    assert [(found.file_name, found.extra["split"]) for found in dataset.images] == [
        ("train/images/a.png", "train"),
        ("obj/a.png", "val"),
    ]
    assert len(dataset.annotations) == 2
    report = prepare_dataset("yolo", folder, tmp_path / "val", split="val", images="none")
    assert (report.splits, report.annotations) == ({"val": 1}, 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("[", "data.yaml can't be read as YAML"),
        ("3", "data.yaml holds 3, expected names and splits"),
        ("{names: [polyp]}", "data.yaml names none of train, val, test"),
        ("{train: images/train}", "names is None, expected the name of each class"),
        ("{train: images/train, names: polyp}", "names is 'polyp'"),
        ("{train: images/train, names: []}", "names is []"),
        ("{train: images/train, names: [yes]}", "names is [True]"),
        ("{train: images/train, names: {1: polyp}}", "names has the classes [1], expected 0 to 0"),
        ("{train: images/train, names: [polyp], nc: 2}", "nc is 2, but there are 1 names"),
        ("{train: 7, names: [polyp]}", "train is 7, expected a folder, a text file, or a list of them"),
        ("{train: [images/train, 7], names: [polyp]}", "train is ['images/train', 7]"),
        ("{path: 7, train: images/train, names: [polyp]}", "path is 7, expected a text"),
        ("{train: images/none, names: [polyp]}", "train is 'images/none', which isn't in this folder"),
        ("{train: ../outside, names: [polyp]}", "train is '../outside', which isn't in this folder"),
        ("{train: images/train/a.png, names: [polyp]}", "images/train/a.png can't be read as a list of pictures"),
        ("{train: labels/train, names: [polyp]}", "no picture in labels/train"),
    ],
)
def test_what_is_wrong_with_a_folder(data: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    folder = yolo(tmp_path / "yolo", {"a": "0 0.5 0.5 0.25 0.5"}, data=data)
    with pytest.raises(DatasetLayoutError) as caught:
        prepare_dataset("yolo", folder, tmp_path / "out")
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(folder))
    assert not (tmp_path / "out").exists()


def test_labels_that_are_nowhere(tmp_path: Path) -> None:
    """A folder whose labels stand elsewhere must not become a set of frames without polyps."""
    folder = yolo(tmp_path / "yolo", {}, pictures=("a", "b"))
    with pytest.raises(DatasetLayoutError, match=r"no label file of any of its 2 pictures, .*labels/train/a\.txt"):
        prepare_dataset("yolo", folder, tmp_path / "out")


def test_real_frames_come_back(real_data: Path, tmp_path: Path) -> None:
    prepare_dataset("manifest", real_data, tmp_path / "val", split="val")
    before = read_coco(tmp_path / "val")
    report = export_yolo({"val": [tmp_path / "val"]}, tmp_path / "yolo", images="hardlink")
    after = read_back(tmp_path / "yolo", tmp_path / "back")
    assert len(before.annotations) >= 100
    assert (report.boxes, report.empty) == (
        len(before.annotations),
        len([1 for row in before.by_image().values() if not row]),
    )
    assert sorted(objects(after, as_read).items()) == sorted(objects(before, as_exported("val")).items())
