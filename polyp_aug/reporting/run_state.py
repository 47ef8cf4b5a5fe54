"""Whether a run has ended, as far as its folder tells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyp_aug.coco import CocoDataset
from polyp_aug.errors import RunFolderDamagedError
from polyp_aug.generation.finish import ANNOTATIONS_NAME
from polyp_aug.generation.run_folder import FRAMES, MANIFEST_NAME, REMOVAL, RUN_NAME, planned_samples, task_of

#: Tasks whose settings are understood.
KNOWN_TASKS = ("", FRAMES, REMOVAL)


@dataclass(frozen=True)
class RunState:
    """How far a run is.

    Attributes:
        done: samples that have a record.
        expected: samples that the run was to make; None where `run.json` doesn't say.
        problems: what shows that it has not ended, one sentence each; empty where nothing does.
    """

    done: int
    expected: int | None
    problems: tuple[str, ...]

    @property
    def finished(self) -> bool:
        """Whether nothing shows that the run has not ended."""
        return not self.problems


def expected_samples(run: Mapping[str, Any]) -> int | None:
    """Samples that a run, or its shard, was to make; None where `run.json` doesn't say.

    Of tasks that are not in `KNOWN_TASKS` nothing is known.

    Args:
        run: what `run.json` holds.

    Raises:
        RunFolderDamagedError: a number that it needs is no number.
    """
    config = run["config"]
    if task_of(run) not in KNOWN_TASKS:
        return None
    try:
        total = planned_samples(run)
        if total is None:
            return None
        shard = re.fullmatch(r"(\d+)/(\d+)", str(config.get("shard", "1/1")))
        if shard is None or not 1 <= int(shard[1]) <= int(shard[2]):
            raise ValueError(f"shard is {config['shard']!r}, expected i/n")
        return len(range(int(shard[1]) - 1, total, int(shard[2])))
    except KeyError as error:
        raise RunFolderDamagedError(f"{RUN_NAME}: no setting {error}") from error
    except (TypeError, ValueError) as error:
        raise RunFolderDamagedError(f"{RUN_NAME}: {error}") from error


def look_at_state(
    folder: Path, run: Mapping[str, Any], dataset: CocoDataset | None, *, made: int, skipped: int, objects: int
) -> RunState:
    """Compare the manifest with what the run was to make, and with its COCO file.

    Args:
        folder: the run folder.
        run: what `run.json` holds.
        dataset: what its COCO file holds; None where there is none.
        made: samples that were made.
        skipped: samples that were not.
        objects: objects that are annotated.

    Raises:
        RunFolderDamagedError: there are more records than samples.
    """
    done, expected = made + skipped, expected_samples(run)
    problems = []
    if expected is not None and done > expected:
        raise RunFolderDamagedError(f"{folder / MANIFEST_NAME}: {done} records, but the run has {expected} samples")
    if expected is not None and done < expected:
        problems.append(f"{done:,} of {expected:,} samples have a record.")
    if _ends_within_a_line(folder / MANIFEST_NAME):
        problems.append(f"The last line of {MANIFEST_NAME} is incomplete: a process was killed, or is still writing.")
    if dataset is None:
        problems.append(f"There is no {ANNOTATIONS_NAME}, which is written at the end.")
    elif (len(dataset.images), len(dataset.annotations)) != (made, objects):
        problems.append(
            f"{ANNOTATIONS_NAME} has {len(dataset.images):,} frames and {len(dataset.annotations):,} objects, the "
            f"manifest {made:,} and {objects:,}: the run was continued and has not ended since."
        )
    return RunState(done, expected, tuple(problems))


def _ends_within_a_line(file: Path) -> bool:
    if not file.is_file() or not file.stat().st_size:
        return False
    with open(file, "rb") as stream:
        stream.seek(-1, 2)
        return stream.read(1) != b"\n"
