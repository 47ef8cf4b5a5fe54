"""Synthesizers on several data sets, measured alike: each cell of the tables is measured once and kept.

::

    cells/DATA/METHOD.json   what was measured, and what it was measured of
    cache/                   features, see `feature_cache`
    report.json, report.md   the tables
    results.csv              a line for each measure of each cell
    MEASURE-NETWORK.png      methods from top to bottom, data sets beside one another
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyp_aug import __version__
from polyp_aug.evaluation.compare_plots import plot_comparison
from polyp_aug.evaluation.compare_spec import Comparison
from polyp_aug.evaluation.compare_tables import comparison_notes, comparison_rows, comparison_tables, rows_csv
from polyp_aug.evaluation.feature_cache import FeatureCache
from polyp_aug.evaluation.features import PictureExtractor
from polyp_aug.evaluation.image_measures import measure, measure_diversity
from polyp_aug.evaluation.images import SetSource, list_sets, protocol, set_facts
from polyp_aug.evaluation.perceptual import PerceptualNetwork
from polyp_aug.evaluation.picture_sets import Choice, PictureSet
from polyp_aug.evaluation.polyp_tables import REAL, TRAIN
from polyp_aug.evaluation.report import Table, make_folder, versions, write_report
from polyp_aug.images import write_bytes

CELLS_NAME = "cells"
CSV_NAME = "results.csv"

#: Version of a cell's file.
FORMAT = 1


@dataclass(frozen=True)
class ComparisonResult:
    """A report, in JSON types, and its tables."""

    report: dict[str, Any]
    tables: tuple[Table, ...]


def compare_methods(
    comparison: Comparison,
    extractors: Sequence[PictureExtractor],
    out: Path,
    *,
    cache: Path | None = None,
    observer: Callable[[str], None] | None = None,
) -> ComparisonResult:
    """Measure every method on every data set that it was used on, and write tables, CSV and plots.

    A cell is taken from `out` where pictures, networks and settings are those that it was measured with. All methods of
    a data set are brought to one size (see `picture_sets.common_side`).

    Args:
        comparison: what is compared.
        extractors: those that it names.
        out: folder to write.
        cache: folder for features; `out/cache` for None.
        observer: called with each cell when it is begun, or found.

    Raises:
        ConfigurationError: a set is too small, or real sets share patients.
        CocoError: a COCO file breaks the format.
        ImageError: a frame can't be read.
        MissingDependencyError: matplotlib is not installed.
        StorageError: a file can't be written.
    """
    network, store = PerceptualNetwork(), FeatureCache(cache or out / "cache")
    cells: list[dict[str, Any]] = []
    data: dict[str, Any] = {}
    for name, real in comparison.data.items():
        methods = comparison.methods_of(name)
        choice, sets, seen = list_sets(
            SetSource(real.real),
            None if real.train is None else SetSource(real.train),
            {
                method: SetSource(comparison.methods[method][name], every_object=method in comparison.every_object)
                for method in methods
            },
            Choice(comparison.crops, comparison.with_polyps, comparison.count, comparison.seed),
        )
        data[name] = {"protocol": protocol(choice), "sets": {key: set_facts(item) for key, item in sets.items()}}
        for method in [TRAIN] * (TRAIN in sets) + methods:
            file = out / CELLS_NAME / name / f"{method}.json"
            settings = _settings(sets, seen, method, choice, extractors, network)
            found = _stored(file, settings)
            if observer is not None:
                observer(f"{name}, {method}: " + ("measured before" if found is not None else "measuring"))
            if found is None:
                found = _measure(sets, seen, method, extractors, network, store, choice.seed)
                make_folder(file.parent)
                content = {"settings": settings, "measured": found}
                write_bytes(file, (json.dumps(content, indent=2, ensure_ascii=True) + "\n").encode())
            cells.append({"data": name, "method": method, **found})
    report = {
        "seed": comparison.seed,
        "extractors": [{"name": item.name, "label": item.label, "revision": item.revision} for item in extractors],
        "diversity": network.name,
        "data": data,
        "cells": cells,
        "warnings": [f"{cell['data']}, {cell['method']}: {text}" for cell in cells for text in cell["warnings"]],
        "versions": versions(("torch", "numpy", "scipy", "opencv-python-headless")),
    }
    rows = comparison_rows(report)
    tables = comparison_tables(report, rows)
    make_folder(out)
    write_bytes(out / CSV_NAME, rows_csv(rows))
    plot_comparison(rows, out)
    write_report(out, "Synthesizers beside real pictures", report, tables, comparison_notes(report))
    return ComparisonResult(report, tables)


def _settings(
    sets: Mapping[str, PictureSet],
    seen: PictureSet | None,
    method: str,
    choice: Choice,
    extractors: Sequence[PictureExtractor],
    network: PerceptualNetwork,
) -> dict[str, Any]:
    """Everything that decides what a cell holds, in JSON types."""
    return {
        "format": FORMAT,
        "version": __version__,
        "seed": choice.seed,
        "pictures": {"real": sets[REAL].digest, "method": sets[method].digest},
        "train": None if seen is None else seen.digest,
        "networks": [*(item.revision for item in extractors), network.revision],
    }


def _stored(file: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a cell's file holds, if it was measured with these settings."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("settings") != settings:
        return None
    return dict(content["measured"])


def _measure(
    sets: Mapping[str, PictureSet],
    seen: PictureSet | None,
    method: str,
    extractors: Sequence[PictureExtractor],
    network: PerceptualNetwork,
    store: FeatureCache,
    seed: int,
) -> dict[str, Any]:
    networks, warnings = [], []
    for extractor in extractors:
        found = measure(sets[REAL], [sets[method]], extractor, store, train=seen, seed=seed).report
        measures = {key: by_set[method] for key, by_set in found["measures"].items() if method in by_set}
        networks.append({"label": found["label"], "measures": measures})
        warnings += found["warnings"]
    return {
        "pictures": len(sets[method].pictures),
        "networks": networks,
        "diversity": measure_diversity([sets[method]], network, store, seed=seed)[method],
        "warnings": warnings,
    }
