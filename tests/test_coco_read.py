from __future__ import annotations

import copy
import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyp_aug.coco import CocoDataset, decode_segmentation, encode_rle, read_coco, resolve_image
from polyp_aug.errors import CocoError
from polyp_aug.geometry import Region
from polyp_aug.images import write_png

POLYGON = [10, 10, 30, 10, 30, 25, 10, 25]
RLE = encode_rle(Region(10, 10, np.ones((15, 20), bool)), 80, 60)
NAN = float("nan")


def document() -> dict[str, Any]:
    return {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 80, "height": 60},
            {"id": 2, "file_name": "b.png", "width": 80, "height": 60, "split": "val"},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 15], "area": 300, "iscrowd": 0},
            {"id": 2, "image_id": 2, "category_id": 1, "bbox": [5, 5, 10, 10], "area": 100, "iscrowd": 0},
        ],
        "categories": [{"id": 1, "name": "polyp"}],
    }


def changed(section: str, **fields: Any) -> dict[str, Any]:
    """The document with other fields in the first record of a section; `...` takes a field out."""
    result = document()
    row = result[section][0] | fields
    result[section][0] = {key: value for key, value in row.items() if value is not ...}
    return result


def save(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "annotations.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def read_fixed(folder: Path, content: dict[str, Any], *messages: str) -> CocoDataset:
    """Reading fails without `fix`, and with it names what was mended; the result is sound."""
    path = save(folder, content)
    with pytest.raises(CocoError) as caught:
        read_coco(path)
    dataset = read_coco(path, fix=True)
    assert len(dataset.problems) == len(messages)
    for problem, message in zip(dataset.problems, messages, strict=True):
        assert message in problem
        assert problem.startswith("annotations.json: ")
        assert problem.rpartition(";")[0] in str(caught.value)
    assert min(entry.id for entry in (*dataset.images, *dataset.categories, *dataset.annotations)) >= 1
    return dataset


def test_a_sound_file(tmp_path: Path) -> None:
    content = document() | {
        "info": {"year": 2024},
        "licenses": [{"id": 0, "name": "CC BY 4.0", "url": "u"}],
        "extra": "kept out",
    }
    content["images"][0] |= {"license": 0, "dataset": "d"}
    content["images"][1] |= {"license": 9}
    dataset = read_coco(save(tmp_path, content))
    assert dataset.image_root == tmp_path
    assert [(image.file_name, image.license, image.extra) for image in dataset.images] == [
        ("a.png", 0, {"dataset": "d"}),
        ("b.png", None, {"split": "val"}),
    ]
    assert dataset.info == {"year": 2024}
    assert dataset.problems == ()
    assert [entry.id for entry in dataset.by_image()[2]] == [2]
    assert read_coco(tmp_path) == dataset


def test_the_image_root(tmp_path: Path) -> None:
    path = save(tmp_path, document())
    (tmp_path / "images").mkdir()
    assert read_coco(path).image_root == tmp_path / "images"
    assert read_coco(path, image_root=tmp_path / "other").image_root == tmp_path / "other"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b" \n", "empty file"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "top level is a list"),
        (b"3", "top level is a int"),
        (b"{}", "(?s)3 problems.*'images': is missing.*'annotations': is missing.*'categories': is missing"),
        (b'{"images": {}, "annotations": [], "categories": []}', "'images': is a dict"),
    ],
)
def test_files_that_are_no_coco(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(data)
    for fix in (False, True):
        with pytest.raises(CocoError, match=message) as caught:
            read_coco(path, fix=fix)
        assert str(caught.value).startswith(str(path))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CocoError, match=r"annotations\.json: can't be read"):
        read_coco(tmp_path)


def test_no_annotations(tmp_path: Path) -> None:
    assert read_coco(save(tmp_path, document() | {"annotations": []})).annotations == ()


def test_the_first_ten_problems_and_the_count(tmp_path: Path) -> None:
    content = document()
    content["annotations"] = [{**content["annotations"][0], "id": n, "bbox": [0, 0, 0, 5]} for n in range(1, 26)]
    with pytest.raises(CocoError) as caught:
        read_coco(save(tmp_path, content))
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("annotations.json: 25 problems, of which fix=True mends 25")
    assert "annotation 10: bbox [0, 0, 0, 5] has no area" in lines[10]
    assert lines[11:] == ["  and 15 more"]


