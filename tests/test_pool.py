"""Pools: cut out of runs, laid over the frames they came from, renewed while they are read."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import Phantoms
from runs import config, records

from polyp_aug.errors import (
    ConfigurationError,
    ImageError,
    RunFolderBusyError,
    RunFolderDamagedError,
    TooManyFailuresError,
)
from polyp_aug.generation.generate import generate
from polyp_aug.images import read_image, write_png
from polyp_aug.pool import Pool, PoolWriter, ensure_pool
from polyp_aug.pool.read import INDEX_NAME
from polyp_aug.pool.refresh import RefreshState, refresh


@pytest.fixture(scope="module")
def run(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two samples for each of six frames."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    generate(config(phantoms, per_image=2), folder)
    return folder


@pytest.fixture(scope="module")
def pool(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its pool."""
    folder = tmp_path_factory.mktemp("pools") / "pool"
    with PoolWriter(folder) as writer:
        assert writer.add_run(run) == 12
    return folder


def test_a_variant_laid_over_its_frame_is_the_runs_picture(run: Path, pool: Path, phantoms: Phantoms) -> None:
    found = Pool(pool)
    made = [record for record in records(run) if record["status"] == "made"]
    assert len(found) == len(made) == 12
    for record in made:
        frame = read_image(phantoms.backgrounds / record["background"]["file"])
        variants = found.variants_of(record["background"]["file"], frame)
        assert len(variants) == 2
        [variant] = [item for item in variants if item.id.endswith(f"-{record['sample']:06d}")]
        x, y, w, h = variant.box
        frame[y : y + h, x : x + w] = found.picture(variant)
        np.testing.assert_array_equal(frame, read_image(run / "images" / record["file_name"]))
        synthetic = [item for item in record["objects"] if item["origin"] == "synthetic"]
        assert [list(item.box) for item in variant.added] == [item["bbox"] for item in synthetic]
        for item in variant.added:
            region = item.region(*variant.frame_size)
            assert region is not None
            # Polygons are written in quarters of pixels.
            assert np.abs(np.subtract(region.box, item.box)).max() <= 1
            assert region.equivalent_diameter == pytest.approx(item.diameter, rel=0.02)
        assert not variant.removed


def test_only_the_frame_itself_fits(pool: Path, phantoms: Phantoms) -> None:
    found = Pool(pool)
    first, second = sorted(phantoms.backgrounds.iterdir())[:2]
    frame = read_image(first)
    assert found.variants_of(f"elsewhere/{first.name}", frame)
    assert found.variants_of(rf"C:\elsewhere\{first.name}", frame)
    assert not found.variants_of(second.name, frame)
    assert not found.variants_of(first.name, np.ascontiguousarray(frame[:, ::-1]))
    assert not found.variants_of(first.name, cv2.resize(frame, None, fx=0.5, fy=0.5))
    # Another decoder's rounding doesn't matter.
    assert found.variants_of(first.name, np.clip(frame.astype(np.int16) + 1, 0, 255).astype(np.uint8))
    assert not found.knows("unknown.png")
    # Without a name it is looked up by what it shows.
    assert found.variants_of("", frame) == found.variants_of(first.name, frame)
    assert not found.variants_of("", np.ascontiguousarray(frame[:, ::-1]))


def test_what_is_there_is_not_added_again(run: Path, pool: Path, tmp_path: Path) -> None:
    copy = tmp_path / "pool"
    shutil.copytree(pool, copy)
    with PoolWriter(copy) as writer:
        assert writer.add_run(run) == 0
        assert len(writer.variants) == 12


def test_the_oldest_are_retired_and_readers_notice(pool: Path, tmp_path: Path) -> None:
    copy = tmp_path / "pool"
    shutil.copytree(pool, copy)
    reader = Pool(copy)
    frames = {item.source.file for items in reader._by_name.values() for item in items}
    old = next(item for items in reader._by_name.values() for item in items if item.id.endswith("-000000"))
    with PoolWriter(copy) as writer:
        newest = [item.id for item in writer.variants[-5:]]
        assert writer.retire(5) == 7
        assert writer.retire(5) == 0
    assert len(reader) == 12
    with pytest.raises(ImageError, match=r"000000\.png"):
        reader.picture(old)
    assert reader.reload()
    assert not reader.reload()
    assert len(reader) == 5
    assert {item.id for name in frames for item in reader._by_name.get(name, ())} == set(newest)
    assert {path.stem for path in (copy / "pictures").iterdir()} == set(newest)


def test_pictures_are_read_once_and_forgotten_beyond_the_limit(pool: Path) -> None:
    found = Pool(pool, cache_bytes=40_000)
    variants = [item for items in found._by_name.values() for item in items]
    for item in variants:
        assert found.picture(item) is found.picture(item)
        assert found._cached == sum(picture.nbytes for picture in found._pictures.values())
        assert found._cached <= 40_000 or len(found._pictures) == 1
    again = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own bytes
    assert not again._pictures
    np.testing.assert_array_equal(again.picture(variants[0]), found.picture(variants[0]))


