"""The ablations of Polyp-Gen (Table III): without boundary-enhanced masks, the lesion-guided loss, or both.

Every arm trains the same pipeline with the same seed, examples' numbers, steps and batch, paints into the same places
of the same frames, and is measured against the same real polyps: by their kernel distance, and by which of them a
detector finds that was trained on real frames. All steps resume.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from polyp_aug.evaluation.detector_recall import RecallEvaluation
from polyp_aug.evaluation.features import FeatureExtractor
from polyp_aug.evaluation.polyps import PolypEvaluation, evaluate_polyps
from polyp_aug.evaluation.report import Table
from polyp_aug.generation.config import GenerateConfig
from polyp_aug.generation.generate import generate
from polyp_aug.synthesizers.options import PaintingOptions
from polyp_aug.synthesizers.polyp_gen import load_inpainting_weights
from polyp_aug.training.folder import TrainingProgress
from polyp_aug.training.frames import Frame
from polyp_aug.training.loop import TrainingOptions
from polyp_aug.training.polyp_gen import FINAL_NAME, PolypGenConfig, train_polyp_gen


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        masks: whether *Polyp* masks are boxes and inscribed polygons (BPM), not outlines.
        lesion: whether the lesion weighs more in the loss.
    """

    masks: bool
    lesion: bool

    def of(self, config: PolypGenConfig) -> PolypGenConfig:
        """The settings of this arm."""
        examples = config.examples if self.masks else replace(config.examples, outlines=True)
        return replace(config, examples=examples, lesion_weight=config.lesion_weight if self.lesion else 0.0)


ARMS: Mapping[str, Arm] = {
    "full": Arm(masks=True, lesion=True),
    "no_bpm": Arm(masks=False, lesion=True),
    "no_lesion_loss": Arm(masks=True, lesion=False),
    "neither": Arm(masks=False, lesion=False),
}


#: Measures which polyps a detector finds: name → COCO set, and the folder for the report.
RecallMeasure = Callable[[Mapping[str, Path], Path], RecallEvaluation]


@dataclass(frozen=True)
class Ablation:
    """What was measured of the arms.

    Attributes:
        polyps: kernel distances and copies.
        recall: of a detector, where one was given.
    """

    polyps: PolypEvaluation
    recall: RecallEvaluation | None

    @property
    def tables(self) -> tuple[Table, ...]:
        """Of both."""
        return self.polyps.tables + (self.recall.tables if self.recall else ())


def ablate(
    config: PolypGenConfig,
    weights: str,
    data: Sequence[Frame],
    validation: Sequence[Frame],
    out: Path,
    *,
    backgrounds: Path,
    real: Path,
    train: Path,
    extractor: FeatureExtractor,
    count: int,
    painting: PaintingOptions,
    options: TrainingOptions,
    mixed_precision: str = "no",
    recall: RecallMeasure | None = None,
    observer: Callable[[str, TrainingProgress], None] | None = None,
) -> Ablation:
    """Train, paint and measure every arm.

    Writes `ARM/training` and `ARM/run` for each arm, `report/`, as `evaluate_polyps` does, and `recall/`, as
    `evaluate_recall` does.

    Args:
        config: the settings of the full arm.
        weights: what every arm starts from, for `load_inpainting_weights`.
        data: frames to train on, with outlines of their polyps.
        validation: frames to measure the loss on.
        out: folder to write.
        backgrounds: polyp-free frames to paint into, of no patient of `data`.
        real: COCO set of held-out real polyps.
        train: COCO set of the real polyps of `data`.
        extractor: whose features are compared.
        count: number of painted frames.
        painting: how they are painted; the weights are each arm's own.
        options: of the training.
        mixed_precision: of the training.
        recall: measures what a detector finds; the first set that it is given is `real`.
        observer: called with an arm's name and how far its training is.

    Raises:
        ConfigurationError: see `train_polyp_gen`, `generate` and `evaluate_polyps`.
        RunConfigurationChanged: `out` was begun with other settings.
    """
    runs = {}
    for name, arm in ARMS.items():
        folder = out / name
        # A finished training is not even loaded again.
        finished = folder / "run" / "annotations.json"
        if not finished.is_file():
            _train(name, arm.of(config), weights, data, validation, folder, options, mixed_precision, observer)
            generate(
                GenerateConfig(
                    backgrounds=backgrounds,
                    count=count,
                    synthesizer=str(folder / "training" / FINAL_NAME),
                    seed=config.seed,
                    painting=painting,
                ),
                folder / "run",
            )
        runs[name] = folder / "run"
    polyps = evaluate_polyps(real, runs, out / "report", extractor=extractor, train=train, seed=config.seed)
    return Ablation(polyps, None if recall is None else recall({"real": real, **runs}, out / "recall"))


def _train(
    name: str,
    config: PolypGenConfig,
    weights: str,
    data: Sequence[Frame],
    validation: Sequence[Frame],
    folder: Path,
    options: TrainingOptions,
    mixed_precision: str,
    observer: Callable[[str, TrainingProgress], None] | None,
) -> None:
    train_polyp_gen(
        config,
        load_inpainting_weights(weights),
        data,
        validation,
        folder / "training",
        options=options,
        mixed_precision=mixed_precision,
        observer=None if observer is None else lambda progress: observer(name, progress),
    )
