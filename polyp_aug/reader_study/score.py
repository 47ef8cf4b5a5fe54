"""Scoring a study: what readers called real, how well they told sets apart, how they agreed and rated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from polyp_aug.evaluation.intervals import Floats, wilson_interval
from polyp_aug.evaluation.report import Table, digest_of, make_folder, versions, write_report
from polyp_aug.reader_study.agreement import (
    Answers,
    cohen_kappa,
    estimate_of,
    fleiss_kappa,
    mean_pairwise_kappa,
    picture_counts,
)
from polyp_aug.reader_study.answers import Reading, read_answers
from polyp_aug.reader_study.key import StudyKey, read_key
from polyp_aug.reader_study.questions import HIGHEST, LOWEST, ORIGIN, QUESTIONS, REAL
from polyp_aug.reader_study.shares import (
    binomial_p,
    blind_accuracy,
    fisher_p,
    mean_estimate,
    share_difference,
)
from polyp_aug.reader_study.tables import score_notes, score_tables

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class StudyScore:
    """A report, in JSON types, and its tables."""

    report: dict[str, Any]
    tables: tuple[Table, ...]


@dataclass(frozen=True, eq=False)
class _Study:
    """A study with its answers.

    Attributes:
        called_real: bool (readers, pictures).
        ratings: question → float64 (readers, pictures).
        sources: of each picture.
        groups: of each picture.
    """

    key: StudyKey
    readings: Sequence[Reading]
    seed: int
    called_real: Flags
    ratings: dict[str, Floats]
    sources: npt.NDArray[np.str_]
    groups: npt.NDArray[np.str_]

    def of(self, source: str) -> Flags:
        """Which pictures are of a set: bool (pictures,)."""
        return np.asarray(self.sources == source)


def score_study(key_file: Path, answer_files: Sequence[Path], out: Path, *, seed: int = 0) -> StudyScore:
    """Verify what readers saved, and write `report.json` and `report.md`.

    Args:
        key_file: the study's `key.json`.
        answer_files: what the readers saved; one file for each.
        out: folder to write.
        seed: of the bootstrap.

    Raises:
        ConfigurationError: the key or a file of answers can't be trusted; the message names file and value.
        StorageError: a file can't be written.
    """
    key = read_key(key_file)
    readings = read_answers(answer_files, key)
    study = _study(key, readings, seed)
    report: dict[str, Any] = {
        "study": key.study,
        "title": key.title,
        "questions": list(key.questions),
        "seed": seed,
        "versions": versions(("numpy", "scipy")),
        "key_sha256": digest_of([key_file]),
        "sets": {source: int(study.of(source).sum()) for source in key.sources},
        "readers": [
            {
                "reader": reading.reader,
                "started": reading.started,
                "signed": reading.signed,
                "digest": reading.digest,
                "median_seconds": round(median(reading.seconds), 1),
            }
            for reading in readings
        ],
    }
    if ORIGIN in key.questions:
        report["called_real"] = _called_real(study)
        report["telling_apart"] = _telling_apart(study)
    if study.ratings:
        report["ratings"] = _ratings(study)
    if len(readings) > 1:
        report["agreement"] = _agreement(study)
    report["pictures"] = _pictures(study)
    tables = score_tables(report)
    make_folder(out)
    write_report(out, key.title, report, tables, score_notes(key.questions))
    return StudyScore(report, tables)


def _study(key: StudyKey, readings: Sequence[Reading], seed: int) -> _Study:
    asked = ORIGIN in key.questions
    called = [[answer == REAL for answer in reading.answers[ORIGIN]] if asked else [] for reading in readings]
    return _Study(
        key=key,
        readings=readings,
        seed=seed,
        called_real=np.array(called, dtype=np.bool_),
        ratings={
            question: np.array([reading.answers[question] for reading in readings], dtype=np.float64)
            for question in key.questions
            if question != ORIGIN
        },
        sources=np.array([picture.source for picture in key.pictures]),
        groups=np.array([picture.group for picture in key.pictures]),
    )


def _mean(study: _Study, values: Floats, chosen: Flags, name: str) -> Any:
    """The mean over readers and chosen pictures. `values` is (readers, pictures)."""
    return mean_estimate(
        values.mean(axis=0)[chosen], study.groups[chosen].tolist(), seed=study.seed, name=f"reader study {name}"
    )


def _called_real(study: _Study) -> dict[str, Any]:
    """For each reader and all together, the share of each set that is called real, and how far below the real set's."""
    methods = [source for source in study.key.sources if source != REAL]
    values = study.called_real.astype(np.float64)
    pooled = {source: _mean(study, values, study.of(source), source) for source in study.key.sources}
    found: dict[str, Any] = {"readers": {}, "pooled": {}}
    for reading, called in zip(study.readings, study.called_real, strict=True):
        hits = {source: _hits(called, study.of(source)) for source in study.key.sources}
        found["readers"][reading.reader] = {
            "shares": {source: wilson_interval(*hits[source]).to_dict() for source in study.key.sources},
            "real_minus": {
                source: {**share_difference(hits[REAL], hits[source]), "p": fisher_p(hits[REAL], hits[source])}
                for source in methods
            },
        }
    found["pooled"] = {
        "shares": {source: estimate.to_dict() for source, estimate in pooled.items()},
        "real_minus": {source: pooled[REAL].minus(pooled[source]).to_dict() for source in methods},
    }
    return found


