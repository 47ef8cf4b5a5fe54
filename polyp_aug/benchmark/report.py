"""What a benchmark's runs add up to: means over seeds, intervals, and paired differences to real frames only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polyp_aug.benchmark.folder import BenchmarkFolder
from polyp_aug.benchmark.run import read_result
from polyp_aug.benchmark.spec import BenchmarkSpec, Run
from polyp_aug.benchmark.tables import BENCHMARK_NOTES, benchmark_tables
from polyp_aug.coco import read_coco
from polyp_aug.coco.read import annotations_file
from polyp_aug.evaluation.crops import group_of
from polyp_aug.evaluation.intervals import Floats, percentile_interval, resampled_counts
from polyp_aug.evaluation.precision_recall import Curve
from polyp_aug.evaluation.recall import IOU
from polyp_aug.evaluation.report import Table, digest_of, versions, write_report

_PACKAGES = ("torch", "mmcv", "mmengine", "mmdet", "numpy", "faster-coco-eval")
_SCORES = ("ap", "precision", "recall", "f1")


def report_benchmark(folder: BenchmarkFolder, *, seed: int = 0) -> tuple[dict[str, Any], tuple[Table, ...]]:
    """Put the runs that are done together, and write `report.json` and `report.md`.

    Args:
        folder: of the benchmark.
        seed: of the bootstrap.

    Returns:
        The report in JSON types, and its tables.

    Raises:
        CocoError: a test set breaks the format.
        ConfigurationError: a test set has fewer than ten groups.
        RunFolderDamagedError: a result can't be read.
        StorageError: a file can't be written.
    """
    spec = folder.spec
    results = {run: read_result(folder.result(run)) for run in spec.runs() if folder.result(run).exists()}
    rows: list[dict[str, Any]] = []
    facts = {}
    for name, path in spec.test.items():
        dataset = read_coco(Path(path))
        groups = [group_of(image) for image in dataset.images]
        facts[name] = {
            "annotations_sha256": digest_of([annotations_file(Path(path))]),
            "frames": len(dataset.images),
            "objects": sum(not item.iscrowd for item in dataset.annotations),
        }
        counts = resampled_counts(len(set(groups)), seed=seed, name=name)
        measured = {
            run: _Measured.of(result["sets"][name], groups, result["threshold"], counts)
            for run, result in results.items()
            if name in result["sets"]
        }
        rows += _rows(spec, name, measured)
    report = {
        "iou": IOU,
        "seed": seed,
        "spec": spec.to_dict(),
        "runs": {"done": len(results), "all": len(list(spec.runs()))},
        "test": facts,
        "versions": versions(_PACKAGES) | _other_versions(results.values()),
        "rows": rows,
    }
    tables = benchmark_tables(report)
    write_report(folder.path, "Benchmark", report, tables, BENCHMARK_NOTES)
    return report, tables


def _other_versions(results: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Of programs that runs used; all of them, where runs differ."""
    found: dict[str, set[str]] = {}
    for result in results:
        for name, version in result.get("versions", {}).items():
            found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(numbers)) for name, numbers in found.items()}


class _Measured:
    """A run on a test set: its scores, and those of each bootstrap draw."""

    def __init__(self, scores: Mapping[str, float], draws: Mapping[str, Floats], coco: Mapping[str, float | None]):
        self.scores, self.draws, self.coco = scores, draws, coco

    @classmethod
    def of(cls, found: Mapping[str, Any], groups: Sequence[str], threshold: float, counts: Floats) -> _Measured:
        curve = Curve.of(found["matches"], groups)
        once, drawn = curve.at(threshold), curve.at(threshold, counts)
        scores = dict(zip(_SCORES, (float(part[0]) for part in (curve.average_precision(), *once)), strict=True))
        draws = dict(zip(_SCORES, (curve.average_precision(counts), *drawn), strict=True))
        return cls(scores, draws, found["coco"])


def _rows(spec: BenchmarkSpec, test: str, measured: Mapping[Run, _Measured]) -> list[dict[str, Any]]:
    rows = []
    for size in spec.sizes:
        for detector in spec.detectors:
            for arm in spec.arms:
                own = {run.seed: item for run, item in measured.items() if _is(run, detector, arm, size)}
                base = {run.seed: item for run, item in measured.items() if _is(run, detector, spec.baseline, size)}
                if own:
                    row = {"test": test, "size": size, "detector": detector, "arm": arm, **_summary(own)}
                    both = sorted(set(own) & set(base))
                    if arm != spec.baseline and both:
                        row["difference"] = _difference([own[key] for key in both], [base[key] for key in both])
                    rows.append(row)
    return rows


def _is(run: Run, detector: str, arm: str | None, size: int) -> bool:
    return (run.detector, run.arm, run.size) == (detector, arm, size)


def _summary(own: Mapping[int, _Measured]) -> dict[str, Any]:
    """Means over seeds, with intervals from drawing groups of the test set, the same for all seeds."""
    runs = [own[seed] for seed in sorted(own)]
    scores = {
        name: percentile_interval(
            float(np.mean([run.scores[name] for run in runs])), np.mean([run.draws[name] for run in runs], axis=0)
        ).to_dict()
        for name in _SCORES
    }
    coco = {name: float(np.mean([run.coco[name] for run in runs])) for name in ("AP", "AP50", "AP75")}
    each = {str(seed): round(own[seed].scores["ap"], 8) for seed in sorted(own)}
    return {**scores, "coco": coco, "ap_by_seed": each}


def _difference(own: Sequence[_Measured], base: Sequence[_Measured]) -> dict[str, Any]:
    """AP less that of real frames only: the mean of the pairs of equal seeds, on the same draws."""
    each = [first.scores["ap"] - second.scores["ap"] for first, second in zip(own, base, strict=True)]
    drawn = np.mean([first.draws["ap"] - second.draws["ap"] for first, second in zip(own, base, strict=True)], axis=0)
    below, above = (int(np.count_nonzero(part)) + 1 for part in (drawn <= 0, drawn >= 0))
    p = min(1.0, 2.0 * min(below, above) / (len(drawn) + 1))
    return {
        **percentile_interval(float(np.mean(each)), drawn).to_dict(),
        "p": float(f"{p:.4g}"),
        "by_seed": [round(value, 8) for value in each],
    }
