"""One pass over a run folder: counts, measures, what it lacks, and the samples that a report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyp_aug.coco import read_coco
from polyp_aug.coco.paths import relative_name
from polyp_aug.errors import CocoError, RunFolderDamagedError
from polyp_aug.generation.facts import readable
from polyp_aug.generation.finish import ANNOTATIONS_NAME
from polyp_aug.generation.run_folder import MANIFEST_NAME, RUN_NAME, read_records, read_run
from polyp_aug.generation.samples import PAINTED
from polyp_aug.generation.tally import CardStatistics, Tally, reason_of
from polyp_aug.reporting.choice import SpreadChoice
from polyp_aug.reporting.distributions import RunMeasures
from polyp_aug.reporting.run_state import RunState, look_at_state

#: Sections of `run.json` that a report needs.
_SECTIONS: Mapping[str, type] = {
    "config": Mapping,
    "inputs": Mapping,
    "versions": Mapping,
    "categories": Sequence,
    "licenses": Sequence,
}


@dataclass(frozen=True, eq=False)
class Survey:
    """A run folder, looked through.

    Attributes:
        folder: the run folder.
        run: what `run.json` holds.
        title: of its COCO file; the folder's name where there is none.
        statistics: the card's counts.
        state: whether the run has ended.
        measures: sizes and places of the objects.
        backgrounds: different backgrounds of the frames that were made.
        groups: different patients or sequences of these, where they are named.
        without_group: frames whose background names none.
        bytes: of all pictures.
        rejected: objects that were rejected in frames that were made.
        shown: records of made samples to show.
        shown_rejections: records of made samples of which an object was rejected, to show.
        shown_skips: records of skipped samples to show.
    """

    folder: Path
    run: Mapping[str, Any]
    title: str
    statistics: CardStatistics
    state: RunState
    measures: RunMeasures
    backgrounds: int
    groups: int
    without_group: int
    bytes: int
    rejected: int
    shown: Sequence[Mapping[str, Any]]
    shown_rejections: Sequence[Mapping[str, Any]]
    shown_skips: Sequence[Mapping[str, Any]]


def survey_run(folder: Path, *, samples: int, seed: int) -> Survey:
    """Read a run folder; pictures are not opened, but they must be there with the sizes that the manifest names.

    Args:
        folder: the run folder.
        samples: most samples to show, of those that were made, of those with rejected objects, and of skipped ones.
        seed: of the choice of samples.

    Raises:
        CocoError: the COCO file is damaged.
        ConfigurationError: it is not a run folder.
        RunFolderDamagedError: `run.json`, a record or a picture can't be trusted.
    """
    run = read_run(folder)
    for name, kind in _SECTIONS.items():
        if not isinstance(run.get(name), kind) or isinstance(run[name], str):
            raise RunFolderDamagedError(f"{folder / RUN_NAME}: {name!r} is {run.get(name)!r}, expected another type")
    tally, measures = Tally(), RunMeasures()
    shown, rejections, skips = (SpreadChoice(samples, seed=seed, purpose=name) for name in ("made", "rejected", "skip"))
    files: set[str] = set()
    groups: set[str] = set()
    without_group = size = rejected = 0
    last = -1
    for record in tally.through(read_records(folder)):
        if record["sample"] <= last:
            raise RunFolderDamagedError(
                f"{folder / MANIFEST_NAME}: sample {record['sample']} comes after {last}, expected rising numbers"
            )
        last = record["sample"]
        if record["status"] != "made":
            skips.offer(reason_of(str(record["reasons"][0])) if record["reasons"] else "", record)
            continue
        try:
            size += _check_pictures(folder, record)
            measures.add(record)
            background = record["background"]
            files.add(background["file"])
            groups.update([background["group"]] if background.get("group") else [])
            without_group += not background.get("group")
            shown.offer(_source(record), record)
        except RunFolderDamagedError:
            raise
        except KeyError as error:
            raise RunFolderDamagedError(f"{folder}: sample {last}: no field {error}") from error
        except (TypeError, ValueError) as error:
            raise RunFolderDamagedError(f"{folder}: sample {last}: {error}") from error
        rejected += len(record["rejections"])
        if record["rejections"]:
            rejections.offer(reason_of(str(record["rejections"][0])), record)
    statistics = tally.statistics()
    dataset = read_coco(folder) if (folder / ANNOTATIONS_NAME).is_file() else None
    described = dataset.info.get("description") if dataset else None
    return Survey(
        folder=folder,
        run=run,
        title=readable(described or folder.resolve().name),
        statistics=statistics,
        state=look_at_state(
            folder,
            run,
            dataset,
            made=statistics.made,
            skipped=statistics.skipped,
            objects=sum(statistics.categories.values()),
        ),
        measures=measures,
        backgrounds=len(files),
        groups=len(groups),
        without_group=without_group,
        bytes=size,
        rejected=rejected,
        shown=shown.chosen(),
        shown_rejections=rejections.chosen(),
        shown_skips=skips.chosen(),
    )


def _source(record: Mapping[str, Any]) -> str:
    """Data sets and splits of the background and of the first polyp's reference."""
    provenances = (item["provenance"] for item in record["objects"] if item["origin"] in PAINTED)
    painted: Mapping[str, Any] = next(provenances, {})
    details = painted.get("details", {})
    reference = details.get("start", details).get("reference_source", {})
    return "\0".join(
        str(source.get(name, "")) for source in (record["background"], reference) for name in ("dataset", "split")
    )


def _check_pictures(folder: Path, record: Mapping[str, Any]) -> int:
    """The bytes of a sample's pictures.

    Raises:
        RunFolderDamagedError: one is missing, of another size, or named outside of the folder.
    """
    for name, size in record["bytes"].items():
        try:
            file = folder / relative_name(name) / relative_name(record["file_name"])
        except CocoError as error:
            raise RunFolderDamagedError(f"{folder}: sample {record['sample']}: {error}") from error
        if not file.is_file() or file.stat().st_size != size:
            raise RunFolderDamagedError(f"{file}: missing or not of {size} bytes; the run's own command makes it again")
    return sum(record["bytes"].values())
