"""Bringing samples into a run folder, whatever makes them; killed at any moment, it goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2

from polyp_aug.errors import ConfigurationError, RunFolderDamagedError, StorageError, TooManyFailuresError
from polyp_aug.generation.backgrounds import Sample, SampleDeck
from polyp_aug.generation.finish import finish_run
from polyp_aug.generation.run_folder import PICTURE_FOLDERS, RunFolder
from polyp_aug.generation.samples import PAINTED, Outcome
from polyp_aug.images import encode_png, write_bytes

#: Pictures are encoded beside the rendering of the next batch, in so many threads.
ENCODER_THREADS = 2

#: So many failed samples are always allowed.
FREE_FAILURES = 5


@dataclass(frozen=True)
class RunLimits:
    """When to stop early. Limits are no part of the settings: a run may be resumed with others.

    Attributes:
        bytes: stop before the pictures take more.
        failures: largest share of samples that may be skipped or lose a background that can't be read; the first
            `FREE_FAILURES` are free, unless it is 0. A run in which every sample fails is always an error.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    bytes: int | None = None
    failures: float = 0.1

    def __post_init__(self) -> None:
        if self.bytes is not None and self.bytes < 1:
            raise ConfigurationError(f"'limit_bytes' must be at least 1 (got {self.bytes})")
        if not 0.0 <= self.failures <= 1.0:
            raise ConfigurationError(f"'max_failures' must be within 0 … 1 (got {self.failures})")


@dataclass
class RunProgress:
    """How far a run is. Counts include what earlier processes did.

    Attributes:
        total: samples of this shard.
        made: samples with new or removed polyps.
        skipped: samples without.
        polyps: new or removed polyps.
        failures: samples that were skipped or lost a background that can't be read.
        bytes: size of all pictures.
        limited: whether the limit of bytes ended the run.
    """

    total: int
    made: int = 0
    skipped: int = 0
    polyps: int = 0
    failures: int = 0
    bytes: int = 0
    limited: bool = False

    @property
    def done(self) -> int:
        """Samples that have a record."""
        return self.made + self.skipped

    def count(self, record: dict[str, Any]) -> None:
        """Count a record of the manifest."""
        if record["status"] == "made":
            self.made += 1
            self.polyps += sum(item["origin"] in PAINTED for item in record["objects"])
            self.bytes += sum(record["bytes"].values())
        else:
            self.skipped += 1
        self.failures += record["status"] == "skipped" or bool(record["unreadable"])


class Maker(Protocol):
    """Makes samples; a pure function of the batch."""

    def make(self, samples: Sequence[Sample]) -> list[Outcome]:
        """An outcome for every sample, in order."""


class PlannedSamples(Protocol):
    """The samples of a run, and what makes them."""

    @property
    def deck(self) -> SampleDeck:
        """The samples of this shard."""

    @property
    def maker(self) -> Maker:
        """Makes them."""


@dataclass(frozen=True, eq=False)
class RunPlan:
    """A run that is ready to be made.

    Attributes:
        deck: the samples of this shard.
        maker: makes them.
        batch_size: samples that are made together. Batches start at multiples of it, also after a kill.
        run: what `run.json` holds.
    """

    deck: SampleDeck
    maker: Maker
    batch_size: int
    run: dict[str, Any]


def write_run(
    plan: RunPlan,
    inputs: Path,
    out: Path,
    *,
    limits: RunLimits | None = None,
    observer: Callable[[RunProgress], None] | None = None,
) -> RunProgress:
    """Make a run, or go on with one that was begun.

    Args:
        plan: the run.
        inputs: the folder or file that its frames come from.
        out: the run folder; see `run_folder`.
        limits: when to stop early.
        observer: called after every batch.

    Raises:
        ConfigurationError: `out` lies in `inputs`; and see `RunFolder`.
        RunFolderBusyError: another process writes to the folder.
        StorageError: the disk is full or can't be written; what is there can be resumed.
        TooManyFailuresError: more samples failed than `limits` allow; what is there can be resumed.
    """
    limits = limits or RunLimits()
    _refuse_nesting(inputs, out)
    # Intel's own kernels give other pixels on other processors.
    cv2.ipp.setUseIPP(False)
    with RunFolder(out, plan.run) as folder, ThreadPoolExecutor(ENCODER_THREADS) as encoders:
        writer = _Writer(folder, plan, limits, encoders)
        writer.resume()
        _report(observer, writer.progress)
        waiting: list[_Encoded] = []
        done, total, size = writer.progress.done, writer.progress.total, plan.batch_size
        for first in range(done - done % size, total if done < total else 0, size):
            encoded = writer.encode(writer.make(first))
            # The batch before is written while this one is being encoded.
            if not writer.write(waiting):
                break
            _report(observer, writer.progress)
            waiting = encoded
        else:
            writer.write(waiting)
        _report(observer, writer.progress)
        if writer.progress.limited:
            folder.remove_pictures_from(plan.deck.number(writer.progress.done))
        finish_run(out)
    return writer.progress


@dataclass(frozen=True, eq=False)
class _Encoded:
    outcome: Outcome
    files: dict[str, Future[bytes]]


