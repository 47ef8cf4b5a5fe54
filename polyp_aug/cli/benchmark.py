"""`polyp-aug benchmark`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.benchmark.execute import do_task, run_benchmark
from polyp_aug.benchmark.folder import BenchmarkFolder
from polyp_aug.benchmark.plots import plot_benchmark
from polyp_aug.benchmark.report import report_benchmark
from polyp_aug.benchmark.spec import read_spec
from polyp_aug.cli.output import output, show_report
from polyp_aug.cli.parent import end_with_parent
from polyp_aug.cli.running import resumable


def benchmark(
    spec: Annotated[Path, typer.Argument(help="What to compare, in YAML; benchmarks/detectors.yaml is one.")],
    out: Annotated[Path, typer.Option(help="Folder. An interrupted benchmark in it is resumed.")],
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time; they share the processor's threads.")] = 1,
    device: Annotated[
        list[str] | None, typer.Option(help="cpu, or cuda:0, cuda:1, … once for each that the processes take turns at.")
    ] = None,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Put together what is done, and train nothing.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    task: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Train detectors on real and synthetic polyps and compare them: arms × detectors × seeds × numbers of frames."""
    folder = BenchmarkFolder(out, read_spec(spec))
    if task:
        end_with_parent()
        do_task(folder.spec, folder, task, (device or ["cpu"])[0])
        return
    if report_only:
        folder.settle()
    else:
        resumable(
            "sets and trainings",
            lambda show: run_benchmark(spec, folder, jobs=jobs, devices=device or ["cpu"], observer=show),
        )
    report, tables = report_benchmark(folder, seed=seed)
    for path in plot_benchmark(report, out):
        output.print(f"Wrote {path}", markup=False, highlight=False, soft_wrap=True)
    show_report(tables, out)
