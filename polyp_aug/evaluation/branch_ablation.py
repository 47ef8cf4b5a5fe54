"""The ablation of CCIS-Diff: without blur mask weighting, without text-aware attention, and without both.

Every arm trains a new control branch of the same model, with the same examples, steps and batch, and makes the same
held-out frames anew from their masks and captions, with the same noise: once for each seed. The last arm is the stock
ControlNet. All steps resume.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from polyp_aug.evaluation.ablation import RecallMeasure
from polyp_aug.evaluation.attributes import READ
from polyp_aug.evaluation.features import FeatureExtractor
from polyp_aug.evaluation.frames import CaptionedSet, FrameDetector, evaluate_frames
from polyp_aug.evaluation.report import REPORT_NAME, Table, make_folder, write_report
from polyp_aug.generation.frames import FramesConfig, generate_frames
from polyp_aug.synthesizers.ccis_diff.weights import BranchSettings, load_ccis_weights
from polyp_aug.synthesizers.frame_options import FrameOptions
from polyp_aug.training.captioned import CaptionedFrame
from polyp_aug.training.ccis_diff import FINAL_NAME, CCISDiffConfig, train_ccis_diff
from polyp_aug.training.folder import TrainingProgress
from polyp_aug.training.loop import TrainingOptions
from polyp_aug.training.small_text_encoder import give_small_text_encoder

#: Arm → (blur mask weighting, text-aware attention).
ARMS: Mapping[str, tuple[bool, bool]] = {
    "full": (True, True),
    "no_blur": (False, True),
    "no_text_aware": (True, False),
    "neither": (False, False),
}
FULL = "full"

_NOTES = """Each figure is the mean over the seeds, with the smallest and the largest; differences are taken seed by
seed. A seed decides the new layers' weights, the examples and the noise of training and frames. `seed*/` has the
intervals of each seed. **KID**, **attributes**: see `polyp-aug evaluate frames`. **Recall**: of the polyps that were
asked for, by a detector that was trained on real frames, and over its recall of the real ones.
"""


@dataclass(frozen=True)
class BranchAblation:
    """A report, in JSON types, and its tables."""

    report: dict[str, Any]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class BranchTraining:
    """How every arm is trained.

    Attributes:
        weights: what every arm starts from, without a control branch of its own.
        base: for the parts that `weights` lacks, or "".
        config: settings; the seed is each run's own.
        data: frames to train on.
        validation: frames to measure the loss on.
        options: see `TrainingOptions`.
        mixed_precision: of the training.
        small_text_encoder: give every arm a new small text encoder; `config` says that it is trained.
    """

    weights: str
    base: str
    config: CCISDiffConfig
    data: Sequence[CaptionedFrame]
    validation: Sequence[CaptionedFrame]
    options: TrainingOptions
    mixed_precision: str = "no"
    small_text_encoder: bool = False


def ablate_branch(
    training: BranchTraining,
    out: Path,
    *,
    real: CaptionedSet,
    train: CaptionedSet,
    making: FrameOptions,
    extractor: FeatureExtractor,
    seeds: Sequence[int],
    recall: RecallMeasure | None = None,
    detector: FrameDetector | None = None,
    observer: Callable[[str, TrainingProgress], None] | None = None,
) -> BranchAblation:
    """Train every arm with every seed, make frames, and measure them.

    Writes `seedN/ARM/training` and `seedN/ARM/run`, `seedN/report/` and `seedN/recall/`, and over all `report.json` and
    `report.md`.

    Args:
        training: how every arm is trained.
        out: folder to write.
        real: held-out frames to make anew, and to measure against.
        train: the real training frames, as captioned sets; for the floor and the classifier.
        making: how frames are made; the weights are each arm's own.
        extractor: whose features are compared and read.
        seeds: of the runs.
        recall: measures what a detector finds; the first set that it is given is the real one.
        detector: see `evaluate_frames`.
        observer: called with a run's name and how far its training is.

    Raises:
        ConfigurationError: see `train_ccis_diff`, `generate_frames` and `evaluate_frames`.
        RunConfigurationChanged: `out` was begun with other settings.
    """
    found: dict[int, tuple[dict[str, Any], dict[str, Any] | None]] = {}
    for seed in seeds:
        folder = out / f"seed{seed}"
        runs = {name: folder / name / "run" for name in ARMS}
        for name, run in runs.items():
            # A finished run is not even loaded again.
            if not (run / "annotations.json").is_file():
                _make(training, name, seed, folder / name, real, making, observer)
        if not (folder / "report" / REPORT_NAME).is_file():
            evaluate_frames(real, train, runs, folder / "report", extractor=extractor, detector=detector, seed=seed)
        if recall is not None and not (folder / "recall" / REPORT_NAME).is_file():
            recall({"real": real.data, **runs}, folder / "recall")
        found[seed] = _read(folder / "report"), None if recall is None else _read(folder / "recall")
    report = summary(found)
    tables = summary_tables(report)
    make_folder(out)
    write_report(out, "Ablation of CCIS-Diff", report, tables, _NOTES)
    return BranchAblation(report, tables)


def _read(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / REPORT_NAME).read_bytes())
    return report


def _make(
    training: BranchTraining,
    name: str,
    seed: int,
    folder: Path,
    real: CaptionedSet,
    making: FrameOptions,
    observer: Callable[[str, TrainingProgress], None] | None,
) -> None:
    blur, text = ARMS[name]
    weights = load_ccis_weights(
        training.weights,
        base=training.base or None,
        branch=BranchSettings(blur_mask=blur, text_aware=text, seed=seed),
        renew=True,
    )
    if training.small_text_encoder:
        give_small_text_encoder(weights.pipeline, seed=seed)
    finished = train_ccis_diff(
        replace(training.config, seed=seed),
        weights,
        training.data,
        training.validation,
        folder / "training",
        options=training.options,
        mixed_precision=training.mixed_precision,
        observer=None if observer is None else lambda progress: observer(f"{name}, seed {seed}", progress),
    )
    assert finished, "a training without a limit of time goes on to its end"
    generate_frames(
        FramesConfig(
            references=real.data,
            captions=real.captions,
            making=replace(making, weights=str(folder / "training" / FINAL_NAME)),
            check=False,
            seed=seed,
            batch_size=making.batch_size,
        ),
        folder / "run",
    )


def summary(found: Mapping[int, tuple[Mapping[str, Any], Mapping[str, Any] | None]]) -> dict[str, Any]:
    """What reports of several seeds, on frames and on recall, say of each arm.

    Returns:
        `arms` → arm → measure → the values of the seeds, and `differences` → arm → measure → full less that arm.
    """
    arms: dict[str, dict[str, list[float]]] = {name: {key: [] for key in _measures(found)} for name in ARMS}
    for frames, seen in found.values():
        for name, values in arms.items():
            values["kid"].append(frames["kernel_distance"][name]["value"])
            for attribute in frames["attributes"]:
                values[attribute].append(frames["reading"][name][attribute]["value"])
            if seen is not None:
                values["recall"].append(seen["sets"][name]["recall"]["value"])
                values["recall_ratio"].append(
                    seen["sets"][name]["recall"]["value"] / seen["sets"]["real"]["recall"]["value"]
                )
    return {
        "seeds": list(found),
        "arms": arms,
        "differences": {
            name: {
                key: [first - second for first, second in zip(arms[FULL][key], values, strict=True)]
                for key, values in arms[name].items()
            }
            for name in ARMS
            if name != FULL
        },
        "reports": {str(seed): {"frames": frames, "recall": seen} for seed, (frames, seen) in found.items()},
    }


def _measures(found: Mapping[int, tuple[Mapping[str, Any], Mapping[str, Any] | None]]) -> list[str]:
    seen = any(report is not None for _, report in found.values())
    attributes = next(iter(found.values()))[0]["attributes"]
    return ["kid", *attributes, *(["recall", "recall_ratio"] if seen else [])]


#: Measure → factor in tables, digits, heading.
_SHOWN = {
    "kid": (1000.0, 1, "KID × 1000"),
    **{name: (100.0, 1, f"{name}, %") for name in READ},
    "recall": (100.0, 1, "recall, %"),
    "recall_ratio": (1.0, 2, "recall / real"),
}


def summary_tables(report: Mapping[str, Any]) -> tuple[Table, ...]:
    """The tables of a summary: each arm, and the full model less each other arm."""
    keys = list(report["arms"][FULL])
    columns = [_SHOWN[key][2] for key in keys]
    rows = {
        title: [(name, *(_text(values[key], key) for key in keys)) for name, values in report[part].items()]
        for title, part in (("Arms", "arms"), ("The full model less", "differences"))
    }
    return tuple(Table(title, ("arm", *columns), lines) for title, lines in rows.items())


def _text(values: Sequence[float], key: str) -> str:
    factor, digits, _ = _SHOWN[key]
    middle, low, high = (f"{factor * value:.{digits}f}" for value in (mean(values), min(values), max(values)))
    return f"{middle} ({low} … {high})"
