"""Reference databases: building, resuming, what is served, and what is damaged."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Phantoms
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from runs import digests
from small_database import ColourEncoder, Counting, Eraser, build
from tiny_diffusion import pipeline

from polyp_aug.coco import read_coco
from polyp_aug.database.folder import ReferenceDatabase, read_entries, read_info
from polyp_aug.database.identity import digest_database
from polyp_aug.database.reference import Reference, Refusal
from polyp_aug.database.search import ExactSearch, FaissSearch, make_search
from polyp_aug.encoders.patches import PatchGrid
from polyp_aug.errors import ConfigurationError, DatabaseError, MissingDependencyError, RunFolderBusyError, StorageError
from polyp_aug.geometry import largest_component, mask_box
from polyp_aug.images import read_image, write_png
from polyp_aug.indexing import IndexProgress, build_database
from polyp_aug.jsonl import append_records, read_lines
from polyp_aug.removal import Remover, RemoverSettings
from polyp_aug.synthesizers.options import PaintingOptions
from polyp_aug.synthesizers.registry import load_synthesizer

SETTINGS = RemoverSettings(least_change=0.5)


@pytest.fixture(scope="module")
def whole(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("database") / "db"
    assert build(phantoms.references, path).added == 10
    return path


@pytest.fixture
def database(whole: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return shutil.copytree(whole, tmp_path / "db")


def dataset(folder: Path, frames: list[dict[str, Any]], **source: Any) -> Path:
    """A COCO folder of frames of 128×96 px: `boxes` are polyps, `seed` decides the pixels, the rest is the record's."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number, frame in enumerate(frames, start=1):
        name = frame.get("file_name", f"{number}.png")
        generator = np.random.default_rng(frame.get("seed", number))
        pixels = generator.integers(60, 200, (96, 128, 3)).astype(np.uint8)
        write_png(folder / "images" / name, pixels)
        known = {key: value for key, value in frame.items() if key not in ("boxes", "seed", "segmentation")}
        images.append({"id": number, "file_name": name, "width": 128, "height": 96, **source, **known})
        for box in frame.get("boxes", [[20, 20, 30, 30]]):
            record = {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "bbox": box, "iscrowd": 0}
            record |= {"area": box[2] * box[3], "segmentation": frame.get("segmentation", [])}
            annotations.append(record)
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "polyp"}]}
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


def references(path: Path) -> list[Reference]:
    return [entry for entry in read_entries(path) if isinstance(entry, Reference)]


def test_entries_hold_what_is_left_of_the_frames(whole: Path, phantoms: Phantoms) -> None:
    opened = ReferenceDatabase(whole)
    source = read_coco(phantoms.references)
    annotations = source.by_image()
    assert [item.source.file for item in opened.references] == sorted(image.file_name for image in source.images)
    by_name = {image.file_name: annotations[image.id] for image in source.images}
    several = 0
    for index, item in enumerate(opened.references):
        found = by_name[item.source.file]
        several += len(found) > 1
        assert [polyp.id for polyp in item.polyps] == [f"{item.source.file}#{one.id}" for one in found]
        assert item.source.licence == "CC0-1.0"
        before, after = read_image(phantoms.references / "images" / item.source.file), opened.image(index)
        assert item.frame_size == (256, 216) == after.shape[1::-1]
        region = item.region().to_mask(216, 256)
        assert (before[region] != after[region]).any(axis=1).mean() > 0.9
        features = ColourEncoder().encode([after])[0]
        np.testing.assert_array_equal(opened.pooled[index], features.pooled)
        local, cells = opened.local(index)
        assert len(local) == item.polyps[-1].patches[1] - item.polyps[0].patches[0]
        np.testing.assert_allclose(local, features.local[cells[:, 0], cells[:, 1]], rtol=1e-3)
        # The patches of the mask: at least half of each is covered.
        share = region[: 13 * 16].reshape(13, 16, 16, 16).mean(axis=(1, 3))
        assert {tuple(cell) for cell in cells.tolist()} == {tuple(cell) for cell in np.argwhere(share >= 0.5).tolist()}
    assert several >= 3
    assert opened.verify() == []
    assert read_info(whole).conversion["synthesizer"] == "eraser"


