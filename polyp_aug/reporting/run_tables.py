"""Tables of a run: counts, sources and licences, inputs, settings, and what failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyp_aug.generation.card import MAX_ROWS
from polyp_aug.generation.card_texts import ADDED, MADE, REMOVED, CardTexts
from polyp_aug.generation.facts import flatten
from polyp_aug.generation.run_folder import FRAMES, REMOVAL, task_of
from polyp_aug.reporting.survey import Survey
from polyp_aug.reporting.tables import PageTable, page_table


def texts_of(run: Mapping[str, Any]) -> CardTexts:
    """The card's wording for a run.

    Args:
        run: what `run.json` holds.
    """
    return {REMOVAL: REMOVED, FRAMES: MADE}.get(task_of(run), ADDED)


def painted_of(survey: Survey) -> int:
    """Objects that were painted, or painted over."""
    return survey.statistics.synthetic + survey.statistics.removed


def glance(survey: Survey) -> list[tuple[int, str]]:
    """The first numbers of the page, and what they count."""
    statistics, texts = survey.statistics, texts_of(survey.run)
    numbers = [(statistics.made, "frames made"), (painted_of(survey), texts.noun)]
    numbers += [(statistics.source, texts.others)] if texts.others else []
    return [*numbers, (statistics.skipped, "samples skipped"), (survey.rejected, "polyps rejected")]


def count_tables(survey: Survey) -> list[PageTable]:
    """How many of what."""
    statistics, noun = survey.statistics, texts_of(survey.run).noun
    rows: list[tuple[object, ...]] = [
        ("samples with a record", survey.state.done),
        (
            "samples that the run was to make",
            "not recorded" if survey.state.expected is None else survey.state.expected,
        ),
        *((what, number) for number, what in glance(survey)),
        ("different frames that they were made from", survey.backgrounds),
        ("different patients or sequences of these, where named", survey.groups),
        ("different reference polyps", len(statistics.references)),
        ("bytes of all pictures", survey.bytes),
    ]
    tables = [page_table("Counts", ("What", "Number"), rows)]
    single = noun.removesuffix("s")
    per_frame = [(f"{number} {single if number == 1 else noun}", count) for number, count in _per_frame(survey)]
    tables.append(page_table("Frames by what was painted in them", ("In a frame", "Frames"), per_frame))
    tables.append(page_table("Objects that are annotated", ("Category", "Objects"), statistics.categories.items()))
    return [table for table in tables if table.rows]


def source_tables(survey: Survey) -> list[PageTable]:
    """What the frames were made from, under which licence, and which reference polyps were used most."""
    statistics, texts = survey.statistics, texts_of(survey.run)
    used = ((texts.frame, statistics.backgrounds), ("reference polyp", statistics.reference_sources))
    sources = [
        (use, *(name or "not recorded" for name in source), count)
        for use, counts in used
        for source, count in counts.items()
    ]
    licences = [(row["name"], row["url"] or "no address recorded") for row in _rows(survey.run["licenses"])]
    top = sorted(statistics.references.items(), key=lambda item: (-item[1], item[0]))
    shown = f", the {MAX_ROWS} that were used most of {len(top):,}" if len(top) > MAX_ROWS else ""
    tables = [
        page_table("Sources and their licences", ("Used as", "Data set", "Split", "Licence", "Number"), sources),
        page_table("Licences of the inputs", ("Licence", "Address"), licences),
        page_table("Inputs, as run.json names them", ("Input", "Value"), flatten(survey.run["inputs"])),
        page_table(f"Reference polyps{shown}", ("Reference", "Times used"), top[:MAX_ROWS]),
    ]
    return [table for table in tables if table.rows]


def split_notices(survey: Survey) -> list[str]:
    """What follows for measuring from the splits that the sources belong to."""
    statistics, texts = survey.statistics, texts_of(survey.run)
    used = ((f"{texts.frame}s", statistics.backgrounds), ("reference polyps", statistics.reference_sources))
    found = []
    for use, counts in used:
        splits: dict[str, int] = {}
        for (_, split, _), count in counts.items():
            if split not in ("", "train"):
                splits[split] = splits.get(split, 0) + count
        found += [
            f"{use.capitalize()} come from the split “{split}” ({count:,} times). What is trained on this set must not "
            "be measured on that split."
            for split, count in sorted(splits.items())
        ]
    return found


def method_tables(survey: Survey) -> list[PageTable]:
    """How it was made: methods and settings."""
    noun = texts_of(survey.run).noun
    methods = [(*method, count) for method, count in survey.statistics.methods.items()]
    tables = [
        page_table("Methods", ("Where (proposer)", "What (synthesizer)", noun.capitalize()), methods),
        page_table("Settings", ("Setting", "Value"), flatten(survey.run["config"])),
    ]
    return [table for table in tables if table.rows]


def failure_tables(survey: Survey) -> list[PageTable]:
    """What failed, by reason."""
    statistics = survey.statistics
    reasons = [
        (what, failure.reason, failure.count, failure.example)
        for what, failures in (("sample skipped", statistics.skips), ("polyp rejected", statistics.rejections))
        for failure in failures[:MAX_ROWS]
    ]
    tables = [
        page_table("Reasons", ("What", "Reason", "Times", "First example"), reasons),
        page_table("Frames that could not be read", ("Frame", "Samples that lost it"), statistics.unreadable.items()),
    ]
    return [table for table in tables if table.rows]


def _per_frame(survey: Survey) -> list[tuple[int, int]]:
    return list(survey.statistics.polyps_per_frame.items())


def _rows(licences: object) -> list[Mapping[str, str]]:
    """The licences of `run.json` that are written as they should be."""
    found = licences if isinstance(licences, list) else []
    return [
        {"name": str(row.get("name", "")), "url": str(row.get("url", ""))} for row in found if isinstance(row, Mapping)
    ]