@pytest.mark.parametrize(
    ("fields", "messages"),
    [
        ({"bbox": [80, 10, 5, 5]}, ["outside of the image of 80×60; dropped"]),
        ({"bbox": [-9, 10, 5, 5]}, ["annotation 1: bbox [-9, 10, 5, 5] is outside"]),
        ({"bbox": [1, NAN, 5, 5]}, ["not finite; dropped"]),
        ({"bbox": [1, 1, float("inf"), 5]}, ["not finite; dropped"]),
        ({"bbox": [10, 10, -5, 5]}, ["has no area"]),
        ({"bbox": [10, 10, 5, 0]}, ["has no area"]),
        ({"bbox": ...}, ["has no bbox; dropped"]),
        ({"bbox": None}, ["bbox is None"]),
        ({"bbox": 7}, ["bbox is 7"]),
        ({"bbox": [1, 2, 3]}, ["bbox is [1, 2, 3], expected four numbers"]),
        ({"bbox": [1, 2, 3, "4"]}, ["expected four numbers"]),
        ({"bbox": [1, 2, 3, True]}, ["expected four numbers"]),
        ({"category_id": 8}, ["category_id 8 is not the id of any category; dropped"]),
        ({"category_id": True}, ["category_id True is not"]),
        ({"category_id": ...}, ["has no category_id; dropped"]),
        ({"image_id": 8}, ["image_id 8 is not the id of any image; dropped"]),
        ({"image_id": True}, ["image_id True is not"]),
        ({"image_id": [1]}, ["image_id [1] is not"]),
        ({"image_id": ...}, ["has no image_id; dropped"]),
        ({"image_id": 8, "category_id": 8}, ["image_id 8", "category_id 8"]),
    ],
)
def test_annotations_that_are_dropped(tmp_path: Path, fields: dict[str, Any], messages: list[str]) -> None:
    dataset = read_fixed(tmp_path, changed("annotations", **fields), *messages)
    assert [entry.id for entry in dataset.annotations] == [2]


@pytest.mark.parametrize(
    ("fields", "messages", "expected"),
    [
        ({"bbox": [-5, 10, 20, 15]}, ["cut at the image's border"], {"bbox": (0, 10, 15, 15), "area": 225}),
        ({"bbox": [70, 50, 20, 20]}, ["partly outside"], {"bbox": (70, 50, 10, 10), "area": 100}),
        (
            {"bbox": [-5, 10, 20, 15], "segmentation": [[-5, 10, 15, 10, 15, 25, -5, 25]]},
            ["cut at the image's border"],
            {"bbox": (0, 10, 15, 15), "area": 225},
        ),
        (
            {"bbox": [70, 10, 15, 15], "segmentation": [[82, 10, 85, 10, 85, 25, 82, 25]]},
            ["cut at the image's border"],
            {"bbox": (70, 10, 10, 15), "area": 150, "segmentation": None},
        ),
        ({"bbox": ..., "segmentation": RLE}, ["taken from the mask"], {"bbox": (10, 10, 20, 15), "area": 300}),
        ({"bbox": None, "segmentation": [POLYGON]}, ["taken from the mask"], {"bbox": (10, 10, 20, 15), "area": 300}),
        ({"area": ...}, ["has no area; computed"], {"area": 300}),
        ({"area": ..., "segmentation": [[10, 10, 20, 10, 20, 25, 10, 25]]}, ["has no area"], {"area": 150}),
        ({"area": NAN}, ["area is nan"], {"area": 300}),
        ({"area": 0}, ["area is 0"], {"area": 300}),
        ({"area": "300"}, ["area is '300'"], {"area": 300}),
        ({"iscrowd": ...}, ["has no iscrowd; set to 0"], {"iscrowd": 0}),
        ({"iscrowd": True}, ["iscrowd is True, expected 0 or 1; set to 1"], {"iscrowd": 1}),
        ({"iscrowd": 2}, ["iscrowd is 2"], {"iscrowd": 0}),
        ({"segmentation": [[1, 2, 3]]}, ["of 3 numbers"], {"segmentation": None}),
        ({"segmentation": [[*POLYGON, 4]]}, ["of 9 numbers"], {"segmentation": None, "area": 300}),
        (
            {"segmentation": [POLYGON, [1, 2, 3, 4]], "area": 1},
            ["the polygon is dropped"],
            {"segmentation": [POLYGON], "area": 300},
        ),
        ({"segmentation": RLE | {"size": [80, 60]}}, ["RLE size [80, 60], expected [60, 80]"], {"segmentation": None}),
        ({"segmentation": {"size": [60, 80], "counts": [9]}}, ["add up to 9"], {"segmentation": None}),
        ({"segmentation": RLE | {"counts": "??"}}, ["segmentation has"], {"segmentation": None}),
        ({"segmentation": "mask.png"}, ["'mask.png'"], {"segmentation": None}),
        ({"note": [NAN]}, ["'note' holds a number that is not finite; the key is dropped"], {"extra": {}}),
        ({"image_id": 1.0}, ["image_id is 1.0, expected an integer"], {"image_id": 1}),
        ({"id": ...}, ["has no id; becomes 3"], {"id": 3}),
        ({"id": 0}, ["id is 0, expected an integer from 1 on; becomes 3"], {"id": 3}),
        ({"id": -4}, ["id is -4"], {"id": 3}),
        ({"id": 1.5}, ["id is 1.5"], {"id": 3}),
        ({"id": "7"}, ["id is '7'"], {"id": 3}),
        ({"id": True}, ["id is True"], {"id": 3}),
        ({"id": None}, ["id is None"], {"id": 3}),
    ],
)
def test_annotations_that_are_mended(
    tmp_path: Path, fields: dict[str, Any], messages: list[str], expected: dict[str, Any]
) -> None:
    annotation = read_fixed(tmp_path, changed("annotations", **fields), *messages).annotations[0]
    assert {name: getattr(annotation, name) for name in expected} == expected


