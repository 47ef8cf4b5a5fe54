"""`polyp-aug evaluate detections`: trained detectors on real frames."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from polyp_aug.cli.output import errors, parse_named, progress_bar, show_report

_EXAMPLE = "real=configs/centernet.py,work/iter_1500.pth"


def detections(
    detector: Annotated[
        list[str], typer.Option(help="NAME=CONFIG,CHECKPOINT, of mmdet; once for each, compared in pairs.")
    ],
    sets: Annotated[list[str], typer.Option("--set", help="NAME=COCO, once for each set of real frames.")],
    validation: Annotated[Path, typer.Option(help="COCO set of other frames to choose thresholds on, by F1.")],
    out: Annotated[Path, typer.Option(help="Folder for report.json and report.md.")],
    batch_size: Annotated[int, typer.Option(help="Frames that go through the network at once.")] = 8,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
) -> None:
    """Measure detectors: COCO's AP, AP, precision, recall and F1 with intervals, FROC, and paired differences."""
    files = {name: _files(text) for name, text in parse_named(detector, _EXAMPLE).items()}
    measured = {name: Path(path) for name, path in parse_named(sets, "test=kvasir_test").items()}
    from polyp_aug.evaluation.detections import MeasuredDetector, evaluate_detections
    from polyp_aug.integrations.mmdet.inference import detect, detector_facts

    with progress_bar("frames") as show:
        detectors = {
            name: MeasuredDetector(
                partial(detect, config, checkpoint, batch_size=batch_size, device=device, observer=show),
                detector_facts(config, checkpoint),
            )
            for name, (config, checkpoint) in files.items()
        }
        result = evaluate_detections(
            detectors,
            measured,
            out,
            validation=validation,
            seed=seed,
            observer=lambda name: errors.print(f"detections of {name}", markup=False, highlight=False),
        )
    show_report(result.tables, out)


def _files(text: str) -> tuple[Path, Path]:
    config, comma, checkpoint = text.partition(",")
    if not (config and comma and checkpoint):
        raise typer.BadParameter(f"expected CONFIG,CHECKPOINT such as {_EXAMPLE} (got {text!r})")
    return Path(config), Path(checkpoint)
