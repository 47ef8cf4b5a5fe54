"""The new run folder: its records and pictures, taken up again where a process stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from polyp_aug.errors import RunFolderDamagedError
from polyp_aug.generation.run_folder import RunFolder
from polyp_aug.images import write_bytes

#: Records that are written together.
_BATCH = 64


def write_records(
    folder: RunFolder,
    source: Path,
    records: Sequence[Mapping[str, Any]],
    observer: Callable[[int, int], None] | None = None,
) -> None:
    """Bring records into a run folder, the pictures of those that were made first.

    Args:
        folder: the new run folder.
        source: the run folder that the pictures come from.
        records: all of them, in order; those that the folder has already must be the first.
        observer: told (done, total).

    Raises:
        RunFolderDamagedError: a picture is missing, or the folder's records are others.
        StorageError: a file can't be written.
    """
    done = 0
    for done, old in enumerate(folder.completed(), start=1):
        if done > len(records) or old != records[done - 1]:
            raise RunFolderDamagedError(f"{folder.path}: record {done} of the manifest is not what is found now")
        _bring(folder.path, source, old)
    for first in range(done, len(records), _BATCH):
        batch = records[first : first + _BATCH]
        for record in batch:
            _bring(folder.path, source, record)
        folder.append(batch)
        if observer is not None:
            observer(first + len(batch), len(records))


def _bring(out: Path, source: Path, record: Mapping[str, Any]) -> None:
    """Copy the pictures of a sample that aren't there yet."""
    if record["status"] != "made":
        return
    for name, size in record["bytes"].items():
        target = out / name / record["file_name"]
        if target.is_file() and target.stat().st_size == size:
            continue
        file = source / name / record["file_name"]
        if not file.is_file() or file.stat().st_size != size:
            raise RunFolderDamagedError(f"{file}: missing, or not of {size} bytes; make the run again")
        write_bytes(target, file.read_bytes())
