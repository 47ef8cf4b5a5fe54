from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from polyp_aug.coco.read import read_coco
from polyp_aug.datasets import LAYOUTS, PrepareReport, SkippedFrame, prepare_dataset
from polyp_aug.datasets.base import natural_key
from polyp_aug.datasets.cvc_clinicdb import SEQUENCE_ENDS
from polyp_aug.datasets.polyps import mask_components, min_component_pixels
from polyp_aug.errors import ConfigurationError, DatasetLayoutError, StorageError

WIDTH, HEIGHT = 128, 96
ONE = [(16, 24, 40, 32)]
TWO = [(8, 8, 24, 16), (64, 48, 32, 40)]

Boxes = list[tuple[int, int, int, int]]


def picture(path: Path, width: int = WIDTH, height: int = HEIGHT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(path.name.encode())
    pixels = np.random.default_rng(seed).integers(60, 200, (height, width, 3), dtype=np.uint8)
    Image.fromarray(cv2.blur(pixels, (9, 9))).save(path)
    return path


def mask(path: Path, boxes: Boxes, width: int = WIDTH, height: int = HEIGHT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((height, width), dtype=np.uint8)
    for x, y, w, h in boxes:
        pixels[y : y + h, x : x + w] = 255
    Image.fromarray(pixels).save(path)
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def video(path: Path, frames: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(frames):
        # Blue, green, red: a swap of channels would show.
        writer.write(np.full((HEIGHT, WIDTH, 3), (10, 60, 100 + 10 * number), dtype=np.uint8))
    writer.release()
    return path


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def kvasir_seg(root: Path) -> None:
    for name, boxes in (("cju0", ONE), ("cju1", TWO)):
        picture(root / f"Kvasir-SEG/images/{name}.jpg")
        mask(root / f"Kvasir-SEG/masks/{name}.jpg", boxes)
    text(root / "Kvasir-SEG/kavsir_bboxes.json", "{}")


def hyperkvasir(root: Path) -> None:
    picture(root / "segmented-images/images/cju0.jpg")
    mask(root / "segmented-images/masks/cju0.jpg", ONE)
    text(root / "segmented-images/bounding-boxes.json", "{}")
    lower = root / "labeled-images/lower-gi-tract"
    picture(lower / "anatomical-landmarks/cecum/a.jpg")
    picture(lower / "anatomical-landmarks/ileum/b.jpg")
    picture(lower / "anatomical-landmarks/retroflex-rectum/c.jpg")
    picture(lower / "quality-of-mucosal-views/bbps-2-3/d.jpg")
    picture(lower / "quality-of-mucosal-views/bbps-0-1/e.jpg")
    picture(lower / "pathological-findings/polyps/f.jpg")
    picture(lower / "therapeutic-interventions/dyed-lifted-polyps/g.jpg")


def cvc_clinicdb(root: Path) -> None:
    for number, boxes in ((2, ONE), (10, ONE), (26, TWO)):
        picture(root / f"CVC-ClinicDB/Original/{number}.tif")
        mask(root / f"CVC-ClinicDB/Ground Truth/{number}.tif", boxes)


def cvc_clinicdb_png(root: Path) -> None:
    for form in ("PNG", "TIF"):
        for number in (1, 2):
            picture(root / f"{form}/Original/{number}.{form.lower()}")
            mask(root / f"{form}/Ground Truth/{number}.{form.lower()}", ONE)
    text(
        root / "metadata.csv",
        "frame_id,sequence_id,png_image_path\n1,1,PNG/Original/1.png\n2,7,PNG/Original/2.png\n",
    )


def polypgen(root: Path) -> None:
    top = root / "PolypGen2021_MultiCenterData_v3"
    picture(top / "data_C1/images_C1/100H0050.jpg")
    mask(top / "data_C1/masks_C1/100H0050_mask.jpg", ONE)
    picture(top / "data_C1/bbox_image_C1/100H0050_mask_bbox.jpg")
    picture(top / "data_C3/images_C3/C3_EndoCV2021_00489_.jpg")
    mask(top / "data_C3/masks_C3/C3_EndoCV2021_00489_mask.jpg", TWO)
    positive = top / "sequenceData/positive"
    picture(positive / "seq2/images_seq2/0_positive_1.jpg")
    mask(positive / "seq2/masks_seq2/0_positive_1_mask.jpg", ONE)
    text(positive / "seq2/masks_seq2/0_positive_1.txt", "polyp 1 2 3 4\n")
    picture(positive / "seq10/images_seq10/0_positive_2.jpg")
    mask(positive / "seq10/masks_seq10/0_positive_2_mask.jpg", [])
    picture(top / "sequenceData/negativeOnly/seq1_neg/0_negative_1.jpg")


def ldpolypvideo(root: Path) -> None:
    top = root / "LDPolypVideo"
    for part, movie, frame, lines in (
        ("TrainValid", "2", "0001", "1\n16 24 56 56\n"),
        ("TrainValid", "10", "0001", "0\n"),
        ("Test", "101", "0003", "2\n8 8 32 24\n64 48 96 88\n\n"),
    ):
        picture(top / part / "Images" / movie / f"{frame}.jpg")
        text(top / part / "Annotations" / movie / f"{frame}.txt", lines)
    picture(top / "TrainValid/Images/3/a_b_7.jpg")
    text(top / "TrainValid/Annotations/3/7.txt", "1\r\n16 24 56 56\r\n")
    video(top / "WithoutPolyps/5.avi", 5)
    picture(top / "WithoutPolyps/6/0001.jpg")


def sun(root: Path) -> None:
    positive = root / "sundatabase_positive_part1"
    for name in ("image0001.jpg", "image0002.jpg", "image0003.jpg"):
        picture(positive / "case1" / name)
    text(
        positive / "annotation_txt/case1.txt",
        "image0001.jpg 16,24,56,56,0\nimage0002.jpg 8,8,32,24,0\nimage0002.jpg 64, 48, 96, 88, 0\n"
        "image0003.jpg 0,0,0,0,1\n",
    )
    picture(root / "sundatabase_positive_part2/case51/image0001.jpg")
    text(positive / "annotation_txt/case51.txt", "image0001.jpg 16,24,56,56,0\n")
    picture(root / "sundatabase_negative_part1/case1/image0001.jpg")


def manifest(root: Path) -> None:
    columns = ("file", "mask", "kind", "split", "dataset", "licence", "group", "boxes_xywh", "source")
    rows = (
        ("polyp/a.jpg", "masks/a.png", "polyp", "train", "A", "CC BY 4.0", "p1", "[[1, 2, 3, 4]]", "x/a.jpg"),
        ("polyp/b.jpg", "", "polyp", "val", "B", "own terms", "p2", json.dumps(TWO), ""),
        ("normal/c.jpg", "", "normal", "train", "A", "CC BY 4.0", "", "[]", ""),
    )
    for row in rows:
        picture(root / row[0])
    mask(root / "masks/a.png", ONE)
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows((columns, *rows))


def yolo(root: Path) -> None:
    picture(root / "images/train/a.jpg")
    picture(root / "images/train/b.jpg")
    picture(root / "images/val/a.jpg")
    box = " ".join(str(share) for share in (36 / WIDTH, 40 / HEIGHT, 40 / WIDTH, 32 / HEIGHT))
    text(root / "labels/train/a.txt", f"0 {box}\n")
    corners = [(8, 8), (32, 8), (32, 24), (8, 24)], [(64, 48), (96, 48), (96, 88), (64, 88)]
    rows = (" ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in outline) for outline in corners)
    text(root / "labels/val/a.txt", "".join(f"0 {row}\n" for row in rows))
    text(root / "data.yaml", "{path: ., train: images/train, val: images/val, names: {0: polyp}}")


@dataclass(frozen=True)
class Tree:
    layout: str
    build: Callable[[Path], None]
    # (name in the output, split, group, boxes, whether there are masks)
    expected: list[tuple[str, str, str, Boxes, bool]]


TREES = [
    Tree("kvasir_seg", kvasir_seg, [("cju0.jpg", "", "cju0", ONE, True), ("cju1.jpg", "", "cju1", TWO, True)]),
    Tree(
        "hyperkvasir",
        hyperkvasir,
        [
            ("polyps/cju0.jpg", "", "cju0", ONE, True),
            ("cecum/a.jpg", "", "a", [], True),
            ("retroflex-rectum/c.jpg", "", "c", [], True),
            ("bbps-2-3/d.jpg", "", "d", [], True),
        ],
    ),
    Tree(
        "cvc_clinicdb",
        cvc_clinicdb,
        [
            ("2.tif", "", "cvc_clinicdb-sequence-1", ONE, True),
            ("10.tif", "", "cvc_clinicdb-sequence-1", ONE, True),
            ("26.tif", "", "cvc_clinicdb-sequence-2", TWO, True),
        ],
    ),
    Tree(
        "cvc_clinicdb",
        cvc_clinicdb_png,
        [
            ("1.png", "", "cvc_clinicdb-sequence-1", ONE, True),
            ("2.png", "", "cvc_clinicdb-sequence-7", ONE, True),
        ],
    ),
    Tree(
        "polypgen",
        polypgen,
        [
            ("C1/100H0050.jpg", "", "100H0050", ONE, True),
            ("C3/C3_EndoCV2021_00489_.jpg", "", "C3_EndoCV2021_00489_", TWO, True),
            ("positive/seq2/0_positive_1.jpg", "", "polypgen-seq2", ONE, True),
            ("positive/seq10/0_positive_2.jpg", "", "polypgen-seq10", [], True),
            ("negative/seq1_neg/0_negative_1.jpg", "", "polypgen-negative-seq1_neg", [], True),
        ],
    ),
    Tree(
        "ldpolypvideo",
        ldpolypvideo,
        [
            ("Test/101/0003.jpg", "test", "ldpolypvideo-101", TWO, False),
            ("TrainValid/2/0001.jpg", "train", "ldpolypvideo-2", ONE, False),
            ("TrainValid/3/a_b_7.jpg", "train", "ldpolypvideo-3", ONE, False),
            ("TrainValid/10/0001.jpg", "train", "ldpolypvideo-10", [], False),
            ("without_polyps/5/000000.png", "", "ldpolypvideo-without-5", [], False),
            ("without_polyps/5/000002.png", "", "ldpolypvideo-without-5", [], False),
            ("without_polyps/5/000004.png", "", "ldpolypvideo-without-5", [], False),
            ("without_polyps/6/0001.jpg", "", "ldpolypvideo-without-6", [], False),
        ],
    ),
    Tree(
        "sun",
        sun,
        [
            ("negative/case1/image0001.jpg", "", "sun-negative-case1", [], False),
            ("positive/case1/image0001.jpg", "", "sun-case1", ONE, False),
            ("positive/case1/image0002.jpg", "", "sun-case1", TWO, False),
            ("positive/case1/image0003.jpg", "", "sun-case1", [], False),
            ("positive/case51/image0001.jpg", "", "sun-case51", ONE, False),
        ],
    ),
    Tree(
        "manifest",
        manifest,
        [
            ("polyp/a.jpg", "train", "p1", ONE, True),
            ("polyp/b.jpg", "val", "p2", TWO, False),
            ("normal/c.jpg", "train", "c", [], True),
        ],
    ),
    Tree(
        "yolo",
        yolo,
        [
            ("train/a.jpg", "train", "a", ONE, False),
            ("train/b.jpg", "train", "b", [], False),
            ("val/a.jpg", "val", "a", TWO, True),
        ],
    ),
]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


# pycocotools 2.0.11 decodes masks with an array protocol that NumPy 2 has deprecated.
@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.build.__name__)
def test_published_layout_becomes_coco(tree: Tree, source: Path, out: Path) -> None:
    tree.build(source)
    report = prepare_dataset(tree.layout, source, out, video_step=2)
    assert report.skipped == ()
    coco = COCO(str(out / "annotations.json"))
    assert coco.dataset["categories"] == [{"id": 1, "name": "polyp", "supercategory": ""}]
    found = []
    for image in coco.dataset["images"]:
        boxes = [tuple(annotation["bbox"]) for annotation in coco.imgToAnns[image["id"]]]
        found.append((image["file_name"], image.get("split", ""), image["group"], boxes))
        with Image.open(out / "images" / image["file_name"]) as opened:
            assert opened.size == (image["width"], image["height"]) == (WIDTH, HEIGHT)
        assert (source / image["source"]).is_file()
    assert found == [(name, split, group, boxes) for name, split, group, boxes, _ in tree.expected]
    dataset = read_coco(out / "annotations.json")
    assert dataset.problems == ()
    assert all((dataset.image_root / image.file_name).is_file() for image in dataset.images)
    masked = {name: has_mask for name, _, _, _, has_mask in tree.expected}
    for annotation in coco.dataset["annotations"]:
        x, y, w, h = map(int, annotation["bbox"])
        assert annotation["area"] == w * h
        assert (annotation["category_id"], annotation["iscrowd"]) == (1, 0)
        if masked[coco.imgs[annotation["image_id"]]["file_name"]]:
            painted = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
            painted[y : y + h, x : x + w] = 1
            np.testing.assert_array_equal(coco.annToMask(annotation), painted)
        else:
            assert annotation["segmentation"] == []
    licences = {entry["id"]: entry["name"] for entry in coco.dataset["licenses"]}
    assert sorted(licences) == list(range(1, len(licences) + 1))
    assert {image["license"] for image in coco.dataset["images"]} == set(licences)
    assert report.annotations == len(coco.dataset["annotations"]) > 0
    assert report.images == len(tree.expected)
    assert report.polyp_images == sum(bool(boxes) for _, _, _, boxes, _ in tree.expected)
    assert report.groups == len({group for _, _, group, _, _ in tree.expected})


def test_every_layout_is_tested_and_documented() -> None:
    assert {tree.layout for tree in TREES} == set(LAYOUTS) == {break_.layout for break_ in BREAKS}
    rows = (Path(__file__).parents[1] / "docs/datasets.md").read_text(encoding="utf-8").splitlines()
    documented = [match[1] for row in rows if (match := re.match(r"\| `(\w+)` \|", row))]
    assert sorted(documented) == sorted(LAYOUTS)


@dataclass(frozen=True)
class Break:
    layout: str
    build: Callable[[Path], None]
    damage: Callable[[Path], object]
    # What is skipped, and a pattern of why; no name where the folder as a whole is refused.
    name: str | None
    reason: str


def rename(old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / old).rename(root / new)


LD, SUN_TEXT = "LDPolypVideo/", "sundatabase_positive_part1/annotation_txt/case1.txt"
LD2 = LD + "TrainValid/Annotations/2/0001.txt"
LD_IMAGE, SUN_IMAGE = LD + "TrainValid/Images/2/0001.jpg", "sundatabase_positive_part1/case1/image0002.jpg"

BREAKS = [
    Break("kvasir_seg", kvasir_seg, rename("Kvasir-SEG/masks", "Kvasir-SEG/m"), None, "no masks folder.*masks/<name>"),
    Break("kvasir_seg", kvasir_seg, rename("Kvasir-SEG/images", "Kvasir-SEG/i"), None, "no images folder"),
    Break(
        "kvasir_seg",
        kvasir_seg,
        lambda root: truncate(root / "Kvasir-SEG/images/cju0.jpg"),
        "Kvasir-SEG/images/cju0.jpg",
        "^Kvasir-SEG/images/cju0.jpg: damaged or truncated",
    ),
    Break(
        "kvasir_seg",
        kvasir_seg,
        lambda root: mask(root / "Kvasir-SEG/masks/cju0.jpg", ONE, WIDTH + 1),
        "Kvasir-SEG/images/cju0.jpg",
        "^Kvasir-SEG/masks/cju0.jpg: mask of 129×96, expected the picture's 128×96$",
    ),
    Break(
        "kvasir_seg",
        kvasir_seg,
        lambda root: mask(root / "Kvasir-SEG/masks/cju0.jpg", []),
        "Kvasir-SEG/images/cju0.jpg",
        "its annotation is empty",
    ),
    Break(
        "hyperkvasir",
        hyperkvasir,
        lambda root: (root / "segmented-images/masks/cju0.jpg").unlink(),
        "segmented-images/images/cju0.jpg",
        "no mask of its name",
    ),
    Break("hyperkvasir", hyperkvasir, rename("segmented-images/masks", "m"), None, "no masks folder"),
    Break(
        "cvc_clinicdb",
        cvc_clinicdb,
        rename("CVC-ClinicDB/Ground Truth", "CVC-ClinicDB/g"),
        None,
        "no folder 'Ground Truth'",
    ),
    Break(
        "cvc_clinicdb",
        cvc_clinicdb,
        lambda root: truncate(root / "CVC-ClinicDB/Ground Truth/10.tif"),
        "CVC-ClinicDB/Original/10.tif",
        "^CVC-ClinicDB/Ground Truth/10.tif: ",
    ),
    Break(
        "cvc_clinicdb",
        cvc_clinicdb_png,
        lambda root: text(root / "metadata.csv", "frame_id,seq\n1,1\n"),
        None,
        "metadata.csv has no column sequence_id",
    ),
    Break(
        "polypgen",
        polypgen,
        rename("PolypGen2021_MultiCenterData_v3/data_C1/masks_C1", "m"),
        None,
        "data_C1 has no masks_C1 folder",
    ),
    Break(
        "polypgen",
        polypgen,
        lambda root: mask(root / "PolypGen2021_MultiCenterData_v3/data_C1/masks_C1/100H0050_mask.jpg", ONE, 64, 48),
        "PolypGen2021_MultiCenterData_v3/data_C1/images_C1/100H0050.jpg",
        "mask of 64×48",
    ),
    Break("ldpolypvideo", ldpolypvideo, rename(LD + "Test/Annotations", "a"), None, "no Annotations folder beside it"),
    Break(
        "ldpolypvideo",
        ldpolypvideo,
        lambda root: text(root / LD2, "1\n16 24 56\n"),
        LD_IMAGE,
        f"^{LD2}, line 2: '16 24 56', expected 'xmin ymin xmax ymax'$",
    ),
    Break(
        "ldpolypvideo",
        ldpolypvideo,
        lambda root: text(root / LD2, "2\n16 24 56 56\n"),
        LD_IMAGE,
        f"^{LD2}, line 1: 2 boxes announced, 1 found$",
    ),
    Break(
        "ldpolypvideo",
        ldpolypvideo,
        lambda root: text(root / LD2, ""),
        LD_IMAGE,
        f"^{LD2}, line 1: '', expected the number of boxes$",
    ),
    Break(
        "ldpolypvideo",
        ldpolypvideo,
        lambda root: text(root / LD2, "1\n500 24 556 56\n"),
        LD_IMAGE,
        r"has no area in a frame of 128×96",
    ),
    Break(
        "ldpolypvideo",
        ldpolypvideo,
        lambda root: text(root / LD2, "1\nnan 24 56 56\n"),
        LD_IMAGE,
        "expected finite numbers",
    ),
    Break("ldpolypvideo", ldpolypvideo, lambda root: (root / LD2).unlink(), LD_IMAGE, "no such annotation file"),
    Break(
        "ldpolypvideo",
        ldpolypvideo,
        lambda root: text(root / (LD + "WithoutPolyps/5.avi"), "no video"),
        LD + "WithoutPolyps/5.avi",
        "can't be read as a video",
    ),
    Break("sun", sun, rename("sundatabase_positive_part1/annotation_txt", "a"), None, "no annotation_txt folder"),
    Break(
        "sun",
        sun,
        lambda root: text(
            root / SUN_TEXT,
            "image0001.jpg 16,24,56,56,0\nimage0002.jpg 8,8,32,24,0\nimage0002.jpg 64,48,96\nimage0003.jpg 0,0,0,0,1\n",
        ),
        SUN_IMAGE,
        f"^{SUN_TEXT}, line 3: '64,48,96', expected 'x_min,y_min,x_max,y_max,class_id'$",
    ),
    Break(
        "sun",
        sun,
        lambda root: text(root / SUN_TEXT, "image0001.jpg 1,2,30,40,0\nimage0003.jpg 0,0,0,0,1\n"),
        SUN_IMAGE,
        "no line for image0002.jpg",
    ),
    Break(
        "sun",
        sun,
        lambda root: (root / SUN_IMAGE).unlink(),
        SUN_IMAGE,
        "names image0002.jpg, which isn't in case1",
    ),
    Break("manifest", manifest, lambda root: (root / "manifest.csv").unlink(), None, "no manifest.csv"),
    Break("manifest", manifest, lambda root: text(root / "manifest.csv", "a,b\n"), None, "no column file, kind"),
    Break(
        "manifest",
        manifest,
        lambda root: (root / "manifest.csv").write_bytes(b"file,kind\n\xff,polyp\n"),
        None,
        "manifest.csv can't be read",
    ),
    Break("manifest", manifest, rename("masks/a.png", "b.png"), "polyp/a.jpg", "^masks/a.png: can't be opened"),
    Break("yolo", yolo, rename("data.yaml", "dataset.yaml"), None, r"no data\.yaml"),
    Break("yolo", yolo, rename("images/val", "images/valid"), None, "val is 'images/val', which isn't in this folder"),
    Break("yolo", yolo, rename("labels", "annotations"), None, "no label file of any of its 3 pictures"),
    Break(
        "yolo",
        yolo,
        lambda root: text(root / "labels/train/a.txt", "0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1"),
        "images/train/a.jpg",
        "^labels/train/a.txt, line 2: class '1', expected an integer from 0 to 0",
    ),
]


@pytest.mark.parametrize("case", BREAKS, ids=lambda case: f"{case.build.__name__}-{case.reason[:30]}")
def test_what_is_not_as_published_is_named(case: Break, source: Path, out: Path) -> None:
    case.build(source)
    case.damage(source)
    if case.name is None:
        with pytest.raises(DatasetLayoutError, match=f"(?s){case.reason}") as caught:
            prepare_dataset(case.layout, source, out)
        assert LAYOUTS[case.layout].expected in str(caught.value)
        assert not out.exists()
        return
    report = prepare_dataset(case.layout, source, out)
    assert [entry.name for entry in report.skipped] == [case.name]
    assert re.search(case.reason, report.skipped[0].reason)
    assert f"skipped: 1\n  {case.name}: " in report.summary()
    assert json.loads((out / "prepare_report.json").read_text(encoding="utf-8")) == report.to_dict()
    assert case.name not in {image["source"] for image in read(out)["images"]}


@pytest.mark.parametrize("name", LAYOUTS)
def test_empty_folder_shows_the_expected_layout(name: str, source: Path, out: Path) -> None:
    with pytest.raises(DatasetLayoutError, match=re.escape(LAYOUTS[name].expected)):
        prepare_dataset(name, source, out)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (("a.jpg", "maybe", ""), "^manifest.csv, line 3: kind 'maybe'"),
        (("../a.jpg", "normal", ""), r"^manifest.csv, line 3: .*'\.\./a.jpg' holds '\.\.'"),
        (("a.jpg", "polyp", "[[1, 2]]"), r"^manifest.csv, line 3: boxes_xywh '\[\[1, 2\]\]'"),
        (("a.jpg", "polyp", ""), "neither mask nor boxes"),
        (("a.jpg", "polyp", "[]"), "its annotation is empty"),
        (("good.jpg", "normal", ""), "good.jpg: a frame of this name was there before"),
    ],
)
def test_bad_manifest_row(cells: tuple[str, ...], reason: str, source: Path, out: Path) -> None:
    for name in ("good.jpg", "a.jpg"):
        picture(source / name)
    with (source / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows((("file", "kind", "boxes_xywh"), ("good.jpg", "normal", "[]"), cells))
    report = prepare_dataset("manifest", source, out)
    assert report.images == 1
    assert [entry.name for entry in report.skipped] == [cells[0]]
    assert re.search(reason, report.skipped[0].reason)


def test_nothing_usable_names_the_first_frames(source: Path, out: Path) -> None:
    kvasir_seg(source)
    for path in source.rglob("images/*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(DatasetLayoutError, match=r"no usable frame, 2 skipped; .*cju0.jpg: empty file"):
        prepare_dataset("kvasir_seg", source, out)
    assert not out.exists()


def test_split_and_kind_select(source: Path, out: Path) -> None:
    ldpolypvideo(source)
    assert names(prepare_and_read("ldpolypvideo", source, out, split="test")) == ["Test/101/0003.jpg"]
    normal = prepare_and_read("ldpolypvideo", source, out, split="train", kind="normal")
    assert names(normal) == ["TrainValid/10/0001.jpg"]
    assert normal["annotations"] == []
    with pytest.raises(DatasetLayoutError, match="no frame of split 'val', found '', 'test', 'train'"):
        prepare_dataset("ldpolypvideo", source, out, split="val")


def test_kind_follows_the_mask_where_only_the_mask_tells(source: Path, out: Path) -> None:
    polypgen(source)
    assert names(prepare_and_read("polypgen", source, out, kind="normal")) == [
        "positive/seq10/0_positive_2.jpg",
        "negative/seq1_neg/0_negative_1.jpg",
    ]
    assert len(names(prepare_and_read("polypgen", source, out, kind="polyp"))) == 3


def test_specks_are_neither_a_polyp_nor_none(source: Path, out: Path) -> None:
    polypgen(source)
    path = source / "PolypGen2021_MultiCenterData_v3/sequenceData/positive/seq2/masks_seq2/0_positive_1_mask.jpg"
    path.unlink()
    mask(path.with_suffix(".png"), [(5, 5, 1, 1)])
    report = prepare_dataset("polypgen", source, out)
    assert [entry.reason.rpartition(": ")[2] for entry in report.skipped] == [
        "1 mask pixels, but no component of 2 or more"
    ]


def test_pictures_are_copied_linked_or_left(source: Path, tmp_path: Path) -> None:
    kvasir_seg(source)
    original = source / "Kvasir-SEG/images/cju0.jpg"
    for mode in ("copy", "hardlink"):
        prepare_dataset("kvasir_seg", source, tmp_path / mode, images=mode)
        prepare_dataset("kvasir_seg", source, tmp_path / mode, images=mode)
        written = tmp_path / mode / "images/cju0.jpg"
        assert written.read_bytes() == original.read_bytes()
        assert written.samefile(original) == (mode == "hardlink")
    left = prepare_and_read("kvasir_seg", source, tmp_path / "none", images="none")
    assert [image["file_name"] for image in left["images"]] == [
        "Kvasir-SEG/images/cju0.jpg",
        "Kvasir-SEG/images/cju1.jpg",
    ]
    assert sorted(path.name for path in (tmp_path / "none").iterdir()) == ["annotations.json", "prepare_report.json"]


def test_video_frames_keep_their_colours_and_need_to_be_written(source: Path, tmp_path: Path) -> None:
    ldpolypvideo(source)
    prepare_dataset("ldpolypvideo", source, tmp_path / "out", video_step=4)
    with Image.open(tmp_path / "out/images/without_polyps/5/000004.png") as opened:
        assert np.abs(np.asarray(opened).mean(axis=(0, 1)) - (140, 60, 10)).max() < 4
    assert not (tmp_path / "out/images/without_polyps/5/000003.png").exists()
    report = prepare_dataset("ldpolypvideo", source, tmp_path / "none", images="none")
    assert [(entry.name, "images='copy'" in entry.reason) for entry in report.skipped] == [
        ("LDPolypVideo/WithoutPolyps/5.avi", True)
    ]


def test_the_same_source_gives_the_same_bytes_wherever_it_stands(tmp_path: Path) -> None:
    files = []
    for place in ("here", "over/there"):
        source = tmp_path / place
        source.mkdir(parents=True)
        sun(source)
        truncate(source / SUN_IMAGE)
        target = tmp_path / f"out-{source.name}"
        prepare_dataset("sun", source, target)
        files.append({path.relative_to(target): path.read_bytes() for path in target.rglob("*") if path.is_file()})
    assert files[0] == files[1]
    assert all(str(tmp_path).encode() not in content for content in files[0].values())


def test_exif_orientation_is_in_the_size(source: Path, out: Path) -> None:
    kvasir_seg(source)
    path = source / "Kvasir-SEG/images/cju0.jpg"
    with Image.open(path) as opened:
        exif = opened.getexif()
        exif[0x0112] = 6
        turned = opened.transpose(Image.Transpose.ROTATE_90)
    turned.save(path, exif=exif)
    first = prepare_and_read("kvasir_seg", source, out)["images"][0]
    assert (first["width"], first["height"]) == (WIDTH, HEIGHT)


def test_boxes_are_cut_at_the_border(source: Path, out: Path) -> None:
    ldpolypvideo(source)
    text(source / LD2, "1\n100 -5 140 40\n")
    found = prepare_and_read("ldpolypvideo", source, out, split="train", kind="polyp")
    assert found["annotations"][0]["bbox"] == [100, 0, 28, 40]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "polyps"}, "kind 'polyps', expected one of all, polyp, normal"),
        ({"images": "move"}, "images 'move', expected one of copy, hardlink, none"),
        ({"max_pixels": 0}, "max_pixels 0"),
        ({"video_step": 0}, "video_step 0"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str, source: Path, out: Path) -> None:
    kvasir_seg(source)
    with pytest.raises(ConfigurationError, match=message):
        prepare_dataset("kvasir_seg", source, out, **options)


def test_unknown_data_set_and_folders_that_overlap(tmp_path: Path, source: Path) -> None:
    kvasir_seg(source)
    with pytest.raises(ConfigurationError, match="data set 'kvasir', expected one of cvc_clinicdb, "):
        prepare_dataset("kvasir", source, tmp_path / "out")
    for target in (source, source / "coco"):
        with pytest.raises(ConfigurationError, match="overlaps the source folder"):
            prepare_dataset("kvasir_seg", source, target)
    inner = tmp_path / "out/images/set"
    inner.mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="overlaps the source folder"):
        prepare_dataset("kvasir_seg", inner, tmp_path / "out")
    with pytest.raises(DatasetLayoutError, match="no such folder"):
        prepare_dataset("kvasir_seg", tmp_path / "missing", tmp_path / "out")


