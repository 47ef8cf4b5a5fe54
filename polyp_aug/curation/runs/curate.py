"""A run, curated: a new run folder with the samples that a policy keeps, and a record of all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyp_aug.curation.runs.distinct import near_duplicates
from polyp_aug.curation.runs.helpers import Helpers
from polyp_aug.curation.runs.judged import JudgedSample
from polyp_aug.curation.runs.measuring import Scorer, measure_samples
from polyp_aug.curation.runs.policy import HardestRule, Policy
from polyp_aug.curation.runs.refining import RefinedAnnotations
from polyp_aug.curation.runs.report import NOTES, curation_report, write_sheets
from polyp_aug.curation.runs.verdicts import not_hardest
from polyp_aug.curation.runs.writing import write_records
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.report import Table, digest_of, make_folder, versions, write_report
from polyp_aug.generation.finish import finish_run
from polyp_aug.generation.run_folder import (
    FRAMES,
    MANIFEST_NAME,
    REMOVAL,
    RUN_NAME,
    RunFolder,
    read_records,
    read_run,
    task_of,
)

#: Folder of the scores in a curated run.
SCORES_FOLDER = "scores"

#: The setting of a curated run that lists how it was curated, once for each time.
SETTING = "curation"

#: Told what is done, how much of it, and of how much.
Observer = Callable[[str, int, int], None]

_PACKAGES = ("numpy", "opencv-python-headless")


@dataclass(frozen=True)
class Curation:
    """A curated run: its report, in JSON types, and the report's tables."""

    report: dict[str, Any]
    tables: Sequence[Table]


def curate(
    run: Path, out: Path, policy: Policy, helpers: Helpers | None = None, observer: Observer | None = None
) -> Curation:
    """Apply a policy to a run, and write a new run folder with what it keeps, or go on with one that was begun.

    Nothing is deleted: the run stays as it is, and the new manifest holds every sample of the old one, kept or, as
    `rejected`, with the reasons and scores of its polyps. A frame whose polyp is rejected leaves the new set, since its
    pixels still show it. Objects that were in frames before stay untouched. Equal inputs give equal bytes.

    Beside the files of a run folder it writes `scores/`, `report.json`, `report.md`, `kept.png` and `rejected.png`.

    Args:
        run: run folder that paints polyps into frames, or makes whole frames; all of its records are held in memory.
        out: the folder to make.
        policy: the rules.
        helpers: what rules need beside the run.
        observer: told of the progress.

    Raises:
        ConfigurationError: the run removes polyps, the policy doesn't fit it or lacks something, or `out` holds
            something else.
        RunConfigurationChanged: `out` was made with other settings, or of another run.
        RunFolderBusyError: another process writes to `out`.
        RunFolderDamagedError: a record or a picture can't be trusted.
        ImageError: a picture can't be read.
        CocoError: a COCO file breaks the format.
        StorageError: a file can't be written; what is there can be resumed.
    """
    helpers = helpers or Helpers()
    source = read_run(run)
    _check(run, out, source, policy, helpers)
    step = {
        "source_sha256": digest_of([run / RUN_NAME, run / MANIFEST_NAME]),
        "policy": policy.to_dict(),
        **helpers.facts(),
        "versions": versions(_PACKAGES),
    }
    config = source["config"] | {SETTING: [*source["config"].get(SETTING, []), step]}
    with RunFolder(out, source | {"config": config}) as folder:
        samples = [JudgedSample(record) for record in read_records(run)]
        made = [sample for sample in samples if sample.made]
        make_folder(out / SCORES_FOLDER)
        stage = _Stage(run, out / SCORES_FOLDER, observer)
        if policy.refiner is not None:
            stage.measure(RefinedAnnotations(policy.refiner, helpers.segmenter), made)
            for sample in made:
                sample.refine()
        for scorer in helpers.scorers(policy, whole=task_of(source) == FRAMES):
            stage.measure(scorer, made)
        for sample in made:
            sample.judge(policy)
        stage.apply_set_rules(policy, helpers, made)
        write_records(folder, run, [sample.outcome() for sample in samples], stage.told("samples"))
        report, tables = curation_report(policy, step, samples)
        write_sheets(out, run, samples)
        write_report(out, "A curated run", report, tables, NOTES)
        finish_run(out)
    return Curation(report, tables)


@dataclass(frozen=True)
class _Stage:
    """Measuring samples of a run, into a folder of scores."""

    run: Path
    scores: Path
    observer: Observer | None

    def told(self, what: str) -> Callable[[int, int], None] | None:
        """The observer of one stage."""
        observer = self.observer
        return None if observer is None else lambda done, total: observer(what, done, total)

    def measure(self, scorer: Scorer, samples: Sequence[JudgedSample]) -> None:
        """Add a family of scores to what was measured of samples."""
        records = [sample.record for sample in samples]
        file = self.scores / f"{scorer.family}.jsonl"
        found = measure_samples(scorer, self.run, records, file, self.told(scorer.family))
        for sample, measured in zip(samples, found, strict=True):
            for known, new in zip(sample.measured, measured, strict=True):
                known |= new

    def apply_set_rules(self, policy: Policy, helpers: Helpers, samples: Sequence[JudgedSample]) -> None:
        """Apply the rules about the set, in their order, each to what the ones before it left."""
        for number, rule in enumerate(policy.set_rules):
            left = [sample for sample in samples if sample.kept]
            if isinstance(rule, HardestRule):
                reasons = not_hardest(rule, [sample.measured for sample in left])
            else:
                file = self.scores / f"{rule.name}_{number}.jsonl"
                records = [sample.record for sample in left]
                reasons = near_duplicates(rule, self.run, records, file, helpers.extractor, self.told(rule.name))
            for sample, reason in zip(left, reasons, strict=True):
                if reason is not None:
                    sample.leave(rule.name, reason)


def _check(run: Path, out: Path, source: Mapping[str, Any], policy: Policy, helpers: Helpers) -> None:
    if task_of(source) == REMOVAL:
        raise ConfigurationError(f"{run}: a run that removes polyps, expected one that paints them")
    if policy.refiner == "difference" and task_of(source) == FRAMES:
        raise ConfigurationError(
            f"{run}: a run of whole frames, which has no frame before: refine by sam, or not at all"
        )
    if out.resolve().is_relative_to(run.resolve()) or run.resolve().is_relative_to(out.resolve()):
        raise ConfigurationError(f"{out}: lies in the run {run}, or holds it; expected another folder")
    helpers.check(policy)
