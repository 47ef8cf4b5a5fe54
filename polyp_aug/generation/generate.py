"""A run, from its settings to a finished folder; killed at any moment, it goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL

import polyp_aug
from polyp_aug.augmenter import Augmenter
from polyp_aug.coco import CocoCategory, CocoLicense, read_coco
from polyp_aug.errors import ConfigurationError, RunFolderDamagedError, StorageError, TooManyFailuresError
from polyp_aug.generation.backgrounds import Backgrounds, SampleDeck, deal_samples, read_backgrounds
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.generation.finish import finish_run
from polyp_aug.generation.run_folder import PICTURE_FOLDERS, RunFolder
from polyp_aug.generation.samples import DEFAULT_CATEGORY, Outcome, SampleMaker
from polyp_aug.images import encode_png, write_bytes
from polyp_aug.proposers.registry import load_proposer
from polyp_aug.references import ReferenceBank
from polyp_aug.synthesizers.registry import load_synthesizer

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
        made: samples with new polyps.
        skipped: samples without.
        polyps: new polyps.
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
            self.polyps += sum(item["origin"] == "synthetic" for item in record["objects"])
            self.bytes += sum(record["bytes"].values())
        else:
            self.skipped += 1
        self.failures += record["status"] == "skipped" or bool(record["unreadable"])


@dataclass(frozen=True, eq=False)
class PreparedRun:
    """Everything that a run needs, checked, before the first sample is made.

    Attributes:
        config: the settings.
        backgrounds: the frames.
        references: the reference polyps.
        augmenter: the flow.
        deck: the samples of this shard.
        maker: makes samples.
        run: what `run.json` holds.
    """

    config: GenerateConfig
    backgrounds: Backgrounds
    references: ReferenceBank
    augmenter: Augmenter
    deck: SampleDeck
    maker: SampleMaker
    run: dict[str, Any]


def prepare_run(config: GenerateConfig) -> PreparedRun:
    """Read the inputs and load what is needed.

    Raises:
        ConfigurationError: an input is empty, or settings contradict each other.
        CocoError: a COCO file breaks the format.
    """
    backgrounds = read_backgrounds(config)
    reference_set = read_coco(config.references, image_root=config.references_images, fix=config.fix)
    references = ReferenceBank(reference_set)
    if not any(polyp.path.is_file() for polyp in references.polyps):
        raise ConfigurationError(f"{references.polyps[0].path}: no such picture, nor any other of {config.references}")
    augmenter = Augmenter(
        load_proposer(config.proposer, references=references, size_range=config.size_range),
        load_synthesizer(config.synthesizer, references=references),
        config.augmenter_settings(),
    )
    deck = deal_samples(config, len(backgrounds.frames))
    maker = SampleMaker(augmenter, backgrounds.frames, config.seed)
    folder = config.references if config.references.is_dir() else config.references.parent
    run = {
        "config": config.settings(),
        "inputs": {
            "backgrounds": backgrounds.name,
            "background_pictures": len(backgrounds.frames),
            **({"backgrounds_left_out": list(backgrounds.left_out)} if backgrounds.left_out else {}),
            "backgrounds_sha256": backgrounds.digest,
            "references": folder.resolve().name,
            "reference_polyps": len(references),
            "references_sha256": references.digest,
        },
        "versions": {
            "polyp_aug": polyp_aug.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "pillow": PIL.__version__,
        },
        "categories": _categories((*backgrounds.categories, *reference_set.categories)),
        "licenses": _licenses((*backgrounds.licenses, *reference_set.licenses)),
    }
    return PreparedRun(config, backgrounds, references, augmenter, deck, maker, run)


def generate(
    config: GenerateConfig,
    out: Path,
    *,
    limits: RunLimits | None = None,
    observer: Callable[[RunProgress], None] | None = None,
) -> RunProgress:
    """Make a data set, or go on with one that was begun.

    The folder's bytes depend on settings, inputs, versions and the kind of processor alone (OpenCV rounds differently
    with other vector instructions; plans don't depend on it), however often the run was killed and started
    again.

    Args:
        config: the settings.
        out: the run folder; see `run_folder`.
        limits: when to stop early.
        observer: called after every batch.

    Raises:
        ConfigurationError: see `prepare_run` and `RunFolder`.
        RunFolderBusyError: another process writes to the folder.
        StorageError: the disk is full or can't be written; what is there can be resumed.
        TooManyFailuresError: more samples failed than `limits` allow; what is there can be resumed.
    """
    limits = limits or RunLimits()
    prepared = prepare_run(config)
    _refuse_nesting(config.backgrounds, out)
    # Intel's own kernels give other pixels on other processors.
    cv2.ipp.setUseIPP(False)
    with RunFolder(out, prepared.run) as folder, ThreadPoolExecutor(ENCODER_THREADS) as encoders:
        writer = _Writer(folder, prepared, limits, encoders)
        writer.resume()
        _report(observer, writer.progress)
        waiting: list[_Encoded] = []
        done, total, size = writer.progress.done, writer.progress.total, config.batch_size
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
            folder.remove_pictures_from(prepared.deck.number(writer.progress.done))
        finish_run(out)
    return writer.progress


@dataclass(frozen=True, eq=False)
class _Encoded:
    outcome: Outcome
    files: dict[str, Future[bytes]]


class _Writer:
    """Brings outcomes into the folder, in order."""

    def __init__(
        self, folder: RunFolder, prepared: PreparedRun, limits: RunLimits, encoders: ThreadPoolExecutor
    ) -> None:
        self._folder = folder
        self._prepared = prepared
        self._limits = limits
        self._encoders = encoders
        self.progress = RunProgress(len(prepared.deck))

    def make(self, first: int) -> list[Outcome]:
        """Make the batch that starts at a position of the deck."""
        deck = self._prepared.deck
        last = min(first + self._prepared.config.batch_size, len(deck))
        return self._prepared.maker.make([deck[position] for position in range(first, last)])

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
            if position >= len(self._prepared.deck) or self._prepared.deck.number(position) != record["sample"]:
                raise RunFolderDamagedError(
                    f"{self._folder.path}: record {position + 1} of the manifest is of another run"
                )
            self.progress.count(record)
            if not _intact(self._folder.path, record):
                lost[position] = record
        size = self._prepared.config.batch_size
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
        return self._prepared.deck.number(self.progress.done)

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


def _refuse_nesting(backgrounds: Path, out: Path) -> None:
    if backgrounds.is_dir() and out.resolve().is_relative_to(backgrounds.resolve()):
        raise ConfigurationError(
            f"{out}: lies in the backgrounds' folder {backgrounds}, and would become its own input"
        )


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


def _categories(found: Sequence[CocoCategory]) -> list[dict[str, Any]]:
    """Categories by name, in order, with ids from 1; the first with a name keeps its id where that is free."""
    rows: dict[str, CocoCategory] = {}
    for category in (*found, CocoCategory(1, DEFAULT_CATEGORY)):
        if category.name not in rows:
            taken = {row.id for row in rows.values()}
            free = category.id if category.id not in taken else max(taken) + 1
            rows[category.name] = CocoCategory(free, category.name, category.supercategory)
    return [{"id": row.id, "name": row.name, "supercategory": row.supercategory} for row in rows.values()]


def _licenses(found: Sequence[CocoLicense]) -> list[dict[str, Any]]:
    """Licences by name and address, in order, with ids from 1."""
    rows = dict.fromkeys((licence.name, licence.url) for licence in found)
    return [{"id": number, "name": name, "url": url} for number, (name, url) in enumerate(rows, start=1)]


def _report(observer: Callable[[RunProgress], None] | None, progress: RunProgress) -> None:
    if observer is not None:
        observer(progress)