@pytest.mark.parametrize(
    "segmentation",
    [
        [POLYGON],
        RLE,
        {"size": [60, 80], "counts": [610, *[15, 45] * 19, 15, 3035]},
    ],
)
def test_every_kind_of_mask_is_kept(tmp_path: Path, segmentation: Any) -> None:
    annotation = read_coco(save(tmp_path, changed("annotations", segmentation=segmentation))).annotations[0]
    assert annotation.segmentation == segmentation
    mask = np.zeros((60, 80), bool)
    mask[10:25, 10:30] = True
    assert np.array_equal(decode_segmentation(annotation.segmentation, 80, 60), mask)


@pytest.mark.parametrize("segmentation", [None, []])
def test_no_mask(tmp_path: Path, segmentation: Any) -> None:
    assert read_coco(save(tmp_path, changed("annotations", segmentation=segmentation))).annotations[0].area == 300


def test_rounded_coordinates_are_no_flaw(tmp_path: Path) -> None:
    box = [10.33, 10, 69.68, 50.01]
    assert read_coco(save(tmp_path, changed("annotations", bbox=box))).annotations[0].bbox == tuple(box)


@pytest.mark.parametrize("raw", [0, -3, 1.5, "one", True, ""])
@pytest.mark.parametrize("kind", ["image", "category"])
def test_ids_that_are_renumbered_with_what_refers_to_them(tmp_path: Path, kind: str, raw: Any) -> None:
    section = {"image": "images", "category": "categories"}[kind]
    content = changed(section, id=raw)
    for row in content["annotations"]:
        if row[f"{kind}_id"] == 1:
            row[f"{kind}_id"] = raw
    messages = [f"{kind} {raw!r}: id is {raw!r}"]
    if raw == 1.5:
        messages += [f"{kind}_id is 1.5"] * sum(row[f"{kind}_id"] == raw for row in content["annotations"])
    dataset = read_fixed(tmp_path, content, *messages)
    new = dataset.images[0].id if kind == "image" else dataset.categories[0].id
    assert new == (3 if kind == "image" else 1)
    assert getattr(dataset.annotations[0], f"{kind}_id") == new


def test_doubled_annotation_ids(tmp_path: Path) -> None:
    content = changed("annotations", id=2)
    dataset = read_fixed(tmp_path, content, "annotation 2: two different records have this id; the second becomes 3")
    assert [entry.id for entry in dataset.annotations] == [2, 3]
    content["annotations"].append(copy.deepcopy(content["annotations"][0]))
    content["annotations"].pop(1)
    assert len(read_fixed(tmp_path, content, "annotation 2: occurs twice").annotations) == 1


@pytest.mark.parametrize(("section", "kind"), [("images", "image"), ("categories", "category")])
def test_doubled_ids_that_are_referred_to(tmp_path: Path, section: str, kind: str) -> None:
    content = document()
    content[section].append(copy.deepcopy(content[section][0]))
    dataset = read_fixed(tmp_path, content, f"{kind} 1: occurs twice, word for word")
    assert len(dataset.annotations) == 2

    content[section][-1] |= {"file_name": "c.png", "name": "adenoma"}
    path = save(tmp_path, content)
    for fix in (False, True):
        with pytest.raises(CocoError, match=f"{kind} 1: two different records have this id, and others refer to it"):
            read_coco(path, fix=fix)

    content["annotations"] = []
    message = f"{kind} 1: two different records have this id; the second becomes"
    assert len(getattr(read_fixed(tmp_path, content, message), section)) == len(content[section])