def test_pixel_limit(source: Path, out: Path) -> None:
    kvasir_seg(source)
    picture(source / "Kvasir-SEG/images/cju0.jpg", 300, 200)
    report = prepare_dataset("kvasir_seg", source, out, max_pixels=WIDTH * HEIGHT)
    assert [(entry.name, "more than the limit" in entry.reason) for entry in report.skipped] == [
        ("Kvasir-SEG/images/cju0.jpg", True)
    ]


def test_a_folder_that_cannot_be_made(source: Path, tmp_path: Path) -> None:
    kvasir_seg(source)
    text(tmp_path / "out", "a file")
    with pytest.raises(StorageError, match="can't be made"):
        prepare_dataset("kvasir_seg", source, tmp_path / "out")


def test_components_are_8_connected_and_large_enough() -> None:
    pixels = np.zeros((64, 64), dtype=np.bool_)
    pixels[10:14, 30:34] = pixels[14:18, 34:38] = True  # they touch at a corner
    pixels[40:44, 5:9] = True
    pixels[60, 60] = True
    assert [region.box for region in mask_components(pixels, 16)] == [(30, 10, 8, 8), (5, 40, 4, 4)]
    assert [region.area for region in mask_components(pixels, 17)] == [32]


@pytest.mark.parametrize(("size", "pixels"), [((512, 400), 32), ((400, 512), 32), ((1024, 768), 128), ((384, 288), 18)])
def test_smallest_component_scales_with_the_area(size: tuple[int, int], pixels: int) -> None:
    assert min_component_pixels(*size) == pixels