@pytest.mark.parametrize(("matched", "polyp"), [([0, 1], 0), ([2], 1), ([4], 1), ([1, 2], 0), ([1, 3, 2], 1)])
def test_matches_belong_to_the_polyp_of_most(matched: list[int], polyp: int, whole: Path) -> None:
    one = references(whole)[0]
    polyps = tuple(replace(one.polyps[0], id=f"{part}", patches=part) for part in ((10, 12), (12, 15)))
    assert replace(one, polyps=polyps).main_polyp(np.array(matched)) is polyps[polyp]


def test_a_model_removes_polyps(phantoms: Phantoms, tmp_path: Path) -> None:
    pipeline().save_pretrained(tmp_path / "weights")
    options = PaintingOptions(weights=str(tmp_path / "weights"), num_inference_steps=1, batch_size=4)
    synthesizer = load_synthesizer("polyp_gen", options=options)
    counting = Counting(ColourEncoder())
    arguments = {"remover": Remover(synthesizer), "encoder": counting, "painting": options, "seed": 3}
    found = build_database(read_coco(phantoms.references), tmp_path / "db", **arguments)
    assert (found.added, found.problems, len(counting.seen)) == (10, (), 10)
    conversion = read_info(tmp_path / "db").conversion
    assert (conversion["revision"], conversion["painting"]["num_inference_steps"]) == (synthesizer.revision, 1)
    faster = PaintingOptions(weights=str(tmp_path / "weights"), num_inference_steps=1, batch_size=1, device="cpu")
    assert build_database(read_coco(phantoms.references), tmp_path / "db", **(arguments | {"painting": faster})).known
    other = PaintingOptions(weights=str(tmp_path / "weights"), num_inference_steps=2)
    with pytest.raises(DatabaseError, match=r"conversion\.painting\.num_inference_steps was 1, is 2"):
        build_database(read_coco(phantoms.references), tmp_path / "db", **(arguments | {"painting": other}))


def test_nothing_is_removed_or_encoded_twice(phantoms: Phantoms, tmp_path: Path) -> None:
    eraser, encoder, stopped = Eraser(), Counting(ColourEncoder()), []

    def stop(progress: IndexProgress) -> None:
        stopped.append(progress)
        if progress.done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(phantoms.references, tmp_path / "db", eraser=eraser, encoder=encoder, observer=stop)
    assert [(found.done, found.total) for found in stopped] == [(2, 10), (4, 10), (6, 10)]
    # Four frames were stored; the two after them are lost.
    assert len(references(tmp_path / "db")) == 4
    eraser.jobs.clear()
    encoder.seen.clear()
    found = build(phantoms.references, tmp_path / "db", eraser=eraser, encoder=encoder)
    assert (found.added, found.known, len(encoder.seen)) == (6, 4, 6)
    jobs = len(eraser.jobs)
    assert 6 <= jobs <= 12
    before = digests(tmp_path / "db")
    again = build(phantoms.references, tmp_path / "db", eraser=eraser, encoder=encoder)
    assert (again.added, again.known, len(encoder.seen), len(eraser.jobs)) == (0, 10, 6, jobs)
    assert digests(tmp_path / "db") == before


def test_killed_at_file_operations(phantoms: Phantoms, tmp_path: Path) -> None:
    script = Path(__file__).with_name("index_kill_points.py")
    arguments = [sys.executable, str(script), str(phantoms.references), str(tmp_path), "0", "3"]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    operations, kills = (int(number) for number in result.stdout.split())
    assert operations >= 30
    assert kills >= operations // 3