def _telling_apart(study: _Study) -> dict[str, Any]:
    """Accuracy, sensitivity (synthetic pictures that are seen) and specificity, by reader and pooled."""
    real = study.of(REAL)
    correct = study.called_real == real
    found: dict[str, Any] = {"readers": {}}
    for reading, called, right in zip(study.readings, study.called_real, correct, strict=True):
        chance = blind_accuracy(float(real.mean()), float(called.mean()))
        everywhere = np.ones_like(real)
        found["readers"][reading.reader] = {
            "accuracy": wilson_interval(*_hits(right, everywhere)).to_dict(),
            "sensitivity": wilson_interval(*_hits(right, ~real)).to_dict(),
            "specificity": wilson_interval(*_hits(right, real)).to_dict(),
            "balanced": round(float(right[real].mean() + right[~real].mean()) / 2, 8),
            "blind": round(chance, 8),
            "p": binomial_p(int(right.sum()), len(right), chance),
        }
    values = correct.astype(np.float64)
    sensitivity = _mean(study, values, ~real, "synthetic")
    specificity = _mean(study, values, real, REAL)
    found["pooled"] = {
        "accuracy": _mean(study, values, np.ones_like(real), "all").to_dict(),
        "sensitivity": sensitivity.to_dict(),
        "specificity": specificity.to_dict(),
        "balanced": sensitivity.middle(specificity).to_dict(),
    }
    return found


def _ratings(study: _Study) -> dict[str, Any]:
    """Question → set → the mean of all readers with its interval, and that of each reader."""
    return {
        question: {
            source: {
                "pooled": _mean(study, values, study.of(source), source).to_dict(),
                "readers": {
                    reading.reader: round(float(row[study.of(source)].mean()), 8)
                    for reading, row in zip(study.readings, values, strict=True)
                },
            }
            for source in study.key.sources
        }
        for question, values in study.ratings.items()
    }


def _agreement(study: _Study) -> dict[str, Any]:
    """Question → Cohen's κ of each pair, and of all readers Fleiss' (origin) or the mean of the pairs (ratings)."""
    counts = picture_counts(study.groups.tolist(), seed=study.seed, name="reader study agreement")
    found = {}
    for question in study.key.questions:
        origin = question == ORIGIN
        answers: Answers = (
            study.called_real.astype(np.int64) if origin else (study.ratings[question] - LOWEST).astype(np.int64)
        )
        categories = 2 if origin else HIGHEST - LOWEST + 1
        together = fleiss_kappa if origin else mean_pairwise_kappa
        found[question] = {
            "pairs": [
                {
                    "first": study.readings[first].reader,
                    "second": study.readings[second].reader,
                    "kappa": _kappa(
                        cohen_kappa(answers[first], answers[second], categories, counts, quadratic=not origin)
                    ),
                }
                for first, second in combinations(range(len(answers)), 2)
            ],
            "all": _kappa(together(answers, categories, counts)),
        }
    return found


def _kappa(kappas: Floats) -> dict[str, float | None] | None:
    estimate = estimate_of(kappas)
    return None if estimate is None else estimate.to_dict()


def _pictures(study: _Study) -> list[dict[str, Any]]:
    """Each picture with what the readers made of it."""
    rows = []
    for number, picture in enumerate(study.key.pictures):
        row: dict[str, Any] = {"id": picture.id, "set": picture.source, "file_name": picture.file_name}
        if ORIGIN in study.key.questions:
            row["called_real"] = int(study.called_real[:, number].sum())
        row |= {
            question: round(float(study.ratings[question][:, number].mean()), 4)
            for question in QUESTIONS
            if question in study.ratings
        }
        rows.append(row)
    return rows


def _hits(flags: Flags, chosen: Flags) -> tuple[int, int]:
    """How many of the chosen flags are set, and how many there are."""
    return int(flags[chosen].sum()), int(chosen.sum())
