"""A run folder as one HTML file that needs no network and no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from polyp_aug.coco import read_coco
from polyp_aug.coco.read import annotations_file
from polyp_aug.errors import ConfigurationError
from polyp_aug.generation.facts import readable
from polyp_aug.generation.run_folder import FRAMES, task_of
from polyp_aug.images import write_bytes
from polyp_aug.reporting.charts import whisker_chart
from polyp_aug.reporting.command import command_of, shell_lines
from polyp_aug.reporting.distribution_view import distributions
from polyp_aug.reporting.distributions import Measured, measure_dataset
from polyp_aug.reporting.evaluations import EvaluationReport, markdown_text, read_evaluation, whisker_columns
from polyp_aug.reporting.page import render_page
from polyp_aug.reporting.pictures import read_pair
from polyp_aug.reporting.provenance import (
    file_table,
    own_command,
    relation,
    run_files,
    untold,
    version_table,
)
from polyp_aug.reporting.run_state import RunState
from polyp_aug.reporting.run_tables import (
    count_tables,
    failure_tables,
    glance,
    method_tables,
    source_tables,
    split_notices,
    texts_of,
)
from polyp_aug.reporting.survey import Survey, survey_run
from polyp_aug.reporting.tables import PageTable, page_table

#: Pairs of pictures that are shown, unless said otherwise.
SAMPLES = 12


@dataclass(frozen=True)
class MeasuredTable:
    """A table of an evaluation, with a chart for each of its columns that has intervals."""

    table: PageTable
    charts: tuple[Markup, ...]


@dataclass(frozen=True)
class EvaluationView:
    """An evaluation, as the page shows it.

    Attributes:
        title: its heading.
        folder: its name.
        here: whether it measured this run, as far as digests tell.
        relation: the same in a sentence.
        tables: its tables.
        notes: how its figures came about.
        sources: what it measured, its versions and its seed.
    """

    title: str
    folder: str
    here: bool
    relation: str
    tables: tuple[MeasuredTable, ...]
    notes: Markup
    sources: tuple[PageTable, ...]


def report_run(
    run: Path,
    out: Path,
    *,
    evaluations: Sequence[Path] = (),
    real: Path | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
) -> RunState:
    """Write the report of a run; equal files and arguments give equal bytes.

    Args:
        run: the run folder, which is not changed. It may be unfinished; the report says so.
        out: the file to write, its name ending in ".html".
        evaluations: folders with `report.json` and `report.md`, shown in this order.
        real: COCO set whose objects stand beside the run's; None takes those that the run's frames have.
        samples: most pairs of pictures to show; 0 shows none.
        seed: of the choice of samples.

    Returns:
        How far the run is.

    Raises:
        CocoError: a COCO file is damaged.
        ConfigurationError: `run` is no run folder, `evaluations` has none, or `out` or `samples` is wrong.
        RunFolderDamagedError: a record or a picture of the run can't be trusted.
        StorageError: the report can't be written.
    """
    if out.suffix.lower() != ".html" or out.resolve() == (run / "index.html").resolve():
        raise ConfigurationError(f"'out' must be a file ending in .html, and not the run's gallery (got {out})")
    if samples < 0:
        raise ConfigurationError(f"'samples' must not be negative (got {samples})")
    found = [read_evaluation(folder) for folder in evaluations]
    survey = survey_run(run, samples=samples, seed=seed)
    kinds = _kinds(survey, real)
    read = [*run_files(survey), *(file for evaluation in found for file in evaluation.files)]
    read += [annotations_file(real)] if real is not None else []
    texts, command = texts_of(survey.run), command_of(survey.run)
    content: dict[str, object] = {
        "title": survey.title,
        "state": survey.state,
        "head": markdown_text(
            texts.head.format(made=f"{survey.statistics.made:,}", painted=f"{glance(survey)[1][0]:,}"), titles=False
        ),
        "noun": texts.noun,
        "others": texts.others,
        "whole_frames": task_of(survey.run) == FRAMES,
        "glance": glance(survey),
        "count_tables": count_tables(survey),
        "source_tables": source_tables(survey),
        "notices": split_notices(survey),
        "method_tables": method_tables(survey),
        "command": command,
        "distributions": distributions(kinds),
        "compared": len([kind for kind in kinds if len(kind.sizes)]) > 1,
        "pairs": [read_pair(run, record) for record in survey.shown],
        "made": survey.statistics.made,
        "seed": seed,
        "failure_tables": failure_tables(survey),
        "rejected_pairs": [read_pair(run, record) for record in survey.shown_rejections],
        "skips": [_skip(record) for record in survey.shown_skips],
        "skipped": survey.statistics.skipped,
        "evaluations": [_view(evaluation, run) for evaluation in found],
        "limits": markdown_text(texts.limits, titles=False),
        "file_table": file_table(read),
        "version_table": version_table(survey),
        "own_command": shell_lines(own_command(run, evaluations, real, samples, seed)),
        "untold": untold(survey),
    }
    write_bytes(out, render_page(content))
    return survey.state


def _kinds(survey: Survey, real: Path | None) -> list[Measured]:
    """What was painted, what was there, and the real set."""
    texts, measures = texts_of(survey.run), survey.measures
    origin = "removed" if survey.statistics.removed else "synthetic"
    kinds = [measures.measured(texts.noun, origin)]
    kinds += [measures.measured(texts.others, "source")] if texts.others else []
    if real is not None:
        kinds.append(measure_dataset(f"real: {readable(real.resolve().name)}", read_coco(real)))
    return kinds


def _skip(record: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    return record["sample"], tuple(readable(str(reason)) for reason in record["reasons"][:8])


def _view(evaluation: EvaluationReport, run: Path) -> EvaluationView:
    here, sentence = relation(evaluation, run)
    tables = tuple(
        MeasuredTable(
            page_table(table.title, table.columns, table.rows),
            tuple(
                whisker_chart(rows, title=column, label=f"{table.title}: {column}, values and intervals of the table.")
                for column, rows in whisker_columns(table)
            ),
        )
        for table in evaluation.tables
    )
    sets = [(", ".join(path) or "the set", found) for path, found in evaluation.digests()]
    facts = [*([("seed", evaluation.seeds())] if evaluation.seeds() else []), *evaluation.versions().items()]
    sources = (
        page_table("What it measured, by the digests of its report.json", ("Set", "Digest"), sets),
        page_table("Its seed and versions", ("What", "Value"), facts),
    )
    return EvaluationView(
        readable(evaluation.title),
        readable(evaluation.folder.resolve().name),
        here,
        sentence,
        tables,
        evaluation.notes,
        tuple(table for table in sources if table.rows),
    )