def test_a_second_data_set_is_appended(whole: Path, database: Path, tmp_path: Path) -> None:
    second = dataset(tmp_path / "second", [{}, {"boxes": [[10, 10, 20, 20], [80, 50, 20, 30]]}], dataset="B")
    found = build(second, database)
    assert (found.added, found.known, found.total) == (2, 0, 2)
    assert (database / "references.jsonl").read_bytes().startswith((whole / "references.jsonl").read_bytes())
    opened = ReferenceDatabase(database)
    assert [item.source.dataset for item in opened.references] == [""] * 10 + ["B", "B"]
    assert [len(item.polyps) for item in opened.references][-2:] == [1, 2]
    assert opened.verify() == []
    assert digest_database(database) != digest_database(whole)


def test_a_frame_that_gives_nothing_is_remembered_with_its_reason(tmp_path: Path) -> None:
    frames = [
        {"boxes": [[2, 2, 120, 90]]},
        {"boxes": [[20, 20, 20, 20]]},
        {"boxes": [[10, 10, 20, 20], [70, 40, 40, 40]]},
    ]
    data = dataset(tmp_path / "data", frames)
    eraser, encoder = Eraser(refused_above=1600), Counting(ColourEncoder())
    found = build(data, tmp_path / "db", eraser=eraser, encoder=encoder)
    assert (found.added, found.refused, found.done) == (2, 1, 3)
    assert [problem.rpartition(": ")[2] for problem in found.problems] == [
        "a place of 126×96 px takes 98% of the frame",
        "too large for me",
    ]
    refusal = next(entry for entry in read_entries(tmp_path / "db") if isinstance(entry, Refusal))
    assert (refusal.source.file, refusal.refused) == ("1.png", ("a place of 126×96 px takes 98% of the frame",))
    # Of the third frame one polyp was removed and one stays.
    assert [[polyp.id for polyp in item.polyps] for item in references(tmp_path / "db")] == [["2.png#2"], ["3.png#3"]]
    again = build(data, tmp_path / "db", eraser=eraser, encoder=encoder)
    assert (again.added, again.known, again.refused, len(encoder.seen)) == (0, 3, 0, 2)


@pytest.mark.parametrize(
    ("frame", "encoder", "reason"),
    [
        (
            {"segmentation": {"size": [96, 128], "counts": [96 * 128]}},
            ColourEncoder(),
            "annotation 1 has an empty mask",
        ),
        ({"boxes": [[100, 80, 20, 16]]}, ColourEncoder(PatchGrid(50)), "a polyp lies in what the encoder cuts off"),
        ({}, ColourEncoder(PatchGrid(100)), "a picture of 128×96 px is smaller than a patch of 100 px"),
    ],
)
def test_what_has_no_patches_is_no_reference(
    frame: dict[str, Any], encoder: ColourEncoder, reason: str, tmp_path: Path
) -> None:
    found = build(dataset(tmp_path / "data", [frame]), tmp_path / "db", encoder=encoder)
    assert (found.added, found.refused) == (0, 1)
    assert found.problems == (f"{tmp_path / 'data' / 'images' / '1.png'}: {reason}",)
    with pytest.raises(DatabaseError, match="holds no references"):
        ReferenceDatabase(tmp_path / "db")


