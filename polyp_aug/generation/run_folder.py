"""A run folder on disk: who may write, what was settled, what is done.

::

    images/000000.png    a sample, lossless
    before/000000.png    what its changed part looked like before, lossless
    manifest.jsonl       a record for every sample, in their order: the truth from which the rest is built
    run.json             settings, inputs, versions, categories and licences
    annotations.json     COCO
    index.html           gallery
    README.md            data-set card

A sample counts as done once its line in the manifest ends with a line feed; its pictures are there before that. A
process killed at any moment therefore leaves at most an incomplete last line and pictures that are written once more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from polyp_aug.errors import (
    ConfigurationError,
    RunConfigurationChanged,
    RunFolderBusyError,
    RunFolderDamagedError,
    StorageError,
)
from polyp_aug.images import write_bytes
from polyp_aug.jsonl import append_records, read_lines

MANIFEST_NAME = "manifest.jsonl"
RUN_NAME = "run.json"
LOCK_NAME = ".lock"
PICTURE_FOLDERS = ("images", "before")

#: Settings that only name things for people: inputs are compared by their digests and revisions.
NAMES = ("inputs.backgrounds", "inputs.references", "inputs.weights", "inputs.base", "inputs.lora")

#: The setting `task` of runs that remove polyps; runs that paint them into frames have none.
REMOVAL = "remove"

#: The same of runs that make whole frames.
FRAMES = "frames"

#: What a record holds, by status.
_FIELDS: Mapping[str, Mapping[str, type]] = {
    "made": {
        "file_name": str,
        "width": int,
        "height": int,
        "background": dict,
        "key": dict,
        "before": dict,
        "objects": list,
        "rejections": list,
        "problems": list,
        "unreadable": list,
        "bytes": dict,
    },
    "skipped": {"reasons": list, "unreadable": list},
}


def planned_samples(run: Mapping[str, Any]) -> int | None:
    """Samples that a run was to make, with those of all its shards; None where `run.json` doesn't tell.

    Args:
        run: what `run.json` holds.

    Raises:
        KeyError: a setting is missing.
        ValueError: a number is none.
    """
    config, inputs = run["config"], run["inputs"]
    if "count" in config:
        return int(config["count"])
    if "captioned_frames" in inputs:
        return int(inputs["captioned_frames"])
    if "per_image" in config:
        return int(config["per_image"]) * int(inputs["background_pictures"])
    return int(inputs["background_pictures"]) if task_of(run) == REMOVAL else None


class RunFolder:
    """A run folder that one process writes to; a context manager that holds its lock.

    Args:
        path: the folder; it is made where it doesn't exist.
        run: what `run.json` must hold: plain JSON, objects of settings by section.

    Raises:
        ConfigurationError: the folder holds files that no run made.
        RunConfigurationChanged: the folder was made with other settings; the message names them.
        RunFolderBusyError: another process writes to the folder.
        RunFolderDamagedError: `run.json` can't be read.
        StorageError: the folder can't be written to.
    """

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        self.path = path
        self._run = run
        self._lock = FileLock(path / LOCK_NAME)

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._refuse_foreign()
            self._lock.acquire(timeout=0)
        except Timeout:
            raise RunFolderBusyError(f"{self.path}: another process is writing to this run folder") from None
        except OSError as error:
            raise StorageError(error.errno, f"{self.path}: can't be written ({error.strerror or error})") from error
        try:
            self._settle()
        except OSError as error:
            self._lock.release()
            if isinstance(error, StorageError):
                raise
            raise StorageError(
                error.errno, f"{error.filename}: can't be written ({error.strerror or error})"
            ) from error
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def _refuse_foreign(self) -> None:
        if (self.path / RUN_NAME).exists():
            return
        # run.json is written before any picture.
        empty = {
            name for name in PICTURE_FOLDERS if (self.path / name).is_dir() and not any((self.path / name).iterdir())
        }
        foreign = sorted(
            entry.name
            for entry in self.path.iterdir()
            if entry.name not in (LOCK_NAME, *empty) and not entry.name.startswith(f".{RUN_NAME}.")
        )
        if foreign:
            raise ConfigurationError(f"{self.path}: not empty and not a run folder (it holds {', '.join(foreign[:3])})")

    def _settle(self) -> None:
        for name in PICTURE_FOLDERS:
            (self.path / name).mkdir(exist_ok=True)
        for folder in (self.path, *(self.path / name for name in PICTURE_FOLDERS)):
            for leftover in folder.glob(".*.tmp"):
                leftover.unlink()
        file = self.path / RUN_NAME
        if file.exists():
            refuse_changes(read_run(self.path), self._run, self.path, ignore=NAMES)
        else:
            write_json(file, self._run)

    def completed(self) -> Iterator[dict[str, Any]]:
        """The records of the samples that are done, in order; an incomplete last line is cut off.

        Raises:
            RunFolderDamagedError: a complete line is not a record.
        """
        file = self.path / MANIFEST_NAME
        for number, line in read_lines(file, mend=True):
            yield _record(line, file, number)

    def remove_pictures_from(self, number: int) -> None:
        """Remove the pictures of samples from `number` on, which have no record: a run that was killed left them."""
        for name in PICTURE_FOLDERS:
            for path in (self.path / name).glob("*.png"):
                if path.stem.isdigit() and int(path.stem) >= number:
                    path.unlink()

    def append(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Add the records of samples whose pictures are on disk.

        Raises:
            StorageError: the manifest can't be written; what was there stays.
        """
        append_records(self.path / MANIFEST_NAME, records)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON for people to read, atomically.

    Raises:
        StorageError: the file can't be written.
    """
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=True) + "\n").encode())


def read_run(folder: Path) -> dict[str, Any]:
    """What `run.json` of a run folder holds.

    Raises:
        ConfigurationError: it is not a run folder.
        RunFolderDamagedError: the file can't be read.
    """
    file = folder / RUN_NAME
    try:
        run = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise ConfigurationError(f"{folder}: not a run folder (no {RUN_NAME})") from None
    except (OSError, ValueError) as error:
        raise RunFolderDamagedError(f"{file}: can't be read ({error})") from error
    if not isinstance(run, dict):
        raise RunFolderDamagedError(f"{file}: a {type(run).__name__}, expected an object")
    return run


def task_of(run: Mapping[str, Any]) -> str:
    """What a run does: `REMOVAL`, `FRAMES`, or "" where it paints polyps into frames.

    Args:
        run: what `run.json` holds.
    """
    return str(run["config"].get("task", ""))


def read_records(folder: Path) -> Iterator[dict[str, Any]]:
    """The manifest's complete records, one after the other.

    Raises:
        RunFolderDamagedError: a complete line is not a record.
    """
    file = folder / MANIFEST_NAME
    for number, line in read_lines(file):
        yield _record(line, file, number)


def refuse_changes(old: Mapping[str, Any], new: Mapping[str, Any], folder: Path, ignore: Sequence[str] = ()) -> None:
    """Compare two `run.json` values, section by section.

    Args:
        ignore: settings, written `section.key`, that may differ.

    Raises:
        RunConfigurationChanged: they differ; the message names every setting that does.
    """
    before, now = _flat(old), _flat(json.loads(json.dumps(new)))
    changed = [
        f"{key} was {before.get(key)!r}, is {now.get(key)!r}"
        for key in sorted(set(before) | set(now))
        if key not in ignore and before.get(key) != now.get(key)
    ]
    if changed:
        raise RunConfigurationChanged(
            f"{folder}: made with other settings ({'; '.join(changed)}); use another folder, or the same settings"
        )


def _flat(run: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for section, values in run.items():
        if isinstance(values, Mapping):
            flat |= {f"{section}.{key}": value for key, value in _flat(values).items()}
        else:
            flat[section] = values
    return flat


def _record(line: bytes, file: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
        if not isinstance(record["sample"], int) or record["status"] not in _FIELDS:
            raise ValueError("not a sample's record")
        for name, kind in _FIELDS[record["status"]].items():
            if not isinstance(record[name], kind):
                raise ValueError(f"{name!r} is {record[name]!r}")
    except (ValueError, TypeError) as error:
        raise RunFolderDamagedError(f"{file}: line {number} is damaged ({error})") from error
    except KeyError as error:
        raise RunFolderDamagedError(f"{file}: line {number} is damaged (no field {error})") from error
    return dict(record)
