"""From the shards of a run to the run: byte for byte what one process would have made."""

from __future__ import annotations

import heapq
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from polyp_aug.errors import ConfigurationError, RunFolderDamagedError, StorageError
from polyp_aug.generation.finish import finish_run
from polyp_aug.generation.run_folder import (
    NAMES,
    RUN_NAME,
    RunFolder,
    planned_samples,
    read_records,
    read_run,
    refuse_changes,
)

#: Records that are written together.
_BATCH = 256


def is_run_folder(path: Path) -> bool:
    """Whether a path is a folder that a run was written to."""
    return (path / RUN_NAME).is_file()


def merge_runs(
    shards: Sequence[Path],
    out: Path,
    *,
    images: Literal["copy", "hardlink"] = "copy",
    observer: Callable[[int, int], None] | None = None,
) -> None:
    """Merge all shards of a run into one folder. Streams; goes on where it was interrupted.

    Args:
        shards: the run folders of shards 1/n … n/n, in any order.
        out: the folder to make.
        images: "hardlink" saves space where both are on one file system.
        observer: called with the number of samples done and of all samples, after every batch.

    Raises:
        ConfigurationError: a shard is missing, given twice, or not finished, or `out` holds something else.
        RunConfigurationChanged: the shards belong to different runs.
        RunFolderDamagedError: a record or a picture can't be trusted.
        StorageError: a file can't be written.
    """
    runs = [read_run(shard) for shard in shards]
    for shard, run in zip(shards[1:], runs[1:], strict=True):
        refuse_changes(runs[0], run, shard, ignore=("config.shard", *NAMES))
    by_shard = _in_order(shards, [str(run["config"]["shard"]) for run in runs])
    whole = runs[0] | {"config": runs[0]["config"] | {"shard": "1/1"}}
    total = planned_samples(whole)
    if total is None:
        raise RunFolderDamagedError(f"{shards[0] / RUN_NAME}: doesn't tell how many samples the run has")
    with RunFolder(out, whole) as folder:
        done = sum(1 for _ in folder.completed())
        records = heapq.merge(*(read_records(shard) for shard in shards), key=lambda record: record["sample"])
        missing = _missing(records, done, total)
        while batch := list(islice(missing, _BATCH)):
            for record in batch:
                if record["status"] == "made":
                    _bring_pictures(by_shard[record["sample"] % len(by_shard)], out, record, images)
            folder.append(batch)
            done += len(batch)
            if observer is not None:
                observer(done, total)
        finish_run(out)


def _missing(records: Iterator[dict[str, Any]], done: int, total: int) -> Iterator[dict[str, Any]]:
    """The records from number `done` on, which must follow each other without a gap up to `total`."""
    expected = 0
    for record in records:
        if record["sample"] != expected:
            break
        if expected >= done:
            yield record
        expected += 1
    if expected != total:
        raise ConfigurationError(f"sample {expected} of {total} is missing: its shard is not finished, start it again")


def _in_order(shards: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """The folders of the shards 1/n … n/n."""
    wanted = [f"{index}/{len(shards)}" for index in range(1, len(shards) + 1)]
    if sorted(names) != sorted(wanted):
        given = ", ".join(f"{shard} is {name}" for shard, name in zip(shards, names, strict=True))
        raise ConfigurationError(f"expected the shards {', '.join(wanted)} (got {given})")
    return [shards[names.index(name)] for name in wanted]


def _bring_pictures(shard: Path, out: Path, record: dict[str, Any], images: Literal["copy", "hardlink"]) -> None:
    for folder, size in record["bytes"].items():
        source, target = (root / folder / record["file_name"] for root in (shard, out))
        if not source.is_file() or source.stat().st_size != size:
            raise RunFolderDamagedError(f"{source}: missing or not of {size} bytes; start the shard again")
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            if images == "hardlink":
                temporary.hardlink_to(source)
            else:
                shutil.copyfile(source, temporary)
            os.replace(temporary, target)
            # Where both are links to one file already, replacing does nothing.
            temporary.unlink(missing_ok=True)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StorageError(error.errno, f"{target}: can't be written ({error.strerror or error})") from error