def test_frames_that_can_not_be_read_are_named_and_tried_again(tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", [{}, {}, {"width": 96, "height": 128}])
    picture = (data / "images" / "1.png").read_bytes()
    (data / "images" / "1.png").write_bytes(b"no picture")
    found = build(data, tmp_path / "db")
    assert (found.added, found.done, len(found.problems)) == (1, 3, 2)
    assert "1.png: not a picture" in found.problems[0]
    assert "3.png: 128×96 pixels, its record says 96×128" in found.problems[1]
    (data / "images" / "1.png").write_bytes(picture)
    assert build(data, tmp_path / "db").added == 1


def test_a_frame_rotated_by_exif_is_stored_upright(tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", [{"boxes": [[10, 60, 20, 40]], "width": 96, "height": 128}])
    upright = np.random.default_rng(5).integers(60, 200, (128, 96, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(upright).copy()).save(data / "images" / "1.png", exif=exif)
    np.testing.assert_array_equal(read_image(data / "images" / "1.png"), upright)
    assert build(data, tmp_path / "db").problems == ()
    opened = ReferenceDatabase(tmp_path / "db")
    assert opened.references[0].frame_size == (96, 128)
    np.testing.assert_array_equal(opened.image(0)[:, :4], upright[:, :4])
    assert opened.references[0].polyps[0].box == (10, 60, 20, 40)


def test_the_same_frame_twice_is_one_reference(tmp_path: Path) -> None:
    eraser = Eraser()
    data = dataset(tmp_path / "data", [{"seed": 7}, {"seed": 7}, {"seed": 8}], split="train")
    found = build(data, tmp_path / "db", eraser=eraser)
    assert (found.added, found.known, len(eraser.jobs)) == (2, 1, 2)
    assert [item.source.file for item in references(tmp_path / "db")] == ["1.png", "3.png"]


SPLITS: list[dict[str, Any]] = [
    {"split": "train", "group": "a"},
    {"split": "train", "group": "b"},
    {"split": "test", "group": "b"},
    {"split": "val", "group": "c"},
    {"split": "train", "seed": 99},
    {"split": "test", "seed": 99},
    {},
    {"split": "train", "group": "d"},
    # Nothing can be removed from it: it gives no reference, and is of the evaluation all the same.
    {"split": "test", "group": "d", "boxes": [[2, 2, 120, 90]]},
    {"split": "train", "group": "c", "dataset": "other"},
]


@pytest.mark.parametrize(
    ("splits", "files"),
    [
        (None, ["07", "01", "10"]),
        (["train"], ["01", "10"]),
        (["test"], []),
        (["val"], ["04"]),
        (["train", "test"], ["01", "02", "03", "05", "06", "08", "10"]),
        (["", "train", "val", "test"], ["01", "02", "03", "04", "05", "06", "07", "08", "10"]),
    ],
)
def test_evaluation_splits_and_what_belongs_to_them_are_withheld(
    splits: list[str] | None, files: list[str], tmp_path: Path
) -> None:
    frames = [row | {"file_name": f"{number:02}.png"} for number, row in enumerate(SPLITS, start=1)]
    build(dataset(tmp_path / "data", frames), tmp_path / "db")
    if files:
        opened = ReferenceDatabase(tmp_path / "db", splits=splits)
        assert sorted(Path(item.source.file).stem for item in opened.references) == sorted(files)
        assert opened.withheld == 9 - len(files)
        assert len(opened.pooled) == len(files) == len(opened)
    else:
        with pytest.raises(DatabaseError, match=r"all 9 references belong to evaluation splits .*served are test"):
            ReferenceDatabase(tmp_path / "db", splits=splits)


def test_a_database_of_an_evaluation_set_serves_nothing_by_default(tmp_path: Path) -> None:
    build(dataset(tmp_path / "data", [{}, {}], split="test"), tmp_path / "db")
    with pytest.raises(DatabaseError, match=r"all 2 references belong to evaluation splits \(they are of test"):
        ReferenceDatabase(tmp_path / "db")
    assert len(ReferenceDatabase(tmp_path / "db", splits=["test"])) == 2


@pytest.mark.parametrize("part", ["features/00000.safetensors", "images", "references.jsonl"])
def test_a_changed_byte_is_found(part: str, database: Path) -> None:
    file = database / part
    file = sorted(file.iterdir())[0] if file.is_dir() else file
    data = bytearray(file.read_bytes())
    place = data.index(b"polyp_") if b"polyp_" in data else len(data) // 2
    place = data.index(b'"box":[') + 7 if file.suffix == ".jsonl" else place
    data[place] = ord("9") if file.suffix == ".jsonl" and data[place] != ord("9") else data[place] ^ 1
    file.write_bytes(data)
    problems = ReferenceDatabase(database).verify()
    assert len(problems) == 1
    assert "not those that were stored" in problems[0]


def drop_shard(path: Path) -> None:
    (path / "features" / "00001.safetensors").unlink()


def cut_shard(path: Path) -> None:
    file = path / "features" / "00001.safetensors"
    file.write_bytes(file.read_bytes()[:-50])


def swap_shard(path: Path) -> None:
    shutil.copy(path / "features" / "00002.safetensors", path / "features" / "00001.safetensors")


@pytest.mark.parametrize("damage", [drop_shard, cut_shard, swap_shard])
def test_a_damaged_file_of_features_is_named(damage: Callable[[Path], None], database: Path) -> None:
    damage(database)
    opened = ReferenceDatabase(database)
    with pytest.raises(DatabaseError, match=r"00001\.safetensors: damaged"):
        assert opened.pooled is None
    assert len(opened.verify()) == 4


def test_a_missing_picture_is_named(database: Path) -> None:
    opened = ReferenceDatabase(database)
    file = database / "images" / f"{opened.references[2].frame}.png"
    file.unlink()
    assert opened.verify() == [f"{opened.references[2].source.file}: {file}: No such file or directory"]
    with pytest.raises(DatabaseError, match="can't be opened"):
        opened.image(2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"address"', b'{{"address"'),
        (b'{"address"', b'["address"'),
        (b'"address"', b'"adress"'),
        (b'"shard":0', b'"shard":-1'),
        (b'"file":', b'"fill":'),
        (b'"patches":[', b'"patches":[7'),
        (b'"grid":[', b'"grid":[1,'),
        (b'"polyps":[', b'"polyps":[],"other":['),
    ],
)
def test_a_damaged_line_is_named(old: bytes, new: bytes, database: Path) -> None:
    rows = (database / "references.jsonl").read_bytes().splitlines(keepends=True)
    assert old in rows[1]
    rows[1] = rows[1].replace(old, new)
    (database / "references.jsonl").write_bytes(b"".join(rows))
    with pytest.raises(DatabaseError, match=r"references\.jsonl: line 2 is damaged"):
        ReferenceDatabase(database)


def test_an_incomplete_last_line_is_no_entry(database: Path, phantoms: Phantoms, whole: Path) -> None:
    file = database / "references.jsonl"
    complete = digest_database(whole)
    with open(file, "ab") as stream:
        stream.write(b'{"address":"half')
    assert len(ReferenceDatabase(database)) == 10
    assert digest_database(database) == complete
    assert build(phantoms.references, database).known == 10
    assert digests(database) == digests(whole)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"database\.json: damaged"),
        ("[]", r"database\.json: damaged"),
        ('{"format": 1}', r"database\.json: damaged \(KeyError\('encoder'\)\)"),
        ('{"format": 2}', r"database\.json: format 2, expected 1: build it anew"),
    ],
)
def test_a_damaged_description_is_named(text: str, message: str, database: Path, phantoms: Phantoms) -> None:
    (database / "database.json").write_text(text)
    with pytest.raises(DatabaseError, match=message):
        ReferenceDatabase(database)
    with pytest.raises(DatabaseError, match=message):
        build(phantoms.references, database)


def test_no_database_and_an_empty_one_are_named(tmp_path: Path, database: Path) -> None:
    with pytest.raises(DatabaseError, match=r"no reference database .*`polyp-aug index build` makes one"):
        ReferenceDatabase(tmp_path / "none")
    (database / "references.jsonl").unlink()
    with pytest.raises(DatabaseError, match="holds no references"):
        ReferenceDatabase(database)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (ColourEncoder(revision="2"), "made with the encoder colours, revision 1 .got colours, 2"),
        (ColourEncoder(name="greys"), "made with the encoder colours, revision 1 .got greys, 1"),
    ],
)
def test_another_encoder_is_refused(encoder: ColourEncoder, message: str, database: Path, phantoms: Phantoms) -> None:
    with pytest.raises(DatabaseError, match=message):
        ReferenceDatabase(database).check_encoder(encoder)
    with pytest.raises(DatabaseError, match="made otherwise"):
        build(phantoms.references, database, encoder=encoder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, "conversion.seed was 0, is 1"),
        ({"settings": RemoverSettings(margin=9.0)}, "conversion.margin was 15.0, is 9.0"),
        ({"eraser": Eraser(revision="r2")}, "conversion.revision was 'r1', is 'r2'"),
        ({"encoder": ColourEncoder(PatchGrid(16, 128))}, "side was 0, is 128"),
    ],
)
def test_another_way_of_making_references_is_refused(
    options: dict[str, Any], message: str, database: Path, phantoms: Phantoms
) -> None:
    before = digests(database)
    with pytest.raises(DatabaseError, match=message):
        build(phantoms.references, database, **options)
    assert digests(database) == before


