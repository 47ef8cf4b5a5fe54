from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from polyp_aug.coco import MergeInput, merge_coco, read_coco
from polyp_aug.errors import CocoError, ConfigurationError, ImageError


def make(folder: Path, names: list[str], classes: list[tuple[int, str]], **more: Any) -> MergeInput:
    """A data set with one annotation per image, whose ids begin at 5; each picture holds the folder's name."""
    (folder / "images").mkdir(parents=True)
    for name in names:
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "images" / name).write_text(f"{folder.name} {name}")
    box = {"bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}
    content = {
        "annotations": [
            {"id": n, "image_id": n, "category_id": classes[-1][0], "from": folder.name} | box
            for n in range(5, 5 + len(names))
        ],
        "images": [
            {"id": n, "file_name": name, "width": 20, "height": 10, "license": 7, "split": "train"}
            for n, name in enumerate(names, start=5)
        ],
        "categories": [{"id": number, "name": name} for number, name in classes],
        "licenses": [{"id": 7, "name": "CC BY 4.0", "url": folder.name[0]}],
        "info": {"year": 2024},
    } | more
    (folder / "annotations.json").write_text(json.dumps(content))
    return MergeInput(folder)


def test_a_merge(tmp_path: Path) -> None:
    real = make(tmp_path / "real", ["a.png", "x/b.png"], [(3, "polyp"), (9, "adenoma")])
    other = make(tmp_path / "rest", ["c.png"], [(3, "serrated"), (1, "polyp")])
    fake = make(tmp_path / "fake", ["A.png", "d.png"], [(1, "adenoma")])
    out = tmp_path / "new" / "out"
    assert merge_coco([real, other, fake], out) == out / "annotations.json"
    merged = read_coco(out)
    assert merged.image_root == out / "images"
    assert [(entry.id, entry.name) for entry in merged.categories] == [(3, "polyp"), (9, "adenoma"), (10, "serrated")]
    assert [(entry.id, entry.url) for entry in merged.licenses] == [(1, "r"), (2, "f")]
    assert [(image.id, image.file_name, image.license) for image in merged.images] == [
        (1, "a.png", 1),
        (2, "x/b.png", 1),
        (3, "c.png", 1),
        (4, "3/A.png", 2),
        (5, "d.png", 2),
    ]
    assert [(e.id, e.image_id, e.category_id, e.extra["from"]) for e in merged.annotations] == [
        (1, 1, 9, "real"),
        (2, 2, 9, "real"),
        (3, 3, 3, "rest"),
        (4, 4, 9, "fake"),
        (5, 5, 9, "fake"),
    ]
    assert merged.images[0].extra == {"split": "train"}
    assert (out / "images" / "3" / "A.png").read_text() == "fake A.png"
    assert sorted(entry.name for entry in out.iterdir()) == ["annotations.json", "images"]
    assert sum(entry.is_file() for entry in (out / "images").rglob("*")) == 5


def test_the_same_bytes_wherever_the_data_sets_are(tmp_path: Path) -> None:
    found = []
    for place in ("here", "there"):
        inputs = [make(tmp_path / place / name, ["a.png"], [(1, "polyp")]) for name in ("real", "fake")]
        found.append(merge_coco(inputs, tmp_path / place / "out").read_bytes())
    assert found[0] == found[1]
    assert str(tmp_path).encode() not in found[0]


def test_hardlinks_and_no_pictures(tmp_path: Path) -> None:
    source = make(tmp_path / "real", ["a.png"], [(1, "polyp")])
    merge_coco([source], tmp_path / "linked", images="hardlink")
    assert (tmp_path / "linked" / "images" / "a.png").samefile(tmp_path / "real" / "images" / "a.png")
    merge_coco([source], tmp_path / "bare", images="none")
    assert list((tmp_path / "bare" / "images").iterdir()) == []
    assert [image.file_name for image in read_coco(tmp_path / "bare").images] == ["a.png"]


def test_names_that_clash_again(tmp_path: Path) -> None:
    first = make(tmp_path / "real", ["a.png", "2/a.png"], [(1, "polyp")])
    second = make(tmp_path / "fake", ["a.png"], [(1, "polyp")])
    merge_coco([first, second], tmp_path / "out")
    assert [image.file_name for image in read_coco(tmp_path / "out").images] == ["a.png", "2/a.png", "2/2/a.png"]


def test_an_interrupted_merge_is_taken_up_again(tmp_path: Path) -> None:
    first = make(tmp_path / "real", ["a.png"], [(1, "polyp")])
    second = make(tmp_path / "fake", ["b.png"], [(1, "polyp")])
    out = tmp_path / "out"
    (tmp_path / "fake" / "images" / "b.png").unlink()
    with pytest.raises(ImageError, match=r"b\.png: no such picture"):
        merge_coco([first, second], out)
    assert not (out / "annotations.json").exists()
    with pytest.raises(ConfigurationError, match=r"out: holds \.merge, images; expected a new or empty folder"):
        merge_coco([first], out)

    (tmp_path / "fake" / "images" / "b.png").write_text("back")
    (tmp_path / "real" / "images" / "a.png").write_text("not copied again")
    (out / ".annotations.json.abc.tmp").write_text("left behind")
    merge_coco([first, second], out)
    assert sorted(entry.name for entry in out.iterdir()) == ["annotations.json", "images"]
    assert (out / "images" / "a.png").read_text() == "real a.png"
    assert (out / "images" / "b.png").read_text() == "back"
    with pytest.raises(ConfigurationError, match=r"holds annotations\.json, images"):
        merge_coco([first, second], out)


def test_options(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing to merge"):
        merge_coco([], tmp_path / "out")
    with pytest.raises(ConfigurationError, match="images is 'move', expected one of copy, hardlink, none"):
        merge_coco([MergeInput(tmp_path)], tmp_path / "out", images="move")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


IMAGE = {"id": 5, "file_name": "a.png", "width": 20, "height": 10}
ANNOTATION = {"id": 5, "image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"images": []}, "no images"),
        ({"images": [7]}, "entry 0 of 'images' is a int"),
        ({"images": [IMAGE | {"id": 0}]}, "image 0: id is 0, expected an integer from 1 on"),
        ({"images": [IMAGE | {"id": True}]}, "id is True"),
        ({"images": [IMAGE | {"width": None}]}, "image 5: width is None"),
        ({"images": [IMAGE | {"file_name": None}]}, "file_name is None"),
        ({"images": [IMAGE | {"file_name": "../a.png"}]}, "image 5: file_name '../a.png' holds"),
        ({"images": [IMAGE | {"file_name": "/a.png"}]}, "is absolute"),
        ({"images": [IMAGE | {"file_name": "link.png"}]}, "leads out"),
        ({"images": [IMAGE, IMAGE]}, "image 5: two records have this id"),
        ({"categories": [{"id": 0, "name": "polyp"}]}, "expected a name and an id from 1 on"),
        ({"categories": [{"id": 1}]}, "expected a name"),
        ({"annotations": [ANNOTATION | {"image_id": 6}]}, "annotation 5: image_id 6"),
        ({"annotations": [ANNOTATION | {"bbox": [30, 0, 2, 2]}]}, "annotation 5: bbox"),
    ],
)
def test_flawed_inputs(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    (tmp_path / "outside.png").write_text("")
    source = make(tmp_path / "real", ["a.png"], [(1, "polyp")], **fields)
    (tmp_path / "real" / "images" / "link.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(CocoError, match=message) as caught:
        merge_coco([source], tmp_path / "out")
    assert str(caught.value).startswith(str(source.file))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("data", ["", "{", '{"images": [NaN]}'])
def test_inputs_that_are_no_json(tmp_path: Path, data: str) -> None:
    (tmp_path / "x.json").write_text(data)
    with pytest.raises(CocoError, match=r"x\.json: not JSON"):
        merge_coco([MergeInput(tmp_path / "x.json")], tmp_path / "out")


def test_an_input_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CocoError, match=r"x\.json: can't be read"):
        merge_coco([MergeInput(tmp_path / "x.json")], tmp_path / "out")


MEASURE = """
import resource, sys
from pathlib import Path
from polyp_aug.coco import MergeInput, merge_coco
out = Path(sys.argv[2])
small, large = Path(sys.argv[1], "small.json"), Path(sys.argv[1], "large.json")
merge_coco([MergeInput(small)], out / "small", images="none")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
merge_coco([MergeInput(large)], out / "large", images="none")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_memory_does_not_grow_with_the_annotations(tmp_path: Path) -> None:
    row = '{"id": %d, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0, "note": "%s"}'
    image = json.dumps(IMAGE | {"id": 1})
    for name, count in (("small", 100), ("large", 200_000)):
        rows = ",\n".join(row % (number, "x" * 100) for number in range(1, count + 1))
        (tmp_path / f"{name}.json").write_text(
            f'{{"annotations": [{rows}], "images": [{image}], "categories": [{{"id": 1, "name": "polyp"}}]}}'
        )
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path), str(tmp_path / "out")],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    # The file has 38 MB, and takes 160 MB as Python objects.
    assert float(done.stdout) < 16