def test_a_killed_writer_leaves_a_whole_pool(run: Path, pool: Path, tmp_path: Path) -> None:
    copy = tmp_path / "pool"
    shutil.copytree(pool, copy)
    (copy / "pictures" / "stranger-000099.png").write_bytes(b"half of a pic")
    (copy / "pictures" / ".x.png.abc.tmp").write_bytes(b"")
    assert len(Pool(copy)) == 12
    with PoolWriter(copy) as writer:
        assert writer.add_run(run) == 0
    assert len(list((copy / "pictures").iterdir())) == 12


def test_a_runs_pool_is_cut_out_once_and_follows_the_run(phantoms: Phantoms, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    generate(config(phantoms, count=2), folder)
    pool = ensure_pool(folder)
    assert len(Pool(pool)) == 2
    stamp = (pool / INDEX_NAME).stat().st_mtime_ns
    assert ensure_pool(folder) == pool
    assert ensure_pool(pool) == pool
    assert (pool / INDEX_NAME).stat().st_mtime_ns == stamp
    later = time.time_ns() + 10**9
    os.utime(folder / "manifest.jsonl", ns=(later, later))
    ensure_pool(folder)
    assert (pool / INDEX_NAME).stat().st_mtime_ns != stamp


def test_processes_that_begin_together_share_one_pool(phantoms: Phantoms, tmp_path: Path) -> None:
    generate(config(phantoms, count=2), tmp_path / "run")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ensure_pool, [tmp_path / "run"] * 4))
    assert set(found) == {tmp_path / "run" / "pool"}
    assert len(Pool(found[0])) == 2


def test_bad_folders_are_refused(pool: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no pool"):
        Pool(tmp_path)
    with pytest.raises(ConfigurationError, match="neither a pool"):
        ensure_pool(tmp_path)
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(ConfigurationError, match=r"not empty and no pool \(it holds mine.txt\)"):
        PoolWriter(tmp_path).__enter__()
    with PoolWriter(tmp_path / "a"), pytest.raises(RunFolderBusyError, match="writing to this pool"):
        PoolWriter(tmp_path / "a").__enter__()
    damaged = tmp_path / "damaged"
    shutil.copytree(pool, damaged)
    lines = (damaged / INDEX_NAME).read_text().splitlines()
    (damaged / INDEX_NAME).write_text("\n".join([lines[0], lines[1][:50]]))
    with pytest.raises(RunFolderDamagedError, match="pool's index"):
        Pool(damaged)
    record = json.loads(lines[0]) | {"box": [1, 2, 3]}
    (damaged / INDEX_NAME).write_text(json.dumps(record))
    with pytest.raises(RunFolderDamagedError, match="pool's index"):
        PoolWriter(damaged).__enter__()
    other = tmp_path / "other"
    shutil.copytree(pool, other)
    found = Pool(other)
    variant = next(iter(found._by_name.values()))[0]
    write_png(other / variant.picture, np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(ImageError, match="3×3 pixels"):
        found.picture(variant)


def test_refreshing_adds_retires_and_goes_on(phantoms: Phantoms, tmp_path: Path) -> None:
    states: list[RefreshState] = []
    settings = config(phantoms, batch_size=3)
    pool = tmp_path / "pool"
    state = refresh(settings, pool, capacity=4, rounds=2, observer=states.append)
    assert [(item.added, item.retired, item.size) for item in states] == [(3, 0, 3), (6, 2, 4)]
    assert state == states[-1]
    with PoolWriter(pool) as writer:
        numbers = [int(item.id[-6:]) for item in writer.variants]
    assert numbers == [2, 3, 4, 5]
    refresh(settings, pool, capacity=4, rounds=1)
    with PoolWriter(pool) as writer:
        assert [int(item.id[-6:]) for item in writer.variants] == [5, 6, 7, 8]
    # One run of nine samples gives the same pictures.
    again = tmp_path / "again"
    refresh(settings, again, capacity=9, rounds=3)
    for path in (pool / "pictures").iterdir():
        assert path.read_bytes() == (again / "pictures" / path.name).read_bytes()
    for name, value in (("capacity", 0), ("rounds", 0)):
        with pytest.raises(ConfigurationError, match=f"'{name}' must be at least 1"):
            refresh(settings, pool, **({"capacity": 1} | {name: value}))  # type: ignore[arg-type]


def test_refreshing_in_vain_ends(phantoms: Phantoms, tmp_path: Path) -> None:
    dark = tmp_path / "dark"
    dark.mkdir()
    write_png(dark / "dark.png", np.zeros((216, 256, 3), np.uint8))
    with pytest.raises(TooManyFailuresError, match=r"3 rounds in a row gave nothing \(dark.png: no place"):
        refresh(replace(config(phantoms), backgrounds=dark), tmp_path / "pool", capacity=4)


@pytest.mark.slow
def test_a_refresher_ends_with_the_process_that_started_it(phantoms: Phantoms, tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    command = [sys.executable, "-m", "polyp_aug", "refresh", str(pool), "--backgrounds", str(phantoms.backgrounds)]
    command += [
        "--references",
        str(phantoms.references),
        "--batch-size",
        "1",
        "--capacity",
        "3",
        "--until-input-closes",
    ]
    parent = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    _wait(lambda: (pool / INDEX_NAME).exists())
    assert _lives(child)
    process.kill()
    process.wait()
    _wait(lambda: not _lives(child))
    assert 1 <= len(Pool(pool)) <= 3
    process.communicate()


def _wait(condition: Any, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _lives(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