def test_doubled_file_names(tmp_path: Path) -> None:
    content = document()
    content["images"][1]["file_name"] = "./a.png"
    dataset = read_fixed(tmp_path, content, "image 2: file_name 'a.png' is also the one of image 1; joined to image 1")
    assert [image.id for image in dataset.images] == [1]
    assert [entry.image_id for entry in dataset.annotations] == [1, 1]
    content["images"][1]["width"] = 90
    with pytest.raises(CocoError, match="also the one of image 1"):
        read_coco(save(tmp_path, content), fix=True)


@pytest.mark.parametrize(("width", "height"), [(..., 60), (80, None), (0, 60), (80, -1), (80.0, 60), ("80", 60)])
def test_a_size_that_is_read_from_the_picture(tmp_path: Path, width: Any, height: Any) -> None:
    content = changed("images", width=width, height=height)
    with pytest.raises(CocoError, match=r"1 problem\n.*image 1: width and height are .*can't be read"):
        read_coco(save(tmp_path, content), fix=True)
    write_png(tmp_path / "a.png", np.zeros((60, 80, 3), np.uint8))
    image = read_fixed(tmp_path, content, "image 1: width and height are").images[0]
    assert (image.width, image.height) == (80, 60)


UNSAFE_NAMES = [
    ("../a.png", "holds '..'"),
    ("x/../../a.png", "holds '..'"),
    ("x\\..\\a.png", "holds '..'"),
    ("/etc/a.png", "is absolute"),
    ("C:\\a.png", "is absolute"),
    ("C:/a.png", "is absolute"),
    ("C:a.png", "is absolute"),
    ("\\\\server\\share\\a.png", "is absolute"),
    ("\\a.png", "is absolute"),
    ("x\\a.png", "holds a backslash"),
    ("", "names no file"),
    (".", "names no file"),
    ("a\0.png", "holds a null character"),
]


@pytest.mark.parametrize(("name", "message"), UNSAFE_NAMES)
def test_unsafe_file_names_are_never_mended(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(CocoError, match=message):
        resolve_image(tmp_path, name)
    path = save(tmp_path, changed("images", file_name=name))
    for fix in (False, True):
        with pytest.raises(CocoError) as caught:
            read_coco(path, fix=fix)
        assert f"image 1: file_name {name!r} {message}" in str(caught.value)
        assert "1 problem\n" in str(caught.value)


@pytest.mark.parametrize(("name", "message"), [(..., "has no file_name"), (3, "file_name is 3, expected a text")])
def test_names_that_are_missing(tmp_path: Path, name: Any, message: str) -> None:
    with pytest.raises(CocoError, match=message):
        read_coco(save(tmp_path, changed("images", file_name=name)), fix=True)


def test_links(tmp_path: Path) -> None:
    root = tmp_path / "images"
    (root / "inside").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.png").write_bytes(b"")
    (root / "a.png").symlink_to(tmp_path / "secret" / "a.png")
    (root / "folder").symlink_to(tmp_path / "secret")
    (root / "b.png").symlink_to("inside/b.png")
    for name in ("a.png", "folder/a.png"):
        with pytest.raises(CocoError, match="a link that leads out"):
            resolve_image(root, name)
    assert resolve_image(root, "b.png") == root / "b.png"
    with pytest.raises(CocoError, match=r"image 1: file_name 'a\.png' is a link that leads out"):
        read_coco(save(tmp_path, document()), fix=True)


def test_a_root_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert resolve_image(tmp_path / "link", "a.png") == tmp_path / "link" / "a.png"


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_file", ["NFC", "NFD"])
def test_names_in_another_unicode_form(tmp_path: Path, on_disk: str, in_file: str) -> None:
    name = "ärzte/größe é.png"
    stored = unicodedata.normalize(on_disk, name)
    (tmp_path / stored).parent.mkdir()
    (tmp_path / stored).write_bytes(b"")
    path = save(tmp_path, changed("images", file_name=unicodedata.normalize(in_file, name)))
    assert read_coco(path).images[0].file_name == stored
    assert resolve_image(tmp_path, unicodedata.normalize(in_file, "nöwhere.png")).exists() is False


def test_names_of_categories(tmp_path: Path) -> None:
    with pytest.raises(CocoError, match="category 1: name is None"):
        read_coco(save(tmp_path, changed("categories", name=None)), fix=True)


def test_entries_that_are_no_objects(tmp_path: Path) -> None:
    content = document()
    content["annotations"].append(7)
    read_fixed(tmp_path, content, "entry 2 of 'annotations': is a int, expected an object; dropped")
