"""The two kinds of detectors of a benchmark: each is trained, and looks for polyps in pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from polyp_aug.benchmark.spec import BenchmarkSpec, Run
from polyp_aug.evaluation.recall import Detections
from polyp_aug.integrations.yolo.inference import detect_yolo
from polyp_aug.integrations.yolo.program import find_program, program_version
from polyp_aug.integrations.yolo.training import remove_training_data, train_yolo

_TRAINING = "training"


class Outcome(NamedTuple):
    """What a trained detector found.

    Attributes:
        detections: of each picture.
        versions: of programs that are no packages of this environment.
    """

    detections: list[Detections]
    versions: Mapping[str, str]


def train_and_detect(
    spec: BenchmarkSpec,
    run: Run,
    frames: Path,
    synthetic: Path | None,
    out: Path,
    images: Sequence[Path],
    *,
    device: str,
) -> Outcome:
    """Train a run's detector, taking up a training that was interrupted, and look for polyps.

    Args:
        spec: the benchmark.
        run: which of its trainings.
        frames: COCO set of the training frames.
        synthetic: run folder of the arm's generated set, or None.
        out: folder of the run.
        images: pictures to look at.
        device: of torch.

    Raises:
        CocoError: a COCO file breaks the format.
        ConfigurationError: a config or set doesn't fit.
        ImageError: a picture can't be read.
        MissingDependencyError: a package or program is missing.
        ProgramError: a program that was started failed.
        StorageError: a file can't be written.
    """
    kind = _by_mmdet if spec.detectors[run.detector].yolo is None else _by_yolo
    return kind(spec, run, frames, synthetic, out / _TRAINING, images, device)


def remove_checkpoints(out: Path) -> None:
    """Remove what a run's training needed; its logs stay."""
    for file in (out / _TRAINING).glob("*.pth"):
        file.unlink()
    remove_training_data(out / _TRAINING)


def _by_mmdet(
    spec: BenchmarkSpec,
    run: Run,
    frames: Path,
    synthetic: Path | None,
    work_dir: Path,
    images: Sequence[Path],
    device: str,
) -> Outcome:
    # mmdet takes seconds to import.
    from polyp_aug.integrations.mmdet.inference import detect
    from polyp_aug.integrations.mmdet.training import train_detector

    arm, detector = spec.arms[run.arm], spec.detectors[run.detector]
    config = detector.config(arm.mode)
    checkpoint = train_detector(
        config,
        [frames],
        Path(spec.validation),
        work_dir,
        synthetic=[synthetic] if synthetic and arm.mode == "offline" else [],
        pool=synthetic if arm.mode == "online" else None,
        options=[*spec.options, *detector.options, *arm.options],
        resume=True,
        iterations=detector.iterations,
        amp=spec.amp,
        seed=run.seed,
    )
    return Outcome(detect(config, checkpoint, images, device=device), {})


def _by_yolo(
    spec: BenchmarkSpec,
    run: Run,
    frames: Path,
    synthetic: Path | None,
    work_dir: Path,
    images: Sequence[Path],
    device: str,
) -> Outcome:
    detector = spec.detectors[run.detector]
    assert detector.yolo is not None
    checkpoint = train_yolo(
        [frames, *([synthetic] if synthetic else [])],
        Path(spec.validation),
        work_dir,
        model=detector.yolo,
        iterations=detector.iterations,
        command=detector.command,
        options=detector.options,
        amp=spec.amp,
        seed=run.seed,
        device=device,
    )
    found = detect_yolo(checkpoint, images, work_dir, command=detector.command, options=detector.options, device=device)
    return Outcome(found, {"ultralytics": program_version(find_program(detector.command))})
