"""Filling a pool from runs, and retiring what is old.

::

    pool.jsonl              a record for every variant, replaced as a whole: readers see the old list or the new one
    pictures/<run>-<n>.png  the changed part of sample n, lossless; its bytes never change

"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from polyp_aug.errors import ConfigurationError, ImageError, RunFolderBusyError, StorageError
from polyp_aug.generation.run_folder import FRAMES, MANIFEST_NAME, RUN_NAME, read_records, read_run, task_of
from polyp_aug.images import ImageArray, read_image, write_bytes, write_png
from polyp_aug.pool.read import INDEX_NAME, read_index
from polyp_aug.pool.variant import PoolObject, PoolVariant, fingerprint
from polyp_aug.scene import Source

PICTURES = "pictures"

#: A run's own pool lies in its folder under this name.
POOL_NAME = "pool"

_LOCK = ".lock"

#: Seconds that cutting out a run may take another process.
_PATIENCE = 3600.0


class PoolWriter:
    """A pool that one process writes to; a context manager that holds its lock.

    Args:
        path: the pool's folder; it is made where it doesn't exist.
        patience: seconds to wait for another process that writes to it.

    Raises:
        ConfigurationError: the folder holds files and is no pool.
        RunFolderBusyError: another process writes to it.
        RunFolderDamagedError: its index can't be read.
        StorageError: it can't be written.
    """

    def __init__(self, path: Path, *, patience: float = 0.0) -> None:
        self.path = path
        self._patience = patience
        self.variants: list[PoolVariant] = []
        self._lock = FileLock(path / _LOCK)

    def __enter__(self) -> Self:
        index = self.path / INDEX_NAME
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            foreign = sorted(entry.name for entry in self.path.iterdir() if entry.name not in (_LOCK, PICTURES))
            if foreign and not index.exists():
                raise ConfigurationError(f"{self.path}: not empty and no pool (it holds {', '.join(foreign[:3])})")
            (self.path / PICTURES).mkdir(exist_ok=True)
            self._lock.acquire(timeout=self._patience)
        except Timeout:
            raise RunFolderBusyError(f"{self.path}: another process is writing to this pool") from None
        except OSError as error:
            raise StorageError(error.errno, f"{self.path}: can't be written ({error.strerror or error})") from error
        try:
            self.variants = read_index(index) if index.exists() else []
            self._remove_strangers()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def add_run(self, run: Path) -> int:
        """Cut out what a run painted or removed. A sample that is there already is not added twice.

        Returns:
            The number of variants that are new.

        Raises:
            ConfigurationError: it is no run folder.
            ImageError: a picture of the run can't be read.
            RunFolderDamagedError: a file of the run is damaged.
            StorageError: the pool can't be written.
        """
        return self.add(read_run_folder(run))

    def add(self, parts: Iterator[tuple[PoolVariant, ImageArray]]) -> int:
        """Add variants with their pictures; see `add_run`."""
        known = {variant.id for variant in self.variants}
        new = []
        for variant, picture in parts:
            if variant.id not in known:
                write_png(self.path / variant.picture, picture)
                new.append(variant)
        self._write_index([*self.variants, *new])
        return len(new)

    def retire(self, capacity: int) -> int:
        """Take out the oldest variants until `capacity` of them are left.

        Returns:
            The number that was taken out.

        Raises:
            StorageError: the pool can't be written.
        """
        old = self.variants[: max(0, len(self.variants) - capacity)]
        if old:
            self._write_index(self.variants[len(old) :])
            for variant in old:
                (self.path / variant.picture).unlink(missing_ok=True)
        return len(old)

    def _write_index(self, variants: Sequence[PoolVariant]) -> None:
        lines = (json.dumps(variant.to_dict(), ensure_ascii=True, separators=(",", ":")) for variant in variants)
        write_bytes(self.path / INDEX_NAME, "".join(f"{line}\n" for line in lines).encode())
        self.variants = list(variants)

    def _remove_strangers(self) -> None:
        """Remove pictures that no record names: a process that was killed left them."""
        known = {Path(variant.picture).name for variant in self.variants}
        for path in (self.path / PICTURES).iterdir():
            if path.name not in known:
                path.unlink()


def ensure_pool(path: Path) -> Path:
    """The pool at a path: the folder itself, or that of a run, which is cut out where that isn't done yet.

    Raises:
        ConfigurationError: the folder is neither a pool nor a run.
        RunFolderBusyError: another process is cutting it out.
        StorageError: it can't be written.
    """
    if (path / INDEX_NAME).is_file():
        return path
    if not (path / RUN_NAME).is_file():
        raise ConfigurationError(f"{path}: neither a pool (no {INDEX_NAME}) nor a run folder (no {RUN_NAME})")
    pool = path / POOL_NAME
    index, manifest = pool / INDEX_NAME, path / MANIFEST_NAME
    if index.is_file() and manifest.is_file() and manifest.stat().st_mtime_ns <= index.stat().st_mtime_ns:
        return pool
    # Several processes of one training begin together: the first cuts it out, the others wait and find it done.
    with PoolWriter(pool, patience=_PATIENCE) as writer:
        writer.add_run(path)
    return pool


def read_run_folder(run: Path) -> Iterator[tuple[PoolVariant, ImageArray]]:
    """The variants of a run with their pictures, one after the other.

    Raises:
        ConfigurationError: it is no run folder, or one of whole frames.
        ImageError: a picture can't be read.
        RunFolderDamagedError: a file of the run is damaged.
    """
    described = read_run(run)
    if task_of(described) == FRAMES:
        raise ConfigurationError(f"{run}: a run of whole frames, which can't be laid over any; train on it offline")
    settings = json.dumps(described, sort_keys=True)
    made_by = hashlib.sha256(settings.encode()).hexdigest()[:12]
    for record in read_records(run):
        if record["status"] == "made":
            *_, w, h = record["before"]["box"]
            frame = read_image(run / "images" / record["file_name"])
            before = read_image(run / "before" / record["before"]["file_name"])
            if before.shape[:2] != (h, w):
                raise ImageError(f"{run / 'before' / record['before']['file_name']}: not of the size {w}×{h}")
            yield cut_out(record, made_by, frame, before)


def cut_out(
    record: Mapping[str, Any], made_by: str, frame: ImageArray, before: ImageArray
) -> tuple[PoolVariant, ImageArray]:
    """The variant of a sample's record, and its picture.

    Args:
        record: of a sample that was made; see `generation.samples`.
        made_by: digest of the run's settings.
        frame: what it looks like, uint8 RGB.
        before: what the changed part looked like, uint8 RGB.
    """
    name = f"{made_by}-{record['sample']:06d}"
    x, y, w, h = (int(value) for value in record["before"]["box"])
    original = frame.copy()
    original[y : y + h, x : x + w] = before
    variant = PoolVariant(
        id=name,
        picture=f"{PICTURES}/{name}.png",
        box=(x, y, w, h),
        frame_size=(record["width"], record["height"]),
        fingerprint=fingerprint(before),
        frame_fingerprint=fingerprint(original),
        added=_objects(record, "synthetic"),
        removed=_objects(record, "removed"),
        source=Source(**record["background"]),
        made_by=made_by,
    )
    return variant, frame[y : y + h, x : x + w]


def _objects(record: Mapping[str, Any], origin: str) -> tuple[PoolObject, ...]:
    return tuple(
        PoolObject(tuple(item["bbox"]), item["category"], item["area"], item["segmentation"])
        for item in record["objects"]
        if item["origin"] == origin
    )
