"""Making a reference database, or adding to one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from polyp_aug.coco.masks import encode_rle
from polyp_aug.database.folder import (
    FEATURES_NAME,
    IMAGES_NAME,
    DatabaseInfo,
    digest_entry,
    image_path,
    read_entries,
    read_info,
    shard_path,
)
from polyp_aug.database.identity import INFO_NAME, REFERENCES_NAME
from polyp_aug.database.reference import Reference, Refusal, RemovedPolyp
from polyp_aug.encoders.patches import PatchFeatures
from polyp_aug.errors import DatabaseError, RunFolderBusyError, StorageError
from polyp_aug.geometry import Region
from polyp_aug.images import ImageArray, encode_png, write_bytes
from polyp_aug.jsonl import append_records
from polyp_aug.optional import require
from polyp_aug.scene import Source

LOCK_NAME = ".lock"

#: Fields of `DatabaseInfo` that may differ between what is there and what is added: the revision tells encoders apart.
_FREE = frozenset({"weights"})


@dataclass(frozen=True, eq=False)
class NewPolyp:
    """A polyp that was removed.

    Attributes:
        id: see `RemovedPolyp`.
        region: its pixels.
        category: its category.
    """

    id: str
    region: Region
    category: str


@dataclass(frozen=True, eq=False)
class NewReference:
    """What is to become a reference.

    Attributes:
        address: see `Reference`.
        original: see `Reference`.
        source: provenance of the frame.
        image: uint8 RGB, the frame without its polyps.
        polyps: those that were removed; each covers a patch of `features` at least in part.
        features: of `image`.
    """

    address: str
    original: str
    source: Source
    image: ImageArray
    polyps: Sequence[NewPolyp]
    features: PatchFeatures


class DatabaseWriter:
    """Adds entries to a database; a context manager that holds its lock.

    Args:
        path: the folder; it is made where it doesn't exist.
        info: what all entries have in common.

    Raises:
        DatabaseError: the folder holds something else, a database of another encoder or conversion, or a damaged one.
        RunFolderBusyError: another process writes to it.
        StorageError: it can't be written to.
    """

    def __init__(self, path: Path, info: DatabaseInfo) -> None:
        self.path = path
        self._info = info
        self._lock = FileLock(path / LOCK_NAME)
        self._addresses: set[str] = set()
        self._next = 0

    def __enter__(self) -> Self:
        try:
            self._refuse_foreign()
            for folder in self._folders():
                folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise RunFolderBusyError(f"{self.path}: another process is writing to this database") from None
        except OSError as error:
            raise StorageError(error.errno, f"{self.path}: can't be written ({error.strerror or error})") from error
        try:
            self._settle()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def __contains__(self, address: str) -> bool:
        return address in self._addresses

    def add(self, references: Sequence[NewReference], refusals: Sequence[Refusal] = ()) -> None:
        """Store entries; the features of all are one file.

        Raises:
            StorageError: they can't be written.
        """
        records: list[dict[str, Any]] = []
        if references:
            records += [reference.to_dict() for reference in self._store(references)]
            self._next += 1
        records += [refusal.to_dict() for refusal in refusals]
        if records:
            append_records(self.path / REFERENCES_NAME, records)
            self._addresses.update(record["address"] for record in records)

    def _store(self, references: Sequence[NewReference]) -> list[Reference]:
        """Write pictures and features."""
        pooled = np.stack([item.features.pooled for item in references])
        locals_: list[npt.NDArray[np.float16]] = []
        cells: list[npt.NDArray[np.int32]] = []
        stored, end = [], 0
        for row, item in enumerate(references):
            polyps, first = [], len(cells)
            height, width = item.image.shape[:2]
            for polyp in item.polyps:
                inside = item.features.inside(polyp.region)
                locals_.append(item.features.local[inside].astype(np.float16))
                cells.append(np.argwhere(inside).astype(np.int32))
                begin, end = end, end + len(cells[-1])
                mask = encode_rle(polyp.region, width, height)
                polyps.append(RemovedPolyp(polyp.id, polyp.region.box, mask, polyp.category, (begin, end)))
            picture = encode_png(item.image)
            frame = hashlib.sha256(picture).hexdigest()[:24]
            file = image_path(self.path, frame)
            if not file.exists():
                write_bytes(file, picture)
            reference = Reference(
                address=item.address,
                original=item.original,
                frame=frame,
                frame_size=(width, height),
                source=item.source,
                polyps=tuple(polyps),
                grid=item.features.local.shape[:2],
                patch=item.features.patch,
                shard=self._next,
                row=row,
                digest="",
            )
            parts = pooled[row : row + 1], np.concatenate(locals_[first:]), np.concatenate(cells[first:])
            stored.append(replace(reference, digest=digest_entry(reference, *parts, picture)))
        # safetensors writes memory as it lies, whatever the order of its axes.
        found = {"global": pooled, "local": np.concatenate(locals_), "cells": np.concatenate(cells)}
        tensors = {name: np.ascontiguousarray(values) for name, values in found.items()}
        write_bytes(shard_path(self.path, self._next), require("safetensors.numpy", "retrieval").save(tensors))
        return stored

    def _folders(self) -> tuple[Path, ...]:
        return self.path, self.path / FEATURES_NAME, self.path / IMAGES_NAME

    def _refuse_foreign(self) -> None:
        if not self.path.is_dir() or (self.path / INFO_NAME).exists():
            return
        # database.json is written before any entry.
        own = (LOCK_NAME, FEATURES_NAME, IMAGES_NAME)
        foreign = sorted(
            entry.name
            for entry in self.path.iterdir()
            if not (entry.name in own or (entry.name.startswith(f".{INFO_NAME}.") and entry.suffix == ".tmp"))
            or (entry.is_dir() and any(entry.iterdir()))
        )
        if foreign:
            raise DatabaseError(f"{self.path}: not empty and no database (it holds {', '.join(foreign[:3])})")

    def _settle(self) -> None:
        """Bring the folder into order, and see what it holds."""
        for folder in self._folders():
            for leftover in folder.glob(".*.tmp"):
                leftover.unlink()
        if (self.path / INFO_NAME).exists():
            self._refuse_changes(read_info(self.path))
        else:
            text = json.dumps(self._info.to_dict(), indent=2, ensure_ascii=True) + "\n"
            write_bytes(self.path / INFO_NAME, text.encode())
        for entry in read_entries(self.path, mend=True):
            self._addresses.add(entry.address)
            if isinstance(entry, Reference):
                self._next = max(self._next, entry.shard + 1)

    def _refuse_changes(self, old: DatabaseInfo) -> None:
        before, now = _flat(old.to_dict()), _flat(self._info.to_dict())
        changed = [
            f"{name} was {before.get(name)!r}, is {now.get(name)!r}"
            for name in sorted(before.keys() | now.keys())
            if name not in _FREE and before.get(name) != now.get(name)
        ]
        if changed:
            raise DatabaseError(f"{self.path}: made otherwise ({'; '.join(changed)}); use another folder")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by their dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found