def test_the_sequences_of_cvc_clinicdb_cover_its_frames() -> None:
    assert (len(SEQUENCE_ENDS), SEQUENCE_ENDS[-1]) == (29, 612)
    assert list(SEQUENCE_ENDS) == sorted(set(SEQUENCE_ENDS))


def test_natural_order() -> None:
    assert sorted(["10", "2", "a10", "a9", "02"], key=natural_key) == ["02", "2", "10", "a9", "a10"]


def test_summary_names_the_first_skipped_frames() -> None:
    skipped = tuple(SkippedFrame(f"{number}.jpg", "empty file") for number in range(7))
    report = PrepareReport("sun", 3, 1, 2, 3, {"": 1, "train": 2}, ("L", "M"), skipped)
    assert report.summary().splitlines() == [
        "sun: 3 images (1 with polyps, 2 without), 2 annotations, 3 groups",
        "splits: none 1, train 2",
        "licences: L; M",
        "skipped: 7",
        *(f"  {number}.jpg: empty file" for number in range(5)),
        "  … and 2 more, see prepare_report.json",
    ]


@pytest.mark.parametrize(("split", "kind", "count"), [("val", "polyp", 100), ("train", "normal", 780)])
def test_real_manifest(split: str, kind: str, count: int, real_data: Path, out: Path) -> None:
    report = prepare_dataset("manifest", real_data, out, split=split, kind=kind, images="none")
    assert (report.images, report.skipped) == (count, ())
    with (real_data / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["file"]: row for row in csv.DictReader(stream)}
    coco = COCO(str(out / "annotations.json"))
    for image in coco.dataset["images"]:
        boxes = sorted(annotation["bbox"] for annotation in coco.imgToAnns[image["id"]])
        row = rows[image["file_name"]]
        assert boxes == sorted(json.loads(row["boxes_xywh"]))
        assert (image["group"], image["dataset"]) == (row["group"], row["dataset"])


def read(out: Path) -> dict[str, list[dict[str, object]]]:
    return json.loads((out / "annotations.json").read_text(encoding="utf-8"))


def prepare_and_read(name: str, source: Path, out: Path, **options: object) -> dict[str, list[dict[str, object]]]:
    prepare_dataset(name, source, out, **options)
    return read(out)


def names(dataset: dict[str, list[dict[str, object]]]) -> list[str]:
    return [str(image["file_name"]) for image in dataset["images"]]
