"""Measuring a detector on a COCO set, with mmengine's runner: as a training measures it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from polyp_aug.errors import ConfigurationError
from polyp_aug.evaluation.report import make_folder
from polyp_aug.images import write_bytes
from polyp_aug.integrations.launchers import Launcher, is_first
from polyp_aug.integrations.mmdet.checkpoints import load_weights
from polyp_aug.integrations.mmdet.configs import read_config, use_test_data
from polyp_aug.integrations.mmdet.inference import move_model
from polyp_aug.integrations.mmdet.launching import launched
from polyp_aug.integrations.mmdet.metrics import CompleteCocoMetric

DETECTIONS_NAME = "detections.json"
METRICS_NAME = "metrics.json"

_METRICS = ("CocoMetric", CompleteCocoMetric.__name__)


def measure_detector(
    config: Path,
    checkpoint: Path,
    out: Path,
    *,
    data: Path | None = None,
    options: Sequence[str] = (),
    launcher: Launcher = "none",
    device: str | None = None,
) -> dict[str, float | None]:
    """Detect objects in the pictures of a COCO set, and compute COCO's scores.

    Writes `detections.json`, in COCO's format of results with the ids of the set and boxes xywh in pixels,
    `metrics.json`, and mmengine's logs, which are named by the clock.

    Args:
        config: file of the config; see `read_config`.
        checkpoint: of mmengine, for that config.
        out: folder to write.
        data: COCO set; None: the one that the config names for its test.
        options: changes of the config as `key=value`.
        launcher: the program that started this process and others beside it.
        device: of torch; None: an accelerator where there is one.

    Returns:
        The scores by mmengine's names, such as `coco/bbox_mAP`: 0 where nothing is detected, −1 where the set has no
        object of a size, None where a class has none.

    Raises:
        CocoError: the COCO file breaks the format.
        ConfigurationError: config, set, checkpoint or device doesn't fit, or a file of the set is missing.
        StorageError: a file can't be written.
    """
    if device is not None and launcher != "none":
        raise ConfigurationError(f"'device' ({device!r}) can't be chosen where 'launcher' ({launcher!r}) does")
    settings = read_config(config, options)
    if data is not None:
        use_test_data(settings, data)
    settings.test_evaluator = _complete(settings, out)
    settings.work_dir = str(out)
    settings.load_from, settings.resume = None, False
    make_folder(out)
    with launched(settings, launcher):
        runner = Runner.from_cfg(settings)
        load_weights(runner.model.module if is_model_wrapper(runner.model) else runner.model, checkpoint)
        if device is not None:
            move_model(runner.model, device)
        try:
            found = runner.test()
        except FileNotFoundError as error:
            raise ConfigurationError(f"{config}: a file of its test set is missing ({error})") from error
        scores = _plain(found)
        if is_first(launcher):
            os.replace(out / "detections.bbox.json", out / DETECTIONS_NAME)
            write_bytes(out / METRICS_NAME, (json.dumps(scores, indent=2) + "\n").encode())
    return scores


def _complete(settings: Config, out: Path) -> ConfigDict:
    """The config's measurement, which keeps its detections in a file and leaves out no score."""
    evaluator = settings.get("test_evaluator")
    if settings.get("test_dataloader") is None:
        raise ConfigurationError(f"{settings.filename}: has no 'test_dataloader'")
    if not isinstance(evaluator, dict) or evaluator.get("type") not in _METRICS or "ann_file" not in evaluator:
        raise ConfigurationError(
            f"{settings.filename}: 'test_evaluator' is {evaluator!r}, expected one CocoMetric with 'ann_file'"
        )
    return ConfigDict(
        evaluator, type=CompleteCocoMetric.__name__, outfile_prefix=str(out / "detections"), format_only=False
    )


def _plain(found: Mapping[str, float]) -> dict[str, float | None]:
    """Scores in JSON's types; NaN is none."""
    return {name: float(value) if math.isfinite(value) else None for name, value in found.items()}