class _Writer:
    """Brings outcomes into the folder, in order."""

    def __init__(self, folder: RunFolder, plan: RunPlan, limits: RunLimits, encoders: ThreadPoolExecutor) -> None:
        self._folder = folder
        self._plan = plan
        self._limits = limits
        self._encoders = encoders
        self.progress = RunProgress(len(plan.deck))

    def make(self, first: int) -> list[Outcome]:
        """Make the batch that starts at a position of the deck."""
        deck = self._plan.deck
        last = min(first + self._plan.batch_size, len(deck))
        return self._plan.maker.make([deck[position] for position in range(first, last)])

    def encode(self, outcomes: Sequence[Outcome]) -> list[_Encoded]:
        """Start to encode pictures."""
        return [
            _Encoded(
                outcome,
                {name: self._encoders.submit(encode_png, image) for name, image in outcome.pictures.items()},
            )
            for outcome in outcomes
        ]

    def write(self, batch: Sequence[_Encoded]) -> bool:
        """Write the samples of a batch that are not done yet; False where the limit of bytes stops the run."""
        records = []
        room = True
        for encoded in batch:
            number = encoded.outcome.record["sample"]
            if number < self._next_number():
                continue
            files = {name: future.result() for name, future in encoded.files.items()}
            size = sum(len(data) for data in files.values())
            if self._limits.bytes is not None and self.progress.bytes + size > self._limits.bytes:
                room = False
                break
            record = _write_pictures(self._folder.path, encoded.outcome, files)
            records.append(record)
            self.progress.count(record)
        if records:
            self._folder.append(records)
        self.progress.limited = not room
        self._refuse_failures()
        return room

    def resume(self) -> None:
        """Count what earlier processes did, and make again the pictures that were lost since."""
        lost: dict[int, dict[str, Any]] = {}
        for position, record in enumerate(self._folder.completed()):
            if position >= len(self._plan.deck) or self._plan.deck.number(position) != record["sample"]:
                raise RunFolderDamagedError(
                    f"{self._folder.path}: record {position + 1} of the manifest is of another run"
                )
            self.progress.count(record)
            if not _intact(self._folder.path, record):
                lost[position] = record
        size = self._plan.batch_size
        for first in sorted({position - position % size for position in lost}):
            for position, encoded in enumerate(self.encode(self.make(first)), start=first):
                if position in lost:
                    self._make_again(encoded, lost[position])
        self._refuse_failures()

    def _make_again(self, encoded: _Encoded, record: dict[str, Any]) -> None:
        """Write the pictures of a sample that were lost.

        Raises:
            RunFolderDamagedError: what is made now is not what was made then.
        """
        files = {name: future.result() for name, future in encoded.files.items()}
        sizes = {"bytes": {name: len(data) for name, data in files.items()}} if files else {}
        if json.loads(json.dumps(encoded.outcome.record | sizes)) != record:
            raise RunFolderDamagedError(
                f"{self._folder.path}: a picture of sample {record['sample']} was lost, and the inputs give another now"
            )
        _write_pictures(self._folder.path, encoded.outcome, files)

    def _next_number(self) -> int:
        return self._plan.deck.number(self.progress.done)

    def _refuse_failures(self) -> None:
        allowed = max(FREE_FAILURES, int(self._limits.failures * self.progress.total)) if self._limits.failures else 0
        nothing = self.progress.made == 0 and self.progress.done == self.progress.total > 0
        if self.progress.failures > allowed or nothing:
            reasons = "; ".join(_first_problems(self._folder.completed()))
            raise TooManyFailuresError(
                f"{self._folder.path}: {self.progress.failures} of {self.progress.done} samples failed or lost a "
                f"background, more than the {allowed} allowed of {self.progress.total} ({reasons}); what was made is "
                "kept"
            )


def _refuse_nesting(inputs: Path, out: Path) -> None:
    if inputs.is_dir() and out.resolve().is_relative_to(inputs.resolve()):
        raise ConfigurationError(f"{out}: lies in the inputs' folder {inputs}, and would become its own input")


def _write_pictures(path: Path, outcome: Outcome, files: dict[str, bytes]) -> dict[str, Any]:
    record = outcome.record
    for folder, data in files.items():
        write_bytes(path / folder / record["file_name"], data)
    return record | {"bytes": {folder: len(data) for folder, data in files.items()}} if files else record


def _intact(path: Path, record: dict[str, Any]) -> bool:
    if record["status"] != "made":
        return True
    try:
        sizes = {name: (path / name / record["file_name"]).stat().st_size for name in PICTURE_FOLDERS}
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(error.errno, f"{path}: can't be read ({error.strerror or error})") from error
    return bool(sizes == record["bytes"])


def _first_problems(records: Iterator[dict[str, Any]], most: int = 3) -> list[str]:
    found: list[str] = []
    for record in records:
        found.extend(record.get("reasons") or record["unreadable"])
        if len(found) >= most:
            break
    return found[:most]


def _report(observer: Callable[[RunProgress], None] | None, progress: RunProgress) -> None:
    if observer is not None:
        observer(progress)
