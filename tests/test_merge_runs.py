"""Shards, merged, are the run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Phantoms
from runs import config, digests, records

from polyp_aug.coco import MergeInput, merge_coco, read_coco
from polyp_aug.errors import ConfigurationError, RunConfigurationChanged, RunFolderDamagedError
from polyp_aug.generation.generate import RunLimits, generate
from polyp_aug.generation.merge_runs import is_run_folder, merge_runs


@pytest.fixture(scope="module")
def whole(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    generate(config(phantoms, count=7), out)
    return out


@pytest.fixture(scope="module")
def shards(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("shards")
    for index in (3, 1, 2):
        generate(config(phantoms, count=7, shard=(index, 3)), root / f"shard {index}")
    return sorted(root.iterdir())


@pytest.mark.parametrize("images", ["copy", "hardlink"])
def test_merged_shards_are_the_unsharded_run_byte_for_byte(
    images: Any, whole: Path, shards: list[Path], tmp_path: Path
) -> None:
    seen = []
    merge_runs(shards[::-1], tmp_path / "out", images=images, observer=lambda done, total: seen.append((done, total)))
    assert digests(tmp_path / "out") == digests(whole)
    assert seen == [(7, 7)]
    same = (tmp_path / "out" / "images" / "000000.png").samefile(shards[0] / "images" / "000000.png")
    assert same == (images == "hardlink")


def test_shards_share_out_the_samples(whole: Path, shards: list[Path]) -> None:
    numbers = [[record["sample"] for record in records(shard)] for shard in shards]
    assert numbers == [[0, 3, 6], [1, 4], [2, 5]]
    assert [record["key"] for shard in shards for record in records(shard)] != []
    by_sample = {record["sample"]: record for shard in shards for record in records(shard)}
    assert [by_sample[number] for number in range(7)] == records(whole)


@pytest.mark.parametrize("images", ["copy", "hardlink"])
def test_an_interrupted_merge_goes_on(images: Any, whole: Path, shards: list[Path], tmp_path: Path) -> None:
    merge_runs(shards, tmp_path / "out", images=images)
    manifest = tmp_path / "out" / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    for name in ("annotations.json", "index.html", "images/000003.png"):
        (tmp_path / "out" / name).unlink()
    (tmp_path / "out" / "images" / ".000006.png.tmp").write_bytes(b"half")
    merge_runs(shards, tmp_path / "out", images=images)
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert digests(tmp_path / "out") == digests(whole)


def test_a_missing_or_doubled_shard_is_named(shards: list[Path], tmp_path: Path) -> None:
    for given in (shards[:2], [*shards[:2], shards[1]]):
        with pytest.raises(ConfigurationError, match="expected the shards 1/"):
            merge_runs(given, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unfinished_shard_is_named(shards: list[Path], phantoms: Phantoms, tmp_path: Path) -> None:
    small = RunLimits(bytes=sum(records(shards[1])[0]["bytes"].values()))
    generate(config(phantoms, count=7, shard=(2, 3)), tmp_path / "half", limits=small)
    with pytest.raises(ConfigurationError, match="sample 4 of 7 is missing"):
        merge_runs([shards[0], tmp_path / "half", shards[2]], tmp_path / "out")


def test_shards_of_another_run_are_refused(shards: list[Path], phantoms: Phantoms, tmp_path: Path) -> None:
    generate(config(phantoms, count=7, shard=(2, 3), seed=9), tmp_path / "other")
    with pytest.raises(RunConfigurationChanged, match=r"config\.seed was 1, is 9"):
        merge_runs([shards[0], tmp_path / "other", shards[2]], tmp_path / "out")


def test_a_lost_picture_is_named(shards: list[Path], tmp_path: Path) -> None:
    copies = [shutil.copytree(shard, tmp_path / shard.name) for shard in shards]
    (copies[1] / "before" / "000004.png").unlink()
    with pytest.raises(RunFolderDamagedError, match=r"000004\.png: missing or not of \d+ bytes"):
        merge_runs(copies, tmp_path / "out")


def test_only_run_folders_are_run_folders(shards: list[Path], tmp_path: Path) -> None:
    assert is_run_folder(shards[0])
    assert not is_run_folder(tmp_path)
    with pytest.raises(ConfigurationError, match="not a run folder"):
        merge_runs([tmp_path], tmp_path / "out")


def test_real_and_synthetic_sets_become_one(whole: Path, phantoms: Phantoms, tmp_path: Path) -> None:
    merge_coco([MergeInput(phantoms.references), MergeInput(whole)], tmp_path / "out")
    real, synthetic, both = (read_coco(path) for path in (phantoms.references, whole, tmp_path / "out"))
    assert len(both.images) == len(real.images) + len(synthetic.images)
    assert len(both.annotations) == len(real.annotations) + len(synthetic.annotations)
    assert [category.name for category in both.categories] == ["polyp"]