def test_the_same_encoder_from_elsewhere_is_accepted(database: Path, phantoms: Phantoms) -> None:
    assert build(phantoms.references, database, encoder=ColourEncoder(weights="org/name@1")).known == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, r"'seed' must be at least 0 \(got -1\)"),
        ({"batch_size": 0}, r"'batch_size' must be at least 1 \(got 0\)"),
        ({"shard": 0}, r"'shard' must be at least 1 \(got 0\)"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], message: str, phantoms: Phantoms, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build(phantoms.references, tmp_path / "db", **options)
    assert not (tmp_path / "db").exists()


def test_a_data_set_without_polyps_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="none of 1 frames holds a polyp"):
        build(dataset(tmp_path / "data", [{"boxes": []}]), tmp_path / "db")


def test_a_folder_of_something_else_is_refused(phantoms: Phantoms, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DatabaseError, match=r"not empty and no database \(it holds thesis\.tex\)"):
        build(phantoms.references, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "images").mkdir()
    (tmp_path / "thesis.tex").rename(tmp_path / "images" / "thesis.tex")
    with pytest.raises(DatabaseError, match=r"it holds images"):
        build(phantoms.references, tmp_path)
    with pytest.raises(StorageError, match="can't be written"):
        build(phantoms.references, tmp_path / "images" / "thesis.tex")


