"""Where a report's numbers come from, and what a run folder can't tell."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from polyp_aug import __version__
from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.report import digest_of
from polyp_aug.generation.facts import flatten, readable
from polyp_aug.generation.finish import ANNOTATIONS_NAME
from polyp_aug.generation.run_folder import MANIFEST_NAME, RUN_NAME
from polyp_aug.reporting.evaluations import EvaluationReport
from polyp_aug.reporting.survey import Survey
from polyp_aug.reporting.tables import PageTable, page_table


def file_table(files: Iterable[Path]) -> PageTable:
    """The files that a report was made from, with their sizes and SHA-256.

    Raises:
        ConfigurationError: a file can't be read.
    """
    rows = []
    for file in files:
        try:
            with open(file, "rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            rows.append((f"{file.resolve().parent.name}/{file.name}", file.stat().st_size, digest))
        except OSError as error:
            raise ConfigurationError(f"{file}: can't be read ({error.strerror or error})") from error
    return page_table("Files that this report was made from", ("File", "Bytes", "SHA-256"), rows)


def run_files(survey: Survey) -> list[Path]:
    """The files of the run that a report reads, as far as they are there."""
    files = (survey.folder / name for name in (RUN_NAME, MANIFEST_NAME, ANNOTATIONS_NAME))
    return [file for file in files if file.is_file()]


def version_table(survey: Survey) -> PageTable:
    """Versions that made the run, and the one that made the report."""
    rows = [("polyp_aug, which made this report", __version__), *flatten(survey.run["versions"])]
    return page_table("Versions", ("Package", "Version"), rows)


def relation(evaluation: EvaluationReport, folder: Path) -> tuple[bool, str]:
    """Whether an evaluation measured a run, and a sentence that says so.

    Reports name what they measured by the digest of a COCO file or a manifest. A manifest names the run. A COCO file
    may be that of another run too, with the same masks on other pictures.

    Args:
        evaluation: the report.
        folder: the run folder.
    """
    own = [folder / name for name in (MANIFEST_NAME, ANNOTATIONS_NAME)]
    manifest, annotations = (digest_of([file]) if file.is_file() else "" for file in own)
    found = evaluation.digests()
    names = {digest: ", ".join(path[-1] for path, other in found if path and other == digest) for _, digest in found}
    if manifest in names:
        return True, "It measured this run: the digests of the manifests are equal."
    if annotations in names:
        known = f", as {readable(names[annotations])}" if names[annotations] else ""
        return True, f"It measured a set with this run's annotations{known}: the digests are equal."
    if found:
        return False, "None of the digests that it names is this run's: its figures are about other sets."
    return False, "It names no set by a digest: whether it measured this run can't be told."


def untold(survey: Survey) -> list[str]:
    """What can't be told from a run folder, one sentence or two each."""
    made = survey.statistics.made
    found = [
        "When, by whom and on which machine the run was made. Equal settings and inputs give equal bytes, so nothing "
        "of that is written down.",
        "The command as it was typed. The command above follows from the settings; paths are not recorded, only names "
        "and digests.",
        "Whether the inputs are still the same. Their digests say what they were; this report has not read them.",
        "Whether the pictures are good. Only people and the measurements above can say that; no physician has looked.",
    ]
    if survey.state.expected is None:
        found.append(
            f"Whether more samples were to be made. The settings name no number; {survey.state.done:,} have a record."
        )
    if survey.without_group:
        found.append(
            f"Of which patient or sequence {survey.without_group:,} of {made:,} frames are: whether they share one "
            "with another set can't be checked."
        )
    unlicensed = sum(count for (_, _, licence), count in survey.statistics.backgrounds.items() if not licence)
    if unlicensed:
        found.append(f"Under which licence {unlicensed:,} of {made:,} frames stand: it isn't recorded.")
    return found


def own_command(run: Path, evaluations: Sequence[Path], real: Path | None, samples: int, seed: int) -> list[str]:
    """The words of the command that makes a report, with names in the place of paths."""
    words = ["polyp-aug", "report", run.resolve().name]
    for folder in evaluations:
        words += ["--evaluation", folder.resolve().name]
    words += ["--real", real.resolve().name] if real is not None else []
    return [*words, "--samples", str(samples), "--seed", str(seed), "--out", "report.html"]
