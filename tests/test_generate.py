"""A run: what it writes, what it refuses, and what it survives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Phantoms
from filelock import FileLock
from PIL import Image
from pycocotools.coco import COCO
from runs import config, digests, records

from polyp_aug.coco import read_coco
from polyp_aug.errors import (
    CocoError,
    ConfigurationError,
    RunConfigurationChanged,
    RunFolderBusyError,
    RunFolderDamagedError,
    StorageError,
    SynthesisError,
    TooManyFailuresError,
)
from polyp_aug.generation.estimate import estimate_run
from polyp_aug.generation.generate import RunLimits, generate, prepare_run
from polyp_aug.generation.preview import preview_sheet
from polyp_aug.generation.run_folder import RunFolder
from polyp_aug.images import read_image, write_png
from polyp_aug.mucosa import find_mucosa
from polyp_aug.references import ReferenceBank, ReferencePolyp


@pytest.fixture(scope="module")
def run(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    progress = generate(config(phantoms), out)
    assert (progress.made, progress.skipped, progress.total) == (5, 0, 5)
    return out


def test_the_folder_holds_what_it_promises(run: Path) -> None:
    names = {path.name for path in run.iterdir()} - {".lock"}
    assert names == {"images", "before", "annotations.json", "manifest.jsonl", "run.json", "index.html", "README.md"}
    assert sorted(os.listdir(run / "images")) == [f"{number:06d}.png" for number in range(5)]


def test_annotations_load_and_agree_with_the_pictures(run: Path, phantoms: Phantoms) -> None:
    coco = COCO(run / "annotations.json")
    rows = records(run)
    assert len(coco.imgs) == 5
    assert sorted(coco.imgs) == [1, 2, 3, 4, 5]
    assert sorted(coco.anns) == list(range(1, len(coco.anns) + 1))
    for image_id, record in zip(sorted(coco.imgs), rows, strict=True):
        row = coco.imgs[image_id]
        after = read_image(run / "images" / row["file_name"])
        before = read_image(phantoms.backgrounds / record["background"]["file"])
        assert after.shape == before.shape == (row["height"], row["width"], 3)
        x, y, w, h = record["before"]["box"]
        np.testing.assert_array_equal(
            read_image(run / "before" / record["before"]["file_name"]), before[y : y + h, x : x + w]
        )
        restored = after.copy()
        restored[y : y + h, x : x + w] = before[y : y + h, x : x + w]
        np.testing.assert_array_equal(restored, before)
        changed = (after != before).any(axis=2)
        for annotation in coco.imgToAnns[image_id]:
            mask = coco.annToMask(annotation) > 0
            left, top, width, height = annotation["bbox"]
            assert changed[mask].mean() > 0.9
            assert mask.sum() == pytest.approx(annotation["area"], rel=0.02)
            assert annotation["iscrowd"] == 0
            rows_, columns = np.nonzero(mask)
            tight = (columns.min(), rows_.min(), columns.max() + 1, rows_.max() + 1)
            assert tight == pytest.approx((left, top, left + width, top + height), abs=1.5)
            assert find_mucosa(before).covers(annotation["bbox"]) > 0.85


def test_the_reader_of_the_package_finds_no_flaw(run: Path) -> None:
    dataset = read_coco(run)
    assert dataset.problems == ()
    assert all((dataset.image_root / image.file_name).is_file() for image in dataset.images)
    assert {item.extra["origin"] for item in dataset.annotations} == {"synthetic"}


def test_a_run_leads_to_the_same_bytes_again(run: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    moved = Phantoms(tmp_path / "moved" / "normal" / "images", tmp_path / "polyp")
    shutil.copytree(phantoms.backgrounds, moved.backgrounds)
    shutil.copytree(phantoms.references, moved.references)
    generate(config(moved), tmp_path / "out")
    assert digests(tmp_path / "out") == digests(run)


def test_no_file_of_a_run_names_a_place_on_this_machine(run: Path, phantoms: Phantoms) -> None:
    for path in run.glob("*.*"):
        assert str(phantoms.references.parent) not in path.read_text("utf-8"), path


def test_batch_size_changes_no_picture(run: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    generate(config(phantoms, batch_size=5), tmp_path / "out")
    pictures = {name: digest for name, digest in digests(run).items() if name.endswith((".png", "manifest.jsonl"))}
    assert pictures.items() <= digests(tmp_path / "out").items()


def test_a_finished_run_started_again_changes_nothing(run: Path, phantoms: Phantoms) -> None:
    before = digests(run)
    assert generate(config(phantoms), run).made == 5
    assert digests(run) == before


def test_every_background_is_used_before_any_is_used_again(phantoms: Phantoms, tmp_path: Path) -> None:
    generate(config(phantoms, count=12), tmp_path / "out")
    used = [record["key"]["sample"] for record in records(tmp_path / "out")]
    first = {record["background"]["file"] for record in records(tmp_path / "out")[:6] if not record["problems"]}
    assert len(first) >= 5
    assert len(used) == 12


def test_per_image_makes_so_many_of_each(phantoms: Phantoms, tmp_path: Path) -> None:
    progress = generate(config(phantoms, per_image=2), tmp_path / "out")
    assert progress.total == 12
    names = [record["background"]["file"] for record in records(tmp_path / "out") if record["status"] == "made"]
    assert names == sorted(names)
    assert max(names.count(name) for name in names) == 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 2}, "config.seed was 1, is 2"),
        ({"count": 6}, "config.count was 5, is 6"),
        ({"synthesizer": "copy_paste"}, "config.synthesizer was 'transplant', is 'copy_paste'"),
        ({"polyps_per_image": (1, 1), "feather": 0.1}, "config.feather was 0.06, is 0.1; config.polyps_per_image"),
    ],
)
def test_other_settings_on_an_old_folder_are_refused(
    changes: dict[str, Any], named: str, run: Path, phantoms: Phantoms
) -> None:
    before = digests(run)
    with pytest.raises(RunConfigurationChanged, match=named):
        generate(config(phantoms, **changes), run)
    assert digests(run) == before


def test_other_inputs_on_an_old_folder_are_refused(run: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    shutil.copytree(phantoms.backgrounds, tmp_path / "images")
    (tmp_path / "images" / "new.png").write_bytes(next(phantoms.backgrounds.glob("*.png")).read_bytes())
    with pytest.raises(RunConfigurationChanged, match="background_pictures was 6, is 7"):
        generate(config(Phantoms(tmp_path / "images", phantoms.references)), run)


def test_a_folder_of_something_else_is_refused(phantoms: Phantoms, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigurationError, match=r"not a run folder \(it holds thesis\.tex\)"):
        generate(config(phantoms), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_second_process_is_refused(phantoms: Phantoms, tmp_path: Path) -> None:
    code = (
        "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(RunFolderBusyError, match="another process is writing"):
            generate(config(phantoms), tmp_path)
        other.communicate(b"")
    assert generate(config(phantoms), tmp_path).made == 5
    with FileLock(tmp_path / ".lock", timeout=0):
        pass


def test_lost_pictures_are_made_again(run: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "out")
    (tmp_path / "out" / "images" / "000001.png").unlink()
    (tmp_path / "out" / "before" / "000004.png").write_bytes(b"short")
    (tmp_path / "out" / "index.html").unlink()
    generate(config(phantoms), tmp_path / "out")
    assert digests(tmp_path / "out") == digests(run)


def test_a_damaged_manifest_is_named_and_kept(run: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "out")
    manifest = tmp_path / "out" / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join([lines[0], b"garbage\n", *lines[2:]]))
    kept = manifest.read_bytes()
    with pytest.raises(RunFolderDamagedError, match=r"manifest\.jsonl: line 2 is damaged"):
        generate(config(phantoms), tmp_path / "out")
    assert manifest.read_bytes() == kept
    manifest.write_bytes(b"".join([lines[0], lines[2]]))
    with pytest.raises(RunFolderDamagedError, match="record 2 of the manifest is of another run"):
        generate(config(phantoms), tmp_path / "out")
    (tmp_path / "out" / "run.json").write_text("{")
    with pytest.raises(RunFolderDamagedError, match=r"run\.json: can't be read"):
        generate(config(phantoms), tmp_path / "out")


@pytest.mark.parametrize("end", [1, 40, 3000])
def test_an_incomplete_last_line_is_made_again(end: int, run: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "out")
    manifest = tmp_path / "out" / "manifest.jsonl"
    data = manifest.read_bytes()
    manifest.write_bytes(data[: max(10, len(data) - end)])
    generate(config(phantoms), tmp_path / "out")
    assert digests(tmp_path / "out") == digests(run)


def test_the_limit_of_bytes_holds_and_can_be_raised(run: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    sizes = [sum(record["bytes"].values()) for record in records(run)]
    limit = sum(sizes[:3]) + 10
    progress = generate(config(phantoms), tmp_path / "out", limits=RunLimits(bytes=limit))
    assert progress.limited
    assert progress.made == 3
    pictures = (path for name in ("images", "before") for path in (tmp_path / "out" / name).iterdir())
    assert sum(path.stat().st_size for path in pictures) <= limit
    assert len(COCO(tmp_path / "out" / "annotations.json").imgs) == 3
    assert not generate(config(phantoms), tmp_path / "out").limited
    assert digests(tmp_path / "out") == digests(run)


def full_disk(folder: Path, phantoms: Phantoms, size: int) -> subprocess.CompletedProcess[str]:
    """A run whose files can't grow beyond `size` bytes: writing fails as on a full disk."""
    code = (
        "import resource, signal, sys; from pathlib import Path;"
        "from polyp_aug.generation.config import GenerateConfig;"
        "from polyp_aug.generation.generate import generate; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}));"
        "generate(GenerateConfig(Path(sys.argv[1]), Path(sys.argv[2]), count=5, seed=1, batch_size=2,"
        " polyps_per_image=(1, 2)), Path(sys.argv[3]))"
    )
    arguments = [sys.executable, "-c", code, str(phantoms.backgrounds), str(phantoms.references), str(folder)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("size", [100, 20_000, 70_000])
def test_a_full_disk_leaves_a_folder_that_goes_on(size: int, run: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    largest = max(path.stat().st_size for path in run.rglob("*") if path.is_file())
    assert size < largest
    failed = full_disk(tmp_path / "out", phantoms, size)
    assert failed.returncode == 1
    assert "StorageError" in failed.stderr
    assert "can't be written" in failed.stderr
    assert not list((tmp_path / "out").rglob("*.tmp"))
    generate(config(phantoms), tmp_path / "out")
    assert digests(tmp_path / "out") == digests(run)


def test_no_space_left_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"manifest\.jsonl: can't be written \(No space left on device\)"):
        RunFolder(tmp_path, {}).append([{"sample": 0, "status": "skipped"}])


def test_a_stranger_s_pictures_are_never_replaced(phantoms: Phantoms, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "000000.png").write_bytes(b"mine")
    with pytest.raises(ConfigurationError, match=r"not a run folder \(it holds images\)"):
        generate(config(phantoms), tmp_path)
    assert (tmp_path / "images" / "000000.png").read_bytes() == b"mine"


def test_a_run_inside_of_its_backgrounds_is_refused(phantoms: Phantoms, tmp_path: Path) -> None:
    folder = shutil.copytree(phantoms.backgrounds, tmp_path / "images")
    with pytest.raises(ConfigurationError, match="would become its own input"):
        generate(config(Phantoms(folder, phantoms.references)), folder / "run")


def test_a_lost_picture_that_can_not_be_made_again_is_named(phantoms: Phantoms, tmp_path: Path) -> None:
    inputs = Phantoms(shutil.copytree(phantoms.backgrounds, tmp_path / "normal"), phantoms.references)
    generate(config(inputs), tmp_path / "out")
    (tmp_path / "out" / "images" / "000000.png").unlink()
    background = inputs.backgrounds / records(tmp_path / "out")[0]["background"]["file"]
    background.write_bytes(bytes(background.stat().st_size))
    with pytest.raises(RunFolderDamagedError, match="picture of sample 0 was lost, and the inputs give another now"):
        generate(config(inputs), tmp_path / "out")


def test_pictures_left_by_a_kill_do_not_outlive_a_limit(run: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    limit = RunLimits(bytes=sum(sum(record["bytes"].values()) for record in records(run)[:3]))
    generate(config(phantoms), tmp_path / "limited", limits=limit)
    shutil.copytree(tmp_path / "limited", tmp_path / "killed")
    shutil.copy(run / "images" / "000003.png", tmp_path / "killed" / "images")
    shutil.copy(run / "before" / "000003.png", tmp_path / "killed" / "before")
    generate(config(phantoms), tmp_path / "killed", limits=limit)
    assert digests(tmp_path / "killed") == digests(tmp_path / "limited")


@pytest.mark.parametrize("field", ["objects", "bytes", "background", "unreadable"])
def test_a_record_without_a_field_is_named(field: str, run: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "out")
    rows = records(run)
    del rows[1][field]
    (tmp_path / "out" / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(RunFolderDamagedError, match=f"line 2 is damaged .no field '{field}'"):
        generate(config(phantoms), tmp_path / "out")


def test_a_file_in_the_place_of_a_folder_is_named(run: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    shutil.copy(run / "run.json", tmp_path / "out")
    (tmp_path / "out" / "images").write_bytes(b"")
    with pytest.raises(StorageError, match=r"images: can't be written \(File exists\)"):
        generate(config(phantoms), tmp_path / "out")


def test_other_pictures_of_the_references_are_other_inputs(phantoms: Phantoms, tmp_path: Path) -> None:
    inputs = Phantoms(phantoms.backgrounds, shutil.copytree(phantoms.references, tmp_path / "polyp"))
    generate(config(inputs), tmp_path / "out", limits=RunLimits(bytes=200_000))
    for path in (inputs.references / "images").iterdir():
        write_png(path, 255 - read_image(path))
    with pytest.raises(RunConfigurationChanged, match="references_sha256"):
        generate(config(inputs), tmp_path / "out")


def test_an_input_that_was_renamed_is_the_same_input(run: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "out")
    inputs = Phantoms(shutil.copytree(phantoms.backgrounds, tmp_path / "other name"), phantoms.references)
    assert generate(config(inputs), tmp_path / "out").made == 5
    assert digests(tmp_path / "out") == digests(run)


def test_links_out_of_the_backgrounds_are_left_out_and_named(phantoms: Phantoms, tmp_path: Path) -> None:
    folder = shutil.copytree(phantoms.backgrounds, tmp_path / "images")
    (folder / "secret.png").symlink_to(next((phantoms.references / "images").iterdir()))
    (folder / "inside.png").symlink_to(folder / "phantom_000002.png")
    generate(config(Phantoms(folder, phantoms.references), per_image=1), tmp_path / "out")
    names = {record["key"]["sample"] for record in records(tmp_path / "out") if record["status"] == "made"}
    assert "inside.png" in names
    assert "secret.png" not in names
    assert "secret.png" in (tmp_path / "out" / "README.md").read_text("utf-8")


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 700)])
def test_a_strange_size_never_stops_a_run(size: tuple[int, int], phantoms: Phantoms, tmp_path: Path) -> None:
    folder = shutil.copytree(phantoms.backgrounds, tmp_path / "images")
    write_png(folder / "strange.png", np.full((*size, 3), (180, 90, 70), np.uint8))
    generate(config(Phantoms(folder, phantoms.references), per_image=1), tmp_path / "out")
    rows = [record for record in records(tmp_path / "out") if record["status"] == "skipped"]
    assert ["strange.png: no place for a polyp"] in [row["reasons"] for row in rows]


def test_a_run_that_makes_nothing_is_an_error(phantoms: Phantoms, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    write_png(tmp_path / "images" / "black.png", np.zeros((200, 200, 3), np.uint8))
    with pytest.raises(TooManyFailuresError, match="2 of 2 samples failed"):
        generate(config(Phantoms(tmp_path / "images", phantoms.references), count=2), tmp_path / "out")


def test_no_failure_can_be_demanded(phantoms: Phantoms, tmp_path: Path) -> None:
    inputs = spoiled(phantoms, tmp_path / "images", 1)
    with pytest.raises(TooManyFailuresError, match="more than the 0 allowed"):
        generate(config(inputs, count=6), tmp_path / "out", limits=RunLimits(failures=0.0))


def test_no_background_is_tried_twice_for_a_sample(phantoms: Phantoms) -> None:
    deck = prepare_run(config(phantoms, count=30, attempts=6)).deck
    for position in range(30):
        choices = deck[position].choices
        assert len(choices) == len(set(choices)) == 6


def test_references_without_pictures_are_named_at_once(phantoms: Phantoms, tmp_path: Path) -> None:
    shutil.copy(phantoms.references / "annotations.json", tmp_path)
    with pytest.raises(ConfigurationError, match=r"phantom_\d+\.png: no such picture, nor any other of"):
        generate(config(Phantoms(phantoms.backgrounds, tmp_path)), tmp_path / "out")


def test_licences_are_told_apart_by_their_address(phantoms: Phantoms, tmp_path: Path) -> None:
    document = json.loads((phantoms.references / "annotations.json").read_text("utf-8"))
    document["licenses"] = [{"id": 4, "name": "CC BY", "url": "v3"}, {"id": 7, "name": "CC BY", "url": "v4"}]
    for image in document["images"]:
        image["license"] = 7
    del document["images"][0]["license"]
    folder = shutil.copytree(phantoms.references, tmp_path / "polyp")
    (folder / "annotations.json").write_text(json.dumps(document))
    generate(config(Phantoms(folder, folder), per_image=1, polyps_per_image=(1, 1)), tmp_path / "out")
    dataset = read_coco(tmp_path / "out")
    urls = {licence.id: licence.url for licence in dataset.licenses}
    by_file = {image.extra["background"]: image.license for image in dataset.images}
    unlicensed = document["images"][0]["file_name"]
    assert by_file.pop(unlicensed, None) is None
    assert {urls[number] for number in by_file.values() if number is not None} == {"v4"}


def test_memory_does_not_grow_with_failing_references(phantoms: Phantoms) -> None:
    """An error that is cached and raised again and again would keep everything that it has passed."""
    prepared = prepare_run(config(phantoms, count=400))
    polyps = prepared.references.polyps
    broken = [polyp for polyp in polyps if fails(prepared.references, polyp)]
    assert broken
    tracemalloc.start()
    try:
        prepared.maker.make([prepared.deck[position] for position in range(10)])
        before = tracemalloc.get_traced_memory()[0]
        for first in range(10, 110, 10):
            prepared.maker.make([prepared.deck[position] for position in range(first, first + 10)])
        assert tracemalloc.get_traced_memory()[0] - before < 3_000_000
    finally:
        tracemalloc.stop()


def fails(references: ReferenceBank, polyp: ReferencePolyp) -> bool:
    try:
        references.cut_out(polyp)
    except SynthesisError:
        return True
    return False


def spoiled(phantoms: Phantoms, folder: Path, bad: int) -> Phantoms:
    shutil.copytree(phantoms.backgrounds, folder)
    paths = sorted(folder.iterdir())
    for path in paths[:bad]:
        path.write_bytes(path.read_bytes()[:5000])
    return Phantoms(folder, phantoms.references)


def test_a_bad_picture_is_replaced_counted_and_named(phantoms: Phantoms, tmp_path: Path) -> None:
    inputs = spoiled(phantoms, tmp_path / "images", 1)
    progress = generate(config(inputs, count=6), tmp_path / "out")
    assert (progress.made, progress.skipped, progress.failures) == (6, 0, 1)
    messages = [message for record in records(tmp_path / "out") for message in record["unreadable"]]
    assert any(message.startswith("phantom_000001.png: damaged or truncated") for message in messages)
    assert "phantom_000001.png" in (tmp_path / "out" / "README.md").read_text("utf-8")


def test_with_per_image_a_bad_picture_is_skipped_and_named(phantoms: Phantoms, tmp_path: Path) -> None:
    inputs = spoiled(phantoms, tmp_path / "images", 2)
    progress = generate(config(inputs, per_image=1), tmp_path / "out")
    unreadable = [record for record in records(tmp_path / "out") if record["unreadable"]]
    assert [record["status"] for record in unreadable] == ["skipped", "skipped"]
    assert len(COCO(tmp_path / "out" / "annotations.json").imgs) == progress.made
    assert "phantom_000001.png: damaged or truncated" in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_too_many_bad_pictures_end_the_run_clearly(phantoms: Phantoms, tmp_path: Path) -> None:
    inputs = spoiled(phantoms, tmp_path / "images", 5)
    with pytest.raises(TooManyFailuresError, match=r"6 of \d+ samples failed or lost a background, more than the 5"):
        generate(config(inputs, count=30), tmp_path / "out")
    progress = generate(config(inputs, count=30), tmp_path / "out", limits=RunLimits(failures=1.0))
    assert progress.done == 30


def test_a_run_over_a_coco_set_keeps_its_objects_categories_and_licences(phantoms: Phantoms, tmp_path: Path) -> None:
    inputs = Phantoms(phantoms.references, phantoms.references)
    progress = generate(config(inputs, per_image=1, polyps_per_image=(1, 1)), tmp_path / "out")
    assert progress.made >= 5
    source = read_coco(phantoms.references)
    result = read_coco(tmp_path / "out")
    by_name = {image.file_name: items for image in source.images for items in [source.by_image()[image.id]]}
    assert [licence.name for licence in result.licenses] == ["CC0-1.0"]
    for image in result.images:
        kept = [item for item in result.by_image()[image.id] if item.extra["origin"] == "source"]
        assert [item.bbox for item in kept] == [item.bbox for item in by_name[image.extra["background"]]]
        assert image.license == 1
        after = read_image(tmp_path / "out" / "images" / image.file_name)
        before = read_image(phantoms.references / "images" / image.extra["background"])
        for item in kept:
            x, y, w, h = (int(value) for value in item.bbox)
            np.testing.assert_array_equal(after[y : y + h, x : x + w], before[y : y + h, x : x + w])


def test_a_picture_of_another_size_than_its_record_is_left_out(phantoms: Phantoms, tmp_path: Path) -> None:
    shutil.copytree(phantoms.references, tmp_path / "polyp")
    picture = sorted((tmp_path / "polyp" / "images").iterdir())[0]
    write_png(picture, np.ascontiguousarray(read_image(picture)[:200]))
    inputs = Phantoms(tmp_path / "polyp", phantoms.references)
    generate(config(inputs, per_image=1), tmp_path / "out")
    row = records(tmp_path / "out")[0]
    assert row["status"] == "skipped"
    assert row["reasons"] == [f"{picture.name}: 256×200 pixels, its record says 256×216"]


def test_unusual_pictures_are_used_as_they_are(phantoms: Phantoms, tmp_path: Path) -> None:
    """Grey, 16-bit, palette, alpha and EXIF-rotated frames go through; annotations fit what a reader then sees."""
    folder = tmp_path / "images" / "bilder é"
    folder.mkdir(parents=True)
    image = read_image(sorted(phantoms.backgrounds.iterdir())[0])
    picture = Image.fromarray(image)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "rotated #1.jpg", exif=exif, quality=95)
    picture.convert("P").save(folder / "palette.png")
    picture.convert("RGBA").save(folder / "alpha.png")
    progress = generate(config(Phantoms(tmp_path / "images", phantoms.references), per_image=1), tmp_path / "out")
    assert progress.made == 3
    sizes = {record["background"]["file"]: (record["width"], record["height"]) for record in records(tmp_path / "out")}
    assert sizes["bilder é/rotated #1.jpg"] == (216, 256)
    assert sizes["bilder é/alpha.png"] == (256, 216)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": None}, "give either 'count' or 'per_image'"),
        ({"count": 0}, "'count' must be at least 1"),
        ({"batch_size": 0}, "'batch_size' must be at least 1"),
        ({"seed": -1}, "'seed' must not be negative"),
        ({"shard": (3, 2)}, "'shard' must be i/n"),
        (
            {"synthesizer": "gan"},
            r"'synthesizer' must be one of copy_paste, polyp_gen, transplant, or .* \(got 'gan'\)",
        ),
        ({"proposer": "oracle"}, "'proposer' must be one of random, reference"),
        ({"polyps_per_image": (2, 1)}, "polyps_per_image"),
        ({"size_range": (0.9, 0.1)}, "size_range"),
        ({"size_range": (0.1, 0.2), "proposer": "reference"}, "'size_range' is for the proposer random"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], message: str, phantoms: Phantoms) -> None:
    with pytest.raises(ConfigurationError, match=message):
        config(phantoms, **changes)