def test_a_second_process_is_refused(phantoms: Phantoms, database: Path) -> None:
    code = (
        "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(database / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(RunFolderBusyError, match="another process is writing to this database"):
            build(phantoms.references, database)
        assert len(ReferenceDatabase(database)) == 10
        other.communicate(b"")
    assert build(phantoms.references, database).known == 10
    with FileLock(database / ".lock", timeout=0):
        pass


def test_an_opened_database_is_pickled_and_holds_no_file_open(whole: Path) -> None:
    descriptors = Path("/proc/self/fd")
    opened = ReferenceDatabase(whole)
    before = len(list(descriptors.iterdir())) if descriptors.is_dir() else 0
    pooled, local = opened.pooled, opened.local(3)[0]
    assert before == (len(list(descriptors.iterdir())) if descriptors.is_dir() else 0)
    copy = pickle.loads(pickle.dumps(opened))  # noqa: S301
    np.testing.assert_array_equal(copy.pooled, pooled)
    np.testing.assert_array_equal(copy.local(3)[0], local)


def test_a_missing_package_is_named(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingDependencyError, match=r"safetensors is not installed: .*\[retrieval\]"):
        ReferenceDatabase(database).local(0)


def test_records_survive_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    assert list(read_lines(file)) == []
    append_records(file, [{"a": "é"}, {"b": 2}])
    assert list(read_lines(file)) == [(1, b'{"a":"\\u00e9"}\n'), (2, b'{"b":2}\n')]
    file.write_bytes(file.read_bytes()[:-2])
    assert [number for number, _ in read_lines(file)] == [1]
    assert file.read_bytes().endswith(b'{"b":2')
    assert [number for number, _ in read_lines(file, mend=True)] == [1]
    append_records(file, [{"c": 3}])
    assert [json.loads(line) for _, line in read_lines(file)] == [{"a": "é"}, {"c": 3}]
    with pytest.raises(StorageError, match="can't be written"):
        append_records(tmp_path / "none" / "a.jsonl", [{}])


def test_masks_of_several_parts_keep_the_largest(tmp_path: Path) -> None:
    mask = np.zeros((96, 128), np.bool_)
    mask[20:50, 20:50] = True
    mask[24, 60] = True
    counts = np.diff(np.flatnonzero(np.diff(np.pad(mask.T.ravel().astype(int), 1))), prepend=0, append=mask.size)
    data = dataset(
        tmp_path / "data",
        [{"boxes": [[20, 20, 41, 30]], "segmentation": {"size": [96, 128], "counts": counts.tolist()}}],
    )
    build(data, tmp_path / "db")
    found = references(tmp_path / "db")[0]
    assert found.polyps[0].box == mask_box(largest_component(mask)) == (20, 20, 30, 30)


VECTORS = st.integers(1, 30).flatmap(
    lambda channels: st.tuples(
        arrays(np.float32, st.tuples(st.integers(1, 40), st.just(channels)), elements=st.integers(-3, 3)),
        arrays(np.float32, st.tuples(st.integers(1, 20), st.just(channels)), elements=st.integers(-3, 3)),
        st.integers(1, 50),
        st.sampled_from([0.0, 1.0, 1e3]),
        st.sampled_from([1.0, 0.3, 1e-2]),
    )
)


@given(VECTORS)
def test_exact_search_is_brute_force_in_double_precision(
    case: tuple[np.ndarray, np.ndarray, int, float, float],
) -> None:
    vectors, queries, count, offset, scale = case
    # Far from the origin, differences drown in the rounding of |v|² − 2 q·v; many vectors are equal.
    vectors, queries = (
        (part * np.float32(scale) + np.float32(offset)).astype(np.float32) for part in (vectors, queries)
    )
    indices, distances = ExactSearch(vectors).nearest(queries, count)
    every = np.linalg.norm(vectors.astype(np.float64)[None] - queries.astype(np.float64)[:, None], axis=2)
    expected = np.argsort(every, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(distances, np.take_along_axis(every, expected, axis=1).astype(np.float32))
    assert indices.shape == (len(queries), min(count, len(vectors)))


def test_neighbours_that_differ_by_less_than_rounding_are_told_apart() -> None:
    generator = np.random.default_rng(0)
    vectors, queries = (1000 + 0.01 * generator.normal(size=(size, 16)) for size in (300, 20))
    vectors, queries = vectors.astype(np.float32), queries.astype(np.float32)
    every = np.linalg.norm(vectors.astype(np.float64)[None] - queries[:, None], axis=2)
    indices, _ = ExactSearch(vectors).nearest(queries, 5)
    np.testing.assert_array_equal(indices, np.argsort(every, axis=1, kind="stable")[:, :5])


def test_faiss_finds_the_same() -> None:
    pytest.importorskip("faiss")
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(500, 32)).astype(np.float32)
    queries = generator.normal(size=(7, 32)).astype(np.float32)
    for count in (1, 8, 600):
        exact, fast = (search.nearest(queries, count) for search in (ExactSearch(vectors), FaissSearch(vectors)))
        np.testing.assert_array_equal(exact[0], fast[0])
        np.testing.assert_allclose(exact[1], fast[1], rtol=1e-4)
    copy = pickle.loads(pickle.dumps(FaissSearch(vectors)))  # noqa: S301
    np.testing.assert_array_equal(copy.nearest(queries, 3)[0], ExactSearch(vectors).nearest(queries, 3)[0])


def test_searches_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.eye(3, dtype=np.float32)
    assert isinstance(make_search("exact", vectors), ExactSearch)
    with pytest.raises(ConfigurationError, match=r"'search' must be one of exact, faiss \(got 'hnsw'\)"):
        make_search("hnsw", vectors)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependencyError, match=r"faiss is not installed: .*\[retrieval\]"):
        make_search("faiss", vectors)