@pytest.mark.parametrize(("limits", "name"), [({"bytes": 0}, "limit_bytes"), ({"failures": 2.0}, "max_failures")])
def test_wrong_limits_are_named(limits: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        RunLimits(**limits)


def test_missing_inputs_are_named(phantoms: Phantoms, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="empty: no pictures"):
        generate(config(Phantoms(tmp_path / "empty", phantoms.references)), tmp_path / "out")
    with pytest.raises(CocoError, match="none: can't be read"):
        generate(config(Phantoms(tmp_path / "none", phantoms.references)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_estimate_writes_nothing_and_is_about_right(run: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    found = estimate_run(prepare_run(config(phantoms)), tmp_path / "a" / "b", tries=5)
    assert found.samples == found.tried == 5
    assert found.bytes == sum(sum(record["bytes"].values()) for record in records(run))
    assert found.polyps == sum(len(record["objects"]) for record in records(run))
    assert found.seconds > 0
    assert list(tmp_path.iterdir()) == []


def test_a_preview_shows_before_and_after(phantoms: Phantoms) -> None:
    sheet = preview_sheet(prepare_run(config(phantoms)), 3)
    assert sheet.dtype == np.uint8
    height = round(216 * 400 / 256)
    before, after = sheet[:height, :400].astype(int), sheet[:height, 400:800].astype(int)
    share = (np.abs(before - after).max(axis=2) > 12).mean()
    assert 0.003 < share < 0.4
    outlined = preview_sheet(prepare_run(config(phantoms)), 3, outlines=True)
    assert (outlined != sheet).any()


def test_a_preview_outlines_new_polyps_only(phantoms: Phantoms, tmp_path: Path) -> None:
    document = json.loads((phantoms.references / "annotations.json").read_text("utf-8"))
    for annotation in document["annotations"]:
        annotation["segmentation"] = []
    folder = shutil.copytree(phantoms.references, tmp_path / "boxes")
    (folder / "annotations.json").write_text(json.dumps(document))
    inputs = config(Phantoms(folder, phantoms.references))
    assert preview_sheet(prepare_run(inputs), 2, outlines=True).shape[1] == 1608
